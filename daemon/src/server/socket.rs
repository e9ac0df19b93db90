//! How the socket is created (S1 to S6), in this order: a private folder, a lock that is held until the process ends, a socket that
//! is closed to other users before it has its path, and a rename that replaces an old socket in one step.

mod inherited;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::location::{self, FolderProblem, SocketAddress};
use rustix::fs::OFlags;
use rustix::io::Errno;

#[cfg(target_os = "linux")]
use crate::harden;
pub use inherited::inherited;

/// How long a stopping daemon may hold the lock; it finishes requests for five seconds at most.
const LOCK_TIMEOUT: Duration = Duration::from_secs(6);
/// How often the lock is tried during that time.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The number of the first descriptor that a service manager passes (sd_listen_fds(3)).
#[cfg(target_os = "linux")]
const SD_LISTEN_FDS_START: std::os::fd::RawFd = 3;
/// The name of the socket in the job's `Sockets` (install/launchd/rolecalld.plist).
#[cfg(target_os = "macos")]
const LAUNCHD_SOCKET: &std::ffi::CStr = c"agent";

/// A listening socket with its claim.
#[derive(Debug)]
pub struct BoundSocket {
    /// The listener, non-blocking.
    pub listener: UnixListener,
    /// The socket's path.
    pub path: PathBuf,
    /// Removes the path and releases the lock when dropped.
    pub claim: SocketClaim,
}

/// The lock and the path of a socket.
#[derive(Debug)]
pub struct SocketClaim {
    /// `None` where a service manager owns it.
    name: Option<SocketName>,
    /// The locked file. The kernel releases the lock when the process ends.
    lock: File,
}

/// The socket's path, and the device and inode of the socket.
#[derive(Debug, Clone)]
pub struct SocketName {
    path: PathBuf,
    identity: (u64, u64),
}

/// Why the socket cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon is serving.
    #[error("already running")]
    AlreadyRunning,
    /// Another process holds the lock but does not serve.
    #[error("{} is locked by another daemon that does not answer; see rolecall agent status", .0.display())]
    Held(PathBuf),
    /// The folder is not private.
    #[error("{}: {problem}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        problem: FolderProblem,
    },
    /// The path exists and is not a socket.
    #[error("{} is not a socket; move it away", .0.display())]
    Occupied(PathBuf),
    /// The lock's path exists and is not a file.
    #[error("{} is not a file; move it away", .0.display())]
    LockOccupied(PathBuf),
    /// The service manager passed an unusable descriptor.
    #[error("the service manager passed {0}, not one Unix socket")]
    Activation(String),
    /// The process before a restart left an unusable descriptor.
    #[error("the restart passed an invalid {0}")]
    Handover(&'static str),
    /// A system call failed.
    #[error("{}: cannot {verb}: {cause}", path.display())]
    Io {
        /// The path it concerned.
        path: PathBuf,
        /// What the call does.
        verb: &'static str,
        /// The system's error.
        cause: io::Error,
    },
}

/// Returns the socket that a service manager passed, if one did (S6).
pub fn activated() -> Result<Option<BoundSocket>, SocketError> {
    let refused = |passed: &str| SocketError::Activation(passed.to_owned());
    let Some(socket) = passed_socket()? else { return Ok(None) };
    if !inherited::listens(&socket) {
        return Err(refused("something that does not listen"));
    }
    let listener = UnixListener::from(socket);
    let path = own_path(&listener).ok_or_else(|| refused("a socket without a path"))?;
    check_folder(path.parent().unwrap_or(Path::new("/")))?;
    // The service manager owns the path; the lock keeps a daemon that is started by hand from replacing it.
    let lock = lock(&path)?;
    listener.set_nonblocking(true).map_err(|cause| io_error(Path::new("socket"), "prepare", cause))?;
    Ok(Some(BoundSocket { listener, path, claim: SocketClaim { name: None, lock } }))
}

/// Returns the socket that systemd passed. It uses the first descriptors after the standard ones (`sd_listen_fds(3)`).
#[cfg(target_os = "linux")]
fn passed_socket() -> Result<Option<OwnedFd>, SocketError> {
    let refused = |passed: &str| SocketError::Activation(passed.to_owned());
    match passed_descriptors()? {
        0 => return Ok(None),
        1 => {}
        more => return Err(SocketError::Activation(format!("{more} sockets"))),
    }
    harden::inherited(SD_LISTEN_FDS_START).map(Some).map_err(|_| refused("a closed descriptor"))
}

