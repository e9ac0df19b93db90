//! The tokens that are handed out: the same to everybody for a while, since the API server caches by token, and a burst of
//! kubectl so costs it one STS call (DESIGN 7).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::ProfileName;

use rolecall_aws::token::{self, Token, TokenError};
use rolecall_core::profile::Profile;
use rolecall_core::session::Session;

/// For how long the same token is handed out.
const SAME_TOKEN: Duration = Duration::from_mins(5);
/// A signature says when it was made in whole seconds; two of the same second are the same.
const SECOND: Duration = Duration::from_secs(1);

/// How far back signatures are dated for that: who asks more often gets the same again.
const BACK: Duration = Duration::from_secs(30);

/// How often tokens are looked through for those that nobody gets any more: thousands of them weigh megabytes.
const SWEEP: Duration = Duration::from_mins(1);

/// The last token of each profile.
#[derive(Default)]
pub(super) struct Tokens(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_name: HashMap<ProfileName, Minted>,
    swept: Option<SystemTime>,
}

/// A token, by what it was made from.
struct Minted {
    token: Arc<Token>,
    session: Arc<Session>,
    profile: Arc<Profile>,
    signed: SystemTime,
    /// The latest time that any signature of this profile bears.
    latest: SystemTime,
}

impl Tokens {
    /// The token to hand out at `now`; `is_new` asks for another signature than any before.
    pub(super) async fn mint(
        &self,
        profile: &Arc<Profile>,
        session: &Arc<Session>,
        now: SystemTime,
        is_new: bool,
    ) -> Result<Arc<Token>, TokenError> {
        if let Some(same) = self.matching(profile, session, now).filter(|_| !is_new) {
            return Ok(same);
        }
        let (signed, latest) = self.signing_time(&profile.name, now, is_new);
        let minted = token::mint(session, &profile.chain.region, profile.variant, &profile.cluster, signed).await?;
        let token = Arc::new(minted);
        let mut kept = self.kept();
        kept.sweep(now);
        let tokens = &mut kept.by_name;
        // Somebody may have minted one meanwhile: everybody gets the first.
        let first = tokens.get(&profile.name).filter(|_| !is_new);
        if let Some(first) = first.and_then(|minted| minted.matching(profile, session, now)) {
            return Ok(first);
        }
        let (session, profile) = (Arc::clone(session), Arc::clone(profile));
        tokens.insert(profile.name.clone(), Minted { token: Arc::clone(&token), session, profile, signed, latest });
        Ok(token)
    }

    /// Forgets the tokens of profiles that `keep` does not freshness as they were.
    pub(super) fn retain(&self, keep: impl Fn(&ProfileName, &Arc<Profile>) -> bool) {
        self.kept().by_name.retain(|name, minted| keep(name, &minted.profile));
    }

    fn matching(&self, profile: &Arc<Profile>, session: &Session, now: SystemTime) -> Option<Arc<Token>> {
        self.kept().by_name.get(&profile.name)?.matching(profile, session, now)
    }

    /// When a token is said to be signed, and the latest time of any before it: now or, for another signature within the
    /// same second, the second before the last.
    fn signing_time(&self, name: &ProfileName, now: SystemTime, is_new: bool) -> (SystemTime, SystemTime) {
        let kept = self.kept();
        let is_same_second = |last: &&Minted| is_new && last.latest <= now && now < last.latest + SECOND;
        let last = kept.by_name.get(name).filter(is_same_second).filter(|last| last.latest < last.signed + BACK);
        last.map_or((now, now), |last| (last.signed - SECOND, last.latest))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Drops what is too old to be handed out, now and then.
    fn sweep(&mut self, now: SystemTime) {
        let age = |since: SystemTime| now.duration_since(since).unwrap_or_default();
        if self.swept.is_none_or(|swept| age(swept) >= SWEEP) {
            self.by_name.retain(|_, minted| age(minted.signed) < SAME_TOKEN);
            self.swept = Some(now);
        }
    }
}

impl Minted {
    /// The token, if it is still the one to hand out: same configuration, same session, young enough.
    fn matching(&self, profile: &Arc<Profile>, session: &Session, now: SystemTime) -> Option<Arc<Token>> {
        let age = now.duration_since(self.signed).ok()?;
        let same = self.session.has_same_credentials(session)
            && (Arc::ptr_eq(&self.profile, profile) || self.profile == *profile);
        (same && age < SAME_TOKEN).then(|| Arc::clone(&self.token))
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
        let person = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
        Arc::new(Profile::find(&config, &"prod".parse().unwrap(), &person).unwrap())
    }

    fn session() -> Arc<Session> {
        let credentials = Credentials::new("AKIDEXAMPLE", "s", None, None, "test");
        Arc::new(Session { credentials, arn: None, issued: T0, is_clamped: false })
    }

    #[tokio::test]
    async fn each_new_signature_of_a_second_is_another() {
        let (tokens, profile, session) = (Tokens::default(), profile(), session());
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
        let later = tokens.mint(&profile, &session, now + SAME_TOKEN, false).await.unwrap();
        assert!(!seen.contains(later.token.expose()));
        let other = Arc::new(Profile { name: "other".parse().unwrap(), ..Profile::clone(&profile) });
        tokens.mint(&other, &session, now + 2 * SAME_TOKEN, false).await.unwrap();
        assert_eq!(tokens.kept().by_name.len(), 1, "what is too old is not kept");
    }
}
