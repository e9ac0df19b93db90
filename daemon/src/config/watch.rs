//! The configuration in force, and how it is replaced.
//!
//! A valid change replaces the configuration whole; an invalid one changes nothing but the problem that `status` shows.
//! Whoever follows it watches folders, not the file: editors replace files rather than write them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::{Config, ConfigError, file};
use crate::clock::Clock;

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

/// What a look at the file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Nothing is new.
    Same,
    /// The configuration in force is the same, but what is wrong with the file is not.
    Problem,
    /// Another configuration is in force.
    Changed,
}

/// The configuration as everybody shares it.
pub struct ConfigStore {
    path: PathBuf,
    clock: Clock,
    current: ArcSwap<InForce>,
    /// One reload at a time, so that an older read never replaces a newer one.
    reloading: Mutex<()>,
}

impl ConfigStore {
    /// Reads the file for the first time. An invalid one is an empty configuration with a problem, so that the daemon
    /// can say what is wrong rather than not start.
    #[must_use]
    pub fn open(path: PathBuf, clock: Clock) -> Arc<Self> {
        let now = clock.now();
        let (config, loaded, problem) = match file::load(&path) {
            Ok(config) => (config, Some(now), None),
            Err(error) => (Config::default(), None, Some((error, now))),
        };
        if let Some((error, _)) = &problem {
            tracing::error!(%error, "Configuration refused; no profile is served until it is mended");
        }
        let current = ArcSwap::from_pointee(InForce { config, loaded, problem });
        Arc::new(Self { path, clock, current, reloading: Mutex::new(()) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's folder and, where the file is a symbolic link, the folder of what it leads to: for whoever follows it.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = self.path.parent().map(Path::to_owned).into_iter().collect();
        folders.extend(self.path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned)));
        folders.dedup();
        folders
    }

    /// What is in force now.
    #[must_use]
    pub fn current(&self) -> Arc<InForce> {
        self.current.load_full()
    }

    /// Reads the file again, and puts it in force if it is valid.
    pub fn reload(&self) -> Reload {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let old = self.current();
        match file::load(&self.path) {
            Ok(config) if config == old.config && old.problem.is_none() => Reload::Same,
            Ok(config) => {
                let changed = config != old.config;
                tracing::info!(profiles = config.profiles.len(), "Configuration read");
                self.current.store(Arc::new(InForce { config, loaded: Some(now), problem: None }));
                if changed { Reload::Changed } else { Reload::Problem }
            }
            Err(error) => {
                if old.problem.as_ref().is_some_and(|(known, _)| *known == error) {
                    return Reload::Same;
                }
                tracing::error!(%error, "Configuration refused; the last good one stays in force");
                let (config, loaded) = (old.config.clone(), old.loaded);
                self.current.store(Arc::new(InForce { config, loaded, problem: Some((error, now)) }));
                Reload::Problem
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use crate::folder;

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
        let store = ConfigStore::open(path.clone(), Clock::machine());
        let good = store.current().config.clone();
        for broken in ["[sources", "[sources.work]\n", "x = 1\n"] {
            write(&path, broken);
            assert_eq!(store.reload(), Reload::Problem);
            assert_eq!(store.current().config, good);
            let first = store.current().problem.clone().unwrap();
            assert_eq!(store.reload(), Reload::Same);
            assert_eq!(store.current().problem.clone().unwrap(), first, "the same problem began once");
        }
        write(&path, ONE);
        assert_eq!(store.reload(), Reload::Problem, "mended, but as before");
        assert!(store.current().problem.is_none());
        fs::remove_file(&path).unwrap();
        assert_eq!(store.reload(), Reload::Changed, "deleted means no profiles");
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

        let store = ConfigStore::open(path.clone(), Clock::machine());
        let stop = CancellationToken::new();
        let (seen, mut see) = mpsc::unbounded_channel();
        // The watch has to be in place before the file changes.
        let (tell, mut told) = mpsc::channel(1);
        let watcher = folder::watch(&store.folders(), tell).unwrap();
        write(&real.join("config.toml"), ONE);
        told.recv().await.unwrap();
        drop(watcher);
        assert_eq!(store.reload(), Reload::Changed);

        let (follower, folders) = (Arc::clone(&store), Arc::clone(&store));
        let look = move || {
            if follower.reload() == Reload::Changed {
                seen.send(()).unwrap();
            }
        };
        let following = tokio::spawn(folder::follow(move || folders.folders(), stop.clone(), look));
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
