//! Calls to the endpoints of AWS: each waits for the rate limit and the circuit breaker of its endpoint, and is repeated after
//! a transient error. The caller sends the request.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use backon::{ExponentialBuilder, Retryable};
use tokio::time::Instant;

use crate::circuit_breaker::{CircuitBreakers, CircuitOpen};
use crate::clock::Clock;
use crate::rate_limit::RateLimiter;

/// The limit of one attempt of a call, from its first byte to its last (B12).
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts after the first (B5).
const MAX_RETRIES: usize = 2;
/// The delay before the first retry; it doubles with each retry.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
/// The longest delay before a retry.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// Attempts after the first right after wake-up: the network returns within seconds (B10).
const MAX_RETRIES_WAKING: usize = 6;
/// The limit of all attempts together, from the start of the first; waiting for the rate limit does not count. It ends before
/// the caller's own timeout of 9 s.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(7);
/// A retry needs at least this much of the total timeout.
const MIN_RETRY_TIME: Duration = Duration::from_millis(1500);

/// The error of a call, by what happens next.
pub trait CallError: From<CircuitOpen<Self>> + Clone {
    /// Returns the error of a call that took too long.
    fn timed_out() -> Self;
    /// Whether the same call can succeed soon.
    fn is_transient(&self) -> bool;
    /// Whether the endpoint failed, rather than the request. Circuit breakers count these errors.
    fn is_endpoint_failure(&self) -> bool;
    /// Whether the network, or a server on the way, failed.
    fn is_of_the_network(&self) -> bool;
    /// Returns how long AWS wants no further call.
    fn retry_after(&self) -> Option<Duration>;
}

/// The rate limit and the circuit breakers of all calls. `K` identifies an endpoint. Clones share them.
#[derive(Debug, Clone)]
pub struct EndpointCalls<K, E> {
    limits: RateLimiter<K>,
    breakers: Arc<CircuitBreakers<K, E>>,
    clock: Clock,
}

/// The total timeout of the attempts of a call, which starts with the first.
#[derive(Debug, Default)]
pub struct TotalTimeout(OnceLock<Instant>);

impl<K: std::hash::Hash + Eq + Clone, E: CallError> EndpointCalls<K, E> {
    /// Returns limits without a call in flight and breakers that are closed.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { limits: RateLimiter::new(), breakers: Arc::default(), clock }
    }

    /// Returns calls with the same rate limit and with circuit breakers of their own.
    #[must_use]
    pub fn with_own_breakers(&self) -> Self {
        Self { breakers: Arc::default(), ..self.clone() }
    }

    /// The rate limit.
    #[must_use]
    pub const fn limits(&self) -> &RateLimiter<K> {
        &self.limits
    }

    /// The circuit breakers of the endpoints.
    #[must_use]
    pub fn breakers(&self) -> &CircuitBreakers<K, E> {
        &self.breakers
    }

    /// Errors if the circuit breaker of an endpoint is open. Waits briefly for a probe that is under way.
    pub async fn check_breaker(&self, endpoint: &K) -> Result<(), E> {
        self.breakers.acquire_when_closed(|breakers| breakers.peek(endpoint, self.now())).await.map_err(E::from)
    }

    /// Sends one call after the rate limit and the circuit breaker of its endpoint allow it. Errors if the circuit breaker is
    /// open, or if the call takes longer than `timeout`.
    pub async fn call<T>(
        &self,
        endpoint: &K,
        timeout: Duration,
        send: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.check_breaker(endpoint).await?;
        let mut slot = self.limits.acquire_slot(endpoint).await;
        self.breakers.acquire_when_closed(|breakers| breakers.try_acquire(endpoint, self.now())).await?;
        slot.wait_for_token().await;
        let outcome = tokio::time::timeout(timeout, send).await.unwrap_or_else(|_| Err(E::timed_out()));
        match &outcome {
            // Seconds after wake-up, the network may not be up yet. That says nothing about the endpoint.
            Err(error) if error.is_of_the_network() && self.clock.is_waking() => {}
            Err(error) if error.is_endpoint_failure() => {
                let retry_after = error.retry_after();
                self.breakers.record_failure(endpoint, error.clone(), retry_after, self.now(), fastrand::f64());
            }
            _ => {
                self.breakers.record_success(endpoint);
                self.limits.record_success();
            }
        }
        outcome
    }

    /// Makes an attempt, and again after transient errors, while time is left and AWS sets no `Retry-After`.
    pub async fn with_retries<T, F>(
        &self,
        endpoint: &K,
        timeout: &TotalTimeout,
        attempt: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(MIN_BACKOFF)
            .with_max_delay(MAX_BACKOFF)
            .with_max_times(if self.clock.is_waking() { MAX_RETRIES_WAKING } else { MAX_RETRIES })
            .with_jitter();
        let may_retry = |error: &E| {
            error.is_transient()
                && error.retry_after().is_none()
                && timeout.left() > MIN_RETRY_TIME
                // The error itself says more than an open circuit breaker.
                && self.breakers.peek(endpoint, self.now()).is_ok()
                && self.limits.take_retry()
        };
        attempt.retry(backoff).when(may_retry).await
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

impl TotalTimeout {
    /// Starts the timeout, at the first attempt.
    pub fn start(&self) {
        self.0.get_or_init(Instant::now);
    }

    /// Returns how long the next attempt may take.
    pub fn of_attempt(&self) -> Duration {
        self.left().min(ATTEMPT_TIMEOUT)
    }

    fn left(&self) -> Duration {
        TOTAL_TIMEOUT.saturating_sub(self.0.get().map_or(Duration::ZERO, Instant::elapsed))
    }
}
