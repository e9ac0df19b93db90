//! Whether another user can change the files that Rolecall obeys, or read those with secrets.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rolecall_protocol::location;
use rolecall_trusted_file::{self as trusted_file, TrustError, shell_quoted};

use super::facts::Facts;
use super::finding::Finding;

/// A file or folder, and what is in it.
struct Checked {
    name: &'static str,
    path: PathBuf,
    has_secrets: bool,
}

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut files = Vec::new();
    let mut add = |name, path: Option<PathBuf>, has_secrets| {
        files.extend(path.map(|path| Checked { name, path, has_secrets }));
    };
    // The client starts the daemon that is beside it.
    let program = std::env::current_exe().ok();
    add("agent's program", program.and_then(|program| Some(program.parent()?.join("rolecalld"))), false);
    add("configuration", facts.config_path.clone(), true);
    let (config, credentials) = location::aws_files().ok().unzip();
    add("AWS config", config, false);
    add("AWS credentials", credentials, true);
    let aws = location::aws_folder().ok();
    add("SSO tokens", aws.as_ref().map(|aws| aws.join("sso/cache")), false);
    add("aws login tokens", aws.map(|aws| aws.join("login/cache")), false);
    add("lock file", location::state_folder().ok().map(|state| state.join("lock.json")), true);
    add("audit log", location::audit_log().ok(), true);
    files.iter().filter_map(finding).collect()
}

/// Returns the finding for a file; `None` if it does not exist.
fn finding(Checked { name, path, has_secrets }: &Checked) -> Option<Finding> {
    let found = match trusted_file::check(path) {
        Ok(found) => found,
        Err(error) if error.is_missing() => return None,
        Err(error) => {
            return Some(Finding::problem(*name, error.to_string(), "Rolecall does not use it.", fix_of(&error)));
        }
    };
    let mode = found.metadata.mode() & 0o777;
    Some(match mode & 0o044 {
        readable if readable != 0 && *has_secrets => readable_by_others(name, path, mode),
        _ => Finding::ok(*name, format!("{} can be changed by this user and root only", path.display())),
    })
}

/// What the user does about a file that other users can change.
pub(super) fn fix_of(error: &TrustError) -> String {
    let fix = error.advice();
    fix.strip_prefix("Fix it with: ").map_or_else(|| fix.clone(), str::to_owned)
}

fn readable_by_others(name: &str, path: &Path, mode: u32) -> Finding {
    Finding::warning(
        name,
        format!("other users can read {} (mode {mode:04o})", path.display()),
        "It has secrets, or shows which programs use your roles.",
        format!("chmod go-r {}", shell_quoted(path)),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::finding::State;
    use super::*;

    #[test]
    fn finding_follows_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let checked = |has_secrets| Checked { name: "AWS credentials", path: path.clone(), has_secrets };
        assert_eq!(finding(&checked(true)), None);
        fs::write(&path, "").unwrap();
        for (mode, has_secrets, state, fix) in [
            (0o600, true, State::Ok, None),
            (0o644, false, State::Ok, None),
            (0o644, true, State::Warning, Some("chmod go-r ")),
            (0o666, false, State::Problem, Some("chmod go-w ")),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = finding(&checked(has_secrets)).unwrap();
            assert_eq!(found.state, state, "{mode:o}");
            let expected = fix.map(|fix| format!("{fix}{}", fs::canonicalize(&path).unwrap().display()));
            assert_eq!(found.fix, expected);
        }
    }
}
