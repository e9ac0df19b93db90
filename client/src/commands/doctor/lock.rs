//! Whether the agent can be locked, and locks by itself.

use rolecall_protocol::LockStatus;

use super::facts::Facts;
use super::finding::Finding;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    facts.agent.iter().map(|agent| finding(&agent.status.daemon.lock)).collect()
}

fn finding(lock: &LockStatus) -> Finding {
    let name = "lock";
    let consequence = "Whoever uses your session while you are away gets tokens.";
    if let Some(problem) = &lock.problem {
        let fix = problem.hint.clone().unwrap_or_else(|| "rolecall status".to_owned());
        return Finding::problem(name, problem.message.clone(), consequence, fix);
    }
    match (lock.locked, lock.has_passphrase, lock.auto_lock_at) {
        (true, ..) => Finding::ok(name, "the agent is locked"),
        (false, false, _) => Finding::warning(name, "no passphrase is set", consequence, "rolecall lock --passphrase"),
        (false, true, None) => Finding::warning(
            name,
            "the agent does not lock by itself",
            consequence,
            "Set idle or max under [lock]: rolecall config edit",
        ),
        (false, true, Some(_)) => Finding::ok(name, "a passphrase is set, and the agent locks by itself"),
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::{ErrorBody, ErrorCode};

    use super::super::finding::State;
    use super::*;

    #[test]
    fn finding_follows_the_lock_status() {
        let state = |lock: LockStatus| finding(&lock).state;
        let open = LockStatus { has_passphrase: true, ..LockStatus::default() };
        assert_eq!(state(LockStatus::default()), State::Warning);
        assert_eq!(state(open.clone()), State::Warning);
        assert_eq!(state(LockStatus { auto_lock_at: Some(jiff::Timestamp::UNIX_EPOCH), ..open.clone() }), State::Ok);
        assert_eq!(state(LockStatus { locked: true, ..LockStatus::default() }), State::Ok);
        let problem = Some(ErrorBody::new(ErrorCode::Internal, "cannot be saved"));
        assert_eq!(state(LockStatus { problem, ..open }), State::Problem);
    }
}
