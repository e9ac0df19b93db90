//! Who is at the other end (P1, P2). Handlers take an [`AuthorizedStream`], and only the check makes one.

use tokio::net::UnixStream;

use crate::agent::{ClientProcess, Locker};

/// A connection from the user's own processes.
pub(super) struct AuthorizedStream(UnixStream);

/// The process at the other end, as the kernel tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(Option<i32>);

/// A connection from somebody else; it is closed before a byte of it is read.
pub(super) struct Denied {
    /// Whose it is; `None` if the kernel does not say.
    pub(super) uid: Option<u32>,
}

impl AuthorizedStream {
    /// Lets the daemon's own uid in and nobody else: not root either, which inside a container may be anybody.
    pub(super) fn check(stream: UnixStream) -> Result<Self, Denied> {
        let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
        if is_own(uid, rustix::process::geteuid().as_raw()) { Ok(Self(stream)) } else { Err(Denied { uid }) }
    }

    /// Who it is from.
    pub(super) fn peer(&self) -> Peer {
        Peer(self.0.peer_cred().ok().and_then(|credentials| credentials.pid()))
    }

    pub(super) fn into_inner(self) -> UnixStream {
        self.0
    }
}

impl Peer {
    /// Who it is, to lock and unlock.
    pub(super) fn locker(self) -> Locker {
        Locker { pid: self.0.and_then(|pid| u32::try_from(pid).ok()), client_process: self.client_process() }
    }

    /// The process that runs the client, such as a kubectl; `None` where the system does not tell, or where either has
    /// ended.
    pub(super) fn client_process(self) -> Option<ClientProcess> {
        let (parent, _) = stat(u32::try_from(self.0?).ok()?)?;
        let (_, started) = stat(parent)?;
        Some(ClientProcess { pid: parent, started })
    }
}

/// A process's parent, and when it started: fields 4 and 22 of `/proc/PID/stat`, counted from 1 (proc_pid_stat(5)). The
/// second is the program's name in parentheses, and may hold anything, parentheses too.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    Some((fields.nth(1)?.parse().ok()?, fields.nth(17)?.parse().ok()?))
}

fn is_own(peer: Option<u32>, own: u32) -> bool {
    peer == Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 109.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_known_by_its_id_and_its_start() {
        let (parent, started) = stat(std::process::id()).unwrap();
        assert_eq!(parent, std::os::unix::process::parent_id());
        assert!(started >= stat(parent).unwrap().1);
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(Peer(Some(own)).client_process().unwrap().pid, parent);
        assert_eq!(Peer(Some(i32::MAX)).client_process(), None);
        assert_eq!(Peer(None).client_process(), None);
    }

    #[test]
    fn rows_1_to_3_only_the_own_uid_comes_in() {
        assert!(is_own(Some(1000), 1000));
        for peer in [None, Some(0), Some(1001), Some(65534)] {
            assert!(!is_own(peer, 1000), "{peer:?}");
        }
    }
}
