//! Session names. A name that contains the session name of the source is complete once the source has given credentials.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rolecall_protocol::SessionName;

use super::{Freshness, SessionError, Sessions};
use rolecall_aws::error::{AwsError, AwsErrorKind};
use rolecall_aws::sts::{self, StsError, StsOperation};
use rolecall_core::role_chain::{RoleChain, RoleStep};
use rolecall_core::session::Session;

/// The principals of sources: the access key id that a source gave last, and the ARN that STS returned for it.
#[derive(Clone, Default)]
pub(super) struct Identities(Arc<Mutex<HashMap<RoleChain, (String, String)>>>);

impl Identities {
    fn arn(&self, base: &RoleChain, session: &Session) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, arn) = known.get(base)?;
        (key == session.credentials.access_key_id()).then(|| arn.clone())
    }

    fn put(&self, base: RoleChain, session: &Session, arn: String) {
        let key = session.credentials.access_key_id().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(base, (key, arn));
    }
}

impl Sessions {
    /// Returns the name of the session that the last step of a chain creates.
    pub(super) async fn session_name(&self, chain: &RoleChain, step: &RoleStep) -> Result<SessionName, SessionError> {
        let arn = if step.session_name.needs_source_session() { Some(self.source_arn(chain).await?) } else { None };
        step.session_name.fill(arn.as_deref()).map_err(|error| {
            let error = AwsError::new(AwsErrorKind::Rejected, error.to_string());
            StsError { operation: StsOperation::AssumeRole(step.role.clone()), error }.into()
        })
    }

    /// Returns the ARN of the principal of a chain's source. STS is called once per access key that does not name it.
    async fn source_arn(&self, chain: &RoleChain) -> Result<String, SessionError> {
        let base = if chain.mfa_in_assume_role() { chain.without_mfa() } else { chain.base() };
        let session = self.dependency(&base, Freshness::Cached).await?.session;
        if let Some(arn) = session.arn.clone().or_else(|| self.identities.arn(&base, &session)) {
            return Ok(arn);
        }
        let arn = sts::get_caller_identity(&self.aws, &chain.endpoint(), &session).await?;
        self.identities.put(base, &session, arn.clone());
        Ok(arn)
    }
}
