//! The causes of a denied AssumeRole, by the message of AWS and the trust policy of the role.

use rolecall_core::trust_policy::{
    ASSUME_ROLE, Caller, MfaUse, NamedAs, PermissionNeeds, Requirement, SET_SOURCE_IDENTITY, TAG_SESSION, TrustProblem,
    TrustVerdict,
};
use rolecall_protocol::sanitize_for_terminal;

use super::role::{self, RoleInIam};
use super::{FailedAssumeRole, RoleFailure, RoleFailureReason, TrustPolicyReading, login, request};
use crate::client::Aws;
use crate::denial::{Denial, DenialReason, MfaDenial, PolicyKind};

/// A denied call with all that is known about it.
struct DeniedCall<'a> {
    failed: &'a FailedAssumeRole<'a>,
    denial: &'a Denial,
    caller: &'a Caller,
    needs: PermissionNeeds,
}

pub(super) async fn explain(aws: &Aws, failed: &FailedAssumeRole<'_>, denial: &Denial, caller: &Caller) -> RoleFailure {
    let call = DeniedCall { failed, denial, caller, needs: PermissionNeeds::of(&failed.facts(caller)) };
    if let Some(failure) = call.of_message() {
        return failure;
    }
    let RoleInIam { reading, similar } = role::read(aws, failed, caller).await;
    let failure = match &reading {
        TrustPolicyReading::NoRole => call.no_role(&similar),
        TrustPolicyReading::Judged(verdict) if !verdict.may_allow() => call.of_trust_policy(verdict),
        TrustPolicyReading::Judged(verdict) => call.trusted(verdict),
        _ => call.unread(&reading),
    };
    RoleFailure { trust_policy: reading, ..failure }
}

