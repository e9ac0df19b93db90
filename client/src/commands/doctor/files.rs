//! Whether another user can change the files that Rolecall obeys, or read those with secrets.

use rolecall_protocol::Hint;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rolecall_protocol::location;
use rolecall_trusted_file::{self as trusted_file, TrustError, shell_quoted};

use super::checked::{Checked, Repair};
use super::facts::Facts;

/// Write permission for the group and for all other users.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Read permission for the group and for all other users.
const READABLE_BY_OTHERS: u32 = 0o044;

/// A file or folder, and what is in it.
struct File {
    name: &'static str,
    path: PathBuf,
    has_secrets: bool,
    /// Whether only Rolecall uses it, so that `--fix` may change its mode.
    is_ours: bool,
}

pub(super) fn check(facts: &Facts) -> Vec<Checked> {
    let mut files = Vec::new();
    let mut add = |name, path: Option<PathBuf>, has_secrets, is_ours| {
        files.extend(path.map(|path| File { name, path, has_secrets, is_ours }));
    };
    // The client starts the daemon that is beside it.
    let program = std::env::current_exe().ok();
    add("agent's program", program.and_then(|program| Some(program.parent()?.join("rolecalld"))), false, false);
    add("configuration", facts.config_path.clone(), true, true);
    let (config, credentials) = location::aws_files().ok().unzip();
    add("AWS config", config, false, false);
    add("AWS credentials", credentials, true, false);
    let aws = location::aws_folder().ok();
    add("SSO tokens", aws.as_ref().map(|aws| aws.join("sso/cache")), false, false);
    add("aws login tokens", aws.map(|aws| aws.join("login/cache")), false, false);
    add("lock file", location::state_folder().ok().map(|state| state.join("lock.json")), true, true);
    add("audit log", location::audit_log().ok(), true, true);
    files.iter().filter_map(checked).collect()
}

/// Returns the finding for a file; `None` if it does not exist.
fn checked(file: &File) -> Option<Checked> {
    let found = match trusted_file::check(&file.path) {
        Ok(found) => found,
        Err(error) if error.is_missing() => return None,
        Err(error) => {
            let checked = Checked::problem(file.name, "file_not_trusted", error.to_string());
            let checked = checked.consequence("Rolecall does not use it.").fix(fix_of(&error));
            return Some(checked.repair(repair(file, &error)));
        }
    };
    let mode = found.metadata.mode() & 0o777;
    Some(match mode & READABLE_BY_OTHERS {
        readable if readable != 0 && file.has_secrets => readable_by_others(file, &found.path, mode),
        _ => Checked::ok(file.name, format!("{} can be changed by this user and root only", file.path.display())),
    })
}

/// What the user does about a file that other users can change.
pub(super) fn fix_of(error: &TrustError) -> Hint {
    error.fix_command().map_or_else(|| error.advice().into(), Hint::command)
}

/// The change of a file of Rolecall, or of a folder that only Rolecall uses, that other users can write.
fn repair(file: &File, error: &TrustError) -> Option<Repair> {
    let TrustError::WritableByOthers { path, .. } = error else { return None };
    let is_file = file.path.canonicalize().is_ok_and(|own| own == *path);
    let is_own_folder = path.is_dir() && path.file_name().is_some_and(|name| name == "rolecall");
    (file.is_ours && (is_file || is_own_folder))
        .then(|| Repair::RemovePermissions { path: path.clone(), bits: WRITABLE_BY_OTHERS })
}

fn readable_by_others(file: &File, path: &Path, mode: u32) -> Checked {
    let repair = Repair::RemovePermissions { path: path.to_owned(), bits: READABLE_BY_OTHERS };
    let cause = format!("other users can read {} (mode {mode:04o})", file.path.display());
    Checked::warning(file.name, "file_readable", cause)
        .consequence("It has secrets, or shows which programs use your roles.")
        .fix(Hint::command(format!("chmod go-r {}", shell_quoted(&file.path))))
        .repair(file.is_ours.then_some(repair))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use rolecall_protocol::FindingState;

    use super::*;

    #[test]
    fn finding_follows_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let file = |has_secrets| File { name: "configuration", path: path.clone(), has_secrets, is_ours: true };
        assert_eq!(checked(&file(true)), None);
        fs::write(&path, "").unwrap();
        for (mode, has_secrets, state, fix) in [
            (0o600, true, FindingState::Ok, None),
            (0o644, false, FindingState::Ok, None),
            (0o644, true, FindingState::Warning, Some("chmod go-r ")),
            (0o666, false, FindingState::Problem, Some("chmod go-w ")),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = checked(&file(has_secrets)).unwrap();
            assert_eq!(found.state(), state, "{mode:o}");
            let expected = fix.map(|fix| Hint::command(format!("{fix}{}", fs::canonicalize(&path).unwrap().display())));
            assert_eq!(found.finding.fix, expected);
            assert_eq!(found.repair.is_some(), fix.is_some());
        }
    }
}
