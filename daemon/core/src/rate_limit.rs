//! Limits calls to STS: calls in flight, calls per second and retries. All users of an account share its quota (B5).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// The limit of calls in flight.
const MAX_IN_FLIGHT: usize = 8;
/// The limit of calls in flight to one endpoint, so that an endpoint that hangs leaves slots for the others.
const MAX_IN_FLIGHT_PER_ENDPOINT: usize = 6;
/// The size of the token bucket: the number of calls that can start at once after an idle time.
const MAX_BURST: u32 = 20;
/// The interval at which a token is added: five per second.
const TOKEN_INTERVAL: Duration = Duration::from_millis(200);
/// The size of the retry budget: the number of retries without a successful call in between.
const MAX_RETRIES: u32 = 10;

/// The limits of the process. `K` identifies an endpoint. Clones share the limits.
#[derive(Debug)]
pub struct RateLimiter<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    in_flight: Semaphore,
    in_flight_per_endpoint: Mutex<HashMap<K, Arc<Semaphore>>>,
    bucket: TokenBucket,
    waiting: AtomicUsize,
    retries: AtomicU32,
}

/// A token bucket: each call takes a token and waits for one if the bucket is empty, in the order of arrival.
#[derive(Debug)]
struct TokenBucket {
    /// When the bucket is full if no more tokens are taken. A caller that waits for a token holds the lock.
    full_at: tokio::sync::Mutex<Instant>,
}

/// Counts a waiting call until it is dropped.
#[derive(Debug)]
struct Waiting<'a>(&'a AtomicUsize);

/// A slot for one call in flight. The caller drops it when the call has ended.
#[derive(Debug)]
pub struct Slot<'a> {
    bucket: &'a TokenBucket,
    waiting: Option<Waiting<'a>>,
    _permit: Option<SemaphorePermit<'a>>,
    _endpoint_permit: Option<OwnedSemaphorePermit>,
}

impl<K: Eq + Hash + Clone> RateLimiter<K> {
    /// Returns limits without a call in flight and with a full bucket.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            in_flight_per_endpoint: Mutex::default(),
            bucket: TokenBucket::full(),
            waiting: AtomicUsize::new(0),
            retries: AtomicU32::new(MAX_RETRIES),
        }))
    }

    /// Waits until fewer calls are in flight than the limits allow, in the order of arrival.
    pub async fn acquire_slot(&self, endpoint: &K) -> Slot<'_> {
        let waiting = Some(Waiting::new(&self.0.waiting));
        let endpoint_slots = Arc::clone(
            self.per_endpoint()
                .entry(endpoint.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(MAX_IN_FLIGHT_PER_ENDPOINT))),
        );
        // No semaphore is ever closed. If one were, the token bucket alone would limit the calls.
        let endpoint_permit = endpoint_slots.acquire_owned().await.ok();
        let permit = self.0.in_flight.acquire().await.ok();
        Slot { bucket: &self.0.bucket, waiting, _permit: permit, _endpoint_permit: endpoint_permit }
    }

    fn per_endpoint(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        self.0.in_flight_per_endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of calls that wait for a slot or a token.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Takes a retry from the budget and returns whether there was one. The budget keeps an outage from multiplying the
    /// calls.
    #[must_use]
    pub fn take_retry(&self) -> bool {
        let take = |remaining: u32| remaining.checked_sub(1);
        self.0.retries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Records a successful call, which adds a retry to the budget.
    pub fn record_success(&self) {
        let add = |remaining: u32| (remaining < MAX_RETRIES).then_some(remaining + 1);
        let _full = self.0.retries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Slot<'_> {
    /// Waits for a token of the bucket. A slot that is dropped before has taken none.
    pub async fn wait_for_token(&mut self) {
        self.bucket.acquire().await;
        self.waiting = None;
    }
}

impl TokenBucket {
    /// Returns a bucket of [`MAX_BURST`] tokens.
    fn full() -> Self {
        Self { full_at: tokio::sync::Mutex::new(Instant::now()) }
    }

    /// Takes a token. A caller that is dropped while it waits takes none.
    async fn acquire(&self) {
        let mut full_at = self.full_at.lock().await;
        let until_full = full_at.saturating_duration_since(Instant::now());
        let wait = until_full.saturating_sub(TOKEN_INTERVAL * (MAX_BURST - 1));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        *full_at = (*full_at).max(Instant::now()) + TOKEN_INTERVAL;
    }
}

impl<K> Clone for RateLimiter<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<K: Eq + Hash + Clone> Default for RateLimiter<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn token_bucket_burst_then_five_per_second() {
        let limits = RateLimiter::<u8>::new();
        let begin = Instant::now();
        for _ in 0..MAX_BURST {
            limits.acquire_slot(&1).await.wait_for_token().await;
        }
        assert!(begin.elapsed() < TOKEN_INTERVAL);
        for _ in 0..10 {
            limits.acquire_slot(&1).await.wait_for_token().await;
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(1800) && took <= Duration::from_millis(2200), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn token_bucket_dropped_waiter_takes_nothing() {
        let bucket = TokenBucket::full();
        for _ in 0..MAX_BURST {
            bucket.acquire().await;
        }
        let begin = Instant::now();
        assert!(tokio::time::timeout(TOKEN_INTERVAL / 2, bucket.acquire()).await.is_err());
        bucket.acquire().await;
        assert!(begin.elapsed() < TOKEN_INTERVAL + TOKEN_INTERVAL / 4, "{:?}", begin.elapsed());
    }

    #[test]
    fn retry_budget_success_adds_a_retry() {
        let limits = RateLimiter::<u8>::new();
        assert!((0..MAX_RETRIES).all(|_| limits.take_retry()));
        assert!(!limits.take_retry());
        limits.record_success();
        assert!(limits.take_retry());
        assert!(!limits.take_retry());
        (0..2 * MAX_RETRIES).for_each(|_| limits.record_success());
        assert_eq!((0..2 * MAX_RETRIES).filter(|_| limits.take_retry()).count(), MAX_RETRIES as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn in_flight_limit_is_eight_and_six_per_endpoint() {
        let limits = RateLimiter::<u8>::new();
        let mut slots = Vec::new();
        for endpoint in [1, 1, 1, 1, 1, 1, 2] {
            slots.push(limits.acquire_slot(&endpoint).await);
        }
        let timeout = Duration::from_mins(1);
        let mut seventh = Box::pin(limits.acquire_slot(&1));
        assert!(tokio::time::timeout(timeout, &mut seventh).await.is_err());
        // Another endpoint gets the eighth slot.
        slots.push(tokio::time::timeout(timeout, limits.acquire_slot(&3)).await.unwrap());
        let mut ninth = Box::pin(limits.acquire_slot(&4));
        assert!(tokio::time::timeout(timeout, &mut ninth).await.is_err());
        assert_eq!(limits.waiting(), 10, "no call has a token yet");
        drop((seventh, ninth));
        slots[0].wait_for_token().await;
        assert_eq!(limits.waiting(), 7);
        slots.pop();
        assert!(tokio::time::timeout(timeout, limits.acquire_slot(&4)).await.is_ok());
    }
}
