//! How fast STS is called, whoever asks: the quota is the account's, and everybody in it shares it (B5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use leaky_bucket::RateLimiter;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Calls under way at once.
const IN_FLIGHT: usize = 8;
/// Calls that may come at once after a quiet time.
const BURST: usize = 20;
/// One more each: five a second.
const INTERVAL: Duration = Duration::from_millis(200);
/// Second attempts that are possible without a success in between.
const RETRIES: u32 = 10;

/// The limits of one process.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    flights: Semaphore,
    rate: RateLimiter,
    waiting: AtomicUsize,
    retries: AtomicU32,
}

/// Counted as long as it is there.
struct Waiting<'a>(&'a AtomicUsize);

/// One call's place; dropped when the call has ended.
#[derive(Debug)]
pub struct Pass<'a> {
    _place: Option<SemaphorePermit<'a>>,
}

impl Limits {
    /// Nothing is under way, and a burst is possible.
    #[must_use]
    pub fn new() -> Self {
        let rate = RateLimiter::builder().max(BURST).initial(BURST).refill(1).interval(INTERVAL).build();
        Self(Arc::new(Inner {
            flights: Semaphore::new(IN_FLIGHT),
            rate,
            waiting: AtomicUsize::new(0),
            retries: AtomicU32::new(RETRIES),
        }))
    }

    /// Waits for a place, first come, first served.
    pub async fn pass(&self) -> Pass<'_> {
        let _waiting = Waiting::new(&self.0.waiting);
        // The semaphore is never closed; if it were, the rate alone would limit.
        let place = self.0.flights.acquire().await.ok();
        self.0.rate.acquire_one().await;
        Pass { _place: place }
    }

    /// How many wait for a place now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Asks for a second attempt. They are few where nothing succeeds, so that an outage does not triple the calls.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.0.retries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// A call succeeded, which earns a second attempt for another.
    pub fn succeeded(&self) {
        let give = |left: u32| (left < RETRIES).then_some(left + 1);
        let _full = self.0.retries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
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

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn twenty_at_once_and_then_five_a_second() {
        let limits = Limits::new();
        let begin = Instant::now();
        for _ in 0..BURST {
            drop(limits.pass().await);
        }
        assert!(begin.elapsed() < INTERVAL);
        for _ in 0..10 {
            drop(limits.pass().await);
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(1800) && took <= Duration::from_millis(2200), "{took:?}");
    }

    #[test]
    fn second_attempts_have_to_be_earned() {
        let limits = Limits::new();
        assert!((0..RETRIES).all(|_| limits.may_retry()));
        assert!(!limits.may_retry());
        limits.succeeded();
        assert!(limits.may_retry());
        assert!(!limits.may_retry());
        (0..2 * RETRIES).for_each(|_| limits.succeeded());
        assert_eq!((0..2 * RETRIES).filter(|_| limits.may_retry()).count(), RETRIES as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_eight_are_under_way() {
        let limits = Limits::new();
        let mut passes = Vec::new();
        for _ in 0..IN_FLIGHT {
            passes.push(limits.pass().await);
        }
        let mut ninth = Box::pin(limits.pass());
        assert!(tokio::time::timeout(Duration::from_mins(1), &mut ninth).await.is_err());
        assert_eq!(limits.waiting(), 1);
        drop(ninth);
        assert_eq!(limits.waiting(), 0);
        passes.pop();
        assert!(tokio::time::timeout(Duration::from_mins(1), limits.pass()).await.is_ok());
    }
}
