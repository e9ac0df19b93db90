//! What locks the agent with the desktop: logind reports the lock of the screen and the sleep of the computer on Linux.
//!
//! GNOME, Plasma and xss-lock set `LockedHint` of their session when they lock the screen; `loginctl lock-session` sends the signal
//! `Lock`. Before sleep, logind waits for those that hold an inhibitor lock of mode `delay`, for at most 5 s by default.

use rolecall_core::lock::AutoLockReason;

/// What happens on the desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesktopEvent {
    /// A reason to lock.
    Lock(AutoLockReason),
    /// logind left the bus or came back, or the computer woke up.
    Changed,
}

/// Why the desktop cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    /// The bus or logind does not answer.
    #[error("logind cannot be reached: {0}")]
    Bus(String),
    /// logind does not run.
    #[error("logind cannot be reached: it is not on the system bus")]
    Absent,
    /// The bus closed the connection.
    #[error("logind cannot be reached: the system bus closed the connection")]
    Closed,
    /// Only Linux is supported.
    #[error("this system is not supported")]
    Unsupported,
}

#[cfg(target_os = "linux")]
pub use logind::Desktop;
#[cfg(not(target_os = "linux"))]
pub use unsupported::Desktop;

#[cfg(target_os = "linux")]
mod logind {
    use std::collections::HashMap;
    use std::time::Duration;

    use futures_util::StreamExt as _;
    use rolecall_core::config::LockRules;
    use rolecall_core::lock::AutoLockReason;
    use zbus::connection::Builder;
    use zbus::message::{Message, Type};
    use zbus::names::OwnedUniqueName;
    use zbus::zvariant::{DynamicType, OwnedFd, OwnedObjectPath, OwnedValue, Value};
    use zbus::{Connection, MatchRule, MessageStream};

    use crate::desktop_lock::{DesktopError, DesktopEvent};

    const BUS: &str = "org.freedesktop.DBus";
    const BUS_PATH: &str = "/org/freedesktop/DBus";
    const NO_OWNER: &str = "org.freedesktop.DBus.Error.NameHasNoOwner";
    const SERVICE: &str = "org.freedesktop.login1";
    const PATH: &str = "/org/freedesktop/login1";
    const MANAGER: &str = "org.freedesktop.login1.Manager";
    const SESSION: &str = "org.freedesktop.login1.Session";
    const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
    /// How long a call may take.
    const CALL_TIMEOUT: Duration = Duration::from_secs(5);
    /// How many messages wait. Any process may send some, while the subscriptions are made.
    const MAX_WAITING: usize = 1024;

    /// id, uid, user, seat, path.
    type SessionRow = (String, u32, String, String, OwnedObjectPath);

    /// Two connections to the bus. Signals of other processes fill the queue of the first alone.
    pub struct Desktop {
        rules: LockRules,
        signals: MessageStream,
        calls: Connection,
        /// The connection that has logind's name: any process can send a signal, with any content.
        logind: Option<OwnedUniqueName>,
        /// Reasons that were there before the signals.
        found: Vec<AutoLockReason>,
        /// Delays sleep until it is closed.
        inhibitor: Option<OwnedFd>,
        /// An inhibitor that is closed once the agent is locked.
        ending_inhibitor: Option<OwnedFd>,
        /// Why logind does not delay sleep, if it does not.
        sleep_error: Option<DesktopError>,
    }

    impl From<zbus::Error> for DesktopError {
        fn from(error: zbus::Error) -> Self {
            Self::Bus(error.to_string())
        }
    }

    impl Desktop {
        /// Connects to the bus. If logind is there, delays sleep if `on_sleep` is set.
        pub async fn connect(rules: LockRules) -> Result<Self, DesktopError> {
            let (signals, calls) = (connection().await?, connection().await?);
            let stream = MessageStream::from(&signals);
            subscribe(&signals).await?;
            let logind = owner(&calls).await?;
            let mut desktop = Self {
                rules,
                signals: stream,
                calls,
                logind,
                found: Vec::new(),
                inhibitor: None,
                ending_inhibitor: None,
                sleep_error: None,
            };
            if desktop.is_followed() {
                desktop.begin().await?;
            }
            Ok(desktop)
        }

