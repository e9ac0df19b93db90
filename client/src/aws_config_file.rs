//! Adds an AWS profile to `~/.aws/config` whose `credential_process` is `rolecall credentials`. Every other line stays as it is.

pub(crate) mod installed;
pub(crate) mod permission_set;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::aws_config::ini::{self, Section, Value};
use rolecall_protocol::aws_config::{SectionKind, words};
use rolecall_protocol::{ProfileName, Region};

use crate::error::CliError;
use crate::files::atomic_file::{self, Backup};
use crate::files::error::FileError;
use crate::files::names;

/// The size limit of one of AWS's files, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;
/// How long to wait for other `rolecall` processes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// An AWS profile that gets its credentials from Rolecall.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name.
    name: String,
    /// The value of `credential_process`.
    process: String,
    region: Region,
}

/// What [`install`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Installed {
    Added,
    Updated,
    Unchanged,
}

/// Why an AWS profile cannot be written. The files are unchanged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AwsConfigError {
    #[error("{0:?} cannot be the name of an AWS profile: use letters, digits and . _ - + @")]
    Name(String),
    #[error("credential_process cannot run {}: the path has a character that shells interpret", .0.display())]
    Program(PathBuf),
    #[error("{}: {error}", path.display())]
    Malformed { path: PathBuf, error: ini::SyntaxError },
    #[error("{}:{line}: AWS profile {name} exists, and is not one of Rolecall", path.display())]
    Foreign { path: PathBuf, line: usize, name: String },
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<AwsConfigError> for CliError {
    fn from(error: AwsConfigError) -> Self {
        let message = error.to_string();
        let advice = match &error {
            AwsConfigError::Name(_) | AwsConfigError::Foreign { .. } => {
                "Give another name: rolecall credentials NAME --install AWS-PROFILE".to_owned()
            }
            AwsConfigError::Program(_) => "Install rolecall in another folder".to_owned(),
            AwsConfigError::Malformed { .. } => "Fix that line and run the command again".to_owned(),
            AwsConfigError::File(error) => {
                return Self::failed(&message, error.advice()).untouched(error.untouched());
            }
        };
        Self::failed(&message, advice).nothing_written()
    }
}

impl Entry {
    /// Creates the AWS profile `name` for a profile of Rolecall. Errors if one of the texts has another meaning for AWS's SDKs,
    /// some of which run `credential_process` in a shell.
    pub(crate) fn new(
        name: &str,
        program: &Path,
        profile: &ProfileName,
        region: Region,
    ) -> Result<Self, AwsConfigError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
        if name.is_empty() || name.starts_with('-') || !name.chars().all(is_plain) {
            return Err(AwsConfigError::Name(name.to_owned()));
        }
        let is_safe = |c: char| c.is_alphanumeric() || "/._-+@ ,".contains(c);
        let path = program.to_str().filter(|path| path.chars().all(is_safe));
        let path = path.ok_or_else(|| AwsConfigError::Program(program.to_owned()))?;
        let quote = if path.contains(' ') { "\"" } else { "" };
        let process = format!("{quote}{path}{quote} credentials {profile}");
        Ok(Self { name: name.to_owned(), process, region })
    }

    /// Returns the section.
    pub(crate) fn text(&self) -> String {
        let header = if self.name == "default" { "default".to_owned() } else { format!("profile {}", self.name) };
        format!("[{header}]\ncredential_process = {}\nregion = {}\n", self.process, self.region)
    }

    /// Returns the text of the configuration file with this AWS profile. An existing section of Rolecall keeps its place and its
    /// other settings. Errors for a section with another `credential_process`, or none.
    fn added_to(&self, path: &Path, text: &str) -> Result<(String, Installed), AwsConfigError> {
        let sections = parse(path, text)?;
        let own = SectionKind::Profile(self.name.clone());
        let is_own = |section: &&Section| SectionKind::of(&section.name) == own;
        let foreign = |section: &Section| AwsConfigError::Foreign {
            path: path.to_owned(),
            line: section.line,
            name: self.name.clone(),
        };
        let is_read = |section: &&Section| is_profile_section(&section.name, &self.name);
        if let Some(section) = sections.iter().filter(is_read).find(|section| !is_own(section)) {
            return Err(foreign(section));
        }
        let Some(section) = sections.iter().find(is_own) else {
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            let gap = if text.trim().is_empty() || text.ends_with("\n\n") { "" } else { "\n" };
            return Ok((format!("{text}{end}{gap}{}", self.text()), Installed::Added));
        };
        let foreign = || foreign(section);
        let process = own_setting(section, "credential_process").filter(|(_, value)| is_of_rolecall(value));
        let (process_line, process) = process.ok_or_else(foreign)?;
        let region = own_setting(section, "region");
        if process == self.process && region.is_some_and(|(_, region)| region == self.region.as_str()) {
            return Ok((text.to_owned(), Installed::Unchanged));
        }
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let mut replace = |line: usize, setting: String| {
            let old = lines.get_mut(line - 1)?;
            *old = format!("{setting}{}", if old.ends_with("\r\n") { "\r\n" } else { "\n" });
            Some(())
        };
        let region_text = format!("region = {}", self.region);
        let process_text = format!("credential_process = {}", self.process);
        match region {
            Some((line, _)) => replace(line, region_text).and_then(|()| replace(process_line, process_text)),
            None => replace(process_line, format!("{process_text}\n{region_text}")),
        }
        .ok_or_else(foreign)?;
        let changed = lines.concat();
        // Reads it again: Python ends lines at characters at which this does not.
        let written = parse(path, &changed)?;
        let written = written.iter().find(is_own);
        let is_right = written.is_some_and(|section| {
            let has = |key, value: &str| own_setting(section, key).is_some_and(|(_, found)| found == value);
            has("credential_process", &self.process) && has("region", self.region.as_str())
        });
        if is_right { Ok((changed, Installed::Updated)) } else { Err(foreign()) }
    }
}

