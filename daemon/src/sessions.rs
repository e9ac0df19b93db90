//! Sessions by chain: each prefix of a chain has its own slot in the cache, so a source or a hub that many profiles
//! share is resolved once for all of them.

mod error;
mod invalidate;
mod load;
mod mfa;
mod provenance;
mod session_name;
mod snapshot;
mod sources;

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::{Cluster, ClusterName, ErrorClass, Secret};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::keyring::Keyring;
pub use error::{SessionError, SessionFailure};
use mfa::MfaCodes;
pub use mfa::MfaError;
use provenance::Bases;
use rolecall_aws::client::Aws;
use rolecall_aws::cluster::{self, ClusterError};
use rolecall_aws::source::Login;
use rolecall_aws::sts;
use rolecall_aws::sts::StsError;
use rolecall_core::config::NameTemplate;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;
use rolecall_core::single_flight::{Cache, LastFailure, Outcome};
use session_name::Identities;
pub use sources::Sources;

/// How long a caller waits for a newer session where the old one still signs; the flight goes on without them.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a flight may take in all, waiting for its turn at STS included.
const FLIGHT: Duration = Duration::from_secs(90);

/// How often AWS is asked the time where nothing else is asked of it.
const ASK_TIME: Duration = Duration::from_mins(1);

/// Landings that somebody who listens may be behind; more are told as [`broadcast::error::RecvError::Lagged`].
const NEWS: usize = 256;

/// Gets, keeps and renews sessions.
#[derive(Clone)]
pub struct Sessions {
    aws: Aws,
    cache: Arc<Cache<RoleChain, Session, SessionError>>,
    news: broadcast::Sender<RoleChain>,
    asked_time: Arc<Mutex<Option<SystemTime>>>,
    sources: Sources,
    bases: Arc<Bases>,
    codes: Arc<MfaCodes>,
    identities: Identities,
    /// Cancelled when everything is forgotten: what flies then holds credentials too.
    load_cancellation: Arc<Mutex<CancellationToken>>,
}

/// What a caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// One that is good for a while: from the cache if it is.
    Cached,
    /// A newer one, whatever is there and whatever failed a moment ago.
    Refresh,
    /// A new one, asked for as if there had never been another.
    BypassCache,
}

/// A session, and what went wrong with renewing it: the old one is served as long as it lives.
pub struct Served {
    /// The session.
    pub session: Arc<Session>,
    /// Why it is not a newer one.
    pub problem: Option<SessionFailure>,
}

