//! `rolecall access revoke PROFILE`.

use rolecall_protocol::{AccessRevokeRequest, ChangeOptions, Endpoint};

use super::change::{self, Change};
use super::principals::Principals;
use crate::cli::AccessRevoke;
use crate::context::Context;
use crate::error::CliError;

/// Revokes access after a confirmation.
pub(super) fn run(wanted: &AccessRevoke, context: &Context) -> Result<(), CliError> {
    let given = Principals::read(&wanted.who)?;
    let request = AccessRevokeRequest {
        change: ChangeOptions { force: wanted.force, ..ChangeOptions::default() },
        via: wanted.via.map(Into::into),
        principals: given.given.clone(),
        policies: wanted.policy.clone(),
    };
    let change = Change {
        profile: &wanted.profile,
        endpoint: Endpoint::AccessRevoke(wanted.profile.clone()),
        confirm: &wanted.confirm,
        given,
    };
    change::run(&change, request, |request| &mut request.change, context)
}
