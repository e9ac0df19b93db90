//! logind on a bus of the test's own, as its clients see it.

#![allow(clippy::used_underscore_binding)] // by what the macro makes: it reads every argument

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::blocking::fdo::DBusProxy;
use zbus::zvariant::{DynamicType, OwnedFd, OwnedObjectPath, Value};

use super::session_bus::SessionBus;

const SERVICE: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
/// The session of the test's user.
const OWN: &str = "/org/freedesktop/login1/session/_31";
/// The session of another user.
const FOREIGN: &str = "/org/freedesktop/login1/session/_32";

/// logind with a session of this user and one of another. Dropping it removes it from the bus.
pub struct Logind {
    state: Arc<State>,
    address: String,
    bus: Connection,
}

#[derive(Default)]
struct State {
    /// logind's end of each inhibitor that was taken.
    inhibitors: Mutex<Vec<UnixStream>>,
    inhibited: Condvar,
    refuses_inhibitors: AtomicBool,
    is_locked: AtomicBool,
}

struct Manager(Arc<State>);
struct Session(Arc<State>);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    #[allow(clippy::unused_self)] // the macro's
    fn list_sessions(&self) -> Vec<(String, u32, String, String, OwnedObjectPath)> {
        let own = rustix::process::geteuid().as_raw();
        let session = |id: &str, uid: u32, path: &str| {
            let path = OwnedObjectPath::try_from(path).expect("a valid path");
            (id.to_owned(), uid, format!("user{uid}"), "seat0".to_owned(), path)
        };
        vec![session("1", own, OWN), session("2", own + 1, FOREIGN)]
    }

    fn inhibit(&self, what: &str, _who: String, _why: String, mode: &str) -> zbus::fdo::Result<OwnedFd> {
        if (what, mode) != ("sleep", "delay") || self.0.refuses_inhibitors.load(Ordering::SeqCst) {
            return Err(zbus::fdo::Error::AccessDenied(format!("{what} {mode}")));
        }
        let (ours, theirs) = UnixStream::pair().map_err(|error| zbus::fdo::Error::Failed(error.to_string()))?;
        self.0.inhibitors().push(ours);
        self.0.inhibited.notify_all();
        Ok(std::os::fd::OwnedFd::from(theirs).into())
    }

    #[allow(clippy::unused_self)] // the macro's
    #[zbus(property)]
    fn preparing_for_sleep(&self) -> bool {
        false
    }
}

#[zbus::interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    fn locked_hint(&self) -> bool {
        self.0.is_locked.load(Ordering::SeqCst)
    }
}

impl State {
    fn inhibitors(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.inhibitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logind {
    /// Starts logind on this bus.
    pub fn on(bus: &SessionBus) -> Self {
        let (state, address) = (Arc::<State>::default(), bus.address().to_owned());
        let service = Builder::address(bus.address())
            .and_then(|bus| bus.serve_at(PATH, Manager(Arc::clone(&state))))
            .and_then(|bus| bus.serve_at(OWN, Session(Arc::clone(&state))))
            .and_then(|bus| bus.name(SERVICE));
        let bus = service.and_then(Builder::build).expect("the bus accepts a service");
        Self { state, address, bus }
    }

    /// Leaves the bus, as logind does when it stops.
    pub fn leave(&self) {
        self.bus.release_name(SERVICE).expect("it has the name");
    }

    /// Comes back after [`Logind::leave`].
    pub fn come_back(&self) {
        self.bus.request_name(SERVICE).expect("the name is free");
    }

    /// Refuses inhibitors from now on.
    pub fn refuse_inhibitors(&self) {
        self.state.refuses_inhibitors.store(true, Ordering::SeqCst);
    }

    /// Makes this bus the system bus of a command.
    pub fn set_address(&self, command: &mut Command) {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
    }

    /// Sends the signal of `loginctl lock-session` for the session of this user.
    pub fn lock_session(&self) {
        self.emit(OWN, SESSION, "Lock", &());
    }

    /// Sends that signal for the session of another user.
    pub fn lock_foreign_session(&self) {
        self.emit(FOREIGN, SESSION, "Lock", &());
    }

    /// Sets whether the screen of this user is locked, without a signal.
    pub fn set_locked_hint_silently(&self, is_locked: bool) {
        self.state.is_locked.store(is_locked, Ordering::SeqCst);
    }

    /// Sends that the screen locker of this user has locked the screen, or unlocked it.
    pub fn set_locked_hint(&self, is_locked: bool) {
        self.set_locked_hint_silently(is_locked);
        let changed = HashMap::from([("LockedHint", Value::Bool(is_locked))]);
        let body = (SESSION, changed, Vec::<&str>::new());
        self.emit(OWN, "org.freedesktop.DBus.Properties", "PropertiesChanged", &body);
    }

    /// Sends that the computer is about to sleep, or that it woke up.
    pub fn prepare_for_sleep(&self, begins: bool) {
        self.emit(PATH, MANAGER, "PrepareForSleep", &begins);
    }

    /// Sends the signal for the session of this user from a process that is not logind: to all, and `count` times to each
    /// connection of a process.
    pub fn forge_lock(&self, pid: u32, count: usize) {
        let stranger = Builder::address(self.address.as_str()).and_then(Builder::build).expect("the bus accepts it");
        stranger.emit_signal(None::<&str>, OWN, SESSION, "Lock", &()).expect("the bus accepts the signal");
        let dbus = DBusProxy::new(&stranger).expect("the bus has this service");
        for name in dbus.list_names().expect("the bus has names") {
            if dbus.get_connection_unix_process_id(name.as_ref()).ok() == Some(pid) {
                for _ in 0..count {
                    let sent = stranger.emit_signal(Some(name.as_ref()), OWN, SESSION, "Lock", &());
                    sent.expect("the bus accepts the signal");
                }
            }
        }
    }

    /// Waits until `count` inhibitors were taken in all. Panics after `limit` of real time.
    #[track_caller]
    pub fn wait_for_inhibitors(&self, count: usize, limit: Duration) {
        let is_missing = |taken: &mut Vec<UnixStream>| taken.len() < count;
        let waited = self.state.inhibited.wait_timeout_while(self.state.inhibitors(), limit, is_missing);
        let (taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(taken.len() >= count, "{} inhibitors within {limit:?}, not {count}", taken.len());
    }

    /// Waits until the `nth` inhibitor, from 1, is closed: then the computer may sleep. Panics after `limit` of real time.
    #[track_caller]
    pub fn wait_for_release(&self, nth: usize, limit: Duration) {
        let mut inhibitor = {
            let taken = self.state.inhibitors();
            taken.get(nth - 1).expect("it was taken").try_clone().expect("a descriptor is left")
        };
        inhibitor.set_read_timeout(Some(limit)).expect("a timeout is accepted");
        let read = inhibitor.read(&mut [0]);
        assert!(matches!(read, Ok(0)), "the inhibitor is not closed within {limit:?}: {read:?}");
    }

    fn emit(&self, path: &str, interface: &str, signal: &str, body: &(impl serde::Serialize + DynamicType)) {
        self.bus.emit_signal(None::<&str>, path, interface, signal, body).expect("the bus accepts the signal");
    }
}

impl fmt::Debug for Logind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logind").field("address", &self.address).finish_non_exhaustive()
    }
}