/// What is known of a chain.
pub struct Known {
    /// The last session, however old.
    pub session: Option<Arc<Session>>,
    /// What went wrong since.
    pub last_failure: Option<LastFailure<SessionError>>,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Sessions {
    /// An empty store. Sessions of roles that AWS's own files name are called `name` where those do not name them.
    #[must_use]
    pub fn new(aws: Aws, keyring: Keyring, name: NameTemplate) -> Self {
        let (news, _) = broadcast::channel(NEWS);
        let tell = news.clone();
        // Nobody listening is fine.
        let landed = move |chain: &RoleChain| drop(tell.send(chain.clone()));
        let cache = Cache::new(aws.clock().clone(), landed);
        Self {
            sources: Sources::new(aws.clone(), keyring, name),
            aws,
            cache,
            news,
            asked_time: Arc::default(),
            bases: Arc::default(),
            codes: Arc::default(),
            identities: Identities::default(),
            load_cancellation: Arc::default(),
        }
    }

    /// What is known of a chain.
    #[must_use]
    pub fn peek(&self, chain: &RoleChain) -> Known {
        let found = self.cache.peek(chain);
        Known { session: found.value, last_failure: found.last_failure }
    }

    /// The chains whose flights end from now on, well or not.
    #[must_use]
    pub fn news(&self) -> broadcast::Receiver<RoleChain> {
        self.news.subscribe()
    }

    /// Gets a session that can sign.
    pub async fn get(&self, chain: &RoleChain, freshness: Freshness) -> Result<Served, SessionFailure> {
        let known = self.peek(chain);
        if let Some(served) = self.good(chain, &known, freshness) {
            return Ok(served);
        }
        let known = self.past_the_breaker(chain, known, freshness).await?;
        // Somebody else may have got it meanwhile.
        if let Some(served) = self.good(chain, &known, freshness) {
            return Ok(served);
        }
        let (now, Known { session, last_failure }) = (self.now(), known);
        let old = session.filter(|_| freshness == Freshness::Cached);
        let is_served = old.as_ref().is_some_and(|session| session.is_usable(now));
        let problem = match last_failure {
            Some(last_failure) if freshness == Freshness::Cached && last_failure.is_within_ttl(now) => {
                last_failure.error
            }
            last_failure => {
                // Whoever came before has waited already; it is tried again, but not on this caller's time.
                let patience = if last_failure.is_some() { Duration::ZERO } else { PATIENCE };
                match self.get_or_start(chain, freshness, is_served.then_some(patience)).await {
                    Ok(session) => return Ok(Served { session, problem: None }),
                    Err(problem) => last_failure
                        .map(|last_failure| last_failure.error)
                        .filter(|_| is_slow(&problem))
                        .unwrap_or(problem),
                }
            }
        };
        // By the time as it is now, which AWS may have corrected meanwhile.
        // Nor what AWS takes no longer, or what was dropped meanwhile.
        let is_taken = !(chain.is_base() && self.bases.is_rejected(chain)) && self.cache.peek(chain).value.is_some();
        match old.filter(|session| is_taken && session.is_usable(self.now()) && outlives(session, &problem)) {
            Some(session) => Ok(Served { session, problem: Some(problem) }),
            None => Err(problem),
        }
    }

    /// What is there already, if that is what is wanted.
    fn good(&self, chain: &RoleChain, known: &Known, freshness: Freshness) -> Option<Served> {
        let session = known.session.as_ref().filter(|_| freshness == Freshness::Cached)?;
        let is_good = self.is_good(chain, session, self.now());
        is_good.then(|| Served { session: Arc::clone(session), problem: None })
    }

    /// Where AWS was not asked last time, since it was left alone, nobody flies to find out whether it still is. What is known
    /// is looked up anew where that was waited for.
    async fn past_the_breaker(
        &self,
        chain: &RoleChain,
        known: Known,
        freshness: Freshness,
    ) -> Result<Known, SessionFailure> {
        let Some(last_failure) = known.last_failure.as_ref().filter(|last_failure| last_failure.error.is_repeated())
        else {
            return Ok(known);
        };
        let is_served = known.session.as_ref().is_some_and(|session| session.is_usable(self.now()));
        // A flight that is under way may be the one that finds out.
        if freshness != Freshness::Cached || is_served || self.cache.is_loading(chain) {
            return Ok(known);
        }
        match self.aws.may_call(&chain.endpoint()).await {
            Ok(()) => Ok(self.peek(chain)),
            Err(_) => Err(Arc::clone(&last_failure.error)),
        }
    }

    /// Whether a session is handed out without a thought of a newer one.
    fn is_good(&self, chain: &RoleChain, session: &Session, now: SystemTime) -> bool {
        // A clock that was set forward tells nothing of how much is left; AWS's answer will.
        session.is_fresh(now)
            && !self.aws.clock().is_uncertain()
            && !(chain.is_base() && self.bases.is_superseded(chain))
    }

    /// The sources.
    #[must_use]
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether a chain's role is assumed with a code in the call itself: where more than an hour is wanted, and granted.
    #[must_use]
    pub fn mfa_in_assume_role(&self, chain: &RoleChain) -> bool {
        chain.mfa_in_assume_role() && !self.bases.is_short(chain)
    }

    /// Looks up in AWS's files what a source that nobody has asked yet builds on.
    pub async fn study(&self, base: &RoleChain) {
        let (mut next, mut studied) = (vec![base.clone()], HashSet::new());
        while let Some(chain) = next.pop() {
            for below in chain.prefixes().filter(RoleChain::is_base) {
                // A loop is an error of the plan's.
                if !studied.insert(below.clone()) {
                    continue;
                }
                if self.bases.is_unknown(&below) && below.source.mfa.is_none() {
                    let (through, login) = self.sources.aws_profiles().study(&below).await;
                    self.bases.leads_through(&below, through);
                    self.bases.depends_on(&below, login);
                }
                next.extend(self.bases.through(&below));
            }
        }
    }

    /// What a chain, or something that it builds on, waits for a person for.
    #[must_use]
    pub fn person_wanted(&self, chain: &RoleChain) -> Option<SessionFailure> {
        let foundations = self.foundations(std::iter::once(chain));
        let troubles = foundations.iter().filter_map(|below| self.cache.peek(below).last_failure);
        troubles.map(|last_failure| last_failure.error).find(|error| error.class() == ErrorClass::Login)
    }

    /// Takes in the code of an MFA device that a person gives for a session; the next call for that takes it.
    pub fn give_code(&self, chain: &RoleChain, code: Secret<String>) {
        self.codes.give(chain, code, self.now());
    }

    /// Whose a session is. One that a step returned knows; a source's is asked for at STS.
    pub async fn identify(&self, chain: &RoleChain, session: &Session) -> Result<String, StsError> {
        match &session.arn {
            Some(arn) => Ok(arn.clone()),
            None => sts::caller_identity(&self.aws, &chain.endpoint(), session).await,
        }
    }

    /// Has AWS tell the time where nobody else asks it anything: a source that signs itself never meets AWS, and with a
    /// wrong clock its tokens would be refused for ever. Asked once in a while, and not waited for long.
    pub async fn learn_time(&self, chain: &RoleChain, session: &Session) {
        let clock = self.aws.clock();
        if clock.is_known() || !self.may_ask_time(self.now()) {
            return;
        }
        // Whatever the answer says, it says when.
        let endpoint = chain.endpoint();
        let asking = sts::caller_identity(&self.aws, &endpoint, session);
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, asking).await {
            tracing::debug!(%error, "AWS was asked the time");
        }
    }

