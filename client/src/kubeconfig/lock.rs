//! Who may write: kubectl's own lock file for kubectl, and `flock` on the folder for other runs of rolecall.
//!
//! kubectl locks every file of its list with `<file>.lock`, made with O_CREAT|O_EXCL and mode 0 and removed after
//! (client-go, tools/clientcmd/loader.go, `lockFile`; tools/clientcmd/config.go, `ModifyConfig`, sorts the names so that
//! two programs never wait for each other in a circle). It never waits and never breaks a lock, so a crash of kubectl
//! leaves one behind for ever. We wait, and break one only when it is old and while no other rolecall can be at it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Note;
use super::error::KubeconfigError;
use super::files::Waits;
use crate::clock::{self, Deadline};
use crate::files::atomic_file::{self, FolderLock};
use crate::terminal::signals::{self, DeferredSignals};

/// The locks of all files that can be locked. Dropping them removes kubectl's first, then lets go of our own.
#[derive(Debug)]
pub(super) struct Locks {
    held: Vec<KubectlLock>,
    _folders: Vec<FolderLock>,
    pub(super) notes: Vec<Note>,
    /// Nobody would remove kubectl's locks if a signal ended us. Goes last.
    _until_removed: DeferredSignals,
}

/// kubectl's lock on one file.
#[derive(Debug)]
struct KubectlLock {
    file: PathBuf,
    lock: PathBuf,
    /// Device and inode: what we remove must still be what we made.
    identity: (u64, u64),
}

impl Locks {
    /// Locks `files`. One whose folder does not exist or cannot be written to is passed over, unless it is `needed`:
    /// nobody can be writing there either.
    pub(super) fn take(files: &[PathBuf], needed: &[PathBuf], waits: Waits) -> Result<Locks, KubeconfigError> {
        for file in needed {
            atomic_file::create_folder(atomic_file::folder_of(file))?;
            atomic_file::create_folder(atomic_file::folder_of(&atomic_file::resolve(file)?))?;
        }
        let mut folders = BTreeSet::new();
        for file in files {
            folders.insert(atomic_file::folder_of(&atomic_file::resolve(file)?).to_owned());
        }
        let folders = folders.iter().map(|folder| atomic_file::lock_folder(folder, waits.ours));
        // These go by themselves when a process ends, so Ctrl-C may end the waiting for them.
        let folders = folders.collect::<Result<_, _>>()?;
        let mut locks =
            Locks { held: Vec::new(), _folders: folders, notes: Vec::new(), _until_removed: signals::defer_signals() };
        let sorted: BTreeSet<&PathBuf> = files.iter().collect();
        for file in sorted {
            match locks.lock(file, waits) {
                Err(KubeconfigError::CannotLock { .. }) if !needed.contains(file) => {}
                result => result?,
            }
        }
        Ok(locks)
    }

    /// Whether the lock of this file is held.
    pub(super) fn hold(&self, file: &Path) -> bool {
        self.held.iter().any(|lock| lock.file == file)
    }

    fn lock(&mut self, file: &Path, waits: Waits) -> Result<(), KubeconfigError> {
        let lock = lock_name(file);
        let deadline = Deadline::after(waits.kubectl);
        let mut attempt = 0;
        loop {
            match KubectlLock::create(file, &lock) {
                Ok(made) => {
                    self.held.push(made);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(KubeconfigError::CannotLock { lock, source }),
            }
            // It may vanish at any moment between these looks at it; then the next turn takes it.
            let Ok(metadata) = fs::symlink_metadata(&lock) else { continue };
            let age = age(&metadata);
            if age >= waits.stale && metadata.is_file() {
                remove(&lock, identity(&metadata))
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
    fn create(file: &Path, lock: &Path) -> io::Result<KubectlLock> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
        let made = fs::File::from(rustix::fs::open(lock, flags, Mode::empty())?);
        Ok(KubectlLock { file: file.to_owned(), lock: lock.to_owned(), identity: identity(&made.metadata()?) })
    }
}

impl Drop for KubectlLock {
    fn drop(&mut self) {
        // Nobody is there to be told; what stays behind is removed as stale by the next run.
        drop(remove(&self.lock, self.identity));
    }
}

/// Removes the lock if it is still the one that was looked at.
fn remove(lock: &Path, expected: (u64, u64)) -> io::Result<()> {
    match fs::symlink_metadata(lock) {
        Ok(metadata) if identity(&metadata) == expected => fs::remove_file(lock),
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

fn lock_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// How old a lock is. One from the future is new.
fn age(metadata: &fs::Metadata) -> Duration {
    let now = SystemTime::from(clock::now());
    metadata.modified().ok().and_then(|made| now.duration_since(made).ok()).unwrap_or_default()
}
