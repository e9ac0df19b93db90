//! Credentials of a role that are replaced before they expire, as on instances and in containers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::identity::NewSession;
use super::state::SharedAws;
use crate::aws::access_key::AccessKey;
use crate::time::rfc3339;

/// EC2 provides new credentials at least this long before the old ones expire.
const REPLACED_BEFORE_EXPIRY: Duration = Duration::from_mins(5);
/// Lifetime of the credentials of EC2 and ECS.
const LIFETIME: Duration = Duration::from_hours(6);

/// The current credentials of a role.
#[derive(Debug)]
pub(crate) struct RotatingCredentials {
    shared: Arc<SharedAws>,
    role_arn: String,
    session_name: String,
    fetched: AtomicUsize,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    lifetime: Duration,
    current: Option<Issued>,
}

/// One set of credentials.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) key: AccessKey,
    since: SystemTime,
    expires: SystemTime,
}

impl Issued {
    /// Returns the JSON of both kinds of endpoint.
    pub(crate) fn json(&self) -> Value {
        json!({
            "AccessKeyId": self.key.id,
            "SecretAccessKey": self.key.secret,
            "Token": self.key.session_token,
            "LastUpdated": rfc3339(self.since),
            "Expiration": rfc3339(self.expires),
        })
    }
}

impl RotatingCredentials {
    pub(crate) fn new(shared: &Arc<SharedAws>, role_arn: &str, session_name: &str) -> Self {
        assert!(shared.state().identities.role(role_arn).is_some(), "there is no role {role_arn}");
        let current = Mutex::new(Current { lifetime: LIFETIME, current: None });
        let (role_arn, session_name) = (role_arn.to_owned(), session_name.to_owned());
        Self { shared: Arc::clone(shared), role_arn, session_name, fetched: AtomicUsize::new(0), current }
    }

    pub(crate) fn role_arn(&self) -> &str {
        &self.role_arn
    }

    pub(crate) fn shared(&self) -> &SharedAws {
        &self.shared
    }

    /// Returns the current credentials, or `None` if the role does not exist.
    pub(crate) fn fetch(&self) -> Option<Issued> {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let at = self.shared.clock.now();
        let mut slot = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let margin = REPLACED_BEFORE_EXPIRY.min(slot.lifetime / 2);
        if slot.current.as_ref().is_none_or(|issued| issued.expires <= at + margin) {
            slot.current = self.issue(at, slot.lifetime);
        }
        slot.current.clone()
    }

    /// Issues new credentials with this lifetime from now on.
    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Current { lifetime, current: None };
    }

    pub(crate) fn fetched(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }

    fn issue(&self, since: SystemTime, lifetime: Duration) -> Option<Issued> {
        let mut state = self.shared.state();
        let role = state.identities.role(&self.role_arn).cloned()?;
        let expires = since + lifetime;
        let new = NewSession { role: &role, name: &self.session_name, expires, source_identity: None, packed: 0 };
        Some(Issued { key: state.identities.add_session(&new), since, expires })
    }
}
