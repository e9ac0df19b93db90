//! Who asked already (B3): nobody tells us of a 401, but client-go asks again for a token that it has when the API server
//! refused it. It keeps a token as long as it lives, so a process that asks while its token does was refused.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::ProfileName;

use rolecall_core::role_chain::RoleChain;

/// A process that asks again within this after it got another signature has been refused twice.
const AGAIN: Duration = Duration::from_secs(30);
/// A session is replaced on suspicion no more often than this.
const FORCED: Duration = Duration::from_mins(1);
/// Processes that are remembered. A hundred kubectl a second are as many as nobody has; the oldest make room.
const MOST: usize = 1024;

/// A process that runs the plugin: its id and its start, since ids come round again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientProcess {
    /// The process id.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot.
    pub started: u64,
}

/// What a process that asks is to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenPolicy {
    /// The token that everybody gets.
    Token,
    /// A token with a signature of its own.
    NewSignature,
    /// A token of another session, if that is possible now.
    NewSession,
}

/// Everybody who has been answered.
#[derive(Default)]
pub(super) struct UnauthorizedDetector(Mutex<Known>);

#[derive(Default)]
struct Known {
    answered: HashMap<(ProfileName, ClientProcess), Answered>,
    forced: HashMap<RoleChain, SystemTime>,
}

struct Answered {
    /// When, last.
    at: SystemTime,
    /// When that token ends.
    ends: SystemTime,
    /// When it was last taken for refused.
    refused: Option<SystemTime>,
}

impl UnauthorizedDetector {
    /// Judges a process that asks now. One that asked before it was answered the last time was not refused: it asks
    /// for many at once.
    pub(super) fn on_request(&self, name: &ProfileName, client_process: ClientProcess, now: SystemTime) -> TokenPolicy {
        match self.known().answered.get_mut(&(name.clone(), client_process)) {
            Some(answered) => answered.on_request(now),
            None => TokenPolicy::Token,
        }
    }

    /// Notes an answer.
    pub(super) fn answered(&self, name: &ProfileName, client_process: ClientProcess, at: SystemTime, ends: SystemTime) {
        let mut known = self.known();
        let key = (name.clone(), client_process);
        if known.answered.len() >= MOST && !known.answered.contains_key(&key) {
            known.make_room();
        }
        let refused = known.answered.get(&key).and_then(|answered| answered.refused);
        known.answered.insert(key, Answered { at, ends, refused });
    }

    /// Whether a session may be replaced on suspicion at `now`, which is then noted.
    pub(super) fn may_force(&self, chain: &RoleChain, now: SystemTime) -> bool {
        let mut known = self.known();
        known.forced.retain(|_, at| now.duration_since(*at).is_ok_and(|age| age < FORCED));
        let is_new = !known.forced.contains_key(chain);
        if is_new {
            known.forced.insert(chain.clone(), now);
        }
        is_new
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The older half goes, so that this is done rarely.
    fn make_room(&mut self) {
        let mut times: Vec<SystemTime> = self.answered.values().map(|answered| answered.at).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.answered.retain(|_, answered| answered.at > median);
    }
}

impl Answered {
    fn on_request(&mut self, asked: SystemTime) -> TokenPolicy {
        if asked <= self.at || asked >= self.ends {
            return TokenPolicy::Token;
        }
        let again = self.refused.is_some_and(|refused| asked.duration_since(refused).is_ok_and(|age| age < AGAIN));
        self.refused = Some(asked);
        if again { TokenPolicy::NewSession } else { TokenPolicy::NewSignature }
    }
}

#[cfg(test)]
mod tests {
    use rolecall_core::config::{SourceConfig, SourceKind};

    use super::*;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;
    const KUBECTL: ClientProcess = ClientProcess { pid: 7, started: 1 };

    fn at(seconds: u64) -> SystemTime {
        T0 + Duration::from_secs(seconds)
    }

    #[test]
    fn row_83_a_process_that_asks_again_was_refused() {
        let (unauthorized, prod) = (UnauthorizedDetector::default(), "prod".parse().unwrap());
        let ask = |client_process: ClientProcess, asked: u64| {
            let policy = unauthorized.on_request(&prod, client_process, at(asked));
            unauthorized.answered(&prod, client_process, at(asked) + Duration::from_millis(1), at(asked + 840));
            policy
        };
        assert_eq!(ask(KUBECTL, 0), TokenPolicy::Token);
        assert_eq!(ask(KUBECTL, 1), TokenPolicy::NewSignature);
        assert_eq!(ask(KUBECTL, 2), TokenPolicy::NewSession);
        assert_eq!(ask(KUBECTL, 2 + 30), TokenPolicy::NewSignature, "that was long ago");
        assert_eq!(ask(KUBECTL, 32 + 840), TokenPolicy::Token, "its token had ended");
        assert_eq!(ask(ClientProcess { started: 2, ..KUBECTL }, 900), TokenPolicy::Token, "another process of that id");
        assert_eq!(unauthorized.on_request(&"other".parse().unwrap(), KUBECTL, at(1)), TokenPolicy::Token);
    }

    #[test]
    fn who_asks_for_many_at_once_was_not_refused() {
        let (unauthorized, prod) = (UnauthorizedDetector::default(), "prod".parse().unwrap());
        unauthorized.answered(&prod, KUBECTL, at(5), at(845));
        assert_eq!(unauthorized.on_request(&prod, KUBECTL, at(4)), TokenPolicy::Token);
        assert_eq!(unauthorized.on_request(&prod, KUBECTL, at(5)), TokenPolicy::Token);
    }

    #[test]
    fn a_session_is_replaced_on_suspicion_once_a_minute() {
        let unauthorized = UnauthorizedDetector::default();
        let source = SourceConfig::plain(SourceKind::AwsProfile("work".into()));
        let chain = RoleChain::new(source, "eu-west-1".parse().unwrap(), vec![]);
        assert!(unauthorized.may_force(&chain, at(0)));
        assert!(!unauthorized.may_force(&chain, at(59)));
        assert!(unauthorized.may_force(&chain, at(60)));
    }

    #[test]
    fn the_oldest_make_room() {
        let (unauthorized, prod) = (UnauthorizedDetector::default(), "prod".parse().unwrap());
        for pid in 0..2000 {
            unauthorized.answered(&prod, ClientProcess { pid, started: 0 }, at(u64::from(pid)), at(9999));
        }
        assert!(unauthorized.known().answered.len() <= MOST);
        assert_eq!(
            unauthorized.on_request(&prod, ClientProcess { pid: 1999, started: 0 }, at(2500)),
            TokenPolicy::NewSignature
        );
        assert_eq!(unauthorized.on_request(&prod, ClientProcess { pid: 0, started: 0 }, at(2500)), TokenPolicy::Token);
    }
}
