//! `rolecall access migrate PROFILE`.

use rolecall_protocol::{AccessMigrateRequest, ChangeOptions, Endpoint};

use super::change::{self, Change};
use super::principals::Principals;
use crate::cli::AccessMigrate;
use crate::context::Context;
use crate::error::CliError;
use crate::output;

/// What the user has to know before the authentication mode changes.
const ONE_WAY: &str = "EKS changes the authentication mode in one direction only: CONFIG_MAP, API_AND_CONFIG_MAP, API. \
                       It cannot be changed back";

/// Turns mappings of aws-auth into access entries after a confirmation.
pub(super) fn run(wanted: &AccessMigrate, context: &Context) -> Result<(), CliError> {
    if wanted.mode.is_some() {
        output::print_note(ONE_WAY);
    }
    let request = AccessMigrateRequest {
        change: ChangeOptions { force: wanted.force, ..ChangeOptions::default() },
        mode: wanted.mode.map(Into::into),
    };
    let change = Change {
        profile: &wanted.profile,
        endpoint: Endpoint::AccessMigrate(wanted.profile.clone()),
        confirm: &wanted.confirm,
        given: Principals::default(),
    };
    change::run(&change, request, |request| &mut request.change, context)
}
