//! Whether the agent can be locked, and locks by itself.

use rolecall_protocol::{Hint, LockStatus};

use super::checked::Checked;
use super::facts::Facts;

pub(super) fn check(facts: &Facts) -> Vec<Checked> {
    facts.agent.iter().map(|agent| finding(&agent.status.daemon.lock)).collect()
}

fn finding(lock: &LockStatus) -> Checked {
    let name = "lock";
    let consequence = "A user of your unattended computer gets tokens.";
    if let Some(problem) = &lock.problem {
        let fix = problem.hint.clone().unwrap_or_else(|| Hint::command("rolecall status"));
        return Checked::problem(name, "lock_failed", &problem.message).consequence(consequence).fix(fix);
    }
    let locks_by_itself = lock.auto_lock_at.is_some() || lock.with_desktop;
    match (lock.locked, lock.has_passphrase, locks_by_itself) {
        (true, ..) => Checked::ok(name, "the agent is locked"),
        (false, false, _) => Checked::warning(name, "no_passphrase", "no passphrase is set")
            .consequence(consequence)
            .fix(Hint::command("rolecall lock --passphrase")),
        (false, true, false) => Checked::warning(name, "no_automatic_lock", "the agent does not lock by itself")
            .consequence(consequence)
            .fix("Set idle, max or on_screen_lock under [lock]: rolecall config edit"),
        (false, true, true) => Checked::ok(name, "a passphrase is set, and the agent locks by itself"),
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::{ErrorBody, ErrorCode, FindingState};

    use super::*;

    #[test]
    fn finding_follows_the_lock_status() {
        let state = |lock: LockStatus| finding(&lock).state();
        let open = LockStatus { has_passphrase: true, ..LockStatus::default() };
        assert_eq!(state(LockStatus::default()), FindingState::Warning);
        assert_eq!(state(open.clone()), FindingState::Warning);
        assert_eq!(
            state(LockStatus { auto_lock_at: Some(jiff::Timestamp::UNIX_EPOCH), ..open.clone() }),
            FindingState::Ok
        );
        assert_eq!(state(LockStatus { with_desktop: true, ..open.clone() }), FindingState::Ok);
        assert_eq!(state(LockStatus { locked: true, ..LockStatus::default() }), FindingState::Ok);
        let problem = Some(ErrorBody::new(ErrorCode::Internal, "cannot be saved"));
        assert_eq!(state(LockStatus { problem, ..open }), FindingState::Problem);
    }
}
