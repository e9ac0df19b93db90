//! How fast STS is called, whoever asks: the quota is the account's, and everybody in it shares it (B5).

use std::sync::Arc;
use std::time::Duration;

use leaky_bucket::RateLimiter;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Calls under way at once.
const IN_FLIGHT: usize = 8;
/// Calls that may come at once after a quiet time.
const BURST: usize = 20;
/// One more each: five a second.
const INTERVAL: Duration = Duration::from_millis(200);

/// The limits of one process.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    flights: Semaphore,
    rate: RateLimiter,
}

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
        Self(Arc::new(Inner { flights: Semaphore::new(IN_FLIGHT), rate }))
    }

    /// Waits for a place, first come, first served.
    pub async fn pass(&self) -> Pass<'_> {
        // The semaphore is never closed; if it were, the rate alone would limit.
        let place = self.0.flights.acquire().await.ok();
        self.0.rate.acquire_one().await;
        Pass { _place: place }
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

    #[tokio::test(start_paused = true)]
    async fn no_more_than_eight_are_under_way() {
        let limits = Limits::new();
        let mut passes = Vec::new();
        for _ in 0..IN_FLIGHT {
            passes.push(limits.pass().await);
        }
        assert!(tokio::time::timeout(Duration::from_mins(1), limits.pass()).await.is_err());
        passes.pop();
        assert!(tokio::time::timeout(Duration::from_mins(1), limits.pass()).await.is_ok());
    }
}
