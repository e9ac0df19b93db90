//! The active configuration and its reload.
//!
//! A valid file replaces the configuration as a whole; an invalid one changes only the problem that `status` shows. A watch
//! has to watch folders and not the file: editors replace a file rather than write it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use rolecall_core::clock::Clock;
use rolecall_core::config::file::Digest;
use rolecall_core::config::{Config, ConfigError, file};
use rolecall_trusted_file::Walk;

/// The active configuration, and since when it is active.
#[derive(Debug)]
pub struct ActiveConfig<T> {
    /// What was prepared from the last valid configuration.
    pub value: Arc<T>,
    /// When it was read; `None` if no file has been valid yet.
    pub loaded: Option<SystemTime>,
    /// The error of the present file, and since when.
    pub problem: Option<(ConfigError, SystemTime)>,
}

/// The result of a reload.
#[derive(Debug, PartialEq, Eq)]
pub enum Reload<T> {
    /// Nothing changed.
    Same,
    /// The active configuration is unchanged, but the file's error is not.
    Problem,
    /// The configuration changed; this was the one before.
    Changed(Arc<T>),
}

/// The shared configuration. Callers get what `prepare` makes of it, once for each change.
pub struct ConfigStore<T> {
    path: PathBuf,
    clock: Clock,
    prepare: Box<dyn Fn(&Config) -> T + Send + Sync>,
    current: ArcSwap<ActiveConfig<T>>,
    /// The digest of the file that was read last. Locked during a reload, so that an older read never replaces a newer one.
    seen: Mutex<Option<Digest>>,
}

impl<T: PartialEq> ConfigStore<T> {
    /// Reads the file. An invalid one counts as an empty configuration with a problem, so that the daemon starts and can
    /// report the error.
    #[must_use]
    pub fn open(path: PathBuf, clock: Clock, prepare: impl Fn(&Config) -> T + Send + Sync + 'static) -> Self {
        let now = clock.now();
        let seen = Mutex::new(file::digest(&path));
        let (value, loaded, problem) = match file::load(&path) {
            Ok(config) => (prepare(&config), Some(now), None),
            Err(error) => (prepare(&Config::default()), None, Some((error, now))),
        };
        if let Some((error, _)) = &problem {
            tracing::error!(%error, "configuration rejected, no profile is served");
        }
        let current = ArcSwap::from_pointee(ActiveConfig { value: Arc::new(value), loaded, problem });
        Self { path, clock, prepare: Box::new(prepare), current, seen }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folders to watch: that of the file, and that of each symbolic link on the way to it. A dotfile manager
    /// may change any of these links.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = self.path.parent().map(Path::to_owned).into_iter().collect();
        folders.extend(folders_of_links(&self.path));
        folders.extend(self.path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned)));
        let mut seen = HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders
    }

    /// Returns the active configuration with its problem.
    #[must_use]
    pub fn current(&self) -> Arc<ActiveConfig<T>> {
        self.current.load_full()
    }

    /// Returns the active configuration.
    #[must_use]
    pub fn active(&self) -> Arc<T> {
        Arc::clone(&self.current.load().value)
    }

    /// Reads the file if its content has changed, and activates it if it is valid.
    pub fn reload(&self) -> Reload<T> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = file::digest(&self.path);
        if digest.is_some() && *seen == digest {
            return Reload::Same;
        }
        *seen = digest;
        let old = self.current();
        // An empty or missing file is an editor at work, or a mistake: the last configuration stays active (row 90).
        if let Some(gone) =
            file::missing_or_empty(&self.path).filter(|_| *old.value != (self.prepare)(&Config::default()))
        {
            return self.refuse(&old, gone);
        }
        match file::load(&self.path) {
            Ok(config) => self.accept(&old, &config),
            Err(error) => self.refuse(&old, error),
        }
    }

    fn accept(&self, old: &ActiveConfig<T>, config: &Config) -> Reload<T> {
        let value = (self.prepare)(config);
        let is_same = value == *old.value;
        if is_same && old.problem.is_none() {
            return Reload::Same;
        }
        tracing::info!(profiles = config.profiles.len(), "configuration loaded");
        let before = Arc::clone(&old.value);
        let value = if is_same { Arc::clone(&before) } else { Arc::new(value) };
        self.current.store(Arc::new(ActiveConfig { value, loaded: Some(self.clock.now()), problem: None }));
        if is_same { Reload::Problem } else { Reload::Changed(before) }
    }

    fn refuse(&self, old: &ActiveConfig<T>, error: ConfigError) -> Reload<T> {
        if old.problem.as_ref().is_some_and(|(known, _)| *known == error) {
            return Reload::Same;
        }
        tracing::error!(%error, "configuration rejected, the last valid one stays active");
        let (value, loaded) = (Arc::clone(&old.value), old.loaded);
        self.current.store(Arc::new(ActiveConfig { value, loaded, problem: Some((error, self.clock.now())) }));
        Reload::Problem
    }
}

