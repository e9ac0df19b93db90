//! Events that concern the whole agent, for clients that watch it.

use rolecall_protocol::EventKind;
use tokio::sync::broadcast;

/// How many events a watcher may be behind before it misses some.
const MAX_PENDING_EVENTS: usize = 64;

/// Publishes events. Clones publish to the same watchers.
#[derive(Debug, Clone)]
pub(crate) struct EventBus(broadcast::Sender<EventKind>);

impl EventBus {
    /// Delivers an event to each watcher; without one it is dropped.
    pub(super) fn publish(&self, event: EventKind) {
        drop(self.0.send(event));
    }

    /// Returns the events from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<EventKind> {
        self.0.subscribe()
    }
}

impl Default for EventBus {
    fn default() -> Self {
        Self(broadcast::channel(MAX_PENDING_EVENTS).0)
    }
}
