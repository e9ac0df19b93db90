//! Retries what failed when its cause may be gone: after a login, a change of AWS's files, or a change of the network.

use std::sync::Arc;

use rolecall_protocol::EventKind;

use super::event_bus::EventBus;
use super::lock::LockService;
use crate::renew::Renewer;
use crate::sessions::Sessions;

/// Clears failures.
pub struct Recovery {
    pub(crate) lock: Arc<LockService>,
    pub(crate) sessions: Sessions,
    pub(crate) renewer: Renewer,
    pub(crate) events: EventBus,
}

impl Recovery {
    /// Clears failures of the network: the machine woke up, its clock was set, or its network changed.
    pub fn system_changed(&self) {
        self.lock.lock_if_due();
        self.sessions.clear_network_failures();
        self.renewer.system_changed();
        self.events.publish(EventKind::Machine);
    }

    /// Clears failures of sources: AWS's own files or the OS keyring changed.
    pub fn sources_changed(&self) {
        self.sessions.aws_files_changed();
        self.retry(EventKind::Plan);
    }

    /// Clears failures that needed a login.
    pub(super) fn logged_in(&self) {
        self.sessions.clear_login_failures();
        self.retry(EventKind::Plan);
    }

    fn retry(&self, cause: EventKind) {
        self.renewer.failures_cleared();
        self.events.publish(cause);
    }
}