/// Returns the socket that launchd opened for the job (launchd.plist(5), `Sockets`).
#[cfg(target_os = "macos")]
fn passed_socket() -> Result<Option<OwnedFd>, SocketError> {
    let mut sockets = crate::darwin::launchd_sockets(LAUNCHD_SOCKET)
        .map_err(|error| SocketError::Activation(format!("no socket ({error})")))?;
    match sockets.len() {
        0 | 1 => Ok(sockets.pop()),
        more => Err(SocketError::Activation(format!("{more} sockets"))),
    }
}

/// Returns how many descriptors a service manager passed to this process (`sd_listen_fds(3)`). Errors if it passed a socket to
/// another process that executed this one in a child: this daemon would replace the service manager's socket.
#[cfg(target_os = "linux")]
#[allow(clippy::disallowed_methods)] // the service manager sets variables
fn passed_descriptors() -> Result<u32, SocketError> {
    let Ok(count) = std::env::var("LISTEN_FDS") else { return Ok(0) };
    let refused = |passed: &str| SocketError::Activation(passed.to_owned());
    let receiver = std::env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok());
    if receiver == Some(std::process::id()) {
        return count.parse().map_err(|_| refused("an invalid LISTEN_FDS"));
    }
    match harden::inherited(SD_LISTEN_FDS_START) {
        Ok(socket) if inherited::listens(&socket) => Err(refused("a socket for another process (LISTEN_PID)")),
        _ => Ok(0),
    }
}

/// Creates the socket at `path`.
pub fn bind(path: &Path) -> Result<BoundSocket, SocketError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folder(folder)?;
    check_folder(folder)?;
    let lock = lock(path)?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::Occupied(path.to_owned())),
        _ => {}
    }
    let temporary = folder.join(format!(".{}", std::process::id()));
    let listener = listen(&temporary).inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    let identity = identity(&temporary).map_err(|cause| io_error(&temporary, "look at", cause))?;
    fs::rename(&temporary, path).map_err(|cause| io_error(path, "name the socket", cause))?;
    let claim = SocketClaim { name: Some(SocketName { path: path.to_owned(), identity }), lock };
    Ok(BoundSocket { listener, path: path.to_owned(), claim })
}

/// Returns the path of a socket that a service manager created.
fn own_path(listener: &UnixListener) -> Option<PathBuf> {
    listener.local_addr().ok()?.as_pathname().map(Path::to_owned)
}

/// Creates the folder and its missing parents, with mode 0700.
fn make_folder(folder: &Path) -> Result<(), SocketError> {
    match DirBuilder::new().mode(0o700).recursive(true).create(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(io_error(folder, "create the folder", cause)),
    }
}

/// Errors if other users can enter the folder. Its mode is never changed, since it may be a link to another user's folder (S2).
fn check_folder(folder: &Path) -> Result<(), SocketError> {
    location::check_private_folder(folder).map_err(|problem| SocketError::Folder { folder: folder.to_owned(), problem })
}

/// Takes the lock (S4). Waits for a daemon that is stopping; errors if a daemon is serving.
fn lock(path: &Path) -> Result<File, SocketError> {
    let lock_path = path.with_extension("lock");
    // A FIFO without a reader would block.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).custom_flags(flags).open(&lock_path);
    let file = match file {
        Ok(file) if file.metadata().is_ok_and(|found| found.is_file()) => file,
        Ok(_) => return Err(SocketError::LockOccupied(lock_path)),
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
            return Err(SocketError::LockOccupied(lock_path));
        }
        Err(cause) => return Err(io_error(&lock_path, "open the lock", cause)),
    };
    for _ in 0..LOCK_TIMEOUT.as_millis() / LOCK_RETRY_INTERVAL.as_millis() {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if is_served(path) => {
                return Err(SocketError::AlreadyRunning);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_RETRY_INTERVAL),
            Err(TryLockError::Error(cause)) => return Err(io_error(&lock_path, "lock", cause)),
        }
    }
    Err(SocketError::Held(lock_path))
}

/// Whether a daemon accepts connections at this path.
fn is_served(path: &Path) -> bool {
    SocketAddress::of(path).and_then(|address| UnixStream::connect(address.path())).is_ok()
}

