//! What `rolecall import` sets beside a [`ProfileEntry`](super::ProfileEntry), and how it recognizes what it made.

use toml_edit::Item;

use super::document::ConfigFile;
use super::table::set_key;

/// The parts of the pin that only some clusters have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerRoute {
    /// The name in the server's certificate, if it is not that of the URL.
    pub(crate) tls_server_name: Option<String>,
    /// The proxy between kubectl and the server.
    pub(crate) proxy_url: Option<String>,
}

impl ConfigFile {
    /// Returns these parts of a profile's pin.
    pub(crate) fn server_route(&self, profile: &str) -> ServerRoute {
        let text = |key| self.entry("profiles", profile)?.as_table_like()?.get(key)?.as_str().map(str::to_owned);
        ServerRoute { tls_server_name: text("tls_server_name"), proxy_url: text("proxy_url") }
    }

    /// Sets these parts of the pin of an existing profile.
    pub(crate) fn set_server_route(&mut self, profile: &str, route: &ServerRoute) {
        let profiles = self.document.get_mut("profiles").and_then(Item::as_table_like_mut);
        let table = profiles.and_then(|profiles| profiles.get_mut(profile)).and_then(Item::as_table_like_mut);
        if let Some(table) = table {
            set_key(table, "tls_server_name", route.tls_server_name.as_deref().map(Into::into));
            set_key(table, "proxy_url", route.proxy_url.as_deref().map(Into::into));
        }
    }

    /// Returns the AWS profile of a source, if it has one and nothing else.
    pub(crate) fn plain_aws_profile(&self, source: &str) -> Option<&str> {
        let table = self.entry("sources", source)?.as_table_like()?;
        (table.iter().count() == 1).then(|| table.get("aws_profile")?.as_str()).flatten()
    }

    /// Returns the text of a profile, to see whether it was changed.
    pub(crate) fn profile_text(&self, name: &str) -> Option<String> {
        self.entry("profiles", name).map(ToString::to_string)
    }

    /// Returns the text of a source, to see whether it was changed.
    pub(crate) fn source_text(&self, name: &str) -> Option<String> {
        self.entry("sources", name).map(ToString::to_string)
    }

    fn entry(&self, list: &str, name: &str) -> Option<&Item> {
        self.document.get(list)?.as_table_like()?.get(name)
    }
}
