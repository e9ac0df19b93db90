//! Tests of kubeconfig edits on files of many layouts.

mod differential;
mod entry_names;
mod faults;
mod golden;
mod kubectl;
mod lists;
mod locking;
mod ownership;
mod property;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::LockTimeouts;
use super::*;

/// A temporary folder with kubeconfig files.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { folder: tempfile::tempdir().unwrap() }
    }

    fn with(text: &str) -> Fixture {
        let fixture = Fixture::new();
        fs::write(fixture.path("config"), text).unwrap();
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn files(&self) -> Files {
        self.list("config")
    }

    /// Returns the files as `KUBECONFIG` lists them.
    fn list(&self, names: &str) -> Files {
        let list: Vec<String> = names.split(':').map(|name| self.path(name).display().to_string()).collect();
        Files::from_env(Some(list.join(":").as_ref()), None).unwrap()
    }

    /// Returns the names in the folder except backups, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.contains(".rolecall-backup-"))
            .collect();
        names.sort();
        names
    }
}

/// Sets all lock timeouts to zero.
fn without_waiting(mut files: Files) -> Files {
    files.timeouts = LockTimeouts { kubectl: Duration::ZERO, rolecall: Duration::ZERO, ..files.timeouts };
    files
}

fn entry(profile: &str) -> Entry {
    Entry {
        profile: profile.to_owned(),
        server: format!("https://{profile}.eks.amazonaws.com"),
        certificate_authority_data: "LS0tLS1CRUdJTg==".to_owned(),
        command: PathBuf::from("/usr/local/bin/rolecall"),
        install_hint: "rolecall is not installed: see https://example.com/rolecall".to_owned(),
        env: Vec::new(),
        key: None,
    }
}

fn add(files: &Files, profile: &str) -> UpsertOutcome {
    upsert(files, &[entry(profile)], None).unwrap()
}

/// Returns the model of a text.
fn parsed(text: &str) -> Value {
    model::parse(Path::new("test"), text).unwrap()
}

/// Returns the error and its hint, as the user reads them.
fn error_text<T: fmt::Debug>(result: Result<T, KubeconfigError>) -> String {
    let error = result.unwrap_err();
    format!("{error}. {}", error.hint())
}

/// Returns the current context as kubectl sees it.
fn current_context(files: &Files) -> Option<String> {
    Draft::new(&files.load().unwrap()).current_context().map(str::to_owned)
}
