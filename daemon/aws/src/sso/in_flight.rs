//! What is under way for each session, and what is known of its tokens: one renewal, one login, and nothing that was dropped
//! writes anything afterwards.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rolecall_protocol::LoginFlow;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::login::Progress;
use super::refresh::Renewed;
use super::token::Fingerprint;

/// The most sessions that are remembered with nothing under way. Nobody has as many.
const MOST: usize = 64;

/// All sessions, by the file of their token: AWS profiles that share a login share that.
#[derive(Default)]
pub(super) struct Slots {
    by_file: HashMap<PathBuf, Slot>,
    tickets: u64,
}

/// One session.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) renewal: Option<Running<Option<Renewed>>>,
    pub(super) login: Option<Login>,
    /// The ticket of the last login that came to a token.
    pub(super) kept: Option<u64>,
    /// The access token that the portal takes no longer, whatever its date says.
    pub(super) rejected: Option<Fingerprint>,
    /// The refresh token that AWS takes no longer.
    pub(super) spent: Option<Fingerprint>,
}

/// A login that is under way.
pub(super) struct Login {
    pub(super) flow: LoginFlow,
    /// Cancelled once another has taken its place.
    pub(super) replaced: CancellationToken,
    pub(super) running: Running<Progress>,
}

/// A task that others wait for.
pub(super) struct Running<T> {
    /// Names it: what a task brings counts only while its number is in the slot.
    pub(super) ticket: u64,
    pub(super) outcome: watch::Receiver<T>,
    pub(super) task: AbortHandle,
}

impl Slots {
    /// A number that no task had.
    pub(super) const fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// The slot of a file, made if there is none. Where there are too many, those with nothing under way go: what is known of
    /// their tokens is learnt again with one call.
    pub(super) fn of(&mut self, file: &Path) -> &mut Slot {
        if self.by_file.len() >= MOST && !self.by_file.contains_key(file) {
            self.by_file.retain(|_, slot| slot.is_busy());
        }
        self.by_file.entry(file.to_owned()).or_default()
    }

    /// The slot of a file, if there is one.
    pub(super) fn known(&self, file: &Path) -> Option<&Slot> {
        self.by_file.get(file)
    }

    /// Tells what a renewal has come to, unless it was dropped, and keeps nothing of it: it is a token, and those who wait
    /// for it have it from then on.
    pub(super) fn land(&mut self, file: &Path, ticket: u64, land: &watch::Sender<Option<Renewed>>, outcome: Renewed) {
        let slot = self.by_file.get_mut(file);
        if slot.and_then(|slot| slot.renewal.take_if(|renewal| renewal.ticket == ticket)).is_some() {
            land.send_replace(Some(outcome));
        }
    }

    /// Ends every renewal that is under way.
    pub(super) fn end_renewals(&mut self) {
        for renewal in self.by_file.values_mut().filter_map(|slot| slot.renewal.take()) {
            renewal.task.abort();
        }
    }

    /// Forgets a session, and ends what is under way for it.
    pub(super) fn forget(&mut self, file: &Path) {
        if let Some(slot) = self.by_file.remove(file) {
            slot.renewal.inspect(|renewal| renewal.task.abort());
            slot.login.inspect(|login| login.running.task.abort());
        }
    }
}

impl Slot {
    fn is_busy(&self) -> bool {
        self.renewal.as_ref().is_some_and(Running::is_under_way) || self.login.as_ref().is_some_and(Login::is_under_way)
    }
}

impl Login {
    /// Whether whoever joins it hears of it.
    pub(super) fn is_under_way(&self) -> bool {
        // A task that has said what it came to is not under way, though it may not have ended yet.
        self.running.is_under_way() && !self.running.outcome.borrow().is_over()
    }
}

impl<T> Running<T> {
    /// Whether the task has not ended, in whichever way.
    pub(super) fn is_under_way(&self) -> bool {
        !self.task.is_finished() && self.outcome.has_changed().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_many_sessions_those_are_remembered_that_have_something_under_way() {
        let mut slots = Slots::default();
        let file = |number: usize| PathBuf::from(format!("{number}.json"));
        let (_tell, outcome) = watch::channel(None);
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        slots.of(&file(0)).renewal = Some(Running { ticket: 1, outcome, task });
        for number in 1..10 * MOST {
            slots.of(&file(number)).spent = Some([0; 32]);
            assert!(slots.by_file.len() <= MOST && slots.of(&file(number)).spent.is_some(), "{number}");
        }
        assert!(slots.of(&file(0)).renewal.is_some());
    }
}
