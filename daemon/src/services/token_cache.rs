//! The last token of each profile. All callers get the same one for five minutes: the API server caches by token, so a burst of
//! kubectl costs it one call of STS.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::ProfileName;

use rolecall_aws::token::{self, Token, TokenError};
use rolecall_core::profile::Profile;
use rolecall_core::session::Session;

/// How long a token is handed out.
const TOKEN_REUSE_TIME: Duration = Duration::from_mins(5);
/// The resolution of a signing time: two signatures of one second are equal.
const SIGNING_RESOLUTION: Duration = Duration::from_secs(1);
/// How far a signing time is dated back for a new signature within one second. A caller that needs more of them gets the
/// last one again.
const MAX_BACKDATING: Duration = Duration::from_secs(30);
/// How often tokens that are too old to hand out are dropped; thousands of them use megabytes.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Mints tokens and keeps the last of each profile.
#[derive(Default)]
pub(crate) struct TokenCache(Mutex<CachedTokens>);

#[derive(Default)]
struct CachedTokens {
    by_name: HashMap<ProfileName, CachedToken>,
    swept: Option<SystemTime>,
}

/// A token, and what it was made from.
struct CachedToken {
    token: Arc<Token>,
    session: Arc<Session>,
    profile: Arc<Profile>,
    signed: SystemTime,
    /// The latest signing time of any token of this profile.
    latest: SystemTime,
}

impl TokenCache {
    /// Returns the cached token, or mints one. With `needs_new_signature` the token differs from all before it.
    pub(super) async fn mint(
        &self,
        profile: &Arc<Profile>,
        session: &Arc<Session>,
        now: SystemTime,
        needs_new_signature: bool,
    ) -> Result<Arc<Token>, TokenError> {
        if let Some(cached) = self.cached(profile, session, now).filter(|_| !needs_new_signature) {
            return Ok(cached);
        }
        let (signed, latest) = self.signing_time(&profile.name, now, needs_new_signature);
        let minted = token::mint(session, &profile.chain.region, profile.variant, &profile.cluster, signed).await?;
        let token = Arc::new(minted);
        let mut tokens = self.tokens();
        tokens.sweep(now);
        // Of two callers that minted at the same time, both get the first token.
        let first = tokens.by_name.get(&profile.name).filter(|_| !needs_new_signature);
        if let Some(first) = first.and_then(|cached| cached.token_for(profile, session, now)) {
            return Ok(first);
        }
        let (session, profile) = (Arc::clone(session), Arc::clone(profile));
        let cached = CachedToken { token: Arc::clone(&token), session, profile, signed, latest };
        tokens.by_name.insert(cached.profile.name.clone(), cached);
        Ok(token)
    }

    /// Drops the tokens of profiles that `keep` rejects.
    pub(super) fn retain(&self, keep: impl Fn(&ProfileName, &Arc<Profile>) -> bool) {
        self.tokens().by_name.retain(|name, cached| keep(name, &cached.profile));
    }

    /// Drops all tokens.
    pub(super) fn clear(&self) {
        self.tokens().by_name.clear();
    }

    fn cached(&self, profile: &Arc<Profile>, session: &Session, now: SystemTime) -> Option<Arc<Token>> {
        self.tokens().by_name.get(&profile.name)?.token_for(profile, session, now)
    }

    /// Returns the time to sign with, and the latest signing time so far. The first is `now` or, for a new signature within one
    /// second, a second before the last signing time.
    fn signing_time(&self, name: &ProfileName, now: SystemTime, needs_new_signature: bool) -> (SystemTime, SystemTime) {
        let tokens = self.tokens();
        let is_same_second = |last: &&CachedToken| last.latest <= now && now < last.latest + SIGNING_RESOLUTION;
        let can_backdate = |last: &&CachedToken| last.latest < last.signed + MAX_BACKDATING;
        let last = tokens.by_name.get(name).filter(|_| needs_new_signature);
        let last = last.filter(is_same_second).filter(can_backdate);
        last.map_or((now, now), |last| (last.signed - SIGNING_RESOLUTION, last.latest))
    }

    fn tokens(&self) -> MutexGuard<'_, CachedTokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CachedTokens {
    /// Drops tokens that are too old to hand out, at most once in [`SWEEP_INTERVAL`].
    fn sweep(&mut self, now: SystemTime) {
        let age = |since: SystemTime| now.duration_since(since).unwrap_or_default();
        if self.swept.is_none_or(|swept| age(swept) >= SWEEP_INTERVAL) {
            self.by_name.retain(|_, cached| age(cached.signed) < TOKEN_REUSE_TIME);
            self.swept = Some(now);
        }
    }
}

impl CachedToken {
    /// Returns the token if it is of this profile and session and young enough.
    fn token_for(&self, profile: &Arc<Profile>, session: &Session, now: SystemTime) -> Option<Arc<Token>> {
        let age = now.duration_since(self.signed).ok()?;
        let is_same = self.session.has_same_credentials(session)
            && (Arc::ptr_eq(&self.profile, profile) || self.profile == *profile);
        (is_same && age < TOKEN_REUSE_TIME).then(|| Arc::clone(&self.token))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aws_credential_types::Credentials;

    use rolecall_core::config::Config;
    use rolecall_core::profile::LocalUser;

    use super::*;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;

    fn profile() -> Arc<Profile> {
        let text = "[sources.work]\naws_profile = \"work\"\n\
                    [profiles.prod]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\n";
        let config = Config::parse(Path::new("config.toml"), text).unwrap();
        let user = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
        Arc::new(Profile::find(&config, &"prod".parse().unwrap(), &user).unwrap())
    }

    fn session() -> Arc<Session> {
        let credentials = Credentials::new("AKIDEXAMPLE", "s", None, None, "test");
        Arc::new(Session { credentials, arn: None, issued: T0, is_clamped: false })
    }

    #[tokio::test]
    async fn new_signatures_of_one_second_differ() {
        let (tokens, profile, session) = (TokenCache::default(), profile(), session());
        let now = T0 + Duration::from_hours(500_000);
        let mut seen = Vec::new();
        for is_new in [false, true, true, true, true, true] {
            let token = tokens.mint(&profile, &session, now, is_new).await.unwrap();
            let text = token.token.expose().clone();
            assert!(!seen.contains(&text));
            seen.push(text);
        }
        let same = tokens.mint(&profile, &session, now, false).await.unwrap();
        assert_eq!(Some(same.token.expose()), seen.last());
        let later = tokens.mint(&profile, &session, now + TOKEN_REUSE_TIME, false).await.unwrap();
        assert!(!seen.contains(later.token.expose()));
        let other = Arc::new(Profile { name: "other".parse().unwrap(), ..Profile::clone(&profile) });
        tokens.mint(&other, &session, now + 2 * TOKEN_REUSE_TIME, false).await.unwrap();
        assert_eq!(tokens.tokens().by_name.len(), 1, "old tokens are dropped");
    }
}
