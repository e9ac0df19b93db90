//! Calls of the OS keyring in a thread with a timeout, and what happens after a timeout.
//!
//! A keyring that exceeds the timeout counts as silent. Programs then get an error immediately, a user's command is tried
//! with a new thread, and once a minute a probe asks whether the keyring answers again. A stuck thread that returns (the
//! keyring went on, or died) ends the silence too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::error::KeyringError;
use super::platform::Connected;
use super::store::KeyStore;
use crate::blocking_worker::{BlockingWorker, Cancel, WorkerError};

/// How long a caller waits for the keyring (B15).
pub const KEYRING_TIMEOUT: Duration = Duration::from_secs(3);
/// How long after a timeout the first probe follows, and each further one (B15).
const PROBE_INTERVAL: Duration = Duration::from_mins(1);
/// Threads that may hang at once, each in a call that the keyring has not answered.
const MAX_STUCK_THREADS: usize = 3;

/// Who waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requester {
    /// A user at a terminal, who may have fixed the keyring just now.
    User,
    /// A program, which asks again and again.
    Program,
}

/// The threads that call the keyring. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct KeyringWorker {
    calls: BlockingWorker<Connected>,
    prompts: BlockingWorker<()>,
    silence: Arc<watch::Sender<Silence>>,
}

#[derive(Debug, Default)]
struct Silence {
    /// Whether a call exceeded the timeout, and the keyring has not answered since.
    is_silent: bool,
    /// Whether a task probes for the end of the silence.
    is_probed: bool,
}

impl KeyringWorker {
    /// Runs a call over the thread's connections. Errors if the keyring exceeds [`KEYRING_TIMEOUT`].
    pub(super) async fn call<T: Send + 'static>(
        &self,
        requester: Requester,
        call: impl FnMut(&mut Connected, &Cancel) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<T, KeyringError> {
        self.call_within(KEYRING_TIMEOUT, requester, call).await
    }

    async fn call_within<T: Send + 'static>(
        &self,
        timeout: Duration,
        requester: Requester,
        mut call: impl FnMut(&mut Connected, &Cancel) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<T, KeyringError> {
        if requester == Requester::Program && self.silence.borrow().is_silent {
            return Err(KeyringError::NotAnswering { is_unsure: false });
        }
        let job = move |connected: &mut Connected, cancel: &Cancel| {
            let is_reused = connected.is_open();
            call_and_reconnect(connected, is_reused, cancel, &mut call)
        };
        match self.calls.run(timeout, job).await {
            Ok(answer) => {
                self.silence.send_modify(|silence| silence.is_silent = false);
                answer
            }
            Err(WorkerError::TimedOut { has_begun, is_first }) => {
                // After a later timeout of the same thread, the keyring may have answered another thread.
                if is_first {
                    self.timed_out();
                }
                Err(KeyringError::NotAnswering { is_unsure: has_begun })
            }
            Err(WorkerError::Busy) => Err(KeyringError::NotAnswering { is_unsure: false }),
            Err(WorkerError::Failed(error)) => Err(KeyringError::Failed(error)),
        }
    }

    /// Runs something that may make the desktop show a prompt, in a thread that may take as long as the user does. Errors with
    /// `Prompting` while another prompt is open, and after `timeout`.
    pub(super) async fn prompt(
        &self,
        timeout: Duration,
        prompt: impl FnOnce() -> Result<(), KeyringError> + Send + 'static,
    ) -> Result<(), KeyringError> {
        match self.prompts.run(timeout, move |(), _| prompt()).await {
            Ok(answer) => answer,
            Err(WorkerError::Busy | WorkerError::TimedOut { .. }) => Err(KeyringError::Prompting),
            Err(WorkerError::Failed(error)) => Err(KeyringError::Failed(error)),
        }
    }

    /// Whether a prompt is, or may be, on the screen.
    pub(super) fn is_prompting(&self) -> bool {
        self.prompts.is_busy()
    }

