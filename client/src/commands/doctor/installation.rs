//! Whether both programs are installed beside each other, in one version, and once.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checked::Checked;
use super::facts::Facts;
use crate::clock::Deadline;
use crate::daemon::spawn::{daemon_command, find_daemon, output_channel, read_first_line};
use crate::environment::{Environment, is_executable};
use crate::error::CliError;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long `rolecalld --version` may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(3);
const INSTALL: &str = "Install rolecall and rolecalld again, into one folder, as install/install.sh does";

pub(super) fn check(facts: &Facts) -> Vec<Checked> {
    let mut found = vec![programs(&facts.environment)];
    found.extend(several(&facts.environment));
    found
}

/// The program of the agent: where it is, and its version.
fn programs(environment: &Environment) -> Checked {
    let name = "programs";
    let no_agent = "rolecall cannot start the agent.";
    let program = match find_daemon(environment) {
        Ok(program) => program,
        Err(error) => {
            let error = CliError::from(error);
            let found = Checked::problem(name, "agent_not_installed", error.message());
            return found.consequence(no_agent).fix(error.hint().cloned().unwrap_or_else(|| INSTALL.into()));
        }
    };
    match version(&program, environment) {
        Some(version) if version == VERSION => {
            Checked::ok(name, format!("rolecall and {} are {VERSION}", program.display()))
                .brief(format!("rolecall {VERSION}"))
        }
        Some(version) => Checked::problem(
            name,
            "program_version",
            format!("{} is {version}, and rolecall is {VERSION}", program.display()),
        )
        .consequence("An agent that starts lacks what is new in rolecall, or rolecall does not understand it.")
        .fix(INSTALL),
        None => Checked::problem(name, "agent_does_not_start", format!("{} --version fails", program.display()))
            .consequence(no_agent)
            .fix(INSTALL),
    }
}

/// Runs `rolecalld --version`; `None` if it fails.
fn version(program: &Path, environment: &Environment) -> Option<String> {
    let deadline = Deadline::after(VERSION_TIMEOUT);
    let (ours, theirs) = output_channel(program).ok()?;
    let mut command = daemon_command(program, environment);
    command.arg("--version").stdout(theirs).stderr(std::process::Stdio::null());
    let mut child = command.spawn().ok()?;
    drop(command); // it holds our copy of the program's end
    let line = read_first_line(ours, deadline);
    let status = deadline.wait_for(&mut child).ok()??;
    line.ok()?.strip_prefix("rolecalld ").filter(|_| status.success()).map(|version| version.trim().to_owned())
}

/// Different programs of one name on `PATH`.
fn several(environment: &Environment) -> Option<Checked> {
    let folders = std::env::split_paths(environment.get("PATH").unwrap_or(OsStr::new("")));
    let paths = folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join("rolecall"));
    let mut by_target: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut found = Vec::new();
    for path in paths.filter(|path| is_executable(path)) {
        let Ok(target) = path.canonicalize() else { continue };
        if by_target.insert(target, path.clone()).is_none() {
            found.push(path);
        }
    }
    let [first, others @ ..] = found.as_slice() else { return None };
    if others.is_empty() {
        return None;
    }
    let others: Vec<String> = others.iter().map(|path| path.display().to_string()).collect();
    Some(
        Checked::warning(
            "programs",
            "several_installations",
            format!("PATH has {} and also {}", first.display(), others.join(", ")),
        )
        .consequence("Which one a program runs depends on its PATH, and only one is upgraded.")
        .fix(format!("Remove the ones that you do not use: {}", others.join(", "))),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn several_counts_different_files() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        for folder in [&a, &b, &c] {
            fs::create_dir(folder).unwrap();
        }
        let program = |folder: &Path| {
            fs::write(folder.join("rolecall"), "").unwrap();
            fs::set_permissions(folder.join("rolecall"), fs::Permissions::from_mode(0o755)).unwrap();
        };
        let path = format!("{}:{}:{}", a.display(), b.display(), c.display());
        let environment: Environment = [("PATH".into(), path.into())].into_iter().collect();
        assert_eq!(several(&environment), None);
        program(&a);
        symlink(a.join("rolecall"), b.join("rolecall")).unwrap();
        assert_eq!(several(&environment), None, "a link is no second installation");
        program(&c);
        let cause = several(&environment).unwrap().finding.cause;
        assert!(cause.ends_with(&format!("and also {}", c.join("rolecall").display())), "{cause}");
    }
}
