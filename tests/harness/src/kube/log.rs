//! The log of the requests to an API server.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A request that the API server has responded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Time of the response, by the cluster's clock.
    pub at: SystemTime,
    /// `GET`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Username, if the request was authenticated.
    pub user: Option<String>,
    /// HTTP status of the response.
    pub code: u16,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Reason of a 401. A real API server writes it to its own log only.
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

    /// Waits until the log has `n` entries. Returns `false` after `timeout`.
    pub(crate) fn wait(&self, n: usize, timeout: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.served(), timeout, |served| served.len() < n);
        let (served, _timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        served.len() >= n
    }

    fn served(&self) -> MutexGuard<'_, Vec<Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
