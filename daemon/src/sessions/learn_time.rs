//! Calls to STS that are made only for the time in its answer.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use rolecall_aws::sts;
use rolecall_core::refresh::REFRESH_WAIT;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

use super::Sessions;

/// How often AWS is called only to learn its time.
const LEARN_TIME_INTERVAL: Duration = Duration::from_mins(1);

impl Sessions {
    /// Learns AWS's time where no other call does: a source whose credentials sign tokens themselves never calls AWS, and
    /// with a wrong clock the API server would reject its tokens. At most once a minute, for two seconds.
    pub async fn learn_time(&self, chain: &RoleChain, session: &Session) {
        let clock = self.aws.clock();
        if clock.is_known() || !self.may_ask_time(self.now()) {
            return;
        }
        // Every answer carries the time, an error too.
        let endpoint = chain.endpoint();
        let asking = sts::get_caller_identity(&self.aws, &endpoint, session);
        if let Ok(Err(error)) = tokio::time::timeout(REFRESH_WAIT, asking).await {
            tracing::debug!(%error, "AWS called for its time");
        }
    }

    fn may_ask_time(&self, now: SystemTime) -> bool {
        let mut asked_at = self.time_asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = asked_at.is_some_and(|at| now.duration_since(at).is_ok_and(|age| age < LEARN_TIME_INTERVAL));
        if !is_recent {
            *asked_at = Some(now);
        }
        !is_recent
    }
}
