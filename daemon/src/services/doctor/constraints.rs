//! The constraints on time that exclude the use of the profile now. The other checks run nevertheless.

use rolecall_protocol::{Finding, FindingArea, Hint};

use super::diagnosis::{Diagnosis, plugin_failure};
use rolecall_core::constraints::ConstraintError;

/// Reports the constraint that excludes the profile now.
pub(super) async fn check(diagnosis: &Diagnosis<'_>) {
    let profile = diagnosis.profile;
    let Err(error) = diagnosis.components.constraints.check_time(profile) else { return };
    let code = match &error {
        ConstraintError::Lifetime(_) => "refresh_needed",
        _ => "outside_allowed_hours",
    };
    let body = error.body(&profile.name);
    let finding = Finding::problem(FindingArea::Source, "constraints", code, &body.message)
        .consequence(plugin_failure(body.code));
    let finding = match (&error, &body.hint) {
        (ConstraintError::Lifetime(_), _) => finding.fix(Hint::command(format!("rolecall refresh {}", profile.name))),
        (_, Some(hint)) => finding.fix(hint),
        (_, None) => finding,
    };
    diagnosis.found(finding).await;
}
