//! `~/.aws/config` and `~/.aws/credentials`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::aws_profile::AwsProfile;
use crate::aws::AccessKey;

/// Services that the embedded AWS has, by the names of `[services]` sections.
const SERVICES: [&str; 6] = ["sts", "eks", "iam", "signin", "sso", "sso_oidc"];

/// What the two files say.
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

    /// The profile's region is one where no test has a cluster: whoever uses it for a cluster finds nothing there.
    pub(crate) fn config(&self) -> String {
        let mut text = String::new();
        for (name, entry) in &self.profiles {
            let section = if name == "default" { "default".to_owned() } else { format!("profile {name}") };
            let services = format!("{name}-embedded");
            writeln!(text, "[{section}]\nregion = sa-east-1\nservices = {services}").expect("a String takes all");
            for (setting, value) in entry.profile.settings() {
                writeln!(text, "{setting} = {value}").expect("a String takes all");
            }
            writeln!(text, "\n[services {services}]").expect("a String takes all");
            for service in SERVICES {
                writeln!(text, "{service} =\n  endpoint_url = {}", entry.endpoint).expect("a String takes all");
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
                .expect("a String takes all");
            if let Some(token) = &key.session_token {
                writeln!(text, "aws_session_token = {token}").expect("a String takes all");
            }
            text.push('\n');
        }
        text
    }
}
