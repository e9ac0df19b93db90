//! Detection of a 401 (B3). client-go keeps a token until it expires, so a second request from the same process while its token
//! is valid means that the API server rejected the first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::ProfileName;

use rolecall_core::role_chain::RoleChain;

/// A process that asks again within this time after it got a new signature was rejected twice.
const SECOND_REJECTION_WINDOW: Duration = Duration::from_secs(30);
/// A session is replaced after suspected rejections at most this often.
const SESSION_REPLACE_INTERVAL: Duration = Duration::from_mins(1);
/// How many processes are remembered; a hundred kubectl a second need fewer. The oldest half makes room.
const MAX_PROCESSES: usize = 1024;

/// A process that runs the plugin, such as kubectl. It is identified by its id and its start, since ids are reused, and by its
/// program: a wrapper that runs the plugin and then executes the real kubectl is another client in the same process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientProcess {
    /// The process id.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot.
    pub started: u64,
    /// Device and inode of its program, if the system reports them.
    pub program: Option<(u64, u64)>,
}

/// What a request for a token gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenPolicy {
    /// The token that all callers share.
    Shared,
    /// A token with a new signature.
    NewSignature,
    /// As [`Self::NewSignature`], for a process that seemed to be rejected before and then worked with its token for longer
    /// than [`SECOND_REJECTION_WINDOW`].
    NewSignatureAfterUse,
    /// A token of a new session, if AWS gives one in time.
    NewSession,
}

/// Remembers which process got a token when.
#[derive(Default)]
pub(super) struct UnauthorizedDetector(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    served: HashMap<(ProfileName, ClientProcess), ServedToken>,
    /// When each chain's session was last replaced after suspected rejections.
    replaced: HashMap<RoleChain, SystemTime>,
}

/// The last token of a process.
struct ServedToken {
    at: SystemTime,
    expires: SystemTime,
    /// When the process last seemed to be rejected.
    rejected: Option<SystemTime>,
    /// Whether the process got a response that says so.
    is_notified: bool,
}

impl UnauthorizedDetector {
    /// Decides what a request at `requested_at` gets. A request from before the process got its last token is one of several
    /// parallel requests, and no rejection.
    pub(super) fn on_request(
        &self,
        name: &ProfileName,
        client: ClientProcess,
        requested_at: SystemTime,
    ) -> TokenPolicy {
        match self.requests().served.get_mut(&(name.clone(), client)) {
            Some(served) => served.on_request(requested_at),
            None => TokenPolicy::Shared,
        }
    }

    /// Records that a process got a token.
    pub(super) fn on_response(&self, name: &ProfileName, client: ClientProcess, at: SystemTime, expires: SystemTime) {
        let mut requests = self.requests();
        let key = (name.clone(), client);
        if requests.served.len() >= MAX_PROCESSES && !requests.served.contains_key(&key) {
            requests.make_room();
        }
        let last = requests.served.get(&key);
        let rejected = last.and_then(|served| served.rejected);
        let is_notified = last.is_some_and(|served| served.is_notified);
        requests.served.insert(key, ServedToken { at, expires, rejected, is_notified });
    }

    /// Whether a process that got a token is to be notified that the cluster rejects it. If so, records the notification: a
    /// kubectl that fails runs the plugin up to six times.
    pub(super) fn may_notify(&self, name: &ProfileName, client: ClientProcess) -> bool {
        let mut requests = self.requests();
        let served = requests.served.get_mut(&(name.clone(), client));
        served.is_some_and(|served| !std::mem::replace(&mut served.is_notified, true))
    }

    /// Whether a chain's session may be replaced at `now`. If so, records the replacement.
    pub(super) fn may_replace(&self, chain: &RoleChain, now: SystemTime) -> bool {
        let mut requests = self.requests();
        requests.replaced.retain(|_, at| now.duration_since(*at).is_ok_and(|age| age < SESSION_REPLACE_INTERVAL));
        let may_replace = !requests.replaced.contains_key(chain);
        if may_replace {
            requests.replaced.insert(chain.clone(), now);
        }
        may_replace
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    /// Drops the older half, so that this runs rarely.
    fn make_room(&mut self) {
        let mut times: Vec<SystemTime> = self.served.values().map(|served| served.at).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.served.retain(|_, served| served.at > median);
    }
}

impl ServedToken {
    fn on_request(&mut self, requested_at: SystemTime) -> TokenPolicy {
        if requested_at <= self.at || requested_at >= self.expires {
            return TokenPolicy::Shared;
        }
        let is_recent = |at| requested_at.duration_since(at).is_ok_and(|age| age < SECOND_REJECTION_WINDOW);
        match self.rejected.replace(requested_at).map(is_recent) {
            None => TokenPolicy::NewSignature,
            Some(false) => {
                self.is_notified = false;
                TokenPolicy::NewSignatureAfterUse
            }
            Some(true) => TokenPolicy::NewSession,
        }
    }
}

#[cfg(test)]
mod tests {
    use rolecall_core::config::{SourceConfig, SourceKind};

