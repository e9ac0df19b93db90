//! Exhibits: what the writer does to the shapes of file that people have.

mod faults;
mod golden;
mod kubectl;
mod lists;
mod locking;
mod ownership;
mod property;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::Waits;
use super::*;

/// A folder of its own, with a kubeconfig in it.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        Home { folder: tempfile::tempdir().unwrap() }
    }

    fn with(text: &str) -> Home {
        let home = Home::new();
        fs::write(home.path("config"), text).unwrap();
        home
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

    /// The files as KUBECONFIG would list them.
    fn list(&self, names: &str) -> Files {
        let list: Vec<String> = names.split(':').map(|name| self.path(name).display().to_string()).collect();
        Files::from_env(Some(list.join(":").as_ref()), None).unwrap()
    }

    /// What is in the folder, sorted, other than backups.
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

/// Nothing in these tests waits for a lock that is not theirs.
fn impatient(mut files: Files) -> Files {
    files.waits = Waits { kubectl: Duration::ZERO, ours: Duration::ZERO, ..files.waits };
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
    }
}

fn add(files: &Files, profile: &str) -> Outcome {
    upsert(files, &[entry(profile)], None).unwrap()
}

/// What a text means, by the model that the writer checks itself with.
fn meaning(text: &str) -> Value {
    model::parse(Path::new("test"), text).unwrap()
}

/// The error and its hint, as a person would read them.
fn told<T: fmt::Debug>(result: Result<T, KubeconfigError>) -> String {
    let error = result.unwrap_err();
    format!("{error}. {}", error.hint())
}

/// The current context as kubectl sees it, set or not.
fn current_context(files: &Files) -> Option<String> {
    Draft::new(files, &files.load().unwrap()).current_context().map(str::to_owned)
}