impl DeniedCall<'_> {
    /// The cause, if the message of AWS leaves no doubt.
    fn of_message(&self) -> Option<RoleFailure> {
        let kind = match self.denial.reason {
            DenialReason::Mfa(denial) => return Some(self.mfa_code(denial)),
            DenialReason::RootUser => {
                let cause = "the source has the access key of a root user, and AWS lets no root user assume a role";
                return Some(
                    RoleFailure::new(RoleFailureReason::RootUser, cause)
                        .fix("Use a source that is an IAM user or a role."),
                );
            }
            // The trust policy says more.
            DenialReason::NotAllowed(PolicyKind::Identity | PolicyKind::Resource | PolicyKind::Other)
            | DenialReason::ExplicitDeny(PolicyKind::Resource | PolicyKind::Other)
            | DenialReason::Unstated => return None,
            DenialReason::NotAllowed(kind) | DenialReason::ExplicitDeny(kind) => kind,
        };
        let account = self.caller.account();
        let (reason, to) = match kind {
            PolicyKind::ServiceControl | PolicyKind::ResourceControl => {
                let to = format!("an administrator of the AWS organization of the account {account}");
                (RoleFailureReason::OrganizationPolicy, to)
            }
            PolicyKind::PermissionsBoundary => {
                (RoleFailureReason::PermissionsBoundary, format!("an administrator of the AWS account {account}"))
            }
            PolicyKind::Session => (
                RoleFailureReason::SessionPolicy,
                format!("an administrator of the service that makes the session {}", self.caller.arn()),
            ),
            PolicyKind::VpcEndpoint => (
                RoleFailureReason::VpcEndpointPolicy,
                "an administrator of the VPC endpoint of STS, which this network uses".to_owned(),
            ),
            PolicyKind::Identity | PolicyKind::Resource | PolicyKind::Other => {
                (RoleFailureReason::ExplicitDeny, format!("an administrator of the AWS account {account}"))
            }
        };
        Some(self.with_policy(reason, kind, to))
    }

    /// The cause is a policy that AWS names, and that one administrator changes.
    fn with_policy(&self, reason: RoleFailureReason, kind: PolicyKind, to: String) -> RoleFailure {
        let (action, role, caller) = (self.action(), self.failed.role(), self.caller.policy_arn());
        let arn = self.denial.policy.as_ref().map(|arn| format!(" {}", sanitize_for_terminal(arn))).unwrap_or_default();
        let (cause, request) = if matches!(self.denial.reason, DenialReason::ExplicitDeny(_)) {
            (
                format!("a Deny statement in the {kind}{arn} denies {action} on {role} to {caller}"),
                format!("Change the Deny statement in the {kind}{arn}, so that {caller} may call {action} on {role}."),
            )
        } else {
            (
                format!("the {kind} of {caller} does not allow {action} on {role}"),
                format!("Allow {action} on {role} in the {kind} of {caller}."),
            )
        };
        RoleFailure::new(reason, cause).request(request::of(to, request))
    }

    fn mfa_code(&self, denial: MfaDenial) -> RoleFailure {
        let (cause, fix) = match denial {
            MfaDenial::Code => ("AWS does not accept the MFA code: it is wrong, expired or used", login(self.failed)),
            MfaDenial::Device => (
                "the MFA device does not belong to the user whose access key signs",
                "Set mfa_serial to the ARN of that user's device.".into(),
            ),
            MfaDenial::Incomplete => ("the call has an MFA device without a code", login(self.failed)),
        };
        RoleFailure::new(RoleFailureReason::MfaCode, cause).fix(fix)
    }

    fn no_role(&self, similar: &[String]) -> RoleFailure {
        let role = self.failed.role();
        let cause = format!("the role {} does not exist in the account {}", role, role.account());
        let failure = RoleFailure::new(RoleFailureReason::RoleNotFound, cause);
        match similar {
            [] => failure.fix("Set role_arn of the profile to a role that exists."),
            similar => {
                let names: Vec<String> = similar.iter().map(|name| sanitize_for_terminal(name)).collect();
                failure.fix(format!("Did you mean {}? Set role_arn of the profile.", names.join(" or ")))
            }
        }
    }

    /// The trust policy does not allow the call.
    fn of_trust_policy(&self, verdict: &TrustVerdict) -> RoleFailure {
        let role = self.failed.role();
        let mut problems = verdict.problems.iter().filter(|problem| !matches!(problem, TrustProblem::NotJudged { .. }));
        let Some(first) = problems.next() else { return self.trusted(verdict) };
        let mut cause = format!("role {role}: {first}");
        for problem in problems {
            cause.push_str("; ");
            cause.push_str(&problem.to_string());
        }
        let failure = RoleFailure::new(reason_of(first), cause);
        match first {
            TrustProblem::NotNamed { .. } => self.with_both_statements(failure),
            TrustProblem::DeletedPrincipal { id } => {
                let id = sanitize_for_terminal(id);
                let mut request = request::trust(role, self.caller, self.needs);
                request.request = format!("Replace {id} in the trust policy of {role}, as in this statement.");
                failure.request(request)
            }
            TrustProblem::ActionMissing { .. } | TrustProblem::OtherActions { .. } => {
                failure.request(request::trust(role, self.caller, self.needs))
            }
            TrustProblem::Unmet(requirement) => self.with_requirement(failure, requirement),
            TrustProblem::Deny { requirements, .. } => match requirements.first() {
                Some(requirement) => self.with_requirement(failure, requirement),
                None => failure.request(request::new(
                    role.account(),
                    format!(
                        "Change the Deny statement in the trust policy of {role} that applies to {}.",
                        self.caller.policy_arn()
                    ),
                )),
            },
            TrustProblem::NotJudged { .. } => failure,
        }
    }

    /// What fulfils a condition of the trust policy.
    fn with_requirement(&self, failure: RoleFailure, requirement: &Requirement) -> RoleFailure {
        let role = self.failed.role();
        match requirement {
            Requirement::ExternalId { .. } => {
                failure.fix("Ask the owner of the role for its external id, and set external_id of the profile.")
            }
            Requirement::Mfa => failure.fix(format!(
                "Set mfa_serial of the source \"{}\" to the ARN of your MFA device, and run: {}",
                self.failed.source,
                login(self.failed)
            )),
            Requirement::RecentMfa { .. } => failure.fix(login(self.failed)),
            Requirement::SessionName { .. } => failure.fix("Set session_name of the profile to a name of that form."),
            Requirement::SourceIdentity { .. } => {
                failure.fix("Set source_identity of the profile to what the role requires.")
            }
            Requirement::Tag { key, .. } => {
                failure.fix(format!("Set the tag \"{}\" in tags of the profile.", sanitize_for_terminal(key)))
            }
            Requirement::Other { .. } => {
                let request =
                    format!("Change the condition in the trust policy of {role} for {}.", self.caller.policy_arn());
                failure.request(request::new(role.account(), request))
            }
        }
    }

    /// The trust policy allows the call, as far as can be judged.
    fn trusted(&self, verdict: &TrustVerdict) -> RoleFailure {
        let (role, caller, action) = (self.failed.role(), self.caller.policy_arn(), self.action());
        let open: Vec<String> = verdict.problems.iter().map(|problem| format!("; {problem}")).collect();
        let open = open.concat();
        // A trust policy that names the account leaves the decision to the account's identity policies.
        let is_delegated = verdict.named_as == Some(NamedAs::Account);
        let is_identity_named = self.denial.reason == DenialReason::NotAllowed(PolicyKind::Identity);
        if is_identity_named || is_delegated && open.is_empty() {
            let cause =
                format!("no identity policy of {caller} allows {action} on {role}, whose trust policy allows it{open}");
            return RoleFailure::new(RoleFailureReason::IdentityPolicy, cause).request(request::identity(
                role,
                self.caller,
                self.needs,
            ));
        }
        let others = if is_delegated { "a missing identity policy" } else { "a permissions boundary" };
        let cause = format!(
            "AWS denied {action} on {role} to {caller}. The trust policy names the caller, so a condition, a Deny statement, \
             {others} or a policy of the organization denies it{open}"
        );
        let request =
            format!("Find the policy that denies {action} on {role} to {caller}: CloudTrail has the denied call.");
        RoleFailure::new(RoleFailureReason::Denied, cause).request(request::new(self.caller.account(), request))
    }

    /// The trust policy was not read.
    fn unread(&self, reading: &TrustPolicyReading) -> RoleFailure {
        let (role, caller, action) = (self.failed.role(), self.caller.policy_arn(), self.action());
        let unknown = match reading {
            TrustPolicyReading::OtherAccount => {
                format!(
                    "; the trust policy of the role is in the account {}, and cannot be read from here",
                    role.account()
                )
            }
            TrustPolicyReading::Denied { action } => {
                format!("; the trust policy of the role cannot be read without {action}")
            }
            _ => "; the trust policy of the role was not read".to_owned(),
        };
        match self.denial.reason {
            DenialReason::NotAllowed(PolicyKind::Identity) => {
                let cause = format!("no identity policy of {caller} allows {action} on {role}");
                RoleFailure::new(RoleFailureReason::IdentityPolicy, cause).request(request::identity(
                    role,
                    self.caller,
                    self.needs,
                ))
            }
            DenialReason::NotAllowed(PolicyKind::Resource) => {
                let cause = format!("the trust policy of {role} does not allow {action} to {caller}{unknown}");
                self.with_own_inputs(RoleFailure::new(RoleFailureReason::TrustPolicy, cause)).request(request::trust(
                    role,
                    self.caller,
                    self.needs,
                ))
            }
            DenialReason::ExplicitDeny(kind) => {
                let cause = format!("a Deny statement in the {kind} denies {action} on {role} to {caller}{unknown}");
                self.with_own_inputs(RoleFailure::new(RoleFailureReason::ExplicitDeny, cause)).request(request::new(
                    role.account(),
                    format!("Change the Deny statement, so that {caller} may call {action} on {role}."),
                ))
            }
            _ => {
                let reason = match action {
                    TAG_SESSION => RoleFailureReason::SessionTags,
                    SET_SOURCE_IDENTITY => RoleFailureReason::SourceIdentity,
                    _ => RoleFailureReason::Denied,
                };
                let cause = format!(
                    "AWS denied {action} on {role} to {caller}: the role does not exist, its trust policy does not allow it, or \
                     no policy of the caller does{unknown}"
                );
                self.with_own_inputs(self.with_both_statements(RoleFailure::new(reason, cause)))
            }
        }
    }

    /// A caller of another account needs both statements. One of the same account needs that of the trust policy only.
    fn with_both_statements(&self, failure: RoleFailure) -> RoleFailure {
        let role = self.failed.role();
        let failure = failure.request(request::trust(role, self.caller, self.needs));
        let is_account_named = self.caller.permission_set().is_some() && self.caller.has_unknown_path();
        if role.account() == self.caller.account() && !is_account_named {
            return failure;
        }
        failure.request(request::identity(role, self.caller, self.needs))
    }

    /// What the user can check where the trust policy is unknown.
    fn with_own_inputs(&self, failure: RoleFailure) -> RoleFailure {
        failure.fix(match (&self.failed.step.external_id, self.failed.mfa) {
            (Some(_), _) => "Check role_arn and external_id of the profile with the owner of the role.",
            (None, MfaUse::Without { .. }) => {
                "Check role_arn with the owner of the role, and ask whether it requires an external id or MFA."
            }
            (None, _) => "Check role_arn with the owner of the role, and ask whether it requires an external id.",
        })
    }

    /// The denied action; `sts:AssumeRole` if AWS does not say.
    fn action(&self) -> &str {
        let known = [TAG_SESSION, SET_SOURCE_IDENTITY];
        let denied = self.denial.action.as_deref();
        known.into_iter().find(|known| denied == Some(known)).unwrap_or(ASSUME_ROLE)
    }
}

