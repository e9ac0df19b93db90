//! The locks of an edit: kubectl's lock files against kubectl, and `flock` on the folders against other `rolecall`
//! processes.
//!
//! kubectl locks every file of its list with `<file>.lock`, which it creates with O_CREAT|O_EXCL and mode 0 and removes
//! afterwards (client-go, tools/clientcmd/loader.go, `lockFile`). It locks in the order of the names, so that two
//! programs cannot deadlock (tools/clientcmd/config.go, `ModifyConfig`). It neither waits for a lock nor removes an old
//! one, so a lock file stays after a crash of kubectl. `rolecall` waits for a lock file, and removes it if it is old.
//! It holds the `flock` at that time, so that two `rolecall` processes never remove lock files at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::KubeconfigError;
use super::files::LockTimeouts;
use super::outcome::Note;
use crate::clock::{self, Deadline};
use crate::files::atomic_file::{self, FolderLock};
use crate::files::names;
use crate::terminal::signals::{self, DeferredSignals};

/// The locks of all files that can be locked. Dropping it removes kubectl's lock files first, then releases the
/// `flock`s.
#[derive(Debug)]
pub(super) struct Locks {
    held: Vec<KubectlLock>,
    /// The files that these lock files are for.
    locked: BTreeSet<PathBuf>,
    _folders: Vec<FolderLock>,
    pub(super) notes: Vec<Note>,
    /// Whether another program had a lock file.
    pub(super) waited_for_kubectl: bool,
    /// Defers signals, because a process that is killed leaves kubectl's lock files behind. Dropped last.
    _signals: DeferredSignals,
}

/// A lock file in kubectl's format that this process created.
#[derive(Debug)]
struct KubectlLock {
    lock: PathBuf,
    /// Device and inode, so that only the lock file of this process is removed.
    identity: (u64, u64),
}

impl Locks {
    /// Locks `files`, and creates the folders of the `needed` ones. A file whose folder is missing or read-only is
    /// skipped unless it is needed, since no other program can write there either.
    ///
    /// # Errors
    /// `Busy` or `Locked` if another program holds a lock for longer than the timeout, `CannotLock` if a lock file of a
    /// needed file cannot be created.
    pub(super) fn take(
        files: &[PathBuf],
        needed: &[PathBuf],
        timeouts: LockTimeouts,
    ) -> Result<Locks, KubeconfigError> {
        for file in needed {
            atomic_file::create_folder(names::folder_of(file))?;
            atomic_file::create_folder(names::folder_of(&atomic_file::resolve(file)?))?;
        }
        // In the order of device and inode, so that two processes cannot deadlock. A folder with two names is locked once:
        // the second lock would wait for the first.
        let mut folders = BTreeMap::new();
        for file in files {
            let file = atomic_file::resolve(file)?;
            let folder = names::folder_of(&file);
            if let Ok(found) = folder.metadata() {
                folders.entry(identity(&found)).or_insert_with(|| folder.to_owned());
            }
        }
        let folders = folders.values().map(|folder| atomic_file::lock_folder(folder, timeouts.rolecall));
        // Signals are deferred only from here on: the kernel releases these locks, so Ctrl-C may end the wait for them.
        let folders = folders.collect::<Result<_, _>>()?;
        let mut locks = Locks {
            held: Vec::new(),
            locked: BTreeSet::new(),
            _folders: folders,
            notes: Vec::new(),
            waited_for_kubectl: false,
            _signals: signals::defer_signals(),
        };
        let needed: HashSet<LockKey> = needed.iter().map(|file| lock_key(file)).collect();
        let sorted: BTreeSet<&PathBuf> = files.iter().collect();
        let mut seen = HashSet::new();
        for file in sorted {
            let key = lock_key(file);
            if !seen.contains(&key) {
                match locks.lock(file, timeouts) {
                    Err(KubeconfigError::CannotLock { .. }) if !needed.contains(&key) => continue,
                    result => result?,
                }
                seen.insert(key);
            }
            locks.locked.insert(file.clone());
        }
        Ok(locks)
    }

    /// Whether this file is locked.
    pub(super) fn holds(&self, file: &Path) -> bool {
        self.locked.contains(file)
    }

    fn lock(&mut self, file: &Path, timeouts: LockTimeouts) -> Result<(), KubeconfigError> {
        let lock = kubectl_lock_path(file);
        let deadline = Deadline::after(timeouts.kubectl);
        let mut attempt = 0;
        loop {
            match KubectlLock::create(&lock) {
                Ok(made) => {
                    self.held.push(made);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(KubeconfigError::CannotLock { lock, source }),
            }
            self.waited_for_kubectl = true;
            // Another program may remove the lock file at any moment; then the next iteration creates it.
            let Ok(metadata) = fs::symlink_metadata(&lock) else { continue };
            let age = age(&metadata);
            if age >= timeouts.stale_after && metadata.is_file() {
                remove_if_same(&lock, identity(&metadata))
                    .map_err(|source| KubeconfigError::CannotLock { lock: lock.clone(), source })?;
                self.notes.push(Note::StaleLockRemoved { lock: lock.clone(), age });
            } else if deadline.sleep(clock::backoff(attempt)) {
                attempt += 1;
            } else {
                return Err(KubeconfigError::Locked { path: file.to_owned(), lock, age });
            }
        }
    }
}

impl KubectlLock {
    fn create(lock: &Path) -> io::Result<KubectlLock> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
        let made = fs::File::from(rustix::fs::open(lock, flags, Mode::empty())?);
        Ok(KubectlLock { lock: lock.to_owned(), identity: identity(&made.metadata()?) })
    }
}

impl Drop for KubectlLock {
    fn drop(&mut self) {
        // If this fails, a later edit removes the lock file as stale.
        drop(remove_if_same(&self.lock, self.identity));
    }
}

/// Removes a lock file if it still has the expected identity.
fn remove_if_same(lock: &Path, expected: (u64, u64)) -> io::Result<()> {
    match fs::symlink_metadata(lock) {
        Ok(metadata) if identity(&metadata) == expected => fs::remove_file(lock),
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// What distinguishes two lock files: the folder, by device and inode, and the name of the locked file. A folder may have
/// several names in `KUBECONFIG`.
type LockKey = (Option<(u64, u64)>, Option<OsString>);

fn lock_key(file: &Path) -> LockKey {
    match names::folder_of(file).metadata() {
        Ok(folder) => (Some(identity(&folder)), file.file_name().map(OsStr::to_owned)),
        Err(_) => (None, Some(file.as_os_str().to_owned())),
    }
}

pub(super) fn kubectl_lock_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Returns the age of a lock file, zero if its time is in the future.
pub(super) fn age(metadata: &fs::Metadata) -> Duration {
    let now = SystemTime::from(clock::now());
    metadata.modified().ok().and_then(|made| now.duration_since(made).ok()).unwrap_or_default()
}
