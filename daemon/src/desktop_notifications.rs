//! Notifications on the user's desktop: over the session bus on Linux, by osascript(1) on macOS.
//!
//! Without a desktop nothing is shown, and that is no error. A desktop that hangs delays nothing: each notification is sent
//! by a thread with a timeout, and there is at most one such thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rolecall_protocol::sanitize_for_terminal;
use tokio::time::Instant;

use crate::blocking_worker::{BlockingWorker, Cancel, WorkerError};

/// How long the desktop may take to confirm a notification.
pub const NOTIFICATION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the thread waits: longer than the caller, so that the caller decides.
const CALL_TIMEOUT: Duration = Duration::from_secs(2 * NOTIFICATION_TIMEOUT.as_secs());
/// How long no notification is sent after one failed.
const RETRY_INTERVAL: Duration = Duration::from_mins(1);

/// A desktop notification, safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What has happened, in a few words.
    pub summary: String,
    /// The command to run.
    pub body: String,
}

/// The result of sending a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The desktop shows it, or may show it later: do not send it again.
    Yes,
    /// The desktop has not received it.
    No,
}

/// Sends notifications. Clones share the thread.
#[derive(Debug, Clone)]
pub struct Notifier {
    worker: BlockingWorker<()>,
    availability: Arc<Mutex<Availability>>,
}

/// Whether there is a desktop that shows notifications.
#[derive(Debug, Default)]
struct Availability {
    /// Whether the last notification failed.
    is_off: bool,
    /// When the next one may be sent, after a failure.
    retry_at: Option<Instant>,
}

impl Notification {
    /// Creates a notification. Control characters in it are escaped.
    #[must_use]
    pub fn new(summary: &str, body: &str) -> Self {
        Self { summary: sanitize_for_terminal(summary), body: sanitize_for_terminal(body) }
    }
}

impl Default for Notifier {
    /// No thread runs yet.
    fn default() -> Self {
        Self { worker: BlockingWorker::exclusive("notify"), availability: Arc::default() }
    }
}

impl Notifier {
    /// Shows a notification if there is a desktop. Returns after [`NOTIFICATION_TIMEOUT`] at the latest.
    pub async fn show(&self, notification: Notification) -> Shown {
        self.show_within(NOTIFICATION_TIMEOUT, move |cancel| platform::send(&notification, cancel)).await
    }

    async fn show_within(
        &self,
        timeout: Duration,
        send: impl FnOnce(&Cancel) -> Result<(), String> + Send + 'static,
    ) -> Shown {
        if self.availability().retry_at.is_some_and(|at| Instant::now() < at) {
            return Shown::No;
        }
        match self.worker.run(timeout, move |(), cancel| send(cancel)).await {
            Ok(Ok(())) => {
                self.availability().is_off = false;
                Shown::Yes
            }
            Ok(Err(error)) | Err(WorkerError::Failed(error)) => self.failed(&error),
            Err(WorkerError::Busy) => Shown::No,
            Err(WorkerError::TimedOut { has_begun, .. }) => {
                self.failed("the desktop does not answer");
                // The desktop may still show it; sent again, it would be shown twice.
                if has_begun { Shown::Yes } else { Shown::No }
            }
        }
    }

    fn failed(&self, error: &str) -> Shown {
        let mut availability = self.availability();
        availability.retry_at = Some(Instant::now() + RETRY_INTERVAL);
        if !std::mem::replace(&mut availability.is_off, true) {
            tracing::debug!(error = sanitize_for_terminal(error), "desktop notification failed");
        }
        Shown::No
    }

    fn availability(&self) -> MutexGuard<'_, Availability> {
        self.availability.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Desktop Notifications Specification, 1.2.
#[cfg(target_os = "linux")]
mod platform {
    use std::collections::HashMap;

    use zbus::blocking::connection::Builder;
    use zbus::zvariant::Value;

    use crate::blocking_worker::Cancel;
    use crate::desktop_notifications::{CALL_TIMEOUT, Notification};

    const SERVICE: &str = "org.freedesktop.Notifications";
    const PATH: &str = "/org/freedesktop/Notifications";
    /// `expire_timeout`: the desktop's default.
    const DEFAULT_EXPIRY: i32 = -1;