fn reason_of(problem: &TrustProblem) -> RoleFailureReason {
    match problem {
        TrustProblem::Unmet(requirement) => reason_of_requirement(requirement, RoleFailureReason::TrustPolicy),
        TrustProblem::Deny { requirements, .. } => match requirements.first() {
            Some(requirement) => reason_of_requirement(requirement, RoleFailureReason::ExplicitDeny),
            None => RoleFailureReason::ExplicitDeny,
        },
        TrustProblem::ActionMissing { action } if *action == TAG_SESSION => RoleFailureReason::SessionTags,
        TrustProblem::ActionMissing { .. } => RoleFailureReason::SourceIdentity,
        TrustProblem::NotNamed { .. }
        | TrustProblem::DeletedPrincipal { .. }
        | TrustProblem::OtherActions { .. }
        | TrustProblem::NotJudged { .. } => RoleFailureReason::TrustPolicy,
    }
}

fn reason_of_requirement(requirement: &Requirement, other: RoleFailureReason) -> RoleFailureReason {
    match requirement {
        Requirement::ExternalId { .. } => RoleFailureReason::ExternalId,
        Requirement::Mfa | Requirement::RecentMfa { .. } => RoleFailureReason::Mfa,
        Requirement::SessionName { .. } => RoleFailureReason::SessionName,
        Requirement::SourceIdentity { .. } => RoleFailureReason::SourceIdentity,
        Requirement::Tag { .. } => RoleFailureReason::SessionTags,
        Requirement::Other { .. } => other,
    }
}
