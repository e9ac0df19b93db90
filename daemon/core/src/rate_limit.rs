//! How fast STS is called, whoever asks: the quota is the account's, and everybody in it shares it (B5).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Calls under way at once.
const MAX_IN_FLIGHT: usize = 8;
/// Calls under way at once to one endpoint: one that hangs leaves places for the others.
const MAX_IN_FLIGHT_PER_ENDPOINT: usize = 6;
/// Tokens of a full bucket: calls that may come at once after a quiet time.
const MAX_BURST: u32 = 20;
/// The time in which one token is added: five a second.
const TOKEN_INTERVAL: Duration = Duration::from_millis(200);
/// Second attempts that are possible without a success in between.
const MAX_RETRIES: u32 = 10;

/// The limits of one process; `K` is an endpoint.
#[derive(Debug)]
pub struct RateLimiter<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    in_flight: Semaphore,
    each: Mutex<HashMap<K, Arc<Semaphore>>>,
    rate: TokenBucket,
    waiting: AtomicUsize,
    retries: AtomicU32,
}

/// A token bucket: each call takes one token, and waits for it where the bucket is empty. First come, first served.
#[derive(Debug)]
struct TokenBucket {
    /// When the bucket is full again if no call comes. The lock is held by the caller whose turn it is, while it waits.
    full_at: tokio::sync::Mutex<Instant>,
}

/// Counted as long as it is there.
#[derive(Debug)]
struct Waiting<'a>(&'a AtomicUsize);

/// One call's place; dropped when the call has ended.
#[derive(Debug)]
pub struct Slot<'a> {
    rate: &'a TokenBucket,
    waiting: Option<Waiting<'a>>,
    _place: Option<SemaphorePermit<'a>>,
    _own: Option<OwnedSemaphorePermit>,
}

impl<K: Eq + Hash + Clone> RateLimiter<K> {
    /// Nothing is under way, and a burst is possible.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            each: Mutex::default(),
            rate: TokenBucket::full(),
            waiting: AtomicUsize::new(0),
            retries: AtomicU32::new(MAX_RETRIES),
        }))
    }

    /// Waits for a place, first come, first served.
    pub async fn acquire_slot(&self, endpoint: &K) -> Slot<'_> {
        let waiting = Some(Waiting::new(&self.0.waiting));
        let own = Arc::clone(
            self.each().entry(endpoint.clone()).or_insert_with(|| Arc::new(Semaphore::new(MAX_IN_FLIGHT_PER_ENDPOINT))),
        );
        // No semaphore is ever closed; if one were, the rate alone would limit.
        let own = own.acquire_owned().await.ok();
        let place = self.0.in_flight.acquire().await.ok();
        Slot { rate: &self.0.rate, waiting, _place: place, _own: own }
    }

    fn each(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        self.0.each.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait for a place now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Asks for a second attempt. They are few where nothing succeeds, so that an outage does not triple the calls.
    #[must_use]
    pub fn take_retry(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.0.retries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// A call succeeded, which earns a second attempt for another.
    pub fn record_success(&self) {
        let give = |left: u32| (left < MAX_RETRIES).then_some(left + 1);
        let _full = self.0.retries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }
}

impl Slot<'_> {
    /// Waits until the rate lets the call through. A place that is given back before has cost nobody anything.
    pub async fn wait_for_token(&mut self) {
        self.rate.acquire().await;
        self.waiting = None;
    }
}

impl TokenBucket {
    /// A bucket of [`MAX_BURST`] tokens.
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
    async fn twenty_at_once_and_then_five_a_second() {
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
    fn second_attempts_have_to_be_earned() {
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
    async fn no_more_than_eight_are_under_way_and_six_of_one_endpoint() {
        let limits = RateLimiter::<u8>::new();
        let mut passes = Vec::new();
        for endpoint in [1, 1, 1, 1, 1, 1, 2] {
            passes.push(limits.acquire_slot(&endpoint).await);
        }
        let soon = Duration::from_mins(1);
        let mut seventh = Box::pin(limits.acquire_slot(&1));
        assert!(tokio::time::timeout(soon, &mut seventh).await.is_err());
        // Another endpoint's turn comes all the same, and then there are eight.
        passes.push(tokio::time::timeout(soon, limits.acquire_slot(&3)).await.unwrap());
        let mut ninth = Box::pin(limits.acquire_slot(&4));
        assert!(tokio::time::timeout(soon, &mut ninth).await.is_err());
        assert_eq!(limits.waiting(), 10, "none of them has had its turn");
        drop((seventh, ninth));
        passes[0].wait_for_token().await;
        assert_eq!(limits.waiting(), 7);
        passes.pop();
        assert!(tokio::time::timeout(soon, limits.acquire_slot(&4)).await.is_ok());
    }
}