        /// Returns whether logind is on the bus.
        pub const fn is_followed(&self) -> bool {
            self.logind.is_some()
        }

        /// Returns why sleep does not wait for the lock, if it does not.
        pub const fn sleep_error(&self) -> Option<&DesktopError> {
            self.sleep_error.as_ref()
        }

        /// Waits for the next event. The caller locks before it calls this again: then the computer may sleep.
        pub async fn next_event(&mut self) -> Result<DesktopEvent, DesktopError> {
            drop(self.ending_inhibitor.take());
            loop {
                if let Some(reason) = self.found.pop() {
                    return Ok(DesktopEvent::Lock(reason));
                }
                let message = self.signals.next().await.ok_or(DesktopError::Closed)??;
                let header = message.header();
                let event = match header.sender() {
                    Some(sender) if *sender == BUS => self.follow_owner(&message).await?,
                    Some(sender) if self.logind.as_ref().is_some_and(|logind| logind == sender) => {
                        self.event(&message).await
                    }
                    _ => None,
                };
                if let Some(event) = event {
                    return Ok(event);
                }
            }
        }

        /// logind left the bus or came back: it has another connection after its restart.
        async fn follow_owner(&mut self, message: &Message) -> Result<Option<DesktopEvent>, DesktopError> {
            let body = message.body();
            let Ok((SERVICE, _, owner)) = body.deserialize::<(&str, &str, &str)>() else { return Ok(None) };
            self.logind = OwnedUniqueName::try_from(owner).ok();
            if self.is_followed() {
                self.begin().await?;
            }
            Ok(Some(DesktopEvent::Changed))
        }

        /// Delays sleep, and finds what happened before the signals: a locked screen, or a sleep that begins.
        async fn begin(&mut self) -> Result<(), DesktopError> {
            self.delay_sleep().await;
            if self.rules.on_sleep && self.is_set(PATH, MANAGER, "PreparingForSleep").await? {
                self.found.push(AutoLockReason::Sleep);
            }
            if self.rules.on_screen_lock {
                for session in self.own_sessions().await? {
                    if self.is_set(&session, SESSION, "LockedHint").await? {
                        self.found.push(AutoLockReason::ScreenLock);
                    }
                }
            }
            Ok(())
        }

        async fn event(&mut self, signal: &Message) -> Option<DesktopEvent> {
            let header = signal.header();
            let (path, interface, member) = (header.path()?, header.interface()?, header.member()?);
            match (interface.as_str(), member.as_str()) {
                (MANAGER, "PrepareForSleep") if self.rules.on_sleep => self.sleep(signal).await,
                (SESSION, "Lock") if self.rules.on_screen_lock => self.lock_of_own(path.as_str()).await,
                (PROPERTIES, "PropertiesChanged") if self.rules.on_screen_lock && says_locked(signal) => {
                    self.lock_of_own(path.as_str()).await
                }
                _ => None,
            }
        }

        /// The signal says true before sleep and false after it.
        async fn sleep(&mut self, signal: &Message) -> Option<DesktopEvent> {
            if signal.body().deserialize().ok()? {
                self.ending_inhibitor = self.inhibitor.take();
                return Some(DesktopEvent::Lock(AutoLockReason::Sleep));
            }
            self.delay_sleep().await;
            Some(DesktopEvent::Changed)
        }

        /// A lock, if the session belongs to this user or logind does not say whose it is.
        async fn lock_of_own(&self, path: &str) -> Option<DesktopEvent> {
            let is_own = match self.own_sessions().await {
                Ok(sessions) => sessions.iter().any(|session| session.as_str() == path),
                Err(error) => {
                    tracing::warn!(%error, "logind does not say whose session is locked, so the agent locks");
                    true
                }
            };
            is_own.then_some(DesktopEvent::Lock(AutoLockReason::ScreenLock))
        }

        async fn own_sessions(&self) -> Result<Vec<OwnedObjectPath>, DesktopError> {
            let reply = self.call(PATH, MANAGER, "ListSessions", &()).await?;
            let sessions: Vec<SessionRow> = reply.body().deserialize()?;
            let own = rustix::process::geteuid().as_raw();
            Ok(sessions.into_iter().filter(|(_, uid, ..)| *uid == own).map(|(.., path)| path).collect())
        }

