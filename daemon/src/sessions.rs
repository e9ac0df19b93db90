//! Sessions by chain: each prefix of a chain has its own slot in the cache, so a source or a hub that many profiles
//! share is resolved once for all of them.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rolecall_protocol::{Cluster, ClusterName, ErrorBody, ErrorCode, SourceName};

use crate::aws::{Aws, AwsErrorKind};
use crate::cache::{Cache, Failure};
use crate::cluster::{self, ClusterError};
use crate::hop::{self, HopError};
use crate::profile::Chain;
use crate::session::Session;
use crate::source::{self, SourceError};

/// How long a caller waits for a newer session where the old one still signs; the flight goes on without them.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a source may take: it may have to run a program (E3).
const SOURCE: Duration = Duration::from_secs(30);
/// How long a flight may take in all, waiting for its turn at STS included.
const FLIGHT: Duration = Duration::from_secs(90);

/// Gets, keeps and renews sessions.
#[derive(Clone)]
pub struct Sessions {
    aws: Aws,
    cache: Arc<Cache<Chain, Session, SessionError>>,
}

/// What a caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// One that is good for a while: from the cache if it is.
    Fresh,
    /// A new one, whatever is there and whatever failed a moment ago.
    New,
}

/// A session, and what went wrong with renewing it: the old one is served as long as it lives.
pub struct Served {
    /// The session.
    pub session: Arc<Session>,
    /// Why it is not a newer one.
    pub problem: Option<SessionFailure>,
}

/// Why a session could not be got.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The source gave nothing.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A hop failed.
    #[error(transparent)]
    Hop(#[from] HopError),
    /// The source gave credentials that are over.
    #[error("the credentials are over")]
    Ended,
    /// A flight took too long.
    #[error("no answer in time")]
    Overdue,
    /// The flight is still under way; told only where there is something to serve meanwhile.
    #[error("AWS has not answered yet")]
    Slow,
    /// A flight ended without a word.
    #[error("a task ended unexpectedly")]
    Lost,
}

