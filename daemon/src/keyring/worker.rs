//! The thread that asks the keyring, and what is done when it does not come back.
//!
//! One thread does one thing after the other. If it does not answer in time it is given up, with what it was doing, and the
//! keyring counts as silent: programs are told so at once, a person is given a new thread, and now and then one looks whether
//! it answers again. A thread that comes back by itself (the keyring went on, or died) ends, and with it the silence.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::PATIENCE;
use super::cancel::Cancel;
use super::error::KeyringError;
use super::platform::Connected;
use super::store::KeyStore;

/// How long after a silence it is looked whether it has ended (B15).
const REST: Duration = Duration::from_mins(1);
/// Threads that may hang at once. Each of them is one that the keyring has not answered.
const MAX_STUCK: usize = 3;

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requester {
    /// A person, who may have mended it just now.
    LocalUser,
    /// A program, which asks again and again.
    Program,
}

type Job = Box<dyn FnOnce(&mut Connected) + Send>;

/// The threads. Clones are the same ones.
#[derive(Debug, Clone)]
pub(super) struct Threads(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// How long anybody waits.
    patience: Duration,
    /// The thread that is asked now, and its number.
    worker: Option<(u64, mpsc::Sender<Job>)>,
    last: u64,
    /// Threads that were given up and have not come back.
    stuck: usize,
    /// Whether the keyring has not answered, and has not answered anybody since.
    is_silent: bool,
    /// Whether somebody looks now and then whether that is over.
    is_watched: bool,
    /// Whether a prompt is, or may be, on the screen.
    is_prompting: bool,
}

/// While it lives a prompt is, or may be, on the screen; whatever shows it may panic.
struct Prompting(Threads);

impl Threads {
    /// Has the thread do something, and waits for it as long as one waits for a keyring.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        client_process: Requester,
        mut work: impl FnMut(&mut Connected, &Cancel) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<T, KeyringError> {
        let (tell, told) = oneshot::channel();
        let ticket = Cancel::default();
        let waiting = ticket.waiting();
        let job = move |connected: &mut Connected| {
            // Whoever waited behind something that hung has gone.
            if ticket.is_given_up() {
                return;
            }
            let is_kept = connected.is_open();
            drop(tell.send(over(connected, is_kept, &ticket, &mut work)));
        };
        let number = self.hand_over(client_process, Box::new(job))?;
        let patience = self.state().patience;
        match tokio::time::timeout(patience, told).await {
            Ok(Ok(answer)) => {
                self.state().is_silent = false;
                answer
            }
            Ok(Err(_)) => Err(KeyringError::Failed("its thread has ended".to_owned())),
            Err(_) => {
                let is_unsure = waiting.give_up();
                self.give_up(number);
                Err(KeyringError::NotAnswering { is_unsure })
            }
        }
    }

    /// Does something that may make the desktop show a prompt, in a thread that may take as long as the person does.
    pub(super) async fn prompt(
        &self,
        within: Duration,
        work: impl FnOnce() -> Result<(), KeyringError> + Send + 'static,
    ) -> Result<(), KeyringError> {
        if std::mem::replace(&mut self.state().is_prompting, true) {
            return Err(KeyringError::Prompting);
        }
        let (tell, told) = oneshot::channel();
        let prompting = Prompting(self.clone());
        let prompt = move || {
            let prompting = prompting; // over before anybody hears of it
            let answer = work();
            drop(prompting);
            drop(tell.send(answer));
        };
        thread::Builder::new()
            .name("keyring-prompt".to_owned())
            .spawn(prompt)
            .map_err(|error| KeyringError::Failed(error.to_string()))?;
        match tokio::time::timeout(within, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(KeyringError::Failed("its thread has ended".to_owned())),
            Err(_) => Err(KeyringError::Prompting),
        }
    }

    /// Whether a prompt is, or may be, on the screen.
    pub(super) fn is_prompting(&self) -> bool {
        self.state().is_prompting
    }

