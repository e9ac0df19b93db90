//! The socket ritual, in order (S1 to S6): a private folder, a lock held for life, a socket that is closed to others
//! before it has its name, and a name that is taken over in one step.

mod inherited;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::location::{self, FolderProblem};

use crate::harden;
pub use inherited::inherited;

/// How long a dying daemon may take to let go of the lock; it drains for five seconds at most.
const HANDOVER: Duration = Duration::from_secs(6);
/// How often the lock is tried meanwhile.
const STEP: Duration = Duration::from_millis(20);

/// The number of the first descriptor that a service manager passes (`SD_LISTEN_FDS_START`).
const FIRST_PASSED: RawFd = 3;

/// A listening socket, and what keeps it ours.
#[derive(Debug)]
pub struct Bound {
    /// Listens, without blocking.
    pub listener: UnixListener,
    /// Where.
    pub path: PathBuf,
    /// Lets go of the name and the lock when dropped.
    pub claim: Claim,
}

/// The lock and the name.
#[derive(Debug)]
pub struct Claim {
    /// `None` where a service manager owns it.
    name: Option<Name>,
    /// Held: the kernel frees it when the process ends, however it ends.
    lock: File,
}

/// The socket's path, and the device and inode that it leads to as long as it is ours.
#[derive(Debug, Clone)]
pub struct Name {
    path: PathBuf,
    identity: (u64, u64),
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A daemon serves already.
    #[error("already running")]
    AlreadyRunning,
    /// Somebody holds the lock but serves nothing.
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
    /// Something else has the socket's name.
    #[error("{} is something else than a socket; move it away", .0.display())]
    Occupied(PathBuf),
    /// The service manager passed something unusable.
    #[error("the service manager passed {0}, not one Unix socket")]
    Activation(String),
    /// The program before a restart left something unusable.
    #[error("what was handed over is not its {0}")]
    Handover(&'static str),
    /// The system refused a step.
    #[error("{}: cannot {verb}: {cause}", path.display())]
    Io {
        /// On what.
        path: PathBuf,
        /// To do what.
        verb: &'static str,
        /// Why.
        cause: io::Error,
    },
}

/// Takes the socket that a service manager passed, if one did (S6).
pub fn activated() -> Result<Option<Bound>, SocketError> {
    match passed_descriptors() {
        0 => return Ok(None),
        1 => {}
        more => return Err(SocketError::Activation(format!("{more} sockets"))),
    }
    let socket =
        harden::inherited(FIRST_PASSED).map_err(|_| SocketError::Activation("a closed descriptor".to_owned()))?;
    if !inherited::listens(&socket) {
        return Err(SocketError::Activation("something that does not listen".to_owned()));
    }
    let listener = UnixListener::from(socket);
    let path = own_path(&listener).ok_or_else(|| SocketError::Activation("a socket without a path".to_owned()))?;
    check_folder(path.parent().unwrap_or(Path::new("/")))?;
    // The service manager keeps the name; the lock keeps a daemon that is started by hand from taking it.
    let lock = lock(&path)?;
    listener.set_nonblocking(true).map_err(|cause| io_error(Path::new("socket"), "prepare", cause))?;
    Ok(Some(Bound { listener, path, claim: Claim { name: None, lock } }))
}

/// The number of descriptors that a service manager passed to this process (`sd_listen_fds(3)`).
#[allow(clippy::disallowed_methods)] // the service manager sets variables
fn passed_descriptors() -> u32 {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let is_ours = number("LISTEN_PID") == Some(std::process::id());
    number("LISTEN_FDS").filter(|_| is_ours).unwrap_or_default()
}

/// Makes the socket at `path`.
pub fn bind(path: &Path) -> Result<Bound, SocketError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folder(folder)?;
    check_folder(folder)?;
    let lock = lock(path)?;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::Occupied(path.to_owned())),
        _ => {}
    }
    // Short, so that it fits wherever the real name does.
    let nameless = folder.join(format!(".{}", std::process::id()));
    let listener = listen(&nameless).inspect_err(|_| drop(fs::remove_file(&nameless)))?;
    let identity = identity(&nameless).map_err(|cause| io_error(&nameless, "look at", cause))?;
    fs::rename(&nameless, path).map_err(|cause| io_error(path, "name the socket", cause))?;
    let claim = Claim { name: Some(Name { path: path.to_owned(), identity }), lock };
    Ok(Bound { listener, path: path.to_owned(), claim })
}

