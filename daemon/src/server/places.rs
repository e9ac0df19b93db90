//! The places for connections (L3): one process cannot take them all, and a connection that sends nothing makes room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Connections of one process at the same time. A client has one.
const MAX_PER_PROCESS: usize = 64;

/// The places of a server.
pub(super) struct Places {
    limit: usize,
    open: Mutex<Open>,
}

/// The open connections, by number: a lower number is an older connection.
#[derive(Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

struct Connection {
    /// The process at the other end. `None` if the system does not say, for example for a process in a container.
    pid: Option<i32>,
    /// Whether a whole request has arrived, with its body.
    has_request: bool,
    evicted: CancellationToken,
}

/// The place of one connection. Dropping it makes the place free.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    evicted: CancellationToken,
}

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// Returns a place for a connection of the process. If its process has 64, or all are taken, the oldest connection that
    /// has sent no request loses its place. Returns `None` if there is no such connection.
    pub(super) fn take(self: &Arc<Self>, pid: Option<i32>) -> Option<Place> {
        let mut open = self.open();
        let own = |connection: &Connection| pid.is_some() && connection.pid == pid;
        if open.connections.values().filter(|connection| own(connection)).count() >= MAX_PER_PROCESS {
            open.evict_oldest(own)?;
        } else if open.connections.len() >= self.limit {
            open.evict_oldest(|_| true)?;
        }
        let (number, evicted) = (open.next, CancellationToken::new());
        open.next += 1;
        open.connections.insert(number, Connection { pid, has_request: false, evicted: evicted.clone() });
        Some(Place { places: Arc::clone(self), number, evicted })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Evicts the oldest of these connections that has sent no request.
    fn evict_oldest(&mut self, is_candidate: impl Fn(&Connection) -> bool) -> Option<()> {
        let mut silent = self.connections.iter().filter(|(_, connection)| !connection.has_request);
        let number = *silent.find(|(_, connection)| is_candidate(connection))?.0;
        self.connections.remove(&number)?.evicted.cancel();
        Some(())
    }
}

impl Place {
    /// Keeps the place until the connection ends: a request has arrived.
    pub(super) fn keep(&self) {
        if let Some(connection) = self.places.open().connections.get_mut(&self.number) {
            connection.has_request = true;
        }
    }

    /// Waits until another connection got this place.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_many(places: &Arc<Places>, pid: i32, count: usize) -> Vec<Place> {
        (0..count).map(|_| places.take(Some(pid)).unwrap()).collect()
    }

    /// Fault matrix row 23.
    #[test]
    fn process_has_64_places_at_most() {
        let places = Places::new(100);
        let own = take_many(&places, 7, MAX_PER_PROCESS);
        own.iter().for_each(Place::keep);
        assert!(places.take(Some(7)).is_none());
        assert!(places.take(Some(8)).is_some());
        drop(own);
        assert!(places.take(Some(7)).is_some());
    }

    /// Fault matrix row 23.
    #[test]
    fn oldest_connection_without_request_is_evicted() {
        let places = Places::new(3);
        let held = take_many(&places, 7, 3);
        held[0].keep();
        let new = places.take(Some(8)).unwrap();
        assert!(!held[0].evicted.is_cancelled() && held[1].evicted.is_cancelled() && !held[2].evicted.is_cancelled());
        held[2].keep();
        new.keep();
        assert!(places.take(Some(8)).is_none(), "no connection is without a request");
        drop(held);
        let after: Vec<_> = (0..2).map(|_| places.take(Some(9)).unwrap()).collect();
        assert!(!new.evicted.is_cancelled() && after.iter().all(|place| !place.evicted.is_cancelled()));
    }

    #[test]
    fn process_over_its_limit_evicts_only_its_own() {
        let places = Places::new(100);
        let other = places.take(Some(8)).unwrap();
        let own = take_many(&places, 7, MAX_PER_PROCESS + 1);
        assert!(own[0].evicted.is_cancelled() && !other.evicted.is_cancelled());
        assert!(own[1..].iter().all(|place| !place.evicted.is_cancelled()));
    }

    #[test]
    fn unknown_processes_do_not_share_a_limit() {
        let places = Places::new(100);
        let held: Vec<_> = (0..=MAX_PER_PROCESS).map(|_| places.take(None).unwrap()).collect();
        assert!(held.iter().all(|place| !place.evicted.is_cancelled()));
    }
}
