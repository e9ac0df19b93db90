//! `rolecall access grant PROFILE`.

use rolecall_protocol::{AccessGrantRequest, ChangeOptions, Endpoint};

use super::change::{self, Change};
use super::principals::Principals;
use crate::cli::AccessGrant;
use crate::context::Context;
use crate::error::CliError;

/// Grants access after a confirmation.
pub(super) fn run(wanted: &AccessGrant, context: &Context) -> Result<(), CliError> {
    let given = Principals::read(&wanted.who)?;
    let request = AccessGrantRequest {
        change: ChangeOptions { force: wanted.force, ..ChangeOptions::default() },
        via: wanted.via.map(Into::into),
        principals: given.given.clone(),
        policies: wanted.policy.clone(),
        namespaces: wanted.namespace.clone(),
        groups: wanted.group.clone(),
        username: wanted.username.clone(),
    };
    let change = Change {
        profile: &wanted.profile,
        endpoint: Endpoint::AccessGrant(wanted.profile.clone()),
        confirm: &wanted.confirm,
        given,
    };
    change::run(&change, request, |request| &mut request.change, context)
}