/// Where a socket listens that a service manager made.
fn own_path(listener: &UnixListener) -> Option<PathBuf> {
    listener.local_addr().ok()?.as_pathname().map(Path::to_owned)
}

/// Creates what is missing of the folder, private from the first moment.
fn make_folder(folder: &Path) -> Result<(), SocketError> {
    match DirBuilder::new().mode(0o700).recursive(true).create(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(io_error(folder, "create the folder", cause)),
    }
}

/// Refuses a folder that others can enter; it is never mended, since it may be a link to somebody's else (S2).
fn check_folder(folder: &Path) -> Result<(), SocketError> {
    location::check_private_folder(folder).map_err(|problem| SocketError::Folder { folder: folder.to_owned(), problem })
}

/// Takes the lock (S4). A daemon that answers keeps it; one that is going away is waited for.
fn lock(path: &Path) -> Result<File, SocketError> {
    let lock_path = path.with_extension("lock");
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).custom_flags(flags).open(&lock_path);
    let file = file.map_err(|cause| io_error(&lock_path, "open the lock", cause))?;
    for _ in 0..HANDOVER.as_millis() / STEP.as_millis() {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if UnixStream::connect(path).is_ok() => {
                return Err(SocketError::AlreadyRunning);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(STEP),
            Err(TryLockError::Error(cause)) => return Err(io_error(&lock_path, "lock", cause)),
        }
    }
    Err(SocketError::Held(lock_path))
}

/// Binds, closes to others, and only then has a name that anybody knows.
fn listen(nameless: &Path) -> Result<UnixListener, SocketError> {
    drop(fs::remove_file(nameless)); // of a daemon that was killed and had our process id
    let listener = UnixListener::bind(nameless).map_err(|cause| io_error(nameless, "bind", cause))?;
    fs::set_permissions(nameless, fs::Permissions::from_mode(0o600))
        .map_err(|cause| io_error(nameless, "close to others", cause))?;
    listener.set_nonblocking(true).map_err(|cause| io_error(nameless, "prepare", cause))?;
    Ok(listener)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn io_error(path: &Path, verb: &'static str, cause: io::Error) -> SocketError {
    SocketError::Io { path: path.to_owned(), verb, cause }
}

impl Claim {
    /// The name, if it is ours to guard.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        self.name.clone()
    }
}

impl Name {
    /// Whether the path still leads to our socket.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }

    /// Whether the folder is still private, as the next run of the program will ask.
    pub fn check(&self) -> Result<(), SocketError> {
        check_folder(self.folder())
    }

    /// The folder it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

impl Drop for Claim {
    /// Takes the name away only if it is still ours: a successor may have it by now.
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

    #[test]
    fn the_folder_and_the_socket_are_closed_to_others() {
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

    #[test]
    fn row_9_a_stale_socket_is_taken_over() {
        let (_keep, path) = folder();
        make_folder(path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err());
        let _bound = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn rows_5_and_6_a_folder_that_is_not_private_is_refused_and_left_as_it_is() {
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

    #[test]
    fn row_11_what_is_not_a_socket_is_not_deleted() {
        let (_keep, path) = folder();
        make_folder(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::Occupied(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn row_13_a_dying_daemon_leaves_its_successors_socket_alone() {
        let (_keep, path) = folder();
        let old = bind(&path).unwrap();
        let thief = path.with_extension("new");
        let _listener = UnixListener::bind(&thief).unwrap();
        fs::rename(&thief, &path).unwrap();
        drop(old);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