    use super::*;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;
    const KUBECTL: ClientProcess = ClientProcess { pid: 7, started: 1, program: None };

    fn at(seconds: u64) -> SystemTime {
        T0 + Duration::from_secs(seconds)
    }

    /// Fault matrix row 83.
    #[test]
    fn second_request_of_a_process_means_rejection() {
        let (unauthorized, prod) = (UnauthorizedDetector::default(), "prod".parse().unwrap());
        let request = |client: ClientProcess, asked: u64| {
            let policy = unauthorized.on_request(&prod, client, at(asked));
            unauthorized.on_response(&prod, client, at(asked) + Duration::from_millis(1), at(asked + 840));
            policy
        };
        assert_eq!(request(KUBECTL, 0), TokenPolicy::Shared);
        assert_eq!(request(KUBECTL, 1), TokenPolicy::NewSignature);
        assert_eq!(request(KUBECTL, 2), TokenPolicy::NewSession);
        assert_eq!(request(KUBECTL, 2 + 30), TokenPolicy::NewSignatureAfterUse, "the first rejection is too long ago");
        assert_eq!(request(KUBECTL, 32 + 840), TokenPolicy::Shared, "its token had expired");
        assert_eq!(
            request(ClientProcess { started: 2, ..KUBECTL }, 900),
            TokenPolicy::Shared,
            "another process with the same id"
        );
        assert_eq!(unauthorized.on_request(&"other".parse().unwrap(), KUBECTL, at(1)), TokenPolicy::Shared);
    }

    #[test]
    fn parallel_requests_mean_no_rejection() {
        let (unauthorized, prod) = (UnauthorizedDetector::default(), "prod".parse().unwrap());
        unauthorized.on_response(&prod, KUBECTL, at(5), at(845));
        assert_eq!(unauthorized.on_request(&prod, KUBECTL, at(4)), TokenPolicy::Shared);
        assert_eq!(unauthorized.on_request(&prod, KUBECTL, at(5)), TokenPolicy::Shared);
    }

    #[test]
    fn process_is_notified_once_until_it_is_accepted() {
        let (unauthorized, prod) = (UnauthorizedDetector::default(), "prod".parse().unwrap());
        let request = |client: ClientProcess, asked: u64| {
            unauthorized.on_request(&prod, client, at(asked));
            unauthorized.on_response(&prod, client, at(asked) + Duration::from_millis(1), at(asked + 840));
        };
        assert!(!unauthorized.may_notify(&prod, KUBECTL), "it got no token");
        request(KUBECTL, 0);
        request(KUBECTL, 1);
        assert!(unauthorized.may_notify(&prod, KUBECTL));
        request(KUBECTL, 2);
        assert!(!unauthorized.may_notify(&prod, KUBECTL));
        let next = ClientProcess { pid: 8, ..KUBECTL };
        request(next, 2);
        assert!(unauthorized.may_notify(&prod, next));
        // It used its token for a while.
        request(KUBECTL, 2 + 30);
        assert!(unauthorized.may_notify(&prod, KUBECTL));
    }

    #[test]
    fn session_is_replaced_once_a_minute() {
        let unauthorized = UnauthorizedDetector::default();
        let source = SourceConfig::plain(SourceKind::AwsProfile("work".into()));
        let chain = RoleChain::new(source, "eu-west-1".parse().unwrap(), vec![]);
        assert!(unauthorized.may_replace(&chain, at(0)));
        assert!(!unauthorized.may_replace(&chain, at(59)));
        assert!(unauthorized.may_replace(&chain, at(60)));
    }

    #[test]
    fn oldest_processes_make_room() {
        let (unauthorized, prod) = (UnauthorizedDetector::default(), "prod".parse().unwrap());
        for pid in 0..2000 {
            unauthorized.on_response(
                &prod,
                ClientProcess { pid, started: 0, program: None },
                at(u64::from(pid)),
                at(9999),
            );
        }
        assert!(unauthorized.requests().served.len() <= MAX_PROCESSES);
        assert_eq!(
            unauthorized.on_request(&prod, ClientProcess { pid: 1999, started: 0, program: None }, at(2500)),
            TokenPolicy::NewSignature
        );
        assert_eq!(
            unauthorized.on_request(&prod, ClientProcess { pid: 0, started: 0, program: None }, at(2500)),
            TokenPolicy::Shared
        );
    }
}
