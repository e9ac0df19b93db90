//! Logins with `aws login`, through the handle.

use super::AwsHandle;
use crate::aws::signin::dpop::ProofKey;
use crate::aws::signin::login::Login;
use crate::aws::signin::records::{CREDENTIALS_TTL, LOGIN_TTL, LoginSession};

impl AwsHandle {
    /// Logs in as this user or role with `aws login`, and replaces an earlier login. It can be renewed for 12 hours.
    #[track_caller]
    pub fn login(&self, principal_arn: &str) -> Login {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        let identities = &mut state.identities;
        let key = identities
            .add_console_session(principal_arn, now + CREDENTIALS_TTL)
            .unwrap_or_else(|| panic!("there is no user or role {principal_arn}"));
        let proof = ProofKey::generate();
        let (session_arn, dpop_key) = (key.arn.clone(), proof.pem.clone());
        identities.add_secret("the key of a login", &dpop_key);
        let refresh_token = identities.new_refresh_token();
        identities.logins.0.retain(|known| known.arn != session_arn);
        identities.logins.0.push(LoginSession {
            arn: session_arn.clone(),
            principal: principal_arn.to_owned(),
            ends: now + LOGIN_TTL,
            refresh_token: refresh_token.clone(),
            proof,
            seen: Vec::new(),
        });
        let account = session_arn.split(':').nth(4).unwrap_or_default().to_owned();
        Login { session_arn, key, expires: now + CREDENTIALS_TTL, account, refresh_token, dpop_key }
    }

    /// Revokes a login: it cannot be renewed any longer. Its credentials stay valid until they expire.
    pub fn revoke_login(&self, session_arn: &str) {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        state
            .identities
            .logins
            .0
            .iter_mut()
            .filter(|known| known.arn == session_arn)
            .for_each(|known| known.ends = now);
    }
}
