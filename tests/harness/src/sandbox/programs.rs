//! Paths of programs. The only file of the harness that reads the environment of the test process.

// These variables configure the tests; see below.
#![allow(clippy::disallowed_methods)]

use std::env;
use std::path::{Path, PathBuf};

/// Returns the folder of this build's binaries: `ROLECALL_TEST_BIN_DIR`, else `target/<profile>/`. Tests run in its
/// subfolder `deps/` and examples in `examples/`.
pub(crate) fn folder() -> PathBuf {
    if let Some(given) = env::var_os("ROLECALL_TEST_BIN_DIR") {
        return given.into();
    }
    let exe = env::current_exe().expect("this program has a path");
    let folder = exe.parent().expect("a program is in a folder");
    let inner = folder.file_name().is_some_and(|name| name == "deps" || name == "examples");
    if inner { folder.parent().expect("deps/ is in target/<profile>/").to_owned() } else { folder.to_owned() }
}

/// Returns the path of a program. Panics with a hint if it does not exist.
pub(crate) fn find(program: &Path) -> PathBuf {
    if program.components().count() > 1 {
        return program.to_owned();
    }
    let folders = [folder(), "/usr/bin".into(), "/bin".into()];
    let found = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        let program = program.display();
        panic!("{program} is not in any of {folders:?}; if this build makes it: cargo build --workspace --bins")
    })
}

/// Returns the path of the real kubectl: `ROLECALL_TEST_KUBECTL`, else the first on PATH.
pub(crate) fn kubectl() -> Option<PathBuf> {
    if let Some(given) = env::var_os("ROLECALL_TEST_KUBECTL") {
        return Some(given.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|path| path.is_file())
}

/// Returns whether sandboxes keep their folders (`ROLECALL_TEST_KEEP`).
pub(crate) fn keep_sandboxes() -> bool {
    env::var_os("ROLECALL_TEST_KEEP").is_some()
}