/// Adds an AWS profile to the configuration file, or updates the one that an earlier call added. The file keeps its mode, its
/// comments and its order, and the old text stays as a backup.
pub(crate) fn install(entry: &Entry, config: &Path, credentials: &Path) -> Result<Installed, AwsConfigError> {
    let resolved = atomic_file::resolve(config)?;
    atomic_file::create_folder(names::folder_of(&resolved))?;
    let _lock = atomic_file::lock_folder(names::folder_of(&resolved), LOCK_TIMEOUT)?;
    // An access key there would be used instead.
    let others = atomic_file::read(credentials, MAX_BYTES)?;
    if let Some(section) =
        parse(credentials, &others.text)?.iter().find(|section| names_profile(&section.name, &entry.name))
    {
        let (path, name) = (credentials.to_owned(), entry.name.clone());
        return Err(AwsConfigError::Foreign { path, line: section.line, name });
    }
    let original = atomic_file::read_trusted(config, MAX_BYTES)?;
    let (text, installed) = entry.added_to(config, &original.text)?;
    if installed != Installed::Unchanged {
        atomic_file::replace(&original, &text, Backup::Keep)?;
    }
    Ok(installed)
}

/// The settings of an AWS profile that name its credentials.
const CREDENTIAL_SETTINGS: [&str; 9] = [
    "aws_access_key_id",
    "role_arn",
    "source_profile",
    "credential_process",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "login_session",
];

/// Whether the text of one of AWS's files gives the AWS profile `default` credentials of its own. Every SDK prefers them to a
/// container's. A text that does not parse counts as one with credentials.
pub(crate) fn default_has_credentials(text: &str) -> bool {
    let has_credentials = |section: &Section| CREDENTIAL_SETTINGS.iter().any(|key| section.settings.contains_key(*key));
    let found = ini::parse(text).map(|sections| {
        sections.iter().any(|section| names_profile(&section.name, "default") && has_credentials(section))
    });
    found.unwrap_or(true) || default_has_credentials_in_lines(text)
}

/// As [`default_has_credentials`], where indentation has no meaning: the SDK for Go reads an indented header, which continues the value
/// above it for the AWS CLI.
fn default_has_credentials_in_lines(text: &str) -> bool {
    let mut is_default = false;
    text.split(['\n', '\r']).map(str::trim).any(|line| {
        if let Some((name, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            is_default = names_profile(name, "default");
        }
        let key = line.split(['=', ':']).next().unwrap_or_default().trim_end();
        is_default && CREDENTIAL_SETTINGS.iter().any(|known| key.eq_ignore_ascii_case(known))
    })
}

/// Whether an SDK reads a section of either of AWS's files as that of the AWS profile.
fn names_profile(section: &str, profile: &str) -> bool {
    is_name(section, profile) || is_profile_section(section, profile)
}

/// Whether an SDK reads a section of the configuration file as that of the AWS profile.
fn is_profile_section(section: &str, profile: &str) -> bool {
    let section = section.trim();
    let prefixed = section.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t']));
    prefixed.is_some_and(|name| is_name(name, profile))
        || (profile == "default" && is_name(section, profile))
        || SectionKind::of(section) == SectionKind::Profile(profile.to_owned())
}

/// Whether a text is this name for one of the SDKs: the SDK for Go ignores spaces around it, and the AWS CLI quotes.
fn is_name(text: &str, name: &str) -> bool {
    text.trim().trim_matches(['"', '\'']) == name
}

fn parse(path: &Path, text: &str) -> Result<Vec<Section>, AwsConfigError> {
    ini::parse(text).map_err(|error| AwsConfigError::Malformed { path: path.to_owned(), error })
}

/// Returns the line and the value of a setting in one line.
fn own_setting<'a>(section: &'a Section, key: &str) -> Option<(usize, &'a str)> {
    let setting = section.settings.get(key)?;
    match &setting.value {
        Value::Text(text) if !text.contains('\n') => Some((setting.line, text)),
        _ => None,
    }
}