    /// Opens a connection for each notification: there are a few a day, and the bus may have restarted in between.
    pub(super) fn send(notification: &Notification, cancel: &Cancel) -> Result<(), String> {
        let text = |error: zbus::Error| error.to_string();
        let bus = Builder::session().map_err(text)?.method_timeout(CALL_TIMEOUT).build().map_err(text)?;
        let Notification { summary, body } = notification;
        let (actions, hints) = ([""; 0], HashMap::from([("urgency", Value::U8(1))]));
        let call = ("Rolecall", 0_u32, "dialog-password", summary, body, actions.as_slice(), hints, DEFAULT_EXPIRY);
        cancel.begin().map_err(|_| "it was cancelled".to_owned())?;
        bus.call_method(Some(SERVICE), PATH, Some(SERVICE), "Notify", &call).map(drop).map_err(text)
    }
}

/// macOS shows a notification for a program without an app bundle only through AppleScript, as one of Script Editor.
#[cfg(target_os = "macos")]
mod platform {
    use std::process::{Command, Stdio};
    use std::thread::sleep;
    use std::time::Duration;

    use crate::blocking_worker::Cancel;
    use crate::desktop_notifications::{CALL_TIMEOUT, Notification};

    const PROGRAM: &str = "/usr/bin/osascript";
    /// The texts are arguments, so that AppleScript does not interpret them.
    const SCRIPT: &str = "on run {theTitle, theText}\ndisplay notification theText with title theTitle\nend run";
    const POLL_INTERVAL: Duration = Duration::from_millis(50);

    /// Runs osascript(1), without the variables of the daemon.
    pub(super) fn send(notification: &Notification, cancel: &Cancel) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("osascript cannot run ({error})");
        let mut command = Command::new(PROGRAM);
        command.args(["-e", SCRIPT, "--", &notification.summary, &notification.body]).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        cancel.begin().map_err(|_| "it was cancelled".to_owned())?;
        let mut child = command.spawn().map_err(failed)?;
        for _ in 0..CALL_TIMEOUT.as_millis() / POLL_INTERVAL.as_millis() {
            match child.try_wait().map_err(failed)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("osascript failed ({status})")),
                None => sleep(POLL_INTERVAL),
            }
        }
        child.kill().and_then(|()| child.wait()).map_err(failed)?;
        Err("osascript did not end".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENT: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn failed_notification_pauses_the_next_for_a_minute() {
        let notifier = Notifier::default();
        let begin = Instant::now();
        assert_eq!(notifier.show_within(PATIENT, |_| Err("no bus".to_owned())).await, Shown::No);
        let retry_at = notifier.availability().retry_at.unwrap();
        assert!(retry_at >= begin + RETRY_INTERVAL && notifier.availability().is_off);
        assert_eq!(notifier.show_within(PATIENT, |_| panic!("it is not sent")).await, Shown::No);
        notifier.availability().retry_at = Some(begin);
        assert_eq!(notifier.show_within(PATIENT, |_| Ok(())).await, Shown::Yes);
        assert_eq!(notifier.show_within(PATIENT, |_| Ok(())).await, Shown::Yes);
    }

    #[tokio::test]
    async fn hanging_desktop_has_one_thread() {
        let notifier = Notifier::default();
        let (open, gate) = mpsc::channel::<()>();
        let hang = move |_: &Cancel| {
            let _ = gate.recv();
            Ok(())
        };
        assert_eq!(notifier.show_within(Duration::ZERO, hang).await, Shown::No);
        notifier.availability().retry_at = None;
        assert_eq!(notifier.show_within(PATIENT, |_| Ok(())).await, Shown::No);
        drop(open);
        notifier.worker.idle().await;
        assert_eq!(notifier.show_within(PATIENT, |_| Ok(())).await, Shown::Yes);
    }

    /// A desktop that received the notification may show it after the timeout.
    #[tokio::test(start_paused = true)]
    async fn notification_that_was_sent_is_not_sent_again() {
        let notifier = Notifier::default();
        let (_open, gate) = mpsc::channel::<()>();
        let (sent, is_sent) = mpsc::channel();
        let hang = move |cancel: &Cancel| {
            let begun = cancel.begin();
            let _ = sent.send(());
            let _ = gate.recv();
            begun.map_err(|_| String::new())
        };
        let show = notifier.show_within(PATIENT, hang);
        // The thread has begun before the paused clock advances to the timeout.
        let begun = async { is_sent.recv().unwrap() };
        let mut show = std::pin::pin!(show);
        tokio::select! {
            biased;
            _ = &mut show => panic!("the desktop hangs"),
            () = begun => {}
        }
        assert_eq!(show.await, Shown::Yes);
    }

    #[test]
    fn notification_text_is_escaped() {
        let notification = Notification::new("Login\u{1b}[31m\nneeded", "Run\u{202e}: x");
        assert_eq!(notification.summary, "Login\\u{1b}[31m needed");
        assert_eq!(notification.body, "Run\\u{202e}: x");
    }
}
