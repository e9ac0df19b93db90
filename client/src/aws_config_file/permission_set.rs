//! Adds an AWS profile for a role of IAM Identity Center, as `aws configure sso` does.

use std::fmt::Write as _;
use std::path::Path;

use rolecall_protocol::aws_config::SectionKind;
use rolecall_protocol::aws_config::ini::Section;
use rolecall_protocol::{Region, aws_config};

use super::{AwsConfigError, LOCK_TIMEOUT, MAX_BYTES, own_setting, parse};
use crate::files::atomic_file::{self, Backup};
use crate::files::names;

/// The longest name that is made from the names of an account and a role.
const MAX_NAME: usize = 100;

/// A role of an account in IAM Identity Center.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PermissionSet<'a> {
    /// The name of the `[sso-session]`.
    pub(crate) sso_session: &'a str,
    pub(crate) account: &'a str,
    pub(crate) account_name: &'a str,
    pub(crate) role_name: &'a str,
    pub(crate) region: &'a Region,
}

impl PermissionSet<'_> {
    /// Returns the settings that tell it from others.
    fn keys(&self) -> [(&'static str, &str); 3] {
        [("sso_session", self.sso_session), ("sso_account_id", self.account), ("sso_role_name", self.role_name)]
    }

    fn is(&self, section: &Section) -> bool {
        self.keys().iter().all(|(key, value)| own_setting(section, key).is_some_and(|(_, found)| found == *value))
    }

    /// Returns the name of its AWS profile, and the text of the configuration file with it. An existing AWS profile of the role is
    /// used as it is.
    fn added_to(&self, path: &Path, text: &str, credentials: &str) -> Result<(String, String), AwsConfigError> {
        let sections = parse(path, text)?;
        let existing = sections.iter().find_map(|section| match SectionKind::of(&section.name) {
            SectionKind::Profile(name) if self.is(section) => Some(name),
            _ => None,
        });
        if let Some(name) = existing {
            return Ok((name, text.to_owned()));
        }
        let taken = aws_config::profile_names(text, credentials)
            .map_err(|error| AwsConfigError::Malformed { path: path.to_owned(), error })?;
        let stem = name_of(self.account_name, self.account, self.role_name);
        let candidates = std::iter::once(stem.clone()).chain((2..1000).map(|number| format!("{stem}-{number}")));
        let mut free = candidates.filter(|name| !taken.contains(name));
        let name = free.next().ok_or_else(|| AwsConfigError::Name(stem.clone()))?;
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let gap = if text.trim().is_empty() || text.ends_with("\n\n") { "" } else { "\n" };
        let mut added = format!("{text}{end}{gap}[profile {name}]\n");
        for (key, value) in self.keys().into_iter().chain([("region", self.region.as_str())]) {
            // A line break would begin another setting.
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(AwsConfigError::Name(value.escape_default().to_string()));
            }
            // Writing to a String cannot fail.
            let _ = writeln!(added, "{key} = {value}");
        }
        Ok((name, added))
    }
}

/// Returns a name that AWS's tools and a source can have: of the account, or of its id, and of the role.
fn name_of(account_name: &str, account: &str, role: &str) -> String {
    let clean = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
    };
    let first = clean(account_name);
    let first = first.trim_matches('-');
    let first = if first.is_empty() { account } else { first };
    format!("{first}-{}", clean(role)).chars().take(MAX_NAME).collect()
}

/// Adds the AWS profile of a role of IAM Identity Center to the configuration file, unless there is one. Returns its name. The file
/// keeps its mode, its comments and its order, and the old text stays as a backup.
pub(crate) fn ensure_permission_set(
    wanted: &PermissionSet<'_>,
    config: &Path,
    credentials: &Path,
) -> Result<String, AwsConfigError> {
    let resolved = atomic_file::resolve(config)?;
    atomic_file::create_folder(names::folder_of(&resolved))?;
    let _lock = atomic_file::lock_folder(names::folder_of(&resolved), LOCK_TIMEOUT)?;
    let others = atomic_file::read(credentials, MAX_BYTES)?;
    let original = atomic_file::read_trusted(config, MAX_BYTES)?;
    let (name, text) = wanted.added_to(config, &original.text, &others.text)?;
    if text != original.text {
        atomic_file::replace(&original, &text, Backup::Keep)?;
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(account_name: &str, text: &str) -> (String, String) {
        let region = "eu-west-1".parse().unwrap();
        let (sso_session, account, role_name) = ("corp", "111122223333", "Admin");
        let wanted = PermissionSet { sso_session, account, account_name, role_name, region: &region };
        wanted.added_to(Path::new("config"), text, "[Shop-Admin-2]\nx = 1\n").unwrap()
    }

    const SECTION: &str =
        "sso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Admin\nregion = eu-west-1\n";

    #[test]
    fn added_to_appends_a_section_or_finds_it() {
        let (name, text) = added("Shop", "# mine\n[sso-session corp]");
        assert_eq!(name, "Shop-Admin");
        assert_eq!(text, format!("# mine\n[sso-session corp]\n\n[profile Shop-Admin]\n{SECTION}"));
        assert_eq!(added("Shop", &text), (name, text.clone()));
        let renamed = text.replace("[profile Shop-Admin]", "[profile \"my shop\"]");
        assert_eq!(added("Shop", &renamed), ("my shop".to_owned(), renamed));
    }

    #[test]
    fn added_to_takes_a_free_and_plain_name() {
        assert_eq!(added("Shop", "[profile Shop-Admin]\nregion = x\n").0, "Shop-Admin-3");
        assert_eq!(added("Shop (EU)\u{1b}", "").0, "Shop--EU-Admin");
        assert_eq!(added("", "").0, "111122223333-Admin");
    }
}