/// A failure as the cache shares it.
pub type SessionFailure = Arc<SessionError>;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Sessions {
    /// An empty store.
    #[must_use]
    pub fn new(aws: Aws) -> Self {
        let cache = Cache::new(aws.time().clone());
        Self { aws, cache }
    }

    /// The session of a chain as it is in the cache.
    #[must_use]
    pub fn peek(&self, chain: &Chain) -> Option<Arc<Session>> {
        self.cache.peek(chain)
    }

    /// Gets a session that can sign.
    pub async fn get(&self, chain: &Chain, want: Want) -> Result<Served, SessionFailure> {
        let now = self.now();
        let old = self.cache.peek(chain).filter(|session| session.is_usable(now));
        let failed = match (&old, want) {
            (Some(session), Want::Fresh) if session.is_fresh(now) => {
                return Ok(Served { session: Arc::clone(session), problem: None });
            }
            (_, Want::New) => None,
            // What may well succeed now is tried now, unless there is something to serve meanwhile.
            (old, Want::Fresh) => {
                self.cache.failed(chain, now).filter(|problem| old.is_some() || !problem.is_transient())
            }
        };
        let serving = old.filter(|_| want == Want::Fresh);
        let problem = match (failed, &serving) {
            (Some(problem), _) => problem,
            (None, serving) => match self.fly(chain, serving.as_ref().map(|_| PATIENCE)).await {
                Ok(session) => return Ok(Served { session, problem: None }),
                Err(failure) => failure.into(),
            },
        };
        match serving.filter(|session| session.is_usable(self.now()) && outlives(session, &problem)) {
            Some(session) => Ok(Served { session, problem: Some(problem) }),
            None => Err(problem),
        }
    }

    /// Whose a session is. One that a hop returned knows; a source's is asked for at STS.
    pub async fn identify(&self, chain: &Chain, session: &Session) -> Result<String, HopError> {
        match &session.arn {
            Some(arn) => Ok(arn.clone()),
            None => hop::caller_identity(&self.aws, &chain.source, &chain.region, session).await,
        }
    }

    /// Describes a cluster with a chain's session or, where the role may not, with the credentials it is assumed from.
    pub async fn describe(
        &self,
        chain: &Chain,
        session: &Session,
        cluster: &ClusterName,
    ) -> Result<Cluster, ClusterError> {
        let described = cluster::describe(&self.aws, &chain.source, &chain.region, cluster, session).await;
        let Err(error) = &described else { return described };
        if !error.is_denied() || chain.hops.is_empty() {
            return described;
        }
        let base = Chain { hops: vec![], ..chain.clone() };
        let Ok(base_session) = self.get(&base, Want::Fresh).await else { return described };
        let again = cluster::describe(&self.aws, &base.source, &base.region, cluster, &base_session.session).await;
        if again.is_ok() { again } else { described }
    }

    /// Every session that is kept, however old.
    pub fn all(&self) -> Vec<(Chain, Arc<Session>)> {
        self.cache.all()
    }

    /// Keeps a session that was got before, unless there is one.
    pub fn put(&self, chain: Chain, session: Session) {
        self.cache.put(chain, session);
    }

    /// Forgets every session that no chain which is still wanted builds on.
    pub fn retain<'a>(&self, wanted: impl Iterator<Item = &'a Chain>) {
        let wanted: HashSet<Chain> = wanted.flat_map(Chain::prefixes).collect();
        self.cache.retain(|kept| wanted.contains(kept));
    }

    fn fly(&self, chain: &Chain, patience: Option<Duration>) -> Boxed<crate::cache::Outcome<Session, SessionError>> {
        let (store, chain) = (self.clone(), chain.clone());
        Box::pin(async move {
            let (flyer, route) = (store.clone(), chain.clone());
            let flight = move || async move {
                let obtained = tokio::time::timeout(FLIGHT, flyer.obtain(&route)).await;
                obtained.unwrap_or(Err(SessionError::Overdue))
            };
            store.cache.fly(&chain, patience, flight).await
        })
    }

    /// The flight itself: the source, or one hop from the session before it.
    async fn obtain(&self, chain: &Chain) -> Result<Session, SessionError> {
        let Some(hop) = chain.hops.last() else {
            let resolving = source::resolve(&self.aws, &chain.source, &chain.region);
            let session = tokio::time::timeout(SOURCE, resolving).await.map_err(|_| SessionError::Overdue)??;
            return if session.is_usable(self.now()) { Ok(session) } else { Err(SessionError::Ended) };
        };
        let before = chain.without_last();
        let base = self.base(&before, Want::Fresh).await?;
        match hop::assume(&self.aws, &chain.source, &chain.region, hop, &base).await {
            Err(error) if error.error.kind == AwsErrorKind::BaseRejected => {
                self.assume_again(chain, &before, &base, error).await
            }
            assumed => Ok(assumed?),
        }
    }

    /// AWS did not take the base: it may have been replaced where it comes from, so it is asked for once more (B8).
    async fn assume_again(
        &self,
        chain: &Chain,
        before: &Chain,
        refused: &Session,
        error: HopError,
    ) -> Result<Session, SessionError> {
        let base = self.base(before, Want::New).await?;
        match chain.hops.last() {
            Some(hop) if !base.signs_as(refused) => {
                Ok(hop::assume(&self.aws, &chain.source, &chain.region, hop, &base).await?)
            }
            _ => Err(error.into()),
        }
    }

    async fn base(&self, chain: &Chain, want: Want) -> Result<Arc<Session>, SessionError> {
        match Box::pin(self.get(chain, want)).await {
            Ok(served) => Ok(served.session),
            Err(problem) => Err(SessionError::clone(&problem)),
        }
    }

    fn now(&self) -> SystemTime {
        self.aws.time().now()
    }
}

/// Whether a session is served on although renewing it failed. Until its end, yes; but long-lived keys have none, and
/// where their source says that they are gone, they are.
fn outlives(session: &Session, problem: &SessionError) -> bool {
    session.expires().is_some() || problem.is_transient()
}

impl From<Failure<SessionError>> for SessionFailure {
    fn from(failure: Failure<SessionError>) -> Self {
        match failure {
            Failure::Known(problem) => problem,
            Failure::Slow => Self::new(SessionError::Slow),
            Failure::Lost => Self::new(SessionError::Lost),
        }
    }
}

impl SessionError {
    /// Whether the same attempt may well succeed in a moment.
    const fn is_transient(&self) -> bool {
        match self {
            Self::Source(error) => error.is_transient(),
            Self::Hop(error) => error.error.kind.is_transient(),
            Self::Overdue | Self::Slow | Self::Lost => true,
            Self::Ended => false,
        }
    }

    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        match self {
            Self::Source(error) => error.body(source),
            Self::Hop(error) => error.body(source),
            Self::Ended => {
                let message = format!("source \"{source}\" gave credentials that are over already");
                ErrorBody::new(ErrorCode::SourceUnavailable, message).hint(
                    "Renew them in AWS's own configuration; rolecall show tells where the source takes them from.",
                )
            }
            Self::Overdue | Self::Slow => {
                let message = format!("source \"{source}\" or AWS behind it: {self}");
                ErrorBody::new(ErrorCode::Timeout, message).hint("Check the network, and what the source has to run.")
            }
            Self::Lost => ErrorBody::new(ErrorCode::Internal, "a task of the daemon ended unexpectedly")
                .hint("See rolecall agent logs, and try again."),
        }
    }
}
