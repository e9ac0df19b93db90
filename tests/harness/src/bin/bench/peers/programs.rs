//! The programs that `tests/measure-peers.sh` has installed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::{env, fs};

const SCRIPT: &str = "tests/measure-peers.sh";

/// An installed program.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) version: String,
}

/// The programs by the names of the script, or the reasons why they are missing.
#[derive(Debug)]
pub(super) struct Programs(HashMap<String, Result<Program, String>>);

impl Programs {
    /// Reads the list in the folder where the script writes it. Without a list, all programs are missing.
    pub(super) fn installed() -> Self {
        let list = folder().and_then(|folder| fs::read_to_string(folder.join("programs.tsv")).ok());
        Self(list.as_deref().map(parse).unwrap_or_default())
    }

    /// Returns a program, or the reason why it is missing.
    pub(super) fn find(&self, name: &str) -> Result<&Program, String> {
        let known = self.0.get(name).ok_or_else(|| format!("not installed: run {SCRIPT}"))?;
        let program = known.as_ref().map_err(Clone::clone)?;
        let is_there = program.path.is_file();
        is_there.then_some(program).ok_or_else(|| format!("no longer installed: run {SCRIPT}"))
    }
}

fn folder() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let tests = variable("ROLECALL_TEST_CACHE").or_else(|| Some(caches()?.join("rolecall-tests")))?;
    Some(tests.join("peers"))
}

/// Reads lines of name, path and version, or of name, `-` and reason.
fn parse(list: &str) -> HashMap<String, Result<Program, String>> {
    let entry = |line: &str| {
        let [name, path, text] = line.splitn(3, '\t').collect::<Vec<_>>().try_into().ok()?;
        let program = Program { path: path.into(), version: text.to_owned() };
        Some((name.to_owned(), if path == "-" { Err(text.to_owned()) } else { Ok(program) }))
    };
    list.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_programs_and_reasons() {
        let programs = Programs(parse("sh\t/bin/sh\tv1\ngranted\t-\tnot on PATH\nold\t/no/such/file\tv2\n"));
        assert_eq!(programs.find("sh").unwrap().version, "v1");
        assert_eq!(programs.find("granted").unwrap_err(), "not on PATH");
        assert_eq!(programs.find("old").unwrap_err(), "no longer installed: run tests/measure-peers.sh");
        assert_eq!(programs.find("kubectl").unwrap_err(), "not installed: run tests/measure-peers.sh");
    }
}