/// Whether a `credential_process` is one that [`Entry`] writes.
fn is_of_rolecall(process: &str) -> bool {
    let words = words::split(process).unwrap_or_default();
    let [program, command, _] = words.as_slice() else { return false };
    Path::new(program).file_name().is_some_and(|name| name == "rolecall") && command == "credentials"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, program: &str) -> Result<Entry, AwsConfigError> {
        Entry::new(name, Path::new(program), &"prod".parse().unwrap(), "eu-west-1".parse().unwrap())
    }

    fn added(text: &str) -> Result<(String, Installed), AwsConfigError> {
        entry("prod", "/usr/bin/rolecall").unwrap().added_to(Path::new("config"), text)
    }

    const SECTION: &str =
        "[profile prod]\ncredential_process = /usr/bin/rolecall credentials prod\nregion = eu-west-1\n";

    #[test]
    fn added_to_keeps_every_other_line() {
        for before in
            ["", "# mine\n[default]\nregion=x\n", "[a]\n\n", "[profile a]\r\nregion = y\r\n[services s]\ns3 =\n  x = 1"]
        {
            let (text, installed) = added(before).unwrap();
            assert!(text.starts_with(before) && text.ends_with(SECTION), "{text}");
            assert_eq!(installed, Installed::Added);
            assert_eq!(added(&text).unwrap(), (text, Installed::Unchanged));
        }
        let old = "[profile prod]\r\n# why\r\ncredential_process = /old/rolecall credentials prod\r\noutput = json\r\n[x]\r\n";
        let (text, installed) = added(old).unwrap();
        assert_eq!(
            text,
            "[profile prod]\r\n# why\r\ncredential_process = /usr/bin/rolecall credentials prod\nregion = eu-west-1\r\n\
             output = json\r\n[x]\r\n"
        );
        assert_eq!(installed, Installed::Updated);
    }

    #[test]
    fn added_to_refuses_a_foreign_section() {
        for foreign in [
            "[profile prod]\n",
            "[profile prod]\nrole_arn = x\n",
            "[profile \"prod\"]\ncredential_process = /bin/other credentials prod\n",
            "[profile prod]\ncredential_process = /usr/bin/rolecall credentials\n  prod\n",
            // The AWS CLI ignores this section, and the SDK for Go reads it.
            "[ profile  prod ]\naws_access_key_id = x\n",
        ] {
            let error = added(foreign).unwrap_err().to_string();
            assert!(error.starts_with("config:1: AWS profile prod exists"), "{error}");
        }
        // Also after the section of Rolecall.
        let error = added(&format!("{SECTION}[ profile prod ]\nregion = x\n")).unwrap_err().to_string();
        assert!(error.starts_with("config:4: AWS profile prod exists"), "{error}");
        assert!(matches!(added("oops\n"), Err(AwsConfigError::Malformed { .. })));
    }

    #[test]
    fn entry_of_unusual_names_is_quoted_or_refused() {
        let text = entry("default", "/Program Files/rolecall").unwrap().text();
        assert!(
            text.starts_with("[default]\ncredential_process = \"/Program Files/rolecall\" credentials prod\n"),
            "{text}"
        );
        for name in ["", "a b", "a]", "-x", "a\n", "ä"] {
            assert!(matches!(entry(name, "/x/rolecall"), Err(AwsConfigError::Name(_))), "{name}");
        }
        for program in
            ["/x$y/rolecall", "/x\"y/rolecall", "/x`/rolecall", "/x\\/rolecall", "/x;/rolecall", "/x\n/rolecall"]
        {
            assert!(matches!(entry("prod", program), Err(AwsConfigError::Program(_))), "{program}");
        }
    }

    #[test]
    fn default_profile_with_credentials_is_found() {
        for text in [
            "[default]\naws_access_key_id = x\n",
            "[default]\nsso_session = s\n",
            "[DEFAULT]\nrole_arn = x\n[default]\n",
            "[ default ]\naws_access_key_id = x\n",
            "[\tdefault]\nrole_arn = x\n",
            "[profile   default] # mine\nrole_arn = x\n",
            "[ profile \"default\" ]\nrole_arn = x\n",
            "[a]\nregion = x\n  [ default ] ; mine\n  AWS_ACCESS_KEY_ID: x\n",
            "x",
        ] {
            assert!(default_has_credentials(text), "{text}");
        }
        for text in [
            "",
            "[default]\nregion = x\n",
            "[profile a]\naws_access_key_id = x\n",
            "[DEFAULT]\nrole_arn = x\n",
            "[ default ]\nregion = x\n[ default a ]\nrole_arn = x\n",
            "[profiledefault]\nrole_arn = x\n",
        ] {
            assert!(!default_has_credentials(text), "{text}");
        }
    }
}
