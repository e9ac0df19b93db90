//! What a check on this computer found, and what the command does with it.

use std::path::PathBuf;

use rolecall_protocol::{Finding, FindingArea, FindingState, Hint};

/// A finding on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) finding: Finding,
    /// Its part of the one line about a healthy computer. Most findings have none.
    pub(super) brief: Option<String>,
    /// The profile that it is about, if it is about one.
    pub(super) profile: Option<String>,
    /// What `--fix` does about it.
    pub(super) repair: Option<Repair>,
}

/// A change that `--fix` makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Repair {
    /// Takes these permissions away from a file or folder of Rolecall.
    RemovePermissions { path: PathBuf, bits: u32 },
    /// Removes the kubeconfig entries of a profile that does not exist.
    RemoveEntries { profile: String },
    /// Writes the kubeconfig entries of a profile again.
    WriteEntries { profile: String },
    /// Starts the program of this installation in the place of the running daemon.
    RestartAgent,
}

impl From<Finding> for Checked {
    fn from(finding: Finding) -> Self {
        Self { finding, brief: None, profile: None, repair: None }
    }
}

impl Checked {
    pub(super) fn ok(name: impl AsRef<str>, cause: impl AsRef<str>) -> Self {
        Finding::ok(FindingArea::Computer, name, cause).into()
    }

    pub(super) fn warning(name: impl AsRef<str>, code: &str, cause: impl AsRef<str>) -> Self {
        Finding::warning(FindingArea::Computer, name, code, cause).into()
    }

    pub(super) fn problem(name: impl AsRef<str>, code: &str, cause: impl AsRef<str>) -> Self {
        Finding::problem(FindingArea::Computer, name, code, cause).into()
    }

    /// Sets what follows from it.
    #[must_use]
    pub(super) fn consequence(mut self, text: impl AsRef<str>) -> Self {
        self.finding = self.finding.consequence(text);
        self
    }

    /// Sets what the user does about it.
    #[must_use]
    pub(super) fn fix(mut self, fix: impl Into<Hint>) -> Self {
        self.finding = self.finding.fix(fix);
        self
    }

    #[must_use]
    pub(super) fn brief(self, text: impl Into<String>) -> Self {
        Self { brief: Some(text.into()), ..self }
    }

    #[must_use]
    pub(super) fn profile(self, name: impl Into<String>) -> Self {
        Self { profile: Some(name.into()), ..self }
    }

    #[must_use]
    pub(super) fn repair(self, repair: impl Into<Option<Repair>>) -> Self {
        Self { repair: repair.into(), ..self }
    }

    pub(super) fn state(&self) -> FindingState {
        self.finding.state
    }
}
