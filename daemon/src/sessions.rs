//! Sessions by role chain. Every prefix of a chain has its own entry in the cache, so profiles that share a source or a
//! role share its session and its loads.

mod dependencies;
mod error;
mod invalidate;
mod learn_time;
mod load;
mod mfa;
mod provenance;
mod role_failure;
mod session_name;
mod snapshot;
mod sources;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rolecall_protocol::{Cluster, ClusterName, Secret};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::keyring::Keyring;
pub use error::{DenialReason, SessionError, SessionFailure};
use mfa::MfaCodes;
pub use mfa::MfaError;
pub use provenance::Provenance;
use provenance::{CachedSession, SourceStates};
use rolecall_aws::client::Aws;
use rolecall_aws::cluster::{self, ClusterError};
use rolecall_aws::source::{Login, Principal};
use rolecall_aws::sts;
use rolecall_aws::sts::StsError;
use rolecall_core::circuit_breaker::RefreshPermit;
use rolecall_core::config::NameTemplate;
pub use rolecall_core::refresh::Freshness;
use rolecall_core::refresh::{self, KnownFailure, NextStep, RefreshNeed, StaleSession};
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;
use rolecall_core::single_flight::{Cache, CacheEntry, LastFailure, Outcome};
use session_name::Identities;
pub use sources::Sources;

/// How long a load may take, with its wait for the rate limit of STS.
const LOAD_TIMEOUT: Duration = Duration::from_secs(90);

/// Ended loads that a subscriber may lag behind before it gets [`broadcast::error::RecvError::Lagged`].
const LOAD_EVENT_CAPACITY: usize = 256;

/// Loads, caches and refreshes sessions. Clones share one cache.
#[derive(Clone)]
pub struct Sessions {
    aws: Aws,
    cache: Arc<Cache<RoleChain, CachedSession, SessionError>>,
    load_events: broadcast::Sender<RoleChain>,
    time_asked_at: Arc<Mutex<Option<SystemTime>>>,
    sources: Sources,
    states: Arc<SourceStates>,
    mfa_codes: Arc<MfaCodes>,
    identities: Identities,
    /// Cancels the loads in flight when the cache is closed: they hold credentials too.
    load_cancellation: Arc<Mutex<CancellationToken>>,
}

/// A session that can sign.
pub struct Served {
    /// The session.
    pub session: Arc<Session>,
    /// Why a refresh failed, if one did: the cached session is served while it is usable.
    pub problem: Option<SessionFailure>,
    provenance: Provenance,
}

/// What the cache has of a chain.
pub struct ChainState {
    /// The last session, usable or expired.
    pub session: Option<Arc<Session>>,
    /// The last failure, if no load has succeeded since.
    pub last_failure: Option<LastFailure<SessionError>>,
}

/// What the cache has of a chain, with what the session was made from.
type Entry = CacheEntry<CachedSession, SessionError>;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Served {
    fn new(cached: &CachedSession, problem: Option<SessionFailure>) -> Self {
        Self { session: Arc::clone(&cached.session), problem, provenance: cached.provenance.clone() }
    }
}

impl Sessions {
    /// Creates an empty cache. `session_name` is for roles of AWS profiles that name none.
    #[must_use]
    pub fn new(aws: Aws, keyring: Keyring, session_name: NameTemplate) -> Self {
        let (load_events, _) = broadcast::channel(LOAD_EVENT_CAPACITY);
        let sender = load_events.clone();
        // Sending fails where nothing subscribes.
        let on_load_end = move |chain: &RoleChain| drop(sender.send(chain.clone()));
        let cache = Cache::new(aws.clock().clone(), on_load_end);
        Self {
            sources: Sources::new(aws.clone(), keyring, session_name),
            aws,
            cache,
            load_events,
            time_asked_at: Arc::default(),
            states: Arc::default(),
            mfa_codes: Arc::default(),
            identities: Identities::default(),
            load_cancellation: Arc::default(),
        }
    }

    /// Returns what the cache has of a chain.
    #[must_use]
    pub fn peek(&self, chain: &RoleChain) -> ChainState {
        let Entry { value, last_failure } = self.entry(chain);
        ChainState { session: value.map(|cached| Arc::clone(&cached.session)), last_failure }
    }

    /// Every read of the cache goes through here: a session whose source has changed the principal is dropped.
    fn entry(&self, chain: &RoleChain) -> Entry {
        let found = self.cache.peek(chain);
        let value = found.value.filter(|cached| {
            let is_current = self.is_current(chain, cached);
            if !is_current {
                let dropped =
                    self.cache.invalidate(|key, value| key == chain && std::ptr::eq(value, Arc::as_ptr(cached)));
                if dropped > 0 {
                    tracing::info!(
                        source = chain.source.describe(),
                        "session dropped: its source has another principal"
                    );
                }
            }
            is_current
        });
        Entry { value, ..found }
    }

