//! Whether other users can reach the agent.

use rolecall_protocol::Hint;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rolecall_protocol::location::{self, FolderProblem};
use rolecall_trusted_file::shell_quoted;

use super::checked::{Checked, Repair};
use super::facts::Facts;

/// The agent would refuse to start there, and the client to connect.
pub(super) const NO_AGENT: &str = "No command reaches the agent, so kubectl gets no token.";

pub(super) fn check(_: &Facts) -> Vec<Checked> {
    match location::socket() {
        Ok(path) => vec![folder(path.parent().unwrap_or(&path)), socket(&path)],
        Err(error) => {
            let found = Checked::problem("socket", "no_socket_path", error.to_string());
            vec![found.consequence(NO_AGENT).fix("Set XDG_RUNTIME_DIR or HOME")]
        }
    }
}

fn folder(folder: &Path) -> Checked {
    let name = "socket folder";
    match location::check_private_folder(folder) {
        Ok(()) => Checked::ok(name, format!("{} is private (mode 0700)", folder.display())),
        Err(problem) => {
            let found = Checked::problem(name, "socket_folder", format!("{}: {problem}", folder.display()));
            let found = found.consequence(NO_AGENT);
            match &problem {
                FolderProblem::Mode(_) => found
                    .fix(Hint::command(format!("chmod 700 {}", shell_quoted(folder))))
                    .repair(is_made_by_us(folder).then(|| remove_permissions(folder))),
                _ => found.fix(Hint::command("rolecall agent logs")),
            }
        }
    }
}

/// Whether only Rolecall uses a folder: its name is `rolecall`, or it is the folder of Rolecall's state.
fn is_made_by_us(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == "rolecall")
        || location::state_folder().is_ok_and(|state| folder.starts_with(state))
}

fn remove_permissions(path: &Path) -> Repair {
    Repair::RemovePermissions { path: path.to_owned(), bits: 0o077 }
}

fn socket(path: &Path) -> Checked {
    let name = "socket";
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Checked::problem(name, "not_a_socket", format!("{shown} is not a socket"))
                .consequence(NO_AGENT)
                .fix("Move it away")
        }
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            let cause = format!("{shown} belongs to another user (uid {})", found.uid());
            Checked::problem(name, "foreign_socket", cause).consequence(NO_AGENT).fix("Move it away")
        }
        Ok(found) if found.mode() & 0o077 != 0 => {
            let cause = format!("{shown} is open to others (mode {:04o})", found.mode() & 0o777);
            Checked::warning(name, "socket_open", cause)
                .consequence("The folder and the agent's check of the user still keep other users out.")
                .fix(Hint::command(format!("chmod 600 {}", shell_quoted(path))))
                .repair(remove_permissions(path))
        }
        Ok(_) => Checked::ok(name, format!("{shown} is private (mode 0600)")),
        Err(error) => Checked::problem(name, "no_socket", format!("{shown}: {error}"))
            .consequence(NO_AGENT)
            .fix(Hint::command("rolecall agent logs")),
    }
}
