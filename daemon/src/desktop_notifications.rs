//! Notifications on the person's desktop, over the session bus.
//!
//! They are a courtesy: where there is no desktop nothing is missing, and one that hangs holds up nobody. So each is shown by
//! a thread of its own, nobody waits longer than [`PATIENCE`] for it, and there is one such thread at most.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rolecall_protocol::sanitize_for_terminal;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a desktop may take.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long one that is not there, or does not answer, is left alone.
const REST: Duration = Duration::from_mins(1);

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What has happened, in a few words.
    pub summary: String,
    /// What to do.
    pub body: String,
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It is on the screen, or may come to be there: not once more.
    Yes,
    /// It is not.
    No,
}

/// Shows notifications. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Notifier(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether there is a thread that has not come back.
    is_busy: bool,
    /// Whether there was no desktop the last time.
    is_off: bool,
    /// Until when it is left alone.
    rests: Option<Instant>,
}

impl Notification {
    /// In our own words.
    #[must_use]
    pub fn new(summary: &str, body: &str) -> Self {
        Self { summary: sanitize_for_terminal(summary), body: sanitize_for_terminal(body) }
    }
}

impl Notifier {
    /// Shows it, if there is a desktop.
    pub async fn show(&self, notification: Notification) -> Shown {
        self.show_by(move |sent| platform::send(&notification, sent)).await
    }

    /// Has a thread do it. It sets the flag when the desktop is about to be told.
    async fn show_by(&self, send: impl FnOnce(&AtomicBool) -> Result<(), String> + Send + 'static) -> Shown {
        if !self.begin() {
            return Shown::No;
        }
        let (tell, told) = oneshot::channel();
        let is_sent = Arc::new(AtomicBool::new(false));
        let (notifier, flag) = (self.clone(), Arc::clone(&is_sent));
        let work = move || {
            let done = send(&flag);
            notifier.state().is_busy = false;
            drop(tell.send(done));
        };
        if let Err(error) = thread::Builder::new().name("notify".to_owned()).spawn(work) {
            self.state().is_busy = false;
            return self.off(&error.to_string());
        }
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(Ok(()))) => {
                self.state().is_off = false;
                Shown::Yes
            }
            Ok(Ok(Err(error))) => self.off(&error),
            Ok(Err(_)) => self.off("its thread has ended"),
            Err(_) => {
                self.off("it does not answer");
                // It may be waiting there: showing it again would be showing it twice.
                if is_sent.load(Ordering::Acquire) { Shown::Yes } else { Shown::No }
            }
        }
    }

    fn begin(&self) -> bool {
        let mut state = self.state();
        let may = !state.is_busy && state.rests.is_none_or(|until| until <= Instant::now());
        state.is_busy |= may;
        may
    }

    fn off(&self, why: &str) -> Shown {
        let mut state = self.state();
        state.rests = Some(Instant::now() + REST);
        if !std::mem::replace(&mut state.is_off, true) {
            tracing::debug!(why = sanitize_for_terminal(why), "No desktop to notify on; it is looked for now and then");
        }
        Shown::No
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Desktop Notifications Specification, 1.2.
#[cfg(target_os = "linux")]
mod platform {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use zbus::blocking::connection::Builder;
    use zbus::zvariant::Value;

    use crate::desktop_notifications::{Notification, PATIENCE};

    const SERVICE: &str = "org.freedesktop.Notifications";
    const PATH: &str = "/org/freedesktop/Notifications";
    /// Later than whoever waits, so that they alone give it up; then the thread ends too.
    const LATEST: Duration = Duration::from_secs(2 * PATIENCE.as_secs());
    /// As long as the desktop shows such things.
    const USUAL_TIME: i32 = -1;

    /// Connected anew each time: it happens a few times a day, and a bus may have come or gone.
    pub(super) fn send(notification: &Notification, sent: &AtomicBool) -> Result<(), String> {
        let words = |error: zbus::Error| error.to_string();
        let bus = Builder::session().map_err(words)?.method_timeout(LATEST).build().map_err(words)?;
        let Notification { summary, body } = notification;
        let (actions, hints) = ([""; 0], HashMap::from([("urgency", Value::U8(1))]));
        let call = ("Rolecall", 0_u32, "dialog-password", summary, body, actions.as_slice(), hints, USUAL_TIME);
        sent.store(true, Ordering::Release);
        bus.call_method(Some(SERVICE), PATH, Some(SERVICE), "Notify", &call).map(drop).map_err(words)
    }
}

/// Elsewhere nothing is shown.
#[cfg(not(target_os = "linux"))]
mod platform {
    use std::sync::atomic::AtomicBool;

    use crate::desktop_notifications::Notification;

    pub(super) fn send(_: &Notification, _: &AtomicBool) -> Result<(), String> {
        Err("not on this system".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_desktop_that_is_not_there_is_left_alone_for_a_minute() {
        let notifier = Notifier::default();
        let begin = Instant::now();
        assert_eq!(notifier.show_by(|_| Err("no bus".to_owned())).await, Shown::No);
        let rests = notifier.state().rests.unwrap();
        assert!(rests >= begin + REST && notifier.state().is_off);
        assert_eq!(notifier.show_by(|_| Ok(())).await, Shown::No);
        assert_eq!(notifier.state().rests, Some(rests), "nobody looked");
        notifier.state().rests = Some(begin);
        assert_eq!(notifier.show_by(|_| Ok(())).await, Shown::Yes);
        assert_eq!(notifier.show_by(|_| Ok(())).await, Shown::Yes);
    }

    #[tokio::test]
    async fn one_that_hangs_is_given_up_and_has_one_thread() {
        for is_told in [false, true] {
            let notifier = Notifier::default();
            let (open, gate) = mpsc::channel::<()>();
            let hang = move |sent: &AtomicBool| {
                sent.store(is_told, Ordering::Release);
                let _ = gate.recv();
                Ok(())
            };
            // What may be on the screen is not shown again; what nobody was told of is.
            assert_eq!(notifier.show_by(hang).await, if is_told { Shown::Yes } else { Shown::No });
            notifier.state().rests = None;
            assert_eq!(notifier.show_by(|_| Ok(())).await, Shown::No);
            drop(open);
            // The thread ends on its own. The deadline only fails a test that hangs.
            let ended = async {
                while notifier.state().is_busy {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_mins(1), ended).await.expect("the thread ends");
            assert_eq!(notifier.show_by(|_| Ok(())).await, Shown::Yes);
        }
    }

    #[test]
    fn what_is_shown_is_plain_text() {
        let notification = Notification::new("Login\u{1b}[31m\nneeded", "Run\u{202e}: x");
        assert_eq!(notification.summary, "Login\\u{1b}[31m needed");
        assert_eq!(notification.body, "Run\\u{202e}: x");
    }
}