    fn timed_out(&self) {
        let (mut is_first, mut needs_probe) = (false, false);
        self.silence.send_modify(|silence| {
            is_first = !std::mem::replace(&mut silence.is_silent, true);
            needs_probe = !std::mem::replace(&mut silence.is_probed, true);
        });
        if is_first {
            tracing::warn!(retry_seconds = PROBE_INTERVAL.as_secs(), "OS keyring timed out");
        }
        if needs_probe {
            tokio::spawn(self.clone().probe());
        }
    }

    /// Ends the silence when a stuck thread returns, or when the keyring answers a probe.
    async fn probe(self) {
        loop {
            tokio::select! {
                () = self.calls.stuck_thread_returned() => {
                    self.silence.send_modify(|silence| silence.is_silent = false);
                }
                () = tokio::time::sleep(PROBE_INTERVAL) => {
                    // An error is an answer too.
                    drop(self.call(Requester::User, |connected, _| KeyStore::open(connected, None).map(drop)).await);
                }
            }
            let has_ended = self.silence.send_if_modified(|silence| {
                silence.is_probed = silence.is_silent;
                !silence.is_silent
            });
            if has_ended {
                return tracing::info!("OS keyring answered again");
            }
        }
    }
}

/// Runs a call, and closes connections over which it fails. If they were open before, it runs once more over new ones, since
/// the keyring may have restarted, unless the call has begun to change something.
fn call_and_reconnect<C: Default, T>(
    connected: &mut C,
    is_reused: bool,
    cancel: &Cancel,
    call: &mut impl FnMut(&mut C, &Cancel) -> Result<T, KeyringError>,
) -> Result<T, KeyringError> {
    match call(connected, cancel) {
        Err(error) if error.is_of_connection() => {
            *connected = C::default();
            if is_reused && !cancel.has_begun() {
                call_and_reconnect(connected, false, cancel, call)
            } else {
                Err(error)
            }
        }
        answer => answer,
    }
}

