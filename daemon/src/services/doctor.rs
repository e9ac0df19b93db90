//! The doctor endpoint: checks the way from a profile's source to its cluster, in the order in which kubectl depends on it, and
//! stops at the first problem that makes the other checks meaningless.
//!
//! # Codes
//!
//! The code of a finding is stable, and programs may depend on it. A finding of [`FindingState::Ok`] has none.
//!
//! | area | codes |
//! |---|---|
//! | constraints | `outside_allowed_hours`, `refresh_needed` |
//! | source | `login_expired`, `login_expires_soon`, `mfa_code_needed`, `mfa_process_failed`, `mfa_without_access_key`, `keyring_locked`, `keyring_unavailable`, `access_key_missing`, `aws_profile_missing`, `aws_profile_invalid`, `aws_files_unusable`, `credential_process_failed`, `no_assignment`, `identity_center_failed`, `source_slow`, `source_failed`, `source_credentials_invalid`, `credentials_expired`, `access_key_unknown`, `signature_wrong`, `source_in_other_partition`, `clock_wrong`, `clock_rejected` |
//! | STS | `sts_region_disabled`, `sts_unknown_host`, `sts_no_dns`, `sts_unreachable`, `sts_proxy_failed`, `sts_untrusted`, `sts_certificate_expired`, `sts_no_tls`, `sts_intercepted`, `sts_failed`, `sts_throttled`, `sts_slow`, `aws_settings_invalid` |
//! | role | those of [`RoleFailureReason::code`](rolecall_aws::role_failure::RoleFailureReason::code), `source_is_the_role`, `mfa_unused`, `role_rejected`, `duration_limited` |
//! | token | `token_too_large`, `token_rejected_by_sts`, `token_not_verified`, `region_without_sts` |
//! | cluster | `cluster_name_wrong`, `cluster_in_other_region`, `cluster_deleted`, `cluster_not_found`, `cluster_of_other_account`, `cluster_not_active`, `cluster_recreated`, `cluster_ca_changed`, `describe_denied`, `describe_failed` |
//! | pin | `pin_mismatch`, `no_pin`, `no_kubeconfig_entry`, `kubeconfig_ca_invalid` |
//! | API server | `api_server_private`, `api_server_cidrs`, `api_server_failed`, `api_server_intercepted`, and with `api_server_` the ends `unknown_host`, `no_dns`, `unreachable`, `proxy_failed`, `untrusted`, `certificate_expired`, `no_tls` |
//! | access | `not_mapped`, `rejected_although_mapped`, `mapping_CODE` with a code of `rolecall access list` (`mapping_path_in_arn`), `mapping_other_account`, `mapping_aws_auth_ignored`, `forbidden`, `rbac_not_checked` |
//!
//! `internal` is a bug.

mod access;
mod cluster;
mod constraints;
mod describe;
mod diagnosis;
mod failure;
mod network;
mod path;
mod role;
mod source;
mod token;

use std::sync::Arc;

use rolecall_protocol::{DoctorRequest, DoctorStep, ErrorCode, FindingState, ProfileName};
use tokio::sync::mpsc::Sender;

use super::error::AgentError;
use super::lock::LockService;
pub(crate) use diagnosis::Components;
use diagnosis::{Diagnosis, Fatal};

/// Diagnoses profiles.
pub struct DoctorService {
    lock: Arc<LockService>,
    components: Components,
}

impl DoctorService {
    pub(crate) const fn new(lock: Arc<LockService>, components: Components) -> Self {
        Self { lock, components }
    }

    /// Checks a profile and sends what each check found. Errors if the profile does not exist or the daemon is locked.
    pub async fn doctor(
        self: Arc<Self>,
        name: ProfileName,
        request: DoctorRequest,
        steps: Sender<DoctorStep>,
    ) -> Result<(), ErrorCode> {
        let (last, result) = match self.diagnose(&name, &request, &steps).await {
            Ok(()) => (DoctorStep::Done, Ok(())),
            Err(AgentError(error)) => {
                let code = error.code;
                (DoctorStep::Failed { error }, Err(code))
            }
        };
        // The client may have left.
        let _ = steps.send(last).await;
        result
    }

    async fn diagnose(
        &self,
        name: &ProfileName,
        request: &DoctorRequest,
        steps: &Sender<DoctorStep>,
    ) -> Result<(), AgentError> {
        let profile = self.components.config.profile(name)?;
        let diagnosis = Diagnosis::new(&self.components, &profile, request, steps);
        let checks = async {
            if let Err(Fatal(findings)) = run(&diagnosis).await {
                for finding in findings {
                    diagnosis.found(finding).await;
                }
            }
            Ok(())
        };
        self.lock.while_unlocked(name, Box::pin(checks)).await
    }
}

/// Runs the checks in order. Errors with the first problem that makes the others meaningless.
async fn run(diagnosis: &Diagnosis<'_>) -> Result<(), Fatal> {
    constraints::check(diagnosis).await;
    let source = match source::check(diagnosis).await {
        Ok(session) => Some(session),
        Err(fatal) => {
            source::survive(diagnosis, fatal).await?;
            None
        }
    };
    let session = role::check(diagnosis, source.as_ref()).await?;
    let profile = diagnosis.profile;
    diagnosis.checking(format!("cluster {} in {}", profile.cluster, profile.chain.region)).await;
    // Two copies of one token: one goes to STS, the other to the API server.
    let (token, copy) = (token::sign(diagnosis, &session).await?, token::sign(diagnosis, &session).await?);
    let verifying = Box::pin(token::verify(diagnosis, &token));
    let describing = Box::pin(describe::describe(diagnosis, &session, source.as_ref()));
    let asking = Box::pin(cluster::ask(diagnosis, copy));
    let (verified, description, asked) = tokio::join!(verifying, describing, asking);
    let is_accepted = asked.as_ref().is_ok_and(|answer| answer.is_accepted() == Some(true));
    let of_token = token::finding(diagnosis, token.length(), &verified, is_accepted);
    if of_token.state == FindingState::Problem {
        return Err(of_token.into());
    }
    diagnosis.found(of_token).await;
    let answer = cluster::check(diagnosis, &session, &description, asked).await?;
    access::check(diagnosis, answer).await
}
