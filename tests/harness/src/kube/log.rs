//! The log of what the API server has answered.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// One request that has been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// When, by the cluster's clock.
    pub at: SystemTime,
    /// `GET`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Username, if it was authenticated.
    pub user: Option<String>,
    /// HTTP status of the answer.
    pub code: u16,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Why it is a 401, which a real API server tells its own log alone.
    pub denied_because: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    served: Mutex<Vec<Served>>,
    changed: Condvar,
}

impl Log {
    pub(crate) fn add(&self, served: Served) {
        self.served().push(served);
        self.changed.notify_all();
    }

    pub(crate) fn all(&self) -> Vec<Served> {
        self.served().clone()
    }

    /// Says whether there are `n` within `timeout`.
    pub(crate) fn wait(&self, n: usize, timeout: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.served(), timeout, |served| served.len() < n);
        let (served, _timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        served.len() >= n
    }

    fn served(&self) -> MutexGuard<'_, Vec<Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
