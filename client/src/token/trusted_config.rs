//! Checks the configuration of the daemon at `ROLECALL_SOCKET`.
//!
//! A kubeconfig can set the variable, and the configuration decides which kubeconfigs get a token. Without the check, a
//! daemon that the user has started with a configuration without pins would serve every kubeconfig.

use std::path::Path;

use rolecall_protocol::{ConfigStatus, Endpoint, ErrorCode, Hint, location};

use crate::clock::Deadline;
use crate::config_file::ConfigFile;
use crate::daemon::config_status::is_same_file;
use crate::daemon::{CallError, Daemon};
use crate::error::{CliError, Exit};

/// Errors unless the daemon uses the user's own configuration, or one that it lists as `trusted_configs`.
pub(super) fn check(daemon: &Daemon, deadline: Deadline) -> Result<(), CliError> {
    let theirs = match daemon.call_json_within::<ConfigStatus>(&Endpoint::Config, b"", deadline) {
        Ok(status) => status.path,
        Err(CallError::Rejected(body)) if body.code == ErrorCode::BadRequest => {
            return Err(CliError::new(
                Exit::Mismatch,
                "the agent at ROLECALL_SOCKET is older than this client and does not name its configuration",
                Hint::command("rolecall agent restart"),
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let own = location::default_config().map_err(CallError::from)?;
    check_path(Path::new(&theirs), &own)
}

fn check_path(theirs: &Path, own: &Path) -> Result<(), CliError> {
    let is_trusted = |trusted: &Path| is_same_file(trusted, theirs);
    if is_trusted(own) || ConfigFile::load(own)?.trusted_configs().iter().any(|path| is_trusted(path)) {
        return Ok(());
    }
    Err(CliError::failed(
        format!(
            "the agent at ROLECALL_SOCKET uses the configuration {}, and yours is {}; no token was issued",
            theirs.display(),
            own.display()
        ),
        format!(
            "If you started that agent, add the path of its configuration to trusted_configs under [client] in {}",
            own.display()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_path_accepts_own_and_trusted_configurations() {
        let folder = tempfile::tempdir().unwrap();
        let [own, other, link] = ["config.toml", "other.toml", "link.toml"].map(|name| folder.path().join(name));
        assert_eq!(check_path(&own, &own), Ok(()), "one that does not exist");
        std::fs::write(&other, "").unwrap();
        let said = check_path(&other, &own).unwrap_err().to_string();
        assert!(said.contains(other.to_str().unwrap()) && said.contains("trusted_configs"), "{said}");
        std::fs::write(&own, "").unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert_eq!(check_path(&link, &own), Ok(()));
        assert!(check_path(&other, &own).is_err());
        std::fs::write(&own, format!("[client]\ntrusted_configs = [\"{}\"]\n", other.display())).unwrap();
        assert_eq!(check_path(&other, &own), Ok(()));
        assert!(check_path(&folder.path().join("third.toml"), &own).is_err());
        std::fs::write(&own, "[client\n").unwrap();
        assert!(check_path(&other, &own).is_err(), "a malformed configuration trusts none");
    }
}
