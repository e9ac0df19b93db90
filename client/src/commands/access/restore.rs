//! `rolecall access restore PROFILE`.

use rolecall_protocol::{AccessRestoreRequest, ChangeOptions, Endpoint};

use super::change::{self, Change};
use super::principals::Principals;
use crate::cli::AccessRestore;
use crate::context::Context;
use crate::error::CliError;

/// Puts a backup of aws-auth back after a confirmation.
pub(super) fn run(wanted: &AccessRestore, context: &Context) -> Result<(), CliError> {
    let request = AccessRestoreRequest {
        change: ChangeOptions { force: wanted.force, ..ChangeOptions::default() },
        backup: wanted.backup.clone(),
    };
    let change = Change {
        profile: &wanted.profile,
        endpoint: Endpoint::AccessRestore(wanted.profile.clone()),
        confirm: &wanted.confirm,
        given: Principals::default(),
    };
    change::run(&change, request, |request| &mut request.change, context)
}
