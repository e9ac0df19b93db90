//! A desktop notification service, as its clients see it.

#![allow(clippy::used_underscore_binding)] // by what the macro makes: it reads every argument

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::zvariant::OwnedValue;

use super::session_bus::SessionBus;

const SERVICE: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// A notification service on a session bus that records what it receives. Dropping it removes it from the bus.
pub struct Notifications {
    shown: Arc<Shown>,
    _bus: Connection,
}

/// Summary and body of each notification.
#[derive(Default)]
struct Shown(Mutex<Vec<(String, String)>>, Condvar);

struct Service(Arc<Shown>);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Service {
    #[allow(clippy::too_many_arguments)] // the specification's
    fn notify(
        &self,
        _application: String,
        _replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let mut shown = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.push((summary, body));
        self.0.1.notify_all();
        u32::try_from(shown.len()).unwrap_or(u32::MAX)
    }
}

impl Notifications {
    /// Starts a service that responds.
    pub fn on(bus: &SessionBus) -> Self {
        let shown = Arc::<Shown>::default();
        let service = Builder::address(bus.address())
            .and_then(|bus| bus.serve_at(PATH, Service(Arc::clone(&shown))))
            .and_then(|bus| bus.name(SERVICE));
        let bus = service.and_then(Builder::build).expect("the bus accepts a service");
        Self { shown, _bus: bus }
    }

    /// Starts a service that owns its name and never responds.
    pub fn unresponsive(bus: &SessionBus) -> Self {
        // Without an object, calls get no response.
        let service = Builder::address(bus.address()).and_then(|bus| bus.name(SERVICE));
        let bus = service.and_then(Builder::build).expect("the bus accepts a service");
        Self { shown: Arc::default(), _bus: bus }
    }

    /// Returns summary and body of each notification so far.
    pub fn shown(&self) -> Vec<(String, String)> {
        self.shown.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for at least `count` notifications and returns all. Panics after `limit` of real time.
    #[track_caller]
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<(String, String)> {
        let shown = self.shown.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shown.1.wait_timeout_while(shown, limit, |shown| shown.len() < count);
        let (shown, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(shown.len() >= count, "fewer than {count} notifications within {limit:?}: {shown:?}");
        shown.clone()
    }
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").field("shown", &self.shown()).finish_non_exhaustive()
    }
}
