//! What locks the agent with the desktop: logind reports the lock of the screen and the sleep of the computer on Linux.
//!
//! Screen lockers set `LockedHint` of their session (GNOME, Plasma), or wait for the signal `Lock` of `loginctl lock-session`
//! (xss-lock, swayidle). Before sleep, logind waits for those that hold an inhibitor lock of mode `delay`, for at most 5 s by default.

/// Why the desktop cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    /// The bus cannot be reached, or logind is not there.
    #[error("logind cannot be reached: {0}")]
    Bus(String),
    /// The bus closed the connection.
    #[error("the system bus closed the connection")]
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
    use zbus::fdo::DBusProxy;
    use zbus::message::{Message, Type};
    use zbus::names::{BusName, OwnedUniqueName};
    use zbus::zvariant::{DynamicType, ObjectPath, OwnedFd, OwnedObjectPath, Value};
    use zbus::{Connection, MatchRule, MessageStream};

    use crate::desktop_lock::DesktopError;

    const SERVICE: &str = "org.freedesktop.login1";
    const PATH: &str = "/org/freedesktop/login1";
    const MANAGER: &str = "org.freedesktop.login1.Manager";
    const SESSION: &str = "org.freedesktop.login1.Session";
    const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
    /// How long a call may take.
    const CALL_TIMEOUT: Duration = Duration::from_secs(5);

    /// id, uid, user, seat, path.
    type SessionRow = (String, u32, String, String, OwnedObjectPath);

    /// A connection to logind.
    pub struct Desktop {
        rules: LockRules,
        bus: Connection,
        signals: MessageStream,
        /// The connection of logind: any process can send a signal, with any content.
        logind: OwnedUniqueName,
        /// Delays sleep until it is closed.
        inhibitor: Option<OwnedFd>,
        /// An inhibitor that is closed once the agent is locked.
        ending_inhibitor: Option<OwnedFd>,
    }

    impl From<zbus::Error> for DesktopError {
        fn from(error: zbus::Error) -> Self {
            Self::Bus(error.to_string())
        }
    }

    impl Desktop {
        /// Connects to logind, and delays sleep if `on_sleep` is set.
        pub async fn connect(rules: LockRules) -> Result<Self, DesktopError> {
            let building = Builder::system()?.method_timeout(CALL_TIMEOUT).build();
            let timed_out = |_| DesktopError::Bus("the system bus does not answer".to_owned());
            let bus = tokio::time::timeout(CALL_TIMEOUT, building).await.map_err(timed_out)??;
            let rule = MatchRule::builder().msg_type(Type::Signal).sender(SERVICE)?.build();
            let signals = MessageStream::for_match_rule(rule, &bus, None).await?;
            let logind = owner(&bus).await?;
            let mut desktop = Self { rules, bus, signals, logind, inhibitor: None, ending_inhibitor: None };
            if rules.on_sleep {
                desktop.delay_sleep().await;
            }
            Ok(desktop)
        }

        /// Waits for the next reason to lock. The caller locks before it calls this again: then the computer may sleep.
        pub async fn next_reason(&mut self) -> Result<AutoLockReason, DesktopError> {
            drop(self.ending_inhibitor.take());
            loop {
                let signal = self.signals.next().await.ok_or(DesktopError::Closed)??;
                if self.is_from_logind(&signal).await?
                    && let Some(reason) = self.reason(&signal).await
                {
                    return Ok(reason);
                }
            }
        }

        /// Whether logind sent the signal. Its connection is a new one after its restart.
        async fn is_from_logind(&mut self, signal: &Message) -> Result<bool, DesktopError> {
            let header = signal.header();
            let Some(sender) = header.sender() else { return Ok(false) };
            if self.logind != *sender {
                self.logind = owner(&self.bus).await?;
            }
            Ok(self.logind == *sender)
        }

        async fn reason(&mut self, signal: &Message) -> Option<AutoLockReason> {
            let header = signal.header();
            let (path, interface, member) = (header.path()?, header.interface()?, header.member()?);
            match (interface.as_str(), member.as_str()) {
                (MANAGER, "PrepareForSleep") if self.rules.on_sleep => self.sleep(signal).await,
                (SESSION, "Lock") if self.rules.on_screen_lock => self.lock_of_own(path).await,
                (PROPERTIES, "PropertiesChanged") if self.rules.on_screen_lock && says_locked(signal) => {
                    self.lock_of_own(path).await
                }
                _ => None,
            }
        }

        /// The signal says true before sleep and false after it.
        async fn sleep(&mut self, signal: &Message) -> Option<AutoLockReason> {
            if signal.body().deserialize().ok()? {
                self.ending_inhibitor = self.inhibitor.take();
                return Some(AutoLockReason::Sleep);
            }
            self.delay_sleep().await;
            None
        }

        /// The reason, if the session belongs to this user or logind does not say whose it is.
        async fn lock_of_own(&self, path: &ObjectPath<'_>) -> Option<AutoLockReason> {
            let own = rustix::process::geteuid().as_raw();
            let is_own = |(_, uid, _, _, found): &SessionRow| *uid == own && found.as_str() == path.as_str();
            let listed = self.call("ListSessions", &()).await;
            let is_locked = match listed.and_then(|reply| Ok(reply.body().deserialize::<Vec<SessionRow>>()?)) {
                Ok(sessions) => sessions.iter().any(is_own),
                Err(error) => {
                    tracing::warn!(%error, "logind does not say whose session is locked, so the agent locks");
                    true
                }
            };
            is_locked.then_some(AutoLockReason::ScreenLock)
        }

        /// Takes an inhibitor. Without one, the computer may sleep before the agent is locked.
        async fn delay_sleep(&mut self) {
            let request = ("sleep", "Rolecall", "Sessions are dropped before sleep", "delay");
            let reply = self.call("Inhibit", &request).await;
            match reply.and_then(|reply| Ok(reply.body().deserialize()?)) {
                Ok(inhibitor) => self.inhibitor = Some(inhibitor),
                Err(error) => tracing::info!(%error, "sleep is not delayed for the lock"),
            }
        }

        async fn call(
            &self,
            method: &str,
            body: &(impl serde::Serialize + DynamicType),
        ) -> Result<Message, DesktopError> {
            Ok(self.bus.call_method(Some(SERVICE), PATH, Some(MANAGER), method, body).await?)
        }
    }

    /// The connection that has logind's name.
    async fn owner(bus: &Connection) -> Result<OwnedUniqueName, DesktopError> {
        let dbus = DBusProxy::new(bus).await?;
        let name = BusName::try_from(SERVICE).map_err(zbus::Error::from)?;
        dbus.get_name_owner(name).await.map_err(|error| zbus::Error::from(error).into())
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
    use rolecall_core::lock::AutoLockReason;

    use crate::desktop_lock::DesktopError;

    /// No connection.
    pub struct Desktop(std::convert::Infallible);

    impl Desktop {
        /// Always an error.
        #[allow(clippy::unused_async)] // as on Linux
        pub async fn connect(_: LockRules) -> Result<Self, DesktopError> {
            Err(DesktopError::Unsupported)
        }

        /// Never called.
        #[allow(clippy::unused_async)] // as on Linux
        pub async fn next_reason(&mut self) -> Result<AutoLockReason, DesktopError> {
            match self.0 {}
        }
    }
}
