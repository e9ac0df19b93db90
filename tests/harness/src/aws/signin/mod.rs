//! AWS Sign-In, as far as `aws login` needs it: a login that a person made in the browser, and its renewing.

mod dpop;
mod token;

use std::fmt;
use std::time::{Duration, SystemTime};

use super::dispatch::Unsigned;
use super::error::ApiError;
use super::handle::AwsHandle;
use super::identity::{Identities, NewSession};
use super::reply::Reply;
use crate::keys::AccessKey;
use crate::random::base64_text;
use dpop::ProofKey;

/// How long the credentials of a login last, before they are renewed.
const LIFETIME: Duration = Duration::from_mins(15);
/// How long a login can be renewed.
const SESSION: Duration = Duration::from_hours(12);
/// The program that logged in on this machine.
pub(crate) const CLIENT: &str = "arn:aws:signin:::devtools/same-device";

/// Answers one request.
pub(crate) fn serve(call: &Unsigned<'_>) -> Result<Reply, ApiError> {
    token::answer(call)
}

/// What `aws login` wrote down after a person had signed in.
#[derive(Clone)]
pub struct Login {
    /// The ARN that a profile names as its `login_session`.
    pub session_arn: String,
    /// The credentials, which last 15 minutes.
    pub key: AccessKey,
    /// Until when.
    pub expires: SystemTime,
    pub(crate) account: String,
    pub(crate) refresh_token: String,
    /// SEC1 PEM.
    pub(crate) dpop_key: String,
}

/// Keeps the secrets, as a key does.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("session_arn", &self.session_arn).field("key", &self.key).finish_non_exhaustive()
    }
}

impl AwsHandle {
    /// A person signs in as this user or role with `aws login`, in place of a login of before. It can be renewed for 12
    /// hours.
    #[track_caller]
    pub fn login(&self, principal_arn: &str) -> Login {
        let now = self.world.clock.now();
        let mut state = self.world.state();
        let identities = &mut state.identities;
        let key = issue(identities, principal_arn, now + LIFETIME)
            .unwrap_or_else(|| panic!("there is no user or role {principal_arn}"));
        let proof = ProofKey::generate();
        let (session_arn, dpop_key) = (key.arn.clone(), proof.pem.clone());
        identities.add_secret("the key of a login", &dpop_key);
        let refresh_token = refresh_token(identities);
        identities.logins.0.retain(|known| known.arn != session_arn);
        identities.logins.0.push(Session {
            arn: session_arn.clone(),
            principal: principal_arn.to_owned(),
            ends: now + SESSION,
            refresh_token: refresh_token.clone(),
            proof,
            seen: Vec::new(),
        });
        let account = session_arn.split(':').nth(4).unwrap_or_default().to_owned();
        Login { session_arn, key, expires: now + LIFETIME, account, refresh_token, dpop_key }
    }

    /// Ends a login now: it cannot be renewed any more, and its credentials go on to their own end.
    pub fn end_login(&self, session_arn: &str) {
        let now = self.world.clock.now();
        let mut state = self.world.state();
        state
            .identities
            .logins
            .0
            .iter_mut()
            .filter(|known| known.arn == session_arn)
            .for_each(|known| known.ends = now);
    }
}

/// A login as AWS knows it.
struct Session {
    arn: String,
    principal: String,
    ends: SystemTime,
    /// The newest; an older one is not taken any more.
    refresh_token: String,
    proof: ProofKey,
    /// Proofs work once.
    seen: Vec<String>,
}

/// Every login.
#[derive(Default)]
pub(crate) struct Logins(Vec<Session>);

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|session| &session.arn)).finish()
    }
}

fn issue(identities: &mut Identities, principal_arn: &str, expires: SystemTime) -> Option<AccessKey> {
    if let Some(user) = identities.user(principal_arn) {
        return Some(identities.add_user_session(&user, expires, None));
    }
    let role = identities.role(principal_arn).cloned()?;
    let new = NewSession { role: &role, name: "console", expires, source_identity: None, packed: 0 };
    Some(identities.add_session(&new))
}

fn refresh_token(identities: &mut Identities) -> String {
    let token = base64_text(200);
    identities.add_secret("the refresh token of a login", &token);
    token
}
