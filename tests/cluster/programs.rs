//! Finds the programs that this suite tests against.

use std::io::Write as _;
use std::path::PathBuf;

/// The programs of `tests/cluster/go`.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Returns `None`, and reports the test as skipped, if they or kubectl are not there.
    #[allow(clippy::disallowed_methods)] // the suite's own look at the environment
    pub(crate) fn find() -> Option<Self> {
        let Some(folder) = std::env::var_os("ROLECALL_TEST_CLUSTER").map(PathBuf::from) else {
            skipped("control plane: ROLECALL_TEST_CLUSTER does not name a folder with kube-apiserver");
            return None;
        };
        Some(Self { folder })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Reports a skipped test. Writes past the test runner's capture, so that `tests/run` sees the line.
pub(crate) fn skipped(what: &str) {
    let mut tty = std::io::stderr();
    writeln!(tty, "SKIPPED: {what}").unwrap();
}
