//! Credentials of a role that are replaced before they end, as machines and containers have them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::identity::NewSession;
use super::state::SharedAws;
use crate::aws::access_key::AccessKey;
use crate::time::rfc3339;

/// EC2 says that new credentials are there at least so long before the old ones end.
const AHEAD: Duration = Duration::from_mins(5);
/// What EC2 and ECS give.
const LIFETIME: Duration = Duration::from_hours(6);

/// The credentials of the moment.
#[derive(Debug)]
pub(crate) struct RotatingCredentials {
    shared: Arc<SharedAws>,
    role_arn: String,
    session_name: String,
    fetched: AtomicUsize,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
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
    /// As both kinds of endpoint write it.
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
        let now = Mutex::new(Now { lifetime: LIFETIME, current: None });
        let (role_arn, session_name) = (role_arn.to_owned(), session_name.to_owned());
        Self { shared: Arc::clone(shared), role_arn, session_name, fetched: AtomicUsize::new(0), now }
    }

    pub(crate) fn role_arn(&self) -> &str {
        &self.role_arn
    }

    pub(crate) fn shared(&self) -> &SharedAws {
        &self.shared
    }

    /// What is given out now; `None` once the role is gone.
    pub(crate) fn fetch(&self) -> Option<Issued> {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let at = self.shared.clock.now();
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = AHEAD.min(now.lifetime / 2);
        if now.current.as_ref().is_none_or(|issued| issued.expires <= at + ahead) {
            now.current = self.issue(at, now.lifetime);
        }
        now.current.clone()
    }

    /// From now on credentials last so long.
    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Now { lifetime, current: None };
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
