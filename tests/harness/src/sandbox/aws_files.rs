//! `~/.aws/config` and `~/.aws/credentials`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::aws_profile::AwsProfile;
use crate::aws::AccessKey;

/// Services of the embedded AWS, as `[services]` sections name them.
const SERVICES: [&str; 6] = ["sts", "eks", "iam", "signin", "sso", "sso_oidc"];

/// The content of the two files.
#[derive(Debug, Default)]
pub(crate) struct AwsFiles {
    profiles: BTreeMap<String, Entry>,
    appended: String,
}

#[derive(Debug)]
struct Entry {
    key: Option<AccessKey>,
    profile: AwsProfile,
    endpoint: String,
}

impl AwsFiles {
    pub(crate) fn put(&mut self, name: &str, key: Option<&AccessKey>, profile: &AwsProfile, endpoint: &str) {
        let entry = Entry { key: key.cloned(), profile: profile.clone(), endpoint: endpoint.to_owned() };
        self.profiles.insert(name.to_owned(), entry);
    }

    pub(crate) fn append(&mut self, text: &str) {
        self.appended.push_str(text);
        self.appended.push('\n');
    }

    /// Returns the text of `~/.aws/config`. The region of every AWS profile is one without clusters, so that a lookup
    /// there finds none.
    pub(crate) fn config(&self) -> String {
        let mut text = String::new();
        for (name, entry) in &self.profiles {
            let section = if name == "default" { "default".to_owned() } else { format!("profile {name}") };
            let services = format!("{name}-embedded");
            writeln!(text, "[{section}]\nregion = sa-east-1\nservices = {services}")
                .expect("writing to a String cannot fail");
            for (setting, value) in entry.profile.settings() {
                writeln!(text, "{setting} = {value}").expect("writing to a String cannot fail");
            }
            writeln!(text, "\n[services {services}]").expect("writing to a String cannot fail");
            for service in SERVICES {
                writeln!(text, "{service} =\n  endpoint_url = {}", entry.endpoint)
                    .expect("writing to a String cannot fail");
            }
            text.push('\n');
        }
        text + &self.appended
    }

    pub(crate) fn credentials(&self) -> String {
        let mut text = String::new();
        for (name, entry) in &self.profiles {
            let Some(key) = &entry.key else { continue };
            writeln!(text, "[{name}]\naws_access_key_id = {}\naws_secret_access_key = {}", key.id, key.secret)
                .expect("writing to a String cannot fail");
            if let Some(token) = &key.session_token {
                writeln!(text, "aws_session_token = {token}").expect("writing to a String cannot fail");
            }
            text.push('\n');
        }
        text
    }
}