impl Default for KeyringWorker {
    /// No thread runs yet.
    fn default() -> Self {
        Self {
            calls: BlockingWorker::queued("keyring", MAX_STUCK_THREADS),
            prompts: BlockingWorker::exclusive("keyring-prompt"),
            silence: Arc::new(watch::Sender::new(Silence::default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::sync::mpsc;

    use futures_util::poll;

    use super::*;

    const SILENT: KeyringError = KeyringError::NotAnswering { is_unsure: false };
    /// Long enough for a call that returns immediately.
    const PATIENT: Duration = Duration::from_mins(1);

    /// The timeout of a call that hangs, in the time of the runtime.
    const TIMEOUT: Duration = Duration::from_secs(1);

    /// A keyring that sends a message when it is called, and hangs until the other channel is closed.
    fn hanging(
        begun: mpsc::Sender<()>,
        gate: mpsc::Receiver<()>,
    ) -> impl FnMut(&mut Connected, &Cancel) -> Result<(), KeyringError> + Send + 'static {
        move |_, _| {
            begun.send(()).unwrap();
            let _ = gate.recv();
            Ok(())
        }
    }

    /// Makes a call that hangs until the result is dropped, and lets it exceed its timeout once it has begun: a call that has
    /// not begun never hangs.
    async fn hang(worker: &KeyringWorker, requester: Requester) -> mpsc::Sender<()> {
        let ((begun, begins), (open, gate)) = (mpsc::channel(), mpsc::channel());
        let mut waiting = pin!(worker.call_within(TIMEOUT, requester, hanging(begun, gate)));
        assert!(poll!(&mut waiting).is_pending());
        begins.recv().unwrap();
        time_out(waiting).await;
        open
    }

    async fn time_out(waiting: Pin<&mut impl Future<Output = Result<(), KeyringError>>>) {
        tokio::time::pause();
        tokio::time::advance(TIMEOUT).await;
        assert_eq!(waiting.await, Err(SILENT));
        tokio::time::resume();
    }

    async fn seven(worker: &KeyringWorker, requester: Requester) -> Result<u32, KeyringError> {
        worker.call_within(PATIENT, requester, |_, _| Ok(7)).await
    }

    #[tokio::test]
    async fn silent_keyring_fails_programs_until_it_returns() {
        let worker = KeyringWorker::default();
        let open = hang(&worker, Requester::Program).await;
        assert_eq!(seven(&worker, Requester::Program).await, Err(SILENT));
        drop(open);
        worker.silence.subscribe().wait_for(|silence| !silence.is_silent).await.unwrap();
        assert_eq!(seven(&worker, Requester::Program).await, Ok(7));
    }

    #[tokio::test]
    async fn answer_to_a_user_ends_the_silence() {
        let worker = KeyringWorker::default();
        let _open = hang(&worker, Requester::Program).await;
        assert_eq!(seven(&worker, Requester::User).await, Ok(7));
        assert_eq!(seven(&worker, Requester::Program).await, Ok(7));
    }

    #[tokio::test]
    async fn later_timeout_of_a_replaced_thread_is_no_silence() {
        let worker = KeyringWorker::default();
        let ((begun, begins), (_open, gate)) = (mpsc::channel(), mpsc::channel());
        let mut waiting = pin!(worker.call_within(TIMEOUT, Requester::User, hanging(begun, gate)));
        assert!(poll!(&mut waiting).is_pending());
        begins.recv().unwrap();
        // Behind it, in the queue of the same thread.
        let behind = worker.call_within(Duration::ZERO, Requester::User, |_, _| Ok(()));
        assert_eq!(behind.await, Err(SILENT));
        assert_eq!(seven(&worker, Requester::User).await, Ok(7));
        time_out(waiting).await;
        assert_eq!(seven(&worker, Requester::Program).await, Ok(7));
    }

    #[tokio::test]
    async fn stuck_threads_are_bounded() {
        let worker = KeyringWorker::default();
        let mut gates = Vec::new();
        for _ in 0..MAX_STUCK_THREADS {
            gates.push(hang(&worker, Requester::User).await);
        }
        assert_eq!(seven(&worker, Requester::User).await, Err(SILENT));
        gates.clear();
        worker.calls.stuck_thread_returned().await;
        assert_eq!(seven(&worker, Requester::User).await, Ok(7));
    }

    #[test]
    fn failing_reused_connections_are_replaced_once() {
        let failed = || KeyringError::Failed("no such session".to_owned());
        let tried = |is_reused: bool, begins: bool, fails: usize, error: KeyringError| {
            let (mut connected, cancel, mut times) = (7, Cancel::default(), 0);
            let answer = call_and_reconnect(&mut connected, is_reused, &cancel, &mut |connected: &mut u32, cancel| {
                times += 1;
                if begins {
                    cancel.begin()?;
                }
                if times <= fails { Err(error.clone()) } else { Ok(*connected) }
            });
            (answer, times, connected)
        };
        assert_eq!(tried(true, false, 0, failed()), (Ok(7), 1, 7));
        assert_eq!(tried(true, false, 1, failed()), (Ok(0), 2, 0));
        assert_eq!(tried(true, false, 2, failed()), (Err(failed()), 2, 0));
        assert_eq!(tried(false, false, 1, failed()), (Err(failed()), 1, 0), "they were new");
        assert_eq!(tried(true, true, 1, failed()), (Err(failed()), 1, 0), "the change may have been made");
        assert_eq!(tried(true, false, 1, KeyringError::Locked), (Err(KeyringError::Locked), 1, 7));
    }

    #[tokio::test]
    async fn one_prompt_at_a_time() {
        let worker = KeyringWorker::default();
        let (open, gate) = mpsc::channel::<()>();
        let prompt = move || {
            let _ = gate.recv();
            Ok(())
        };
        assert_eq!(worker.prompt(Duration::ZERO, prompt).await, Err(KeyringError::Prompting));
        assert_eq!(worker.prompt(PATIENT, || Ok(())).await, Err(KeyringError::Prompting));
        assert!(worker.is_prompting());
        assert_eq!(seven(&worker, Requester::Program).await, Ok(7), "calls do not wait for the prompt");
        drop(open);
        worker.prompts.idle().await;
        assert_eq!(worker.prompt(PATIENT, || Ok(())).await, Ok(()));
    }
}
