//! The configuration in force, and how it is replaced.
//!
//! A valid change replaces the configuration whole; an invalid one changes nothing but the problem that `status` shows.
//! Whoever follows it watches folders, not the file: editors replace files rather than write them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use rolecall_core::clock::Clock;
use rolecall_core::config::file::Digest;
use rolecall_core::config::{Config, ConfigError, file};

/// What is in force, and since when.
#[derive(Debug)]
pub struct ActiveConfig<T> {
    /// What was made of the last good configuration.
    pub made: Arc<T>,
    /// When it was read; `None` where none has been good yet.
    pub loaded: Option<SystemTime>,
    /// Why the file as it is now is not in force, and since when.
    pub problem: Option<(ConfigError, SystemTime)>,
}

/// What a look at the file came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reload<T> {
    /// Nothing is new.
    Same,
    /// The configuration in force is the same, but what is wrong with the file is not.
    Problem,
    /// Another configuration is in force; this is what was before.
    Changed(Arc<T>),
}

/// The configuration as everybody shares it: what `prepare` makes of it, once, rather than what is written.
pub struct ConfigStore<T> {
    path: PathBuf,
    clock: Clock,
    prepare: Box<dyn Fn(&Config) -> T + Send + Sync>,
    current: ArcSwap<ActiveConfig<T>>,
    /// What was read last. Locked for the whole reload, so that an older read never replaces a newer one.
    seen: Mutex<Option<Digest>>,
}

impl<T: PartialEq> ConfigStore<T> {
    /// Reads the file for the first time. An invalid one is an empty configuration with a problem, so that the daemon
    /// can say what is wrong rather than not start.
    #[must_use]
    pub fn open(path: PathBuf, clock: Clock, prepare: impl Fn(&Config) -> T + Send + Sync + 'static) -> Self {
        let now = clock.now();
        let seen = Mutex::new(file::digest(&path));
        let (made, loaded, problem) = match file::load(&path) {
            Ok(config) => (prepare(&config), Some(now), None),
            Err(error) => (prepare(&Config::default()), None, Some((error, now))),
        };
        if let Some((error, _)) = &problem {
            tracing::error!(%error, "Configuration refused; no profile is served until it is mended");
        }
        let current = ArcSwap::from_pointee(ActiveConfig { made: Arc::new(made), loaded, problem });
        Self { path, clock, prepare: Box::new(prepare), current, seen }
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
    pub fn current(&self) -> Arc<ActiveConfig<T>> {
        self.current.load_full()
    }

    /// Reads the file again, if it says something new, and puts it in force if it is valid.
    pub fn reload(&self) -> Reload<T> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = file::digest(&self.path);
        if digest.is_some() && *seen == digest {
            return Reload::Same;
        }
        *seen = digest;
        let old = self.current();
        // Nobody empties a configuration to have none: an editor is at work, or somebody is about to be sorry (row 90).
        if let Some(gone) =
            file::missing_or_empty(&self.path).filter(|_| *old.made != (self.prepare)(&Config::default()))
        {
            return self.refuse(&old, gone);
        }
        match file::load(&self.path) {
            Ok(config) => self.accept(&old, &config),
            Err(error) => self.refuse(&old, error),
        }
    }

    fn accept(&self, old: &ActiveConfig<T>, config: &Config) -> Reload<T> {
        let made = (self.prepare)(config);
        let is_same = made == *old.made;
        if is_same && old.problem.is_none() {
            return Reload::Same;
        }
        tracing::info!(profiles = config.profiles.len(), "Configuration read");
        let before = Arc::clone(&old.made);
        let made = if is_same { Arc::clone(&before) } else { Arc::new(made) };
        self.current.store(Arc::new(ActiveConfig { made, loaded: Some(self.clock.now()), problem: None }));
        if is_same { Reload::Problem } else { Reload::Changed(before) }
    }

    fn refuse(&self, old: &ActiveConfig<T>, error: ConfigError) -> Reload<T> {
        if old.problem.as_ref().is_some_and(|(known, _)| *known == error) {
            return Reload::Same;
        }
        tracing::error!(%error, "Configuration refused; the last good one stays in force");
        let (made, loaded) = (Arc::clone(&old.made), old.loaded);
        self.current.store(Arc::new(ActiveConfig { made, loaded, problem: Some((error, self.clock.now())) }));
        Reload::Problem
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use crate::watch;

    use super::*;

    const ONE: &str = "[sources.work]\naws_profile = \"work\"\n";

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The names of the sources.
    fn store(path: &Path) -> ConfigStore<Vec<String>> {
        let names = |config: &Config| config.sources.keys().map(ToString::to_string).collect();
        ConfigStore::open(path.to_owned(), Clock::machine(), names)
    }

    #[test]
    fn row_90_a_broken_file_leaves_the_last_good_one_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        write(&path, ONE);
        let store = store(&path);
        let good = Arc::clone(&store.current().made);
        for broken in ["[sources", "[sources.work]\n", "x = 1\n"] {
            write(&path, broken);
            assert_eq!(store.reload(), Reload::Problem);
            assert!(Arc::ptr_eq(&store.current().made, &good));
            let first = store.current().problem.clone().unwrap();
            assert_eq!(store.reload(), Reload::Same);
            assert_eq!(store.current().problem.clone().unwrap(), first, "the same problem started_at once");
        }
        write(&path, ONE);
        assert_eq!(store.reload(), Reload::Problem, "mended, but as before");
        assert!(store.current().problem.is_none());
        write(&path, "");
        assert_eq!(store.reload(), Reload::Problem);
        assert!(store.current().problem.clone().unwrap().0.message.contains("is empty"));
        fs::remove_file(&path).unwrap();
        assert_eq!(store.reload(), Reload::Problem);
        assert!(store.current().problem.clone().unwrap().0.message.contains("is gone"));
        assert!(Arc::ptr_eq(&store.current().made, &good));
        write(&path, "# nothing any more\n");
        assert_eq!(store.reload(), Reload::Changed(good));
        assert!(store.current().made.is_empty());
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

        let store = Arc::new(store(&path));
        let stop = CancellationToken::new();
        let (seen, mut see) = mpsc::unbounded_channel();
        // The watch has to be in place before the file changes.
        let (tell, mut told) = mpsc::channel(1);
        let watcher = watch::watch(&store.folders(), tell).unwrap();
        write(&real.join("config.toml"), ONE);
        told.recv().await.unwrap();
        drop(watcher);
        assert!(matches!(store.reload(), Reload::Changed(_)));

        let (follower, folders) = (Arc::clone(&store), Arc::clone(&store));
        let look = move || {
            if let Reload::Changed(_) = follower.reload() {
                seen.send(()).unwrap();
            }
        };
        let following = tokio::spawn(watch::follow(move || folders.folders(), stop.clone(), look));
        tokio::task::yield_now().await;
        let new = home.join("new");
        write(&new, &ONE.replace("work", "other"));
        fs::rename(&new, &path).unwrap();
        tokio::time::timeout(Duration::from_secs(10), see.recv()).await.unwrap().unwrap();
        assert_eq!(*store.current().made, ["other"]);
        stop.cancel();
        following.await.unwrap();
    }
}
