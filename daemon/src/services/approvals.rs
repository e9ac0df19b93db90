//! What the user has allowed with a command or an answer, by profile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::ProfileName;

use crate::confirm_prompt;
use rolecall_aws::client::Aws;
use rolecall_core::constraints::{Confirm, ConstraintError, ProgramFile};
use rolecall_core::single_flight::{Cache, FailureTtl, LoadError};

/// How long after a no, or no answer, requests get it without a new question: kubectl runs its plugin six times.
const NO_TTL: Duration = Duration::from_secs(10);
/// How long a request waits for the user's answer. The client then asks again, until the question ends.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// When the user ran `rolecall refresh` and confirmed the use of a profile.
pub(crate) struct Approvals {
    aws: Aws,
    /// The last refresh of each profile.
    opened: Mutex<BTreeMap<ProfileName, SystemTime>>,
    /// The last answer for each use, and the question that is open: one at a time.
    answers: Arc<Cache<Use, SystemTime, Refusal>>,
}

/// What the user is asked about: a profile, and the file of the program that asks. A yes for one program is none for another.
type Use = (ProfileName, Option<ProgramFile>);

/// Why a question did not end with a yes.
#[derive(Debug)]
struct Refusal(ConstraintError);

impl FailureTtl for Refusal {
    fn failure_ttl(&self, _failures: u32) -> Duration {
        match self.0 {
            ConstraintError::Denied | ConstraintError::NoAnswer => NO_TTL,
            // The user was not asked.
            _ => Duration::ZERO,
        }
    }
}

impl Approvals {
    pub(crate) fn new(aws: Aws) -> Self {
        let answers = Cache::new(aws.clock().clone(), |_| {});
        Self { aws, opened: Mutex::default(), answers }
    }

    /// Records that the user ran `rolecall refresh` for a profile.
    pub(super) fn open(&self, name: &ProfileName, at: SystemTime) {
        self.opened().insert(name.clone(), at);
    }

    /// Returns when the user last ran `rolecall refresh` for a profile.
    pub(super) fn opened_at(&self, name: &ProfileName) -> Option<SystemTime> {
        self.opened().get(name).copied()
    }

    /// Drops the answers of all profiles.
    pub(super) fn clear_answers(&self) {
        self.answers.retain(|_| false);
    }

    /// Drops the answer of a profile whose settings changed.
    pub(super) fn changed(&self, name: &ProfileName) {
        self.answers.retain(|(other, _)| other != name);
    }

    /// Returns if the user has confirmed the use of a profile by a program, or does so now. `question` returns the lines of the
    /// question.
    pub(super) async fn confirm(
        &self,
        asked: &Use,
        confirm: Confirm,
        program: Option<PathBuf>,
        question: impl FnOnce() -> Vec<String>,
    ) -> Result<(), ConstraintError> {
        let (now, last) = (self.aws.now(), self.answers.peek(asked));
        if let Some(no) = last.last_failure.filter(|no| no.is_within_ttl(now)) {
            return Err(no.error.0.clone());
        }
        if last.value.is_some_and(|yes| confirm.accepts(*yes, now)) {
            return Ok(());
        }
        let aws = self.aws.clone();
        let answer = self.answers.get_or_start(asked, || {
            let lines = question();
            async move {
                let environment = aws.program_environment();
                confirm_prompt::ask(program.as_deref(), &lines, &environment).await.map(|()| aws.now()).map_err(Refusal)
            }
        });
        match tokio::time::timeout(ANSWER_WAIT, answer.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(LoadError::Failed(error))) => Err(error.0.clone()),
            Ok(Err(LoadError::Lost)) => Err(ConstraintError::NoPrompt("the question was lost".to_owned())),
            Err(_) => Err(ConstraintError::Pending),
        }
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<ProfileName, SystemTime>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