    fn cached(&self, chain: &RoleChain) -> Option<Arc<CachedSession>> {
        self.entry(chain).value
    }

    /// Whether a chain is still made from the source of its session, and that source still gives the credentials of the
    /// same principal. A source whose credentials are not cached tells nothing, so what was made from it stays.
    fn is_current(&self, chain: &RoleChain, cached: &CachedSession) -> bool {
        let Provenance { source, principal } = &cached.provenance;
        if self.states.root_source(chain) != *source {
            return false;
        }
        let login = match self.states.own_login(source) {
            Some(Login::Sso(session)) => self.sources.aws_profiles().sso().last_login(&session).map(Principal::Login),
            _ => None,
        };
        if login.is_some() {
            return login == *principal;
        }
        self.cache.peek(source).value.is_none_or(|base| base.provenance.principal == *principal)
    }

    /// Subscribes to the chains whose loads end from now on, with a session or with an error.
    #[must_use]
    pub fn load_events(&self) -> broadcast::Receiver<RoleChain> {
        self.load_events.subscribe()
    }

    /// Returns a session that can sign.
    ///
    /// A fresh cached session is returned at once. Otherwise the session is loaded, and all callers share one load. While
    /// the cached session is usable a caller waits at most two seconds for that, and gets the cached session if it fails.
    /// Errors with the last failure while its time to live has not passed.
    pub async fn get(&self, chain: &RoleChain, freshness: Freshness) -> Result<Served, SessionFailure> {
        let entry = self.entry(chain);
        if let Some(served) = self.fresh(chain, &entry, freshness) {
            return Ok(served);
        }
        let mut entry = entry;
        let mut step = self.next_step(chain, &entry, freshness, false);
        if step == NextStep::WaitForProbe {
            if self.aws.check_breaker(&chain.endpoint()).await.is_err()
                && let Some(last_failure) = entry.last_failure
            {
                return Err(last_failure.error);
            }
            // Another caller may have loaded it meanwhile.
            entry = self.entry(chain);
            if let Some(served) = self.fresh(chain, &entry, freshness) {
                return Ok(served);
            }
            step = self.next_step(chain, &entry, freshness, true);
        }
        let old = entry.value.clone().filter(|_| freshness == Freshness::Cached);
        let earlier = entry.last_failure.as_ref().map(|last_failure| Arc::clone(&last_failure.error));
        let problem = match (step, earlier) {
            (NextStep::UseCache, Some(error)) => error,
            (step, earlier) => {
                if let (NextStep::UseCache, Some(old)) = (step, &old) {
                    return Ok(Served::new(old, None));
                }
                let wait = if let NextStep::Load { wait } = step { wait } else { None };
                match self.get_or_start(chain, entry, freshness, wait).await {
                    Ok(cached) => return Ok(Served::new(&cached, None)),
                    Err(problem) => earlier.filter(|_| matches!(*problem, SessionError::Slow)).unwrap_or(problem),
                }
            }
        };
        // The entry may have been dropped meanwhile, and AWS's answer may have corrected the clock.
        let is_kept = self.cached(chain).is_some();
        let is_served =
            |old: &Arc<CachedSession>| old.session.is_usable(self.now()) && outlives(&old.session, &problem);
        match old.filter(|old| is_kept && is_served(old)) {
            Some(old) => Ok(Served::new(&old, Some(problem))),
            None => Err(problem),
        }
    }

    /// Returns the cached session if that is fresh enough for the caller.
    fn fresh(&self, chain: &RoleChain, entry: &Entry, freshness: Freshness) -> Option<Served> {
        let cached = entry.value.as_ref().filter(|_| freshness == Freshness::Cached)?;
        let is_fresh = cached.session.is_fresh(self.now())
            // A clock that was set forward says nothing of how much of a session is left; AWS's answer will.
            && !self.aws.clock().is_uncertain()
            && !(chain.is_base() && self.states.is_superseded(cached.load_started_at));
        is_fresh.then(|| Served::new(cached, None))
    }

    /// Returns what a caller does for a session that is not fresh enough.
    fn next_step(&self, chain: &RoleChain, entry: &Entry, freshness: Freshness, has_waited: bool) -> NextStep {
        let now = self.now();
        let failure = entry.last_failure.as_ref().map(|last_failure| KnownFailure {
            is_within_ttl: last_failure.is_within_ttl(now),
            is_breaker_open: last_failure.error.is_repeated(),
        });
        let session = entry.value.as_ref().map(|cached| &*cached.session);
        let stale =
            StaleSession { need: RefreshNeed::of(session, now), is_loading: self.cache.is_loading(chain), failure };
        let may_refresh = || !matches!(self.refresh_permit(chain), RefreshPermit::Wait(_));
        refresh::next_step(freshness, &stale, has_waited, may_refresh)
    }