        /// Takes an inhibitor, if `on_sleep` is set. Without one, the computer may sleep before the agent is locked.
        async fn delay_sleep(&mut self) {
            if !self.rules.on_sleep {
                return;
            }
            let request = ("sleep", "Rolecall", "Sessions are dropped before sleep", "delay");
            let reply = self.call(PATH, MANAGER, "Inhibit", &request).await;
            match reply.and_then(|reply| Ok(reply.body().deserialize()?)) {
                Ok(inhibitor) => (self.inhibitor, self.sleep_error) = (Some(inhibitor), None),
                Err(error) => self.sleep_error = Some(error),
            }
        }

        async fn is_set(&self, path: &str, interface: &str, property: &str) -> Result<bool, DesktopError> {
            let reply = self.call(path, PROPERTIES, "Get", &(interface, property)).await?;
            let value: OwnedValue = reply.body().deserialize()?;
            Ok(matches!(&*value, Value::Bool(true)))
        }

        async fn call(
            &self,
            path: &str,
            interface: &str,
            method: &str,
            body: &(impl serde::Serialize + DynamicType),
        ) -> Result<Message, DesktopError> {
            Ok(self.calls.call_method(Some(SERVICE), path, Some(interface), method, body).await?)
        }
    }

    /// The connection that has logind's name.
    async fn owner(bus: &Connection) -> Result<Option<OwnedUniqueName>, DesktopError> {
        let call = bus.call_method(Some(BUS), BUS_PATH, Some(BUS), "GetNameOwner", &SERVICE);
        match call.await {
            Ok(reply) => Ok(Some(reply.body().deserialize()?)),
            Err(zbus::Error::MethodError(name, ..)) if name == NO_OWNER => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn connection() -> Result<Connection, DesktopError> {
        let building = Builder::system()?.method_timeout(CALL_TIMEOUT).max_queued(MAX_WAITING).build();
        let timed_out = |_| DesktopError::Bus("the system bus does not answer".to_owned());
        Ok(tokio::time::timeout(CALL_TIMEOUT, building).await.map_err(timed_out)??)
    }

    /// Subscribes to logind's signals, and to changes of the connection that has its name.
    async fn subscribe(bus: &Connection) -> Result<(), DesktopError> {
        let of_logind = MatchRule::builder().msg_type(Type::Signal).sender(SERVICE)?.build();
        let of_owner = MatchRule::builder().msg_type(Type::Signal).sender(BUS)?.member("NameOwnerChanged")?;
        let of_owner = of_owner.arg(0, SERVICE)?.build();
        for rule in [of_logind, of_owner] {
            bus.call_method(Some(BUS), BUS_PATH, Some(BUS), "AddMatch", &rule.to_string()).await?;
        }
        Ok(())
    }

    /// Whether a signal says that the screen of a session is now locked.
    fn says_locked(signal: &Message) -> bool {
        let body = signal.body();
        let changed: Result<(&str, HashMap<&str, Value<'_>>, Vec<&str>), _> = body.deserialize();
        changed.is_ok_and(|(interface, changed, _)| {
            interface == SESSION && matches!(changed.get("LockedHint"), Some(Value::Bool(true)))
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod unsupported {
    use rolecall_core::config::LockRules;

    use crate::desktop_lock::{DesktopError, DesktopEvent};

    /// No connection.
    pub struct Desktop(std::convert::Infallible);

    impl Desktop {
        /// Always an error.
        #[allow(clippy::unused_async)] // as on Linux
        pub async fn connect(_: LockRules) -> Result<Self, DesktopError> {
            Err(DesktopError::Unsupported)
        }

        /// Never called.
        pub const fn is_followed(&self) -> bool {
            match self.0 {}
        }

        /// Never called.
        pub const fn sleep_error(&self) -> Option<&DesktopError> {
            match self.0 {}
        }

        /// Never called.
        #[allow(clippy::unused_async)] // as on Linux
        pub async fn next_event(&mut self) -> Result<DesktopEvent, DesktopError> {
            match self.0 {}
        }
    }
}
