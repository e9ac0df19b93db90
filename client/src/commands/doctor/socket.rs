//! Whether other users can reach the agent, and whether this user's agent answers.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rolecall_protocol::location::{self, FolderProblem};
use rolecall_trusted_file::shell_quoted;

use super::facts::Facts;
use super::finding::Finding;

/// The agent would refuse to start there, and the client to connect.
const NO_AGENT: &str = "No command reaches the agent, so kubectl gets no token.";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = match location::socket() {
        Ok(path) => vec![folder(path.parent().unwrap_or(&path)), socket(&path)],
        Err(error) => vec![Finding::problem("socket", error.to_string(), NO_AGENT, "Set XDG_RUNTIME_DIR or HOME")],
    };
    findings.push(match &facts.agent {
        // The client checks the process at each connection.
        Ok(agent) => {
            let (pid, uid) = (agent.status.daemon.pid, rustix::process::geteuid().as_raw());
            Finding::ok("agent", format!("process {pid} of this user (uid {uid})"))
        }
        Err(error) => Finding::problem("agent", error.to_string(), NO_AGENT, "rolecall agent logs"),
    });
    findings
}

fn folder(folder: &Path) -> Finding {
    let name = "socket folder";
    match location::check_private_folder(folder) {
        Ok(()) => Finding::ok(name, format!("{} is private (mode 0700)", folder.display())),
        Err(problem) => {
            let fix = match &problem {
                FolderProblem::Mode(_) => format!("chmod 700 {}", shell_quoted(folder)),
                _ => "rolecall agent logs".to_owned(),
            };
            Finding::problem(name, format!("{}: {problem}", folder.display()), NO_AGENT, fix)
        }
    }
}

fn socket(path: &Path) -> Finding {
    let name = "socket";
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Finding::problem(name, format!("{shown} is not a socket"), NO_AGENT, "Move it away")
        }
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            let cause = format!("{shown} belongs to another user (uid {})", found.uid());
            Finding::problem(name, cause, NO_AGENT, "Move it away")
        }
        Ok(found) if found.mode() & 0o077 != 0 => Finding::warning(
            name,
            format!("{shown} is open to others (mode {:04o})", found.mode() & 0o777),
            "The folder and the agent's check of the user still keep other users out.",
            format!("chmod 600 {}", shell_quoted(path)),
        ),
        Ok(_) => Finding::ok(name, format!("{shown} is private (mode 0600)")),
        Err(error) => Finding::problem(name, format!("{shown}: {error}"), NO_AGENT, "rolecall agent logs"),
    }
}