    /// Gives the thread something to do; begins a new one where there is none.
    fn hand_over(&self, client_process: Requester, job: Job) -> Result<u64, KeyringError> {
        let mut state = self.state();
        if state.is_silent && client_process == Requester::Program {
            return Err(KeyringError::NotAnswering { is_unsure: false });
        }
        let job = match state.worker.take() {
            // One that has ended takes nothing any more.
            Some((number, jobs)) => match jobs.send(job) {
                Ok(()) => {
                    state.worker = Some((number, jobs));
                    return Ok(number);
                }
                Err(mpsc::SendError(job)) => job,
            },
            None => job,
        };
        if state.stuck >= MAX_STUCK {
            return Err(KeyringError::NotAnswering { is_unsure: false });
        }
        state.last += 1;
        let number = state.last;
        let (jobs, queue) = mpsc::channel::<Job>();
        let threads = self.clone();
        let work = move || {
            let mut connected = Connected::default();
            while let Ok(job) = queue.recv() {
                job(&mut connected);
                if threads.is_given_up(number) {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("keyring".to_owned())
            .spawn(work)
            .map_err(|error| KeyringError::Failed(error.to_string()))?;
        // It takes what is sent until it is given up.
        drop(jobs.send(job));
        state.worker = Some((number, jobs));
        Ok(number)
    }

    /// The keyring has not answered this thread in time.
    fn give_up(&self, number: u64) {
        let mut state = self.state();
        // Several may have waited for the same one.
        if state.worker.as_ref().is_none_or(|(current, _)| *current != number) {
            return;
        }
        state.worker = None;
        state.stuck += 1;
        if !std::mem::replace(&mut state.is_silent, true) {
            tracing::warn!("The OS keyring does not answer; it is left alone for {} s", REST.as_secs());
        }
        if !std::mem::replace(&mut state.is_watched, true) {
            tokio::spawn(self.clone().watch());
        }
    }

    /// For a thread that has done something: whether it was given up meanwhile. Then the keyring has come back.
    fn is_given_up(&self, number: u64) -> bool {
        let mut state = self.state();
        if state.worker.as_ref().is_some_and(|(current, _)| *current == number) {
            return false;
        }
        state.stuck = state.stuck.saturating_sub(1);
        if std::mem::replace(&mut state.is_silent, false) {
            tracing::info!("The OS keyring answers again");
        }
        true
    }

    /// Looks now and then whether the keyring answers again.
    async fn watch(self) {
        loop {
            tokio::time::sleep(REST).await;
            {
                let mut state = self.state();
                if !state.is_silent {
                    state.is_watched = false;
                    return;
                }
            }
            // Whatever it says: an error is an answer too.
            drop(self.ask(Requester::LocalUser, |keyring, _| KeyStore::open(keyring, None).map(drop)).await);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does something over connections, and lets go of those that fail. Where they were kept from before it is done once more over
/// new ones, unless something has been changed: the keyring may have forgotten us.
fn over<C: Default, T>(
    connected: &mut C,
    is_kept: bool,
    ticket: &Cancel,
    work: &mut impl FnMut(&mut C, &Cancel) -> Result<T, KeyringError>,
) -> Result<T, KeyringError> {
    match work(connected, ticket) {
        Err(error) if error.is_of_connection() => {
            *connected = C::default();
            if is_kept && ticket.is_unused() { over(connected, false, ticket, work) } else { Err(error) }
        }
        answer => answer,
    }
}

impl Drop for Prompting {
    fn drop(&mut self) {
        self.0.state().is_prompting = false;
    }
}

impl Default for Threads {
    /// None yet.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            patience: PATIENCE,
            worker: None,
            last: 0,
            stuck: 0,
            is_silent: false,
            is_watched: false,
            is_prompting: false,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT: KeyringError = KeyringError::NotAnswering { is_unsure: false };

    /// A keyring that answers when it is told to.
    fn gate() -> (mpsc::Sender<()>, impl FnMut(&mut Connected, &Cancel) -> Result<(), KeyringError> + Send + 'static) {
        let (open, gate) = mpsc::channel();
        (open, move |_: &mut Connected, _: &Cancel| {
            let _ = gate.recv();
            Ok(())
        })
    }

    /// What is to be waited for in vain is waited for shortly; what has to come may take as long as it likes.
    fn patient(threads: &Threads, is_hopeful: bool) {
        threads.state().patience = if is_hopeful { Duration::from_mins(1) } else { Duration::from_millis(50) };
    }

    /// Waits for a state that another thread sets. The deadline only fails a test that hangs.
    async fn until(threads: &Threads, done: impl Fn(&State) -> bool) {
        let reached = async {
            while !done(&threads.state()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), reached).await.expect("the state is reached");
    }

    #[tokio::test]
    async fn a_thread_that_hangs_is_given_up_and_programs_are_told_at_once() {
        let threads = Threads::default();
        let (open, hanging) = gate();
        patient(&threads, false);
        assert_eq!(threads.ask(Requester::Program, hanging).await, Err(SILENT));
        patient(&threads, true);
        assert_eq!(threads.ask(Requester::Program, |_, _| Ok(7)).await, Err(SILENT));
        drop(open);
        until(&threads, |state| !state.is_silent && state.stuck == 0).await;
        assert_eq!(threads.ask(Requester::Program, |_, _| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn a_person_tries_again_and_ends_the_silence() {
        let threads = Threads::default();
        let (_shut, hanging) = gate();
        patient(&threads, false);
        assert_eq!(threads.ask(Requester::Program, hanging).await, Err(SILENT));
        patient(&threads, true);
        assert_eq!(threads.ask(Requester::LocalUser, |_, _| Ok(7)).await, Ok(7));
        assert_eq!(threads.ask(Requester::Program, |_, _| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn few_threads_hang() {
        let threads = Threads::default();
        let mut gates = Vec::new();
        patient(&threads, false);
        for _ in 0..2 * MAX_STUCK {
            let (open, hanging) = gate();
            gates.push(open);
            assert_eq!(threads.ask(Requester::LocalUser, hanging).await, Err(SILENT));
        }
        assert_eq!(threads.state().stuck, MAX_STUCK);
        drop(gates);
        until(&threads, |state| state.stuck == 0).await;
        patient(&threads, true);
        assert_eq!(threads.ask(Requester::LocalUser, |_, _| Ok(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn what_was_given_up_changes_nothing_later() {
        let threads = Threads::default();
        let (open, gate) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let late = move |_: &mut Connected, ticket: &Cancel| {
            let _ = gate.recv();
            drop(tell.send(ticket.begin()));
            Ok(())
        };
        patient(&threads, false);
        assert_eq!(threads.ask(Requester::LocalUser, late).await, Err(SILENT));
        drop(open);
        let begun = tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();
        assert_eq!(begun, Err(SILENT));
    }

    #[test]
    fn connections_that_were_kept_and_fail_are_made_anew_once() {
        let failed = || KeyringError::Failed("no such session".to_owned());
        let tried = |is_kept: bool, begins: bool, fails: usize, error: KeyringError| {
            let (mut connected, ticket, mut times) = (7, Cancel::default(), 0);
            let answer = over(&mut connected, is_kept, &ticket, &mut |connected: &mut u32, ticket| {
                times += 1;
                if begins {
                    ticket.begin()?;
                }
                if times <= fails { Err(error.clone()) } else { Ok(*connected) }
            });
            (answer, times, connected)
        };
        assert_eq!(tried(true, false, 0, failed()), (Ok(7), 1, 7));
        assert_eq!(tried(true, false, 1, failed()), (Ok(0), 2, 0));
        assert_eq!(tried(true, false, 2, failed()), (Err(failed()), 2, 0));
        assert_eq!(tried(false, false, 1, failed()), (Err(failed()), 1, 0), "there were none");
        assert_eq!(tried(true, true, 1, failed()), (Err(failed()), 1, 0), "it may have been done");
        assert_eq!(tried(true, false, 1, KeyringError::Locked), (Err(KeyringError::Locked), 1, 7));
    }

    #[tokio::test]
    async fn one_prompt_at_a_time() {
        let threads = Threads::default();
        let (open, gate) = mpsc::channel::<()>();
        let asking = move || {
            let _ = gate.recv();
            Ok(())
        };
        let shortly = Duration::from_millis(50);
        assert_eq!(threads.prompt(shortly, asking).await, Err(KeyringError::Prompting));
        assert_eq!(threads.prompt(shortly, || Ok(())).await, Err(KeyringError::Prompting));
        assert!(threads.is_prompting());
        // Others are not held up by it.
        patient(&threads, true);
        assert_eq!(threads.ask(Requester::Program, |_, _| Ok(7)).await, Ok(7));
        drop(open);
        until(&threads, |state| !state.is_prompting).await;
        assert_eq!(threads.prompt(Duration::from_mins(1), || Ok(())).await, Ok(()));
    }

    #[tokio::test]
    async fn a_prompt_that_panics_is_over() {
        let threads = Threads::default();
        let asked = threads.prompt(Duration::from_mins(1), || panic!("as the test wants")).await;
        assert_eq!(asked, Err(KeyringError::Failed("its thread has ended".to_owned())));
        assert!(!threads.is_prompting());
    }
}