    /// Returns whether a usable session may be refreshed now, by the circuit breaker of its STS endpoint.
    pub fn refresh_permit(&self, chain: &RoleChain) -> RefreshPermit {
        if chain.is_base() {
            return RefreshPermit::Allowed; // credentials of a source do not come from this endpoint
        }
        self.aws.breakers().refresh_permit(&chain.endpoint(), self.now())
    }

    /// Returns the sources of base credentials.
    #[must_use]
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether AssumeRole of the chain sends an MFA code itself: its profile wants more than an hour, and AWS grants it.
    #[must_use]
    pub fn mfa_in_assume_role(&self, chain: &RoleChain) -> bool {
        chain.mfa_in_assume_role() && !self.states.is_one_hour(chain)
    }

    /// Keeps an MFA code that the user typed for the next call for this chain.
    pub fn offer_mfa_code(&self, chain: &RoleChain, code: Secret<String>) {
        self.mfa_codes.offer(chain, code, self.now());
    }

    /// Returns the ARN of a session's principal. STS is called where the session does not name it.
    pub async fn identify(&self, chain: &RoleChain, session: &Session) -> Result<String, StsError> {
        match &session.arn {
            Some(arn) => Ok(arn.clone()),
            None => sts::get_caller_identity(&self.aws, &chain.endpoint(), session).await,
        }
    }

    /// Describes a cluster with a chain's session or, where that is denied, with the credentials of the chain's source.
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
        let Ok(base) = self.get(&base, Freshness::Cached).await else { return described };
        let by_source = describe(&base.session).await;
        if by_source.is_ok() { by_source } else { described }
    }

    /// Drops every session that none of the wanted chains is made from.
    pub fn retain<'a>(&self, wanted: impl Iterator<Item = &'a RoleChain>) {
        let wanted = self.dependencies(wanted);
        self.cache.retain(|chain| wanted.contains(chain));
        self.states.retain(&wanted);
    }

    /// Returns every cached session with its chain.
    #[must_use]
    pub fn all(&self) -> Vec<(RoleChain, Arc<Session>)> {
        self.current().map(|(chain, cached)| (chain, Arc::clone(&cached.session))).collect()
    }

    fn current(&self) -> impl Iterator<Item = (RoleChain, Arc<CachedSession>)> + use<'_> {
        self.cache.values().into_iter().filter(|(chain, cached)| self.is_current(chain, cached))
    }

    /// Joins the load in flight for a chain, or starts one, which a caller of [`Freshness::Cached`] does only if none has
    /// ended since it saw `seen`. Errors with [`SessionError::Slow`] once `wait` has passed since the load started.
    fn get_or_start(
        &self,
        chain: &RoleChain,
        seen: Entry,
        freshness: Freshness,
        wait: Option<Duration>,
    ) -> BoxFuture<Result<Arc<CachedSession>, SessionFailure>> {
        let (sessions, chain) = (self.clone(), chain.clone());
        Box::pin(async move {
            let (owner, target) = (sessions.clone(), chain.clone());
            let load_cancellation = sessions.load_cancellation().clone();
            let load = move || async move {
                let loading = Box::pin(tokio::time::timeout(LOAD_TIMEOUT, owner.load(&target, freshness)));
                let loaded = match load_cancellation.run_until_cancelled(loading).await {
                    Some(loaded) => loaded.unwrap_or(Err(SessionError::Overdue)),
                    None => return Err(SessionError::Lost),
                };
                log_load(&target, &loaded);
                loaded
            };
            let in_flight = match freshness {
                Freshness::Cached => sessions.cache.get_or_start_after(&chain, &seen, load),
                Freshness::Refresh | Freshness::BypassCache => sessions.cache.get_or_start(&chain, load),
            };
            let deadline = wait.map(|wait| in_flight.started_at() + wait);
            let outcome: Outcome<CachedSession, SessionError> = match deadline {
                None => in_flight.wait().await,
                Some(deadline) => match tokio::time::timeout_at(deadline, in_flight.wait()).await {
                    Ok(outcome) => outcome,
                    Err(_) => return Err(SessionFailure::new(SessionError::Slow)),
                },
            };
            outcome.map_err(error::of_load)
        })
    }
}

fn log_load(chain: &RoleChain, loaded: &Result<CachedSession, SessionError>) {
    let (source, role) = (chain.source.describe(), chain.steps.last().map(|step| step.role.as_str()));
    match loaded {
        Ok(_) if role.is_some() => tracing::info!(source, role, "session loaded"),
        Ok(_) => tracing::debug!(source, "base credentials loaded"),
        // The failure that opened the circuit breaker was logged.
        Err(error) if error.is_repeated() => tracing::debug!(source, role, %error, "session not loaded"),
        Err(error) => tracing::warn!(source, role, %error, "session not loaded"),
    }
}

/// Whether a session is served after this failure. A session that expires is served until then. A long-lived access key
/// does not expire, so it is served only after a transient failure: its source may say that the key is gone.
fn outlives(session: &Session, problem: &SessionError) -> bool {
    session.expires().is_some() || problem.is_transient()
}
