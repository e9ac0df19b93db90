//! The process at the other end of a connection (P1, P2). Only [`AuthorizedStream::check`] makes an [`AuthorizedStream`].

use rolecall_core::lock::LockClient;
use rolecall_protocol::sanitize_for_terminal;
use tokio::net::UnixStream;

use crate::processes::Process;
use crate::services::audit::Client;
use crate::services::lock::Locker;
use crate::services::unauthorized::ClientProcess;

/// A connection from a process of the daemon's user.
pub(super) struct AuthorizedStream {
    stream: UnixStream,
    peer: Peer,
}

/// The user and the process id at the other end, as far as the kernel reports them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
}

impl AuthorizedStream {
    /// Accepts a connection from the daemon's own uid only. Root is rejected too: in a container it may be any user. Errors
    /// with the other user, whose connection is closed before a byte is read.
    pub(super) fn check(stream: UnixStream) -> Result<Self, Peer> {
        let peer = Peer::of(&stream);
        if is_own(peer.uid, rustix::process::geteuid().as_raw()) { Ok(Self { stream, peer }) } else { Err(peer) }
    }

    /// Returns the process at the other end.
    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    pub(super) fn into_inner(self) -> UnixStream {
        self.stream
    }
}

impl Peer {
    fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        Self {
            uid: credentials.as_ref().map(tokio::net::unix::UCred::uid),
            pid: credentials.and_then(|credentials| credentials.pid()),
        }
    }

    pub(super) const fn uid(self) -> Option<u32> {
        self.uid
    }

    /// Returns the process id, or `None` for a process outside the daemon's pid namespace.
    pub(super) fn pid(self) -> Option<i32> {
        self.pid.filter(|pid| *pid > 0)
    }

    /// Looks at the process, which waits for its response and therefore still runs.
    pub(super) fn client(self) -> Client {
        let pid = self.pid().and_then(|pid| u32::try_from(pid).ok());
        Client { uid: self.uid, pid, process: pid.and_then(Process::find) }
    }
}

impl Client {
    /// Returns the client's identity for the lock.
    pub(super) fn locker(&self) -> Locker {
        let parent = self.process.as_ref().and_then(Process::find_parent);
        let client = LockClient {
            process: parent
                .as_ref()
                .map(|parent| (parent.pid, parent.started))
                .or_else(|| self.pid.map(|pid| (pid, 0))),
            session: self.process.as_ref().map(|process| process.session),
            name: parent.map(|parent| sanitize_for_terminal(&parent.command)),
        };
        Locker { pid: self.pid, client }
    }

    /// Returns the process that runs the client, such as kubectl, or `None` if the system does not report it or either process
    /// has ended.
    pub(super) fn client_process(&self) -> Option<ClientProcess> {
        let parent = Process::find(self.process.as_ref()?.parent)?;
        Some(ClientProcess { pid: parent.pid, started: parent.started, program: parent.program_file() })
    }
}

fn is_own(peer: Option<u32>, own: u32) -> bool {
    peer == Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 109.
    #[test]
    fn client_process_is_the_parent_of_the_peer() {
        let own = i32::try_from(std::process::id()).unwrap();
        let client = Peer { uid: None, pid: Some(own) }.client().client_process().unwrap();
        let parent = Process::find(std::os::unix::process::parent_id()).unwrap();
        assert_eq!((client.pid, client.started, client.program), (parent.pid, parent.started, parent.program_file()));
        let locker = Peer { uid: None, pid: Some(own) }.client().locker();
        assert_eq!(locker.client.process, Some((parent.pid, parent.started)));
        assert_eq!(locker.client.session, Process::find(std::process::id()).map(|process| process.session));
        for pid in [None, Some(0), Some(i32::MAX)] {
            let client = Peer { uid: None, pid }.client();
            assert_eq!((client.client_process(), client.process), (None, None), "{pid:?}");
        }
    }

    /// Fault matrix rows 1 to 3.
    #[test]
    fn only_the_own_uid_is_accepted() {
        assert!(is_own(Some(1000), 1000));
        for peer in [None, Some(0), Some(1001), Some(65534)] {
            assert!(!is_own(peer, 1000), "{peer:?}");
        }
    }
}
