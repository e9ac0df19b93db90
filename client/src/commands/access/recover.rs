//! `rolecall access recover PROFILE`.

use rolecall_protocol::{AccessRecoverRequest, ChangeOptions, Endpoint};

use super::change::{self, Change};
use super::principals::Principals;
use crate::cli::AccessRecover;
use crate::context::Context;
use crate::error::CliError;

/// Gives the caller a way back into the cluster after a confirmation.
pub(super) fn run(wanted: &AccessRecover, context: &Context) -> Result<(), CliError> {
    let request = AccessRecoverRequest { change: ChangeOptions::default(), repair_aws_auth: wanted.repair_aws_auth };
    let change = Change {
        profile: &wanted.profile,
        endpoint: Endpoint::AccessRecover(wanted.profile.clone()),
        confirm: &wanted.confirm,
        given: Principals::default(),
    };
    change::run(&change, request, |request| &mut request.change, context)
}
