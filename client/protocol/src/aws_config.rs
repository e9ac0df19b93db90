//! The format of AWS's own files, `~/.aws/config` and `~/.aws/credentials`, as the AWS CLI reads them. The only parser of these
//! files: the daemon takes settings from it, and the client the names of AWS profiles.

pub mod ini;
pub mod words;

use ini::SyntaxError;

/// What a section of the configuration file holds, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionKind {
    /// An AWS profile: `[default]` or `[profile NAME]`.
    Profile(String),
    /// A login to IAM Identity Center: `[sso-session NAME]`.
    SsoSession(String),
    /// URLs of services: `[services NAME]`.
    Services(String),
    /// Nothing that the AWS CLI uses, for example a profile without `profile` in its name.
    Unused,
}

impl SectionKind {
    /// Returns the kind of a section of the configuration file. A name with a space is in quotes (botocore,
    /// `build_profile_map`). In the credentials file, each section is the AWS profile of its whole name.
    #[must_use]
    pub fn of(section: &str) -> Self {
        if section == "default" {
            return Self::Profile(section.to_owned());
        }
        match words::split(section).and_then(|words| <[String; 2]>::try_from(words).ok()) {
            Some([_, name]) if section.starts_with("profile") => Self::Profile(name),
            Some([_, name]) if section.starts_with("sso-session") => Self::SsoSession(name),
            Some([_, name]) if section.starts_with("services") => Self::Services(name),
            _ => Self::Unused,
        }
    }
}

/// Returns the names of the AWS profiles in the texts of both files, sorted.
///
/// # Errors
/// The first line that the AWS CLI refuses.
pub fn profile_names(config: &str, credentials: &str) -> Result<Vec<String>, SyntaxError> {
    let of_config = ini::parse(config)?.into_iter().filter_map(|section| match SectionKind::of(&section.name) {
        SectionKind::Profile(name) => Some(name),
        _ => None,
    });
    let of_credentials = ini::parse(credentials)?.into_iter().map(|section| section.name);
    let mut names: Vec<String> = of_config.chain(of_credentials).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Returns a setting of an AWS profile in the texts of both files. The credentials file counts before the configuration file, as in
/// the AWS CLI (botocore, `full_config`). `None` if the setting is absent, or a nested one.
///
/// # Errors
/// The first line that the AWS CLI refuses.
pub fn profile_setting(
    config: &str,
    credentials: &str,
    profile: &str,
    key: &str,
) -> Result<Option<String>, SyntaxError> {
    let (config, credentials) = (ini::parse(config)?, ini::parse(credentials)?);
    let own = SectionKind::Profile(profile.to_owned());
    let of_credentials = credentials.iter().filter(|section| section.name == profile);
    let of_config = config.iter().filter(|section| SectionKind::of(&section.name) == own);
    let mut values = of_credentials.chain(of_config).filter_map(|section| match &section.settings.get(key)?.value {
        ini::Value::Text(text) => Some(text.clone()),
        ini::Value::Nested(_) => None,
    });
    Ok(values.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_names_of_both_files() {
        let config = "[default]\n[profile work]\n  region = eu-west-1\n[profile \"Mike Dev.Admin\"] # note\n[preview]\n\
            [profile a b]\n[sso-session s]\n[services t]\n";
        let credentials = "[work]\nx = 1\n[a b]\n";
        assert_eq!(profile_names(config, credentials).unwrap(), ["Mike Dev.Admin", "a b", "default", "work"]);
        assert!(profile_names("[a\n", "").is_err());
    }

    #[test]
    fn profile_setting_of_both_files() {
        let config =
            "[default]\nregion = eu-west-1\n[profile \"a b\"]\nregion = us-east-2\ns3 =\n  x = 1\n[profile c]\n";
        let of = |profile, key| profile_setting(config, "[default]\nregion = eu-central-1\n", profile, key).unwrap();
        assert_eq!(of("a b", "region").as_deref(), Some("us-east-2"));
        assert_eq!(of("default", "region").as_deref(), Some("eu-central-1"));
        for (profile, key) in [("a b", "s3"), ("c", "region"), ("d", "region")] {
            assert_eq!(of(profile, key), None, "{profile} {key}");
        }
    }
}
