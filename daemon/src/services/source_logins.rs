//! The login that a source depends on: its status, when it expires, and the profiles that wait for it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::{ErrorBody, ErrorCode, Hint, LoginKind, LoginStatus, Problem, SourceName, SourceStatus};

use super::config::{ConfigService, Profiles, source_chain};
use super::profile_activity::ProfileActivity;
use crate::sessions::{SessionError, Sessions};
use rolecall_aws::source::Login;
use rolecall_core::clock::Clock;
use rolecall_core::config::SourceConfig;
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;

/// Describes the logins of sources.
pub(crate) struct SourceLogins {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) sessions: Sessions,
    pub(crate) activity: Arc<ProfileActivity>,
    pub(crate) clock: Clock,
}

impl SourceLogins {
    /// Returns a source's status: its login, its last failure, and a warning if the login expires soon. `profiles` are those
    /// of the configuration that has the source.
    pub(super) fn source_status(&self, profiles: &Profiles, name: &SourceName, source: &SourceConfig) -> SourceStatus {
        let base = source_chain(profiles, name, source);
        let login = self.login_status(&base);
        let problem = self.sessions.peek(&base).last_failure.map(|failure| Problem {
            since: self.clock.stamp(failure.since),
            class: failure.error.class(),
            retry: None,
            remembered_until: None,
            error: failure.error.body(name),
        });
        let warning = self.expiry_warning(profiles, name, source, login.as_ref());
        let included_from = self.config.included_source(name);
        SourceStatus { name: name.clone(), kind: source.describe(), login, problem, warning, included_from }
    }

    /// Reads from AWS's own files which login each source depends on, where it is not known yet.
    pub(super) async fn resolve_sources(&self) {
        let config = self.config.active();
        for (name, source) in config.sources.iter() {
            self.sessions.resolve_from_files(&source_chain(&config.profiles, name, source)).await;
        }
    }

    /// Returns the status of the login that a source depends on, if it depends on one.
    pub(super) fn login_status(&self, base: &RoleChain) -> Option<LoginStatus> {
        match self.sessions.login_of(base) {
            Some(Login::Sso(session)) => {
                let logged_out = LoginStatus { kind: LoginKind::Sso, ends: None, renews: false };
                Some(self.sessions.sources().aws_profiles().sso().status(&session).unwrap_or(logged_out))
            }
            Some(Login::Keyring(_)) => Some(LoginStatus { kind: LoginKind::Keyring, ends: None, renews: false }),
            Some(Login::Aws { .. }) => Some(LoginStatus { kind: LoginKind::AwsLogin, ends: None, renews: true }),
            None => self.sessions.mfa_source(base).map(|mfa_chain| self.mfa_status(&mfa_chain)),
        }
    }

    fn mfa_status(&self, chain: &RoleChain) -> LoginStatus {
        let session = self.sessions.peek(chain).session.filter(|session| session.is_usable(self.clock.now()));
        let expires = session.and_then(|session| session.expires());
        LoginStatus {
            kind: LoginKind::Mfa,
            ends: expires.map(|expires| self.clock.stamp(expires)),
            renews: chain.source.mfa.as_ref().is_some_and(|mfa| mfa.process.is_some()),
        }
    }

    /// Returns when a login, or the first session of these profiles that only a new MFA code renews, expires.
    pub(super) fn expiry(&self, login: Option<&LoginStatus>, profiles: &[&Profile]) -> Option<Timestamp> {
        let now = self.clock.now();
        let chains = profiles.iter().map(|profile| &profile.chain);
        let by_code = chains.filter(|chain| chain.mfa_in_assume_role() && chain.needs_interactive_mfa());
        let ends = by_code.filter_map(|chain| self.sessions.peek(chain).session?.expires());
        let ends = ends.filter(|end| *end > now).map(|end| self.clock.stamp(end));
        let of_login = login.filter(|login| !login.renews);
        ends.chain(of_login.and_then(|login| login.ends)).min()
    }

    fn expiry_warning(
        &self,
        profiles: &Profiles,
        name: &SourceName,
        source: &SourceConfig,
        login: Option<&LoginStatus>,
    ) -> Option<ErrorBody> {
        // Only with MFA do profiles have sessions of a code. The configuration may have 10,000 profiles.
        let all = source.mfa.is_some().then(|| profiles.values().map(Arc::as_ref));
        let of_source: Vec<&Profile> = all.into_iter().flatten().filter(|each| each.source_name == *name).collect();
        let expires = self.expiry(login, &of_source)?;
        let early = self.config.active().notifications.warn_before;
        expiry_warning(name, expires, early, self.clock.stamp(self.clock.now()))
    }

    /// Returns the chain of a source, and the chains of its profiles that wait for an MFA code of their own.
    pub(super) fn chains_to_log_in(
        &self,
        profiles: &Profiles,
        name: &SourceName,
        source: &SourceConfig,
    ) -> (RoleChain, Vec<RoleChain>) {
        let of_source: Vec<_> = profiles.values().filter(|profile| profile.source_name == *name).collect();
        let base = source_chain(profiles, name, source);
        let with_code: Vec<_> =
            of_source.iter().filter(|profile| self.sessions.mfa_in_assume_role(&profile.chain)).collect();
        let waiting = with_code.iter().filter(|profile| self.waits_for_code(profile));
        let waiting = waiting.map(|profile| profile.chain.clone()).collect();
        // If each role needs a code of its own, the source has no session to log in to.
        let all_with_code = !of_source.is_empty() && with_code.len() == of_source.len();
        (if all_with_code { base.without_mfa() } else { base }, waiting)
    }

    fn waits_for_code(&self, profile: &Profile) -> bool {
        let known = self.sessions.peek(&profile.chain);
        let is_usable = known.session.is_some_and(|session| session.is_usable(self.clock.now()));
        let needs_code = known.last_failure.is_some_and(|failure| matches!(*failure.error, SessionError::Mfa(_)));
        needs_code || !is_usable && self.activity.last_used(&profile.name).is_some()
    }
}

/// Returns the warning that a source's login expires soon, for a status.
fn expiry_warning(source: &SourceName, expires: Timestamp, early: Duration, now: Timestamp) -> Option<ErrorBody> {
    let minutes = minutes_left(expires, now, early)?;
    let message = format!("source \"{source}\": login expires in {minutes} min");
    Some(
        ErrorBody::new(ErrorCode::LoginNeeded, message).hint(Hint::command(format!("rolecall login {source} --renew"))),
    )
}

/// Returns the minutes until an expiry, rounded up, if it is at most `early` away and not in the past.
pub(super) fn minutes_left(expires: Timestamp, now: Timestamp, early: Duration) -> Option<u64> {
    let left = Duration::try_from(expires.duration_since(now)).ok()?;
    (!left.is_zero() && left <= early).then(|| left.as_secs().div_ceil(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_names_the_minutes_and_the_command() {
        let source = "work".parse().unwrap();
        let at = |minutes| Timestamp::UNIX_EPOCH + Duration::from_mins(minutes);
        let early = Duration::from_mins(15);
        let warning = expiry_warning(&source, at(20), early, at(8)).unwrap();
        assert_eq!(warning.to_string(), "source \"work\": login expires in 12 min. Run: rolecall login work --renew");
        for (minute, early) in [(4, early), (20, early), (8, Duration::ZERO)] {
            assert_eq!(expiry_warning(&source, at(20), early, at(minute)), None, "{minute}");
        }
    }
}
