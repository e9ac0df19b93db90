//! Why a role could not be assumed, with what the call was made of.

use std::iter::once;

use rolecall_aws::role_failure::{self, FailedAssumeRole, RoleFailure};
use rolecall_aws::sts::{self, StsError, StsOperation};
use rolecall_core::role_chain::RoleChain;
use rolecall_core::trust_policy::MfaUse;
use rolecall_protocol::{RoleArn, SourceName};

use super::{Freshness, Sessions};

impl Sessions {
    /// Returns why AssumeRole failed while `chain` was loaded: for a role of the chain, or for one of AWS's own files from which it
    /// is made. `None` for another call, and if the caller is not known any more.
    pub async fn explain_role_failure(
        &self,
        chain: &RoleChain,
        source: &SourceName,
        error: &StsError,
    ) -> Option<RoleFailure> {
        let StsOperation::AssumeRole(role) = &error.operation else { return None };
        let chain = self.chain_of_role(chain, role)?;
        let step = chain.steps.last()?;
        let sends_code = self.mfa_in_assume_role(&chain);
        let below = if sends_code { chain.without_mfa() } else { chain.without_last_step() };
        let base = self.get(&below, Freshness::Cached).await.ok()?.session;
        let endpoint = chain.endpoint();
        let caller_arn = match &base.arn {
            Some(arn) => arn.clone(),
            None => sts::get_caller_identity(&self.aws, &endpoint, &base).await.ok()?,
        };
        let session_name = self.session_name(&chain, step).await.ok()?;
        let upstream = if below.is_base() { self.states.upstream(&below) } else { None };
        let caller_step = below.steps.last().or_else(|| upstream.as_ref()?.steps.last());
        let mfa = if sends_code {
            MfaUse::Code
        } else if below.is_base() && below.source.mfa.is_some() {
            MfaUse::Session
        } else {
            MfaUse::Without { is_temporary: base.credentials.session_token().is_some() }
        };
        let failed = FailedAssumeRole {
            error,
            endpoint: &endpoint,
            step,
            session_name: session_name.as_str(),
            source,
            base: &base,
            caller_arn: &caller_arn,
            caller_role: caller_step.map(|step| &step.role),
            mfa,
        };
        Some(role_failure::explain(&self.aws, &failed).await)
    }

    /// Returns the chain whose last step is this role: a part of `chain`, or a chain of AWS's own files.
    fn chain_of_role(&self, chain: &RoleChain, role: &RoleArn) -> Option<RoleChain> {
        let ends_with_role = |chain: &RoleChain| chain.steps.last().is_some_and(|step| step.role == *role);
        chain.prefixes().chain(self.dependencies(once(chain))).find(ends_with_role)
    }
}