/// Binds a socket at a temporary path and closes it to other users.
fn listen(temporary: &Path) -> Result<UnixListener, SocketError> {
    drop(fs::remove_file(temporary)); // left by a killed daemon that had this process id
    let address = SocketAddress::of(temporary).map_err(|cause| io_error(temporary, "find the folder of", cause))?;
    let listener = UnixListener::bind(address.path()).map_err(|cause| io_error(temporary, "bind", cause))?;
    fs::set_permissions(temporary, fs::Permissions::from_mode(0o600))
        .map_err(|cause| io_error(temporary, "close to others", cause))?;
    listener.set_nonblocking(true).map_err(|cause| io_error(temporary, "prepare", cause))?;
    Ok(listener)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn io_error(path: &Path, verb: &'static str, cause: io::Error) -> SocketError {
    SocketError::Io { path: path.to_owned(), verb, cause }
}

impl SocketClaim {
    /// Returns the socket's path, unless a service manager owns it.
    #[must_use]
    pub fn name(&self) -> Option<SocketName> {
        self.name.clone()
    }
}

impl SocketName {
    /// Whether the path still leads to this daemon's socket.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }

    /// Errors if the folder is no longer private, which the next run of the program requires.
    pub fn check(&self) -> Result<(), SocketError> {
        check_folder(self.folder())
    }

    /// Returns the socket's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

impl Drop for SocketClaim {
    /// Removes the path if it still leads to this daemon's socket: a successor may have replaced it.
    fn drop(&mut self) {
        if let Some(name) = self.name.as_ref().filter(|name| name.is_ours()) {
            drop(fs::remove_file(&name.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolecall/agent.sock");
        (folder, path)
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    /// Fault matrix row 8.
    #[test]
    #[cfg(target_os = "linux")]
    fn long_path_is_bound_and_claimed() {
        let (_keep, path) = folder();
        let path = path.with_file_name("x".repeat(120)).join("agent.sock");
        let bound = bind(&path).unwrap();
        assert_eq!(bound.path, path);
        assert_eq!(mode(&path), 0o600);
        assert!(is_served(&path) && bound.claim.name().unwrap().is_ours());
        assert!(matches!(bind(&path), Err(SocketError::AlreadyRunning)));
        drop(bound);
        assert!(!path.exists());
        assert!(bind(&path).is_ok());
    }

    #[test]
    fn folder_and_socket_are_private() {
        let (_keep, path) = folder();
        let bound = bind(&path).unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        assert!(UnixStream::connect(&path).is_ok());
        assert!(matches!(bind(&path), Err(SocketError::AlreadyRunning)));
        drop(bound);
        assert!(!path.exists());
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["agent.lock"]);
    }

    /// Fault matrix row 9.
    #[test]
    fn stale_socket_is_replaced() {
        let (_keep, path) = folder();
        make_folder(path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err());
        let _bound = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    /// Fault matrix rows 5 and 6.
    #[test]
    fn open_folder_is_rejected_and_unchanged() {
        let (keep, path) = folder();
        let parent = path.parent().unwrap();
        fs::create_dir(parent).unwrap();
        fs::set_permissions(parent, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::Folder { problem: FolderProblem::Mode(0o770), .. })));
        assert_eq!(mode(parent), 0o770);

        fs::remove_dir(parent).unwrap();
        let target = keep.path().join("target");
        fs::create_dir(&target).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&target, parent).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::Folder { problem: FolderProblem::NotAFolder, .. })));
        assert_eq!(mode(&target), 0o755);
    }

    /// Fault matrix row 11.
    #[test]
    fn other_file_at_the_path_is_kept() {
        let (_keep, path) = folder();
        make_folder(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::Occupied(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn fifo_at_the_locks_path_is_rejected() {
        let (_keep, path) = folder();
        make_folder(path.parent().unwrap()).unwrap();
        let lock = path.with_extension("lock");
        nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::LockOccupied(_))));
        let _reader = OpenOptions::new().read(true).write(true).open(&lock).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::LockOccupied(_))), "with a reader");
        assert!(!path.exists());
    }

    /// Fault matrix row 13.
    #[test]
    fn stopping_daemon_keeps_its_successors_socket() {
        let (_keep, path) = folder();
        let old = bind(&path).unwrap();
        let thief = path.with_extension("new");
        let _listener = UnixListener::bind(&thief).unwrap();
        fs::rename(&thief, &path).unwrap();
        drop(old);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