    fn may_ask_time(&self, now: SystemTime) -> bool {
        let mut asked = self.asked_time.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = asked.is_some_and(|at| now.duration_since(at).is_ok_and(|age| age < ASK_TIME));
        if !is_recent {
            *asked = Some(now);
        }
        !is_recent
    }

    /// Describes a cluster with a chain's session or, where the role may not, with the credentials it is assumed from.
    pub async fn describe(
        &self,
        chain: &RoleChain,
        session: &Session,
        cluster: &ClusterName,
    ) -> Result<Cluster, ClusterError> {
        let describe = async |session: &Session| {
            cluster::describe(&self.aws, &chain.source, &chain.region, cluster, session).await
        };
        let described = describe(session).await;
        let Err(error) = &described else { return described };
        if !error.is_denied() || chain.steps.is_empty() {
            return described;
        }
        let base = chain.base();
        let Ok(base_session) = self.get(&base, Freshness::Cached).await else { return described };
        let again = describe(&base_session.session).await;
        if again.is_ok() { again } else { described }
    }

    /// Those chains with everything that they build on, as far as it is known.
    pub fn foundations<'a>(&self, chains: impl Iterator<Item = &'a RoleChain>) -> HashSet<RoleChain> {
        self.bases.foundations(chains.cloned())
    }

    /// The login that a source depends on, as far as it is known.
    #[must_use]
    pub fn login_of(&self, base: &RoleChain) -> Option<Login> {
        self.bases.login_of(base)
    }

    /// The chain with MFA that a source leads to, itself perhaps, as far as it is known.
    #[must_use]
    pub fn coded_of(&self, base: &RoleChain) -> Option<RoleChain> {
        let mut foundations = self.foundations(std::iter::once(base)).into_iter();
        foundations.find(|chain| chain.is_base() && chain.source.mfa.is_some())
    }

    /// Forgets every session that no chain which is still wanted builds on.
    pub fn retain<'a>(&self, wanted: impl Iterator<Item = &'a RoleChain>) {
        let wanted = self.foundations(wanted);
        self.cache.retain(|kept| wanted.contains(kept));
        self.bases.retain(&wanted);
    }

    /// Every session, with its chain.
    #[must_use]
    pub fn all(&self) -> Vec<(RoleChain, Arc<Session>)> {
        self.cache.values()
    }

    /// Joins the flight of a chain, or begins it. Nobody waits beyond `patience`, counted from the flight's beginning, if
    /// there is one.
    fn get_or_start(
        &self,
        chain: &RoleChain,
        freshness: Freshness,
        patience: Option<Duration>,
    ) -> Boxed<Result<Arc<Session>, SessionFailure>> {
        let (store, chain) = (self.clone(), chain.clone());
        Box::pin(async move {
            let (flyer, route) = (store.clone(), chain.clone());
            let load_cancellation = store.load_cancellation().clone();
            let flight = store.cache.get_or_start(&chain, move || async move {
                let flying = Box::pin(tokio::time::timeout(FLIGHT, flyer.obtain(&route, freshness)));
                let obtained = match load_cancellation.run_until_cancelled(flying).await {
                    Some(obtained) => obtained.unwrap_or(Err(SessionError::Overdue)),
                    None => return Err(SessionError::Lost),
                };
                note(&route, &obtained);
                obtained
            });
            let latest = patience.map(|patience| flight.started_at() + patience);
            let outcome: Outcome<Session, SessionError> = match latest {
                None => flight.wait().await,
                Some(latest) => match tokio::time::timeout_at(latest, flight.wait()).await {
                    Ok(outcome) => outcome,
                    Err(_) => return Err(SessionFailure::new(SessionError::Slow)),
                },
            };
            outcome.map_err(error::of_load)
        })
    }
}

/// What a person wants to find in the log: what was asked of AWS, and what came of it.
fn note(chain: &RoleChain, obtained: &Result<Session, SessionError>) {
    let (source, role) = (chain.source.describe(), chain.steps.last().map(|step| step.role.as_str()));
    match obtained {
        Ok(session) if role.is_some() => {
            tracing::info!(source, role, "A new session");
        }
        Ok(_) => tracing::debug!(source, "The source gave credentials"),
        // Of which the first was told.
        Err(error) if error.is_repeated() => tracing::debug!(source, role, %error, "AWS is not asked for a session"),
        Err(error) => tracing::warn!(source, role, %error, "No new session"),
    }
}

fn is_slow(problem: &SessionError) -> bool {
    matches!(problem, SessionError::Slow)
}

/// Whether a session is served on although renewing it failed. Until its end, yes; but long-lived keys have none, and
/// where their source says that they are gone, they are.
fn outlives(session: &Session, problem: &SessionError) -> bool {
    session.expires().is_some() || problem.is_transient()
}
