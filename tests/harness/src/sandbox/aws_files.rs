//! `~/.aws/config` and `~/.aws/credentials`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::keys::AccessKey;

/// What the two files say.
#[derive(Debug, Default)]
pub(crate) struct AwsFiles {
    profiles: BTreeMap<String, (AccessKey, String)>,
    appended: String,
}

impl AwsFiles {
    pub(crate) fn put(&mut self, name: &str, key: &AccessKey, endpoint: &str) {
        self.profiles.insert(name.to_owned(), (key.clone(), endpoint.to_owned()));
    }

    pub(crate) fn append(&mut self, text: &str) {
        self.appended.push_str(text);
        self.appended.push('\n');
    }

    /// The profile's region is one where no test has a cluster: whoever uses it for a cluster finds nothing there.
    pub(crate) fn config(&self) -> String {
        let mut text = String::new();
        for (name, (_, endpoint)) in &self.profiles {
            let section = if name == "default" { "default".to_owned() } else { format!("profile {name}") };
            let services = format!("{name}-embedded");
            writeln!(text, "[{section}]\nregion = sa-east-1\nservices = {services}\n\n[services {services}]")
                .expect("a String takes all");
            for service in ["sts", "eks"] {
                writeln!(text, "{service} =\n  endpoint_url = {endpoint}").expect("a String takes all");
            }
            text.push('\n');
        }
        text + &self.appended
    }

    pub(crate) fn credentials(&self) -> String {
        let mut text = String::new();
        for (name, (key, _)) in &self.profiles {
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
