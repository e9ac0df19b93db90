//! The process at the other end of a connection (P1, P2). Only [`AuthorizedStream::check`] makes an [`AuthorizedStream`].

use rolecall_core::lock::LockClient;
use rolecall_protocol::sanitize_for_terminal;
use tokio::net::UnixStream;

use crate::processes::Process;
use crate::services::audit::Client;
use crate::services::lock::Locker;
use crate::services::unauthorized::ClientProcess;

/// A connection from a process of the daemon's user.
pub(super) struct AuthorizedStream(UnixStream);

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
        if is_own(peer.uid, rustix::process::geteuid().as_raw()) { Ok(Self(stream)) } else { Err(peer) }
    }

    /// Returns the process at the other end.
    pub(super) fn peer(&self) -> Peer {
        Peer::of(&self.0)
    }

    pub(super) fn into_inner(self) -> UnixStream {
        self.0
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
        Locker { pid: self.pid, client_process: self.client_process() }
    pub(super) fn locker(self) -> Locker {
        let pid = self.0.and_then(|pid| u32::try_from(pid).ok());
        let own = pid.and_then(stat);
        let parent = own.as_ref().and_then(|own| Some((own.parent, stat(own.parent)?)));
        let client = LockClient {
            process: parent.as_ref().map(|(pid, parent)| (*pid, parent.started)).or_else(|| pid.map(|pid| (pid, 0))),
            session: own.map(|own| own.session),
            name: parent.map(|(_, parent)| parent.name),
        };
        Locker { pid, client }
    }

    /// Returns the process that runs the client, such as kubectl, or `None` if the system does not report it or either process
    /// has ended.
    pub(super) fn client_process(&self) -> Option<ClientProcess> {
        let parent = Process::find(self.process.as_ref()?.parent)?;
        Some(ClientProcess { pid: parent.pid, started: parent.started, program: parent.program_file() })
    }
}

    pub(super) fn client_process(self) -> Option<ClientProcess> {
        let parent = stat(u32::try_from(self.0?).ok()?)?.parent;
        let started = stat(parent)?.started;
        Some(ClientProcess { pid: parent, started, program: program(parent) })
    }
}

/// Returns the device and inode of a process's program.
fn program(pid: u32) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(format!("/proc/{pid}/exe")).ok().map(|file| (file.dev(), file.ino()))
}

/// What the kernel says about a process.
struct ProcessStat {
    /// The name of the program, at most 15 bytes.
    name: String,
    parent: u32,
    session: u32,
    /// When it started, in the kernel's ticks since boot.
    started: u64,
}

/// Reads `/proc/PID/stat`, whose fields are counted from 1 (proc_pid_stat(5)): 4 is the parent, 6 the session, 22 the start. Field 2
/// is the program's name in parentheses, which may itself have parentheses.
fn stat(pid: u32) -> Option<ProcessStat> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (start, rest) = text.rsplit_once(')')?;
    let name = sanitize_for_terminal(start.split_once('(')?.1);
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let id = |field| number(field).and_then(|id| u32::try_from(id).ok());
    Some(ProcessStat { name, parent: id(4)?, session: id(6)?, started: number(22)? })
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
    fn client_process_is_the_parent_of_the_peer() {
        let own = i32::try_from(std::process::id()).unwrap();
        let client = Peer { uid: None, pid: Some(own) }.client().client_process().unwrap();
        let parent = Process::find(std::os::unix::process::parent_id()).unwrap();
        assert_eq!((client.pid, client.started, client.program), (parent.pid, parent.started, parent.program_file()));
        for pid in [None, Some(0), Some(i32::MAX)] {
            let client = Peer { uid: None, pid }.client();
            assert_eq!((client.client_process(), client.process), (None, None), "{pid:?}");
        }
    fn process_is_identified_by_id_and_start() {
        let ProcessStat { parent, started, session, .. } = stat(std::process::id()).unwrap();
        assert_eq!(parent, std::os::unix::process::parent_id());
        assert!(started >= stat(parent).unwrap().started);
        assert_eq!(session, rustix::process::getsid(None).unwrap().as_raw_nonzero().get().cast_unsigned());
        let own = i32::try_from(std::process::id()).unwrap();
        let client = Peer(Some(own)).client_process().unwrap();
        assert_eq!((client.pid, client.program), (parent, program(parent)));
        let locker = Peer(Some(own)).locker();
        assert_eq!((locker.client.process, locker.client.session), (Some((parent, client.started)), Some(session)));
        assert_eq!(locker.client.name, Some(stat(parent).unwrap().name));
        assert!(program(std::process::id()).is_some() && program(u32::MAX).is_none());
        assert_eq!(Peer(Some(i32::MAX)).client_process(), None);
        assert_eq!(Peer(None).client_process(), None);
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