/// Returns the folder of each symbolic link on the way to a file.
fn folders_of_links(path: &Path) -> Vec<PathBuf> {
    let parts = Walk::new(path).into_iter().flatten().flatten();
    parts.filter(|part| part.metadata.is_symlink()).filter_map(|part| Some(part.path.parent()?.to_owned())).collect()
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

    /// Fault matrix row 90.
    #[test]
    fn broken_file_keeps_last_valid_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        write(&path, ONE);
        let store = store(&path);
        let good = Arc::clone(&store.current().value);
        for broken in ["[sources", "[sources.work]\n", "x = 1\n"] {
            write(&path, broken);
            assert_eq!(store.reload(), Reload::Problem);
            assert!(Arc::ptr_eq(&store.current().value, &good));
            let first = store.current().problem.clone().unwrap();
            assert_eq!(store.reload(), Reload::Same);
            assert_eq!(store.current().problem.clone().unwrap(), first, "the same problem keeps its beginning");
        }
        write(&path, ONE);
        assert_eq!(store.reload(), Reload::Problem, "fixed, and as before");
        assert!(store.current().problem.is_none());
        write(&path, "");
        assert_eq!(store.reload(), Reload::Problem);
        assert!(store.current().problem.clone().unwrap().0.message.contains("is empty"));
        fs::remove_file(&path).unwrap();
        assert_eq!(store.reload(), Reload::Problem);
        assert!(store.current().problem.clone().unwrap().0.message.contains("does not exist any longer"));
        assert!(Arc::ptr_eq(&store.current().value, &good));
        write(&path, "# nothing any more\n");
        assert_eq!(store.reload(), Reload::Changed(good));
        assert!(store.current().value.is_empty());
    }

    #[tokio::test]
    async fn file_change_is_seen_for_each_way_of_writing() {
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
        let (sender, mut changes) = mpsc::channel(1);
        let watcher = watch::watch(&store.folders(), sender).unwrap();
        write(&real.join("config.toml"), ONE);
        changes.recv().await.unwrap();
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
        assert_eq!(*store.current().value, ["other"]);
        stop.cancel();
        following.await.unwrap();
    }

    #[test]
    fn folders_have_that_of_each_link() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        for name in ["home", "generations/1", "generations/2", "store"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        // As nix does: home/config.toml -> generations/current/config.toml -> store/config.toml
        write(&folder.join("store/config.toml"), ONE);
        for number in ["1", "2"] {
            symlink("../../store/config.toml", folder.join("generations").join(number).join("config.toml")).unwrap();
        }
        let current = folder.join("generations/current");
        symlink("1", &current).unwrap();
        let path = folder.join("home/config.toml");
        symlink("../generations/current/config.toml", &path).unwrap();
        let store = store(&path);
        let expected = |number: &str| {
            ["home", "generations", &format!("generations/{number}"), "store"].map(|name| folder.join(name)).to_vec()
        };
        assert_eq!(store.folders(), expected("1"));
        fs::remove_file(&current).unwrap();
        symlink("2", &current).unwrap();
        assert_eq!(store.folders(), expected("2"));
        fs::remove_file(&path).unwrap();
        assert_eq!(store.folders(), [folder.join("home")]);
    }

    #[tokio::test]
    async fn changed_middle_link_is_seen() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let file = |number: &str, text: &str| {
            fs::create_dir(folder.path().join(number)).unwrap();
            write(&folder.path().join(number).join("config.toml"), text);
        };
        file("1", ONE);
        file("2", &ONE.replace("work", "other"));
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        symlink("1", folder.path().join("current")).unwrap();
        symlink("../current/config.toml", home.join("config.toml")).unwrap();
        let store = store(&home.join("config.toml"));
        let (sender, mut changes) = mpsc::channel(1);
        let _watcher = watch::watch(&store.folders(), sender).unwrap();
        symlink("2", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), folder.path().join("current")).unwrap();
        tokio::time::timeout(Duration::from_secs(10), changes.recv()).await.unwrap().unwrap();
        assert!(matches!(store.reload(), Reload::Changed(_)));
        assert_eq!(*store.current().value, ["other"]);
    }
}
