//! What is under way for each session, and what is known of its tokens: one renewal, one login, and nothing that was dropped
//! writes anything afterwards.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::login::Progress;
use super::renewal::Renewed;
use super::token::Fingerprint;

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
    pub(super) login: Option<Running<Progress>>,
    /// The access token that the portal takes no longer, whatever its date says.
    pub(super) rejected: Option<Fingerprint>,
    /// The refresh token that AWS takes no longer.
    pub(super) spent: Option<Fingerprint>,
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

    /// The slot of a file, made if there is none.
    pub(super) fn of(&mut self, file: &Path) -> &mut Slot {
        if !self.by_file.contains_key(file) {
            self.by_file.insert(file.to_owned(), Slot::default());
        }
        self.by_file.entry(file.to_owned()).or_default()
    }

    /// Forgets a session, and ends what is under way for it.
    pub(super) fn forget(&mut self, file: &Path) {
        if let Some(slot) = self.by_file.remove(file) {
            slot.renewal.inspect(|renewal| renewal.task.abort());
            slot.login.inspect(|login| login.task.abort());
        }
    }
}

impl<T> Running<T> {
    /// Whether the task has not ended, in whichever way.
    pub(super) fn is_under_way(&self) -> bool {
        !self.task.is_finished() && self.outcome.has_changed().is_ok()
    }
}
