//! The configuration in force, and the watch that keeps it so.
//!
//! A valid change replaces the configuration whole; an invalid one changes nothing but the problem that `status` shows.
//! The watch is on folders, not on the file: editors replace files rather than write them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_smithy_async::time::SharedTimeSource;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Config, ConfigError, file};
use crate::folder;

/// How long a burst of changes may last before it is read (B16).
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How often the file is looked at where watching fails (some network file systems tell nothing).
const LOOK: Duration = Duration::from_secs(30);

/// What is in force, and since when.
#[derive(Debug)]
pub struct InForce {
    /// The last good configuration.
    pub config: Config,
    /// When it was read; `None` where none has been good yet.
    pub loaded: Option<SystemTime>,
    /// Why the file as it is now is not in force, and since when.
    pub problem: Option<(ConfigError, SystemTime)>,
}

/// The configuration as everybody shares it.
pub struct ConfigStore {
    path: PathBuf,
    time: SharedTimeSource,
    current: ArcSwap<InForce>,
    /// One reload at a time, so that an older read never replaces a newer one.
    reloading: Mutex<()>,
}

impl ConfigStore {
    /// Reads the file for the first time. An invalid one is an empty configuration with a problem, so that the daemon
    /// can say what is wrong rather than not start.
    #[must_use]
    pub fn open(path: PathBuf, time: SharedTimeSource) -> Arc<Self> {
        let now = time.now();
        let (config, loaded, problem) = match file::load(&path) {
            Ok(config) => (config, Some(now), None),
            Err(error) => (Config::default(), None, Some((error, now))),
        };
        if let Some((error, _)) = &problem {
            tracing::error!(%error, "Configuration refused; no profile is served until it is mended");
        }
        let current = ArcSwap::from_pointee(InForce { config, loaded, problem });
        Arc::new(Self { path, time, current, reloading: Mutex::new(()) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in force now.
    #[must_use]
    pub fn current(&self) -> Arc<InForce> {
        self.current.load_full()
    }

    /// Reads the file again. Tells whether the configuration changed.
    pub fn reload(&self) -> bool {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.time.now();
        let old = self.current();
        match file::load(&self.path) {
            Ok(config) if config == old.config && old.problem.is_none() => false,
            Ok(config) => {
                let changed = config != old.config;
                tracing::info!(profiles = config.profiles.len(), "Configuration read");
                self.current.store(Arc::new(InForce { config, loaded: Some(now), problem: None }));
                changed
            }
            Err(error) => {
                let since = match &old.problem {
                    Some((known, since)) if *known == error => *since,
                    _ => {
                        tracing::error!(%error, "Configuration refused; the last good one stays in force");
                        now
                    }
                };
                let (config, loaded) = (old.config.clone(), old.loaded);
                self.current.store(Arc::new(InForce { config, loaded, problem: Some((error, since)) }));
                false
            }
        }
    }
}

/// Follows the file until `stop`, and calls `changed` after each change of the configuration.
pub async fn follow(store: Arc<ConfigStore>, stop: CancellationToken, changed: impl Fn()) {
    let (tell, mut told) = mpsc::channel(1);
    let watcher = folder::watch(&folders(&store.path), tell);
    if let Err(error) = &watcher {
        tracing::warn!(%error, "Configuration cannot be watched; looking at it every {} s", LOOK.as_secs());
    }
    loop {
        // The first look is after the watch is in place, for what happened before.
        if store.reload() {
            changed();
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = told.recv(), if watcher.is_ok() => {
                tokio::time::sleep(DEBOUNCE).await; // editors write in several steps
                while told.try_recv().is_ok() {}
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The file's folder and, where the file is a symbolic link, the folder of what it leads to.
fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = path.parent().map(Path::to_owned).into_iter().collect();
    folders.extend(path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned)));
    folders.dedup();
    folders
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use aws_smithy_async::time::SystemTimeSource;

    use super::*;

    const ONE: &str = "[sources.work]\naws_profile = \"work\"\n";

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn row_90_a_broken_file_leaves_the_last_good_one_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        write(&path, ONE);
        let store = ConfigStore::open(path.clone(), SharedTimeSource::new(SystemTimeSource::new()));
        let good = store.current().config.clone();
        for broken in ["[sources", "[sources.work]\n", "x = 1\n"] {
            write(&path, broken);
            assert!(!store.reload());
            assert_eq!(store.current().config, good);
            let first = store.current().problem.clone().unwrap();
            store.reload();
            assert_eq!(store.current().problem.clone().unwrap(), first, "the same problem began once");
        }
        write(&path, ONE);
        assert!(!store.reload(), "mended, but as before");
        assert!(store.current().problem.is_none());
        fs::remove_file(&path).unwrap();
        assert!(store.reload(), "deleted means no profiles");
        assert_eq!(store.current().config, Config::default());
    }

    #[tokio::test]
    async fn a_change_is_seen_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("dotfiles");
        fs::create_dir(&real).unwrap();
        let home = folder.path().join("rolecall");
        fs::create_dir(&home).unwrap();
        let path = home.join("config.toml");
        write(&real.join("config.toml"), "");
        std::os::unix::fs::symlink(real.join("config.toml"), &path).unwrap();

        let store = ConfigStore::open(path.clone(), SharedTimeSource::new(SystemTimeSource::new()));
        let stop = CancellationToken::new();
        let (seen, mut see) = mpsc::unbounded_channel();
        // The watch has to be in place before the file changes.
        let (tell, mut told) = mpsc::channel(1);
        let watcher = folder::watch(&folders(&path), tell).unwrap();
        write(&real.join("config.toml"), ONE);
        told.recv().await.unwrap();
        drop(watcher);
        assert!(store.reload());

        let following = tokio::spawn(follow(Arc::clone(&store), stop.clone(), move || seen.send(()).unwrap()));
        tokio::task::yield_now().await;
        let new = home.join("new");
        write(&new, &ONE.replace("work", "other"));
        fs::rename(&new, &path).unwrap();
        tokio::time::timeout(Duration::from_secs(10), see.recv()).await.unwrap().unwrap();
        assert!(store.current().config.sources.contains_key(&"other".parse().unwrap()));
        stop.cancel();
        following.await.unwrap();
    }
}
