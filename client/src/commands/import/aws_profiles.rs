//! The AWS profiles of AWS's own files: which exist, whether Rolecall can use their credentials, and their regions.

use std::collections::BTreeMap;
use std::path::Path;

use rolecall_protocol::aws_config::SectionKind;
use rolecall_protocol::aws_config::ini::{self, Value};
use rolecall_protocol::location;

use crate::files::atomic_file;

/// The size limit of each file, in bytes.
const MAX_AWS_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// How many AWS profiles may name one another as `source_profile`.
const MAX_SOURCE_PROFILES: usize = 10;
/// The settings that give credentials.
const CREDENTIAL_SETTINGS: [&str; 7] = [
    "aws_access_key_id",
    "credential_process",
    "credential_source",
    "login_session",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
];

/// The settings of each AWS profile.
#[derive(Debug, Default)]
pub(super) struct AwsProfiles {
    /// `None` if a file cannot be read: then nothing is known.
    profiles: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

impl AwsProfiles {
    /// Reads AWS's two files.
    pub(super) fn read() -> Self {
        let read = |path: &Path| atomic_file::read(path, MAX_AWS_FILE_BYTES).map(|file| file.text).ok();
        let paths = location::aws_files().ok();
        let texts = paths.and_then(|(config, credentials)| Some((read(&config)?, read(&credentials)?)));
        texts.map_or_else(Self::default, |(config, credentials)| Self::of_texts(&config, &credentials))
    }

    fn of_texts(config: &str, credentials: &str) -> Self {
        let (Ok(config), Ok(credentials)) = (ini::parse(config), ini::parse(credentials)) else {
            return Self::default();
        };
        let mut profiles: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let of_config = config.into_iter().filter_map(|section| match SectionKind::of(&section.name) {
            SectionKind::Profile(name) => Some((name, section)),
            _ => None,
        });
        let of_credentials = credentials.into_iter().map(|section| (section.name.clone(), section));
        for (name, section) in of_config.chain(of_credentials) {
            let settings = profiles.entry(name).or_default();
            for (key, setting) in section.settings {
                if let Value::Text(text) = setting.value {
                    // A secret is not kept.
                    let text = if key.starts_with("aws_") { String::new() } else { text };
                    settings.insert(key, text);
                }
            }
        }
        Self { profiles: Some(profiles) }
    }

    /// Returns the region of an AWS profile.
    pub(super) fn region(&self, name: &str) -> Option<&str> {
        self.profiles.as_ref()?.get(name)?.get("region").map(String::as_str)
    }

    /// Returns why Rolecall cannot use an AWS profile; `None` if it can, or if that is unknown. `vault` is the tool that gives it
    /// credentials today.
    pub(super) fn problem(&self, name: &str, is_named: bool, vault: Option<&str>) -> Option<String> {
        let profiles = self.profiles.as_ref()?;
        if !is_named && !profiles.contains_key(name) {
            return Some(
                "it names no AWS profile, and there is no default one; name one with --aws-profile".to_owned(),
            );
        }
        let mut leaf = name;
        for _ in 0..MAX_SOURCE_PROFILES {
            let Some(settings) = profiles.get(leaf) else {
                return Some(format!("the AWS profile {leaf} is not in ~/.aws/config"));
            };
            match settings.get("source_profile") {
                Some(source) if source != leaf => leaf = source,
                _ if CREDENTIAL_SETTINGS.iter().any(|key| settings.contains_key(*key)) => return None,
                _ => return Some(without_credentials(leaf, vault)),
            }
        }
        None
    }
}

fn without_credentials(profile: &str, vault: Option<&str>) -> String {
    match vault {
        Some("aws-vault") => format!(
            "aws-vault keeps the access key of the AWS profile {profile}; store it with rolecall keys put, then add the profile \
             with --keyring"
        ),
        Some(vault) => {
            format!("{vault} keeps the credentials of the AWS profile {profile}, where Rolecall cannot read them")
        }
        None => format!(
            "the AWS profile {profile} has no credentials that Rolecall can use; to name another: --aws-profile NAME"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_of_profiles_without_usable_credentials() {
        let config = "[default]\nregion = eu-west-1\n[profile role]\nsource_profile = keys\nrole_arn = x\n[profile sso]\n\
                      sso_session = s\n[profile loop]\nsource_profile = loop2\n[profile loop2]\nsource_profile = loop\n\
                      [profile vaulted]\nsource_profile = default\n[profile lost]\nsource_profile = gone\n";
        let profiles =
            AwsProfiles::of_texts(config, "[keys]\naws_access_key_id = AKIA\naws_secret_access_key = hunter2\n");
        assert!(!format!("{profiles:?}").contains("hunter2"));
        assert_eq!(profiles.region("default"), Some("eu-west-1"));
        for usable in ["keys", "role", "sso", "loop"] {
            assert_eq!(profiles.problem(usable, true, None), None, "{usable}");
        }
        let problem = |name, vault| profiles.problem(name, true, vault).unwrap();
        assert!(problem("lost", None).ends_with("gone is not in ~/.aws/config"));
        assert!(problem("vaulted", Some("aws-vault")).contains("rolecall keys put"));
        assert!(problem("default", None).contains("no credentials"));
        assert!(problem("vaulted", Some("saml2aws")).contains("saml2aws keeps"));
        let none = AwsProfiles::of_texts("", "");
        assert!(none.problem("default", false, None).unwrap().contains("--aws-profile"));
        assert_eq!(AwsProfiles::of_texts("[x", "").problem("default", true, None), None, "the agent reports that");
    }
}
