//! The active configuration and its reload.
//!
//! A valid file replaces the configuration as a whole; an invalid one changes only the problem that `status` shows. An
//! invalid included file changes nothing else either: its last valid text stays in force. A watch has to watch folders and
//! not the file: editors replace a file rather than write it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use rolecall_core::clock::Clock;
use rolecall_core::config::include::{self, Fingerprint, Include, LastValid, Loaded};
use rolecall_core::config::{Config, ConfigError, file};
use rolecall_protocol::{IncludePattern, included_paths};
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
    /// The included files.
    pub includes: Vec<ActiveInclude>,
    /// The patterns of the included files.
    patterns: Vec<IncludePattern>,
}

/// An included file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveInclude {
    /// The file as it was read last.
    pub file: Include,
    /// When the text in force was read.
    pub loaded: Option<SystemTime>,
    /// Since when the file has its problem.
    pub problem_since: Option<SystemTime>,
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
    /// The home folder, for `~` in the paths of included files.
    home: PathBuf,
    /// Locked during a reload, so that an older read never replaces a newer one.
    seen: Mutex<Seen>,
}

/// What was read last.
#[derive(Default)]
struct Seen {
    fingerprint: Fingerprint,
    last_valid: LastValid,
}

impl<T: PartialEq> ConfigStore<T> {
    /// Reads the file. An invalid one counts as an empty configuration with a problem, so that the daemon starts and can
    /// report the error.
    #[must_use]
    pub fn open(
        path: PathBuf,
        home: PathBuf,
        clock: Clock,
        prepare: impl Fn(&Config) -> T + Send + Sync + 'static,
    ) -> Self {
        let now = clock.now();
        // Included files are not known yet. The first reload reads them again if they have changed since.
        let mut seen = Seen { fingerprint: include::fingerprint(&path, &[], &home), last_valid: LastValid::default() };
        let active = match include::load(&path, &home, &mut seen.last_valid) {
            Ok(Loaded { config, patterns, includes }) => {
                let includes = active_includes(includes, &[], now);
                ActiveConfig { value: Arc::new(prepare(&config)), loaded: Some(now), problem: None, includes, patterns }
            }
            Err(error) => {
                tracing::error!(%error, "configuration rejected, no profile is served");
                let value = Arc::new(prepare(&Config::default()));
                let problem = Some((error, now));
                ActiveConfig { value, loaded: None, problem, includes: Vec::new(), patterns: Vec::new() }
            }
        };
        let current = ArcSwap::from_pointee(active);
        Self { path, clock, prepare: Box::new(prepare), current, home, seen: Mutex::new(seen) }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the home folder, for `~` in the paths of included files.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the folders to watch: that of each file, and that of each symbolic link on the way to it. A dotfile manager
    /// may change any of these links.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = self.path.parent().map(Path::to_owned).into_iter().collect();
        folders.extend(folders_of_links(&self.path));
        folders.extend(real_folder(&self.path));
        let patterns = &self.current.load().patterns;
        for pattern in patterns.iter().map(|pattern| pattern.path(&self.path, &self.home)) {
            folders.extend(readable_folder(&pattern));
        }
        for included in included_paths(patterns, &self.path, &self.home) {
            folders.extend(folders_of_links(&included.path).into_iter().filter(|folder| is_readable(folder)));
            folders.extend(real_folder(&included.path).filter(|folder| is_readable(folder)));
        }
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

    /// Reads the file and its included files if one of them has changed, and activates them if the file is valid.
    pub fn reload(&self) -> Reload<T> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current();
        let fingerprint = include::fingerprint(&self.path, &old.patterns, &self.home);
        if fingerprint.config.is_some() && seen.fingerprint == fingerprint {
            return Reload::Same;
        }
        seen.fingerprint = fingerprint;
        // An empty or missing file is an editor at work, or a mistake: the last configuration stays active (row 90).
        if let Some(gone) =
            file::missing_or_empty(&self.path).filter(|_| *old.value != (self.prepare)(&Config::default()))
        {
            return self.refuse(&old, gone);
        }
        match include::load(&self.path, &self.home, &mut seen.last_valid) {
            Ok(loaded) => self.accept(&old, loaded),
            Err(error) => self.refuse(&old, error),
        }
    }

    fn accept(&self, old: &ActiveConfig<T>, loaded: Loaded) -> Reload<T> {
        let Loaded { config, patterns, includes } = loaded;
        let now = self.clock.now();
        let value = (self.prepare)(&config);
        let includes = active_includes(includes, &old.includes, now);
        let is_same = value == *old.value;
        if is_same && old.problem.is_none() && includes == old.includes && patterns == old.patterns {
            return Reload::Same;
        }
        tracing::info!(profiles = config.profiles.len(), "configuration loaded");
        let before = Arc::clone(&old.value);
        let value = if is_same { Arc::clone(&before) } else { Arc::new(value) };
        self.current.store(Arc::new(ActiveConfig { value, loaded: Some(now), problem: None, includes, patterns }));
        if is_same { Reload::Problem } else { Reload::Changed(before) }
    }

    fn refuse(&self, old: &ActiveConfig<T>, error: ConfigError) -> Reload<T> {
        if old.problem.as_ref().is_some_and(|(known, _)| *known == error) {
            return Reload::Same;
        }
        tracing::error!(%error, "configuration rejected, the last valid one stays active");
        let (value, loaded, problem) = (Arc::clone(&old.value), old.loaded, Some((error, self.clock.now())));
        let (includes, patterns) = (old.includes.clone(), old.patterns.clone());
        self.current.store(Arc::new(ActiveConfig { value, loaded, problem, includes, patterns }));
        Reload::Problem
    }
}

/// Returns the included files with their times: a text or a problem that was there before keeps its time.
fn active_includes(files: Vec<Include>, before: &[ActiveInclude], now: SystemTime) -> Vec<ActiveInclude> {
    let active = |file: Include| {
        let old = before.iter().find(|old| old.file.path == file.path);
        let loaded = old.filter(|old| old.file.text == file.text).and_then(|old| old.loaded).unwrap_or(now);
        let since = old.filter(|old| old.file.problem == file.problem).and_then(|old| old.problem_since);
        if let Some(problem) = file.problem.as_ref().filter(|_| since.is_none()) {
            tracing::error!(error = %problem.error(), "included file rejected");
        }
        ActiveInclude {
            loaded: file.text.is_some().then_some(loaded),
            problem_since: file.problem.is_some().then_some(since.unwrap_or(now)),
            file,
        }
    };
    files.into_iter().map(active).collect()
}

/// Returns the folder of a path, or the nearest one above that exists and can be read: a folder that cannot be watched would
/// end the watch of all.
fn readable_folder(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).find(|folder| is_readable(folder)).map(Path::to_owned)
}

fn is_readable(folder: &Path) -> bool {
    folder.read_dir().is_ok()
}

/// Returns the folder of a file that is reached through links.
fn real_folder(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()?.parent().map(Path::to_owned)
}

/// Returns the folder of each symbolic link on the way to a file.
fn folders_of_links(path: &Path) -> Vec<PathBuf> {
    let parts = Walk::new(path).into_iter().flatten().flatten();
    parts.filter(|part| part.metadata.is_symlink()).filter_map(|part| Some(part.path.parent()?.to_owned())).collect()
}

#[cfg(test)]
mod tests;
