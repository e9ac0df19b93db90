//! The pin of a profile: decides which kubeconfigs get a token, so that a forged kubeconfig cannot make the plugin send a
//! valid token to an attacker's server (V6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall_aws::cluster::ca_sha256;
use rolecall_core::config::{Pin, PinMode};
use rolecall_core::profile::Profile;
use rolecall_protocol::{
    AccessQuery, EntryKey, EntryProof, ErrorBody, ErrorCode, ExecCluster, HttpUrl, ProfileName, sanitize_for_terminal,
};

/// Why a kubeconfig gets no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// It has another host or port.
    #[error("the kubeconfig names server {named}, but the profile was added with {pinned}")]
    Server {
        /// The server in the kubeconfig, safe to print.
        named: String,
        /// The server of the profile.
        pinned: String,
    },
    /// It has another CA bundle, or none.
    #[error("the kubeconfig trusts another certificate authority than the profile was added with")]
    Authority,
    /// It accepts any server certificate.
    #[error("the kubeconfig has insecure-skip-tls-verify, so any server could receive the token")]
    Insecure,
    /// It has another name for the server's certificate than the profile.
    #[error("the kubeconfig has another tls-server-name than the profile")]
    TlsServerName,
    /// It has another proxy than the profile.
    #[error("the kubeconfig has another proxy-url than the profile")]
    Proxy,
    /// It does not give the cluster to the plugin.
    #[error("the kubeconfig does not say which server gets the token, and the profile has pin = \"require\"")]
    ClusterRequired,
    /// The profile has no pin.
    #[error("the profile has pin = \"require\", and no pinned server")]
    PinRequired,
    /// Its entry has no entry key, and the server is unknown or not pinned.
    #[error("the call has no entry key, so another author may have written the kubeconfig")]
    NoEntryKey,
    /// Its entry has the entry key of another profile or an old one.
    #[error("the call has another entry key than the profile, so another author may have written the kubeconfig")]
    EntryKey,
}

/// Decides whether a kubeconfig gets a token. `cluster` is the cluster that kubectl is going to call; `None` if the
/// kubeconfig does not give it to the plugin.
pub fn check(profile: &Profile, cluster: Option<&ExecCluster>, proof: &EntryProof) -> Result<(), PinError> {
    let key = profile.entry_key.as_ref();
    match (profile.pin_mode, profile.pin.as_deref(), cluster) {
        (PinMode::Off, _, _) => Ok(()),
        (PinMode::Entry, Some(pin), Some(cluster)) => check_cluster(pin, cluster),
        (PinMode::Require, Some(pin), Some(cluster)) => {
            check_cluster(pin, cluster).and_then(|()| check_entry(key, proof))
        }
        // No kubeconfig can connect the plugin to a terminal.
        (_, _, None) if *proof == EntryProof::Terminal => Ok(()),
        (PinMode::Entry, _, _) => check_entry(key, proof),
        (PinMode::Require, _, None) => Err(PinError::ClusterRequired),
        (PinMode::Require, None, Some(_)) => Err(PinError::PinRequired),
    }
}

/// Returns the CA bundle, in PEM, of the API server to which the daemon itself sends a token of the profile. Errors if the
/// server or its CA is not that of the profile's pin.
pub fn api_server_ca(profile: &Profile, query: &AccessQuery) -> Result<Vec<u8>, ErrorBody> {
    let is_pinned = profile
        .pin
        .as_ref()
        .is_some_and(|pin| pin.server == query.server && pin.ca_sha256 == ca_sha256(&query.certificate_authority_data));
    let pem = STANDARD.decode(query.certificate_authority_data.trim()).ok().filter(|_| is_pinned);
    pem.ok_or_else(|| ErrorBody::new(ErrorCode::PinMismatch, "the API server is not the one of the profile's pin"))
}

/// Checks the entry key.
fn check_entry(expected: Option<&EntryKey>, proof: &EntryProof) -> Result<(), PinError> {
    match (expected, proof) {
        (Some(expected), EntryProof::Key(found)) if expected == found => Ok(()),
        (_, EntryProof::Key(_)) => Err(PinError::EntryKey),
        _ => Err(PinError::NoEntryKey),
    }
}

/// Compares the cluster that kubectl is going to call with the profile's pin.
fn check_cluster(pin: &Pin, cluster: &ExecCluster) -> Result<(), PinError> {
    if cluster.insecure_skip_tls_verify {
        return Err(PinError::Insecure);
    }
    if !is_same_server(&pin.server, &cluster.server) {
        let named = sanitize_for_terminal(&cluster.server);
        return Err(PinError::Server { named, pinned: pin.server.clone() });
    }
    if cluster.tls_server_name != pin.tls_server_name {
        return Err(PinError::TlsServerName);
    }
    if cluster.proxy_url != pin.proxy_url {
        return Err(PinError::Proxy);
    }
    let Some(expected) = &pin.ca_sha256 else { return Ok(()) };
    match cluster.certificate_authority_data.as_deref().and_then(ca_sha256) {
        Some(found) if found == *expected => Ok(()),
        _ => Err(PinError::Authority),
    }
}

/// Whether two https URLs have the same host and port. A URL that parsers read differently, for example one with a
/// backslash, equals no other: see [`HttpUrl`].
fn is_same_server(pinned: &str, named: &str) -> bool {
    // Go's url.Parse accepts the scheme in any case.
    let named = match named.get(..8) {
        Some(scheme) if scheme.eq_ignore_ascii_case("https://") => format!("https://{}", &named[8..]),
        _ => return false,
    };
    match (HttpUrl::parse(pinned), HttpUrl::parse(&named)) {
        (Ok(pinned), Ok(named)) => {
            let port = |url: &HttpUrl<'_>| url.port().unwrap_or(443);
            pinned.host().eq_ignore_ascii_case(named.host()) && port(&pinned) == port(&named)
        }
        _ => false,
    }
}

impl PinError {
    /// Returns the error for the protocol.
    #[must_use]
    pub fn body(&self, name: &ProfileName) -> ErrorBody {
        let (code, hint) = match self {
            Self::Server { .. } | Self::Authority | Self::Insecure => (
                ErrorCode::PinMismatch,
                format!(
                    "Update the kubeconfig: rolecall kubeconfig {name} (with --repin if the cluster was recreated)"
                ),
            ),
            Self::TlsServerName => (ErrorCode::PinMismatch, setting_hint(name, "tls_server_name")),
            Self::Proxy => (ErrorCode::PinMismatch, setting_hint(name, "proxy_url")),
            Self::ClusterRequired | Self::PinRequired => (
                ErrorCode::PinMismatch,
                format!("If the kubeconfig is yours, write its entry again: rolecall kubeconfig {name}"),
            ),
            Self::NoEntryKey | Self::EntryKey => (
                ErrorCode::EntryKeyMismatch,
                format!(
                    "If the kubeconfig is yours, write its entry again: rolecall kubeconfig {name} (for a script, see \
                     ROLECALL_ENTRY_KEY in: man rolecall)"
                ),
            ),
        };
        ErrorBody::new(code, format!("{self}; no token was issued")).hint(hint)
    }
}

/// The hint for a key of the kubeconfig's cluster that the user may have added.
fn setting_hint(name: &ProfileName, key: &str) -> String {
    format!("If you set it yourself, write the same value as {key} into [profiles.{name}] of the configuration")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rolecall_core::config::Config;
    use rolecall_core::profile::LocalUser;

    use super::*;

    const CA: &str = "Q0E=";
    const SERVER: &str = "https://abc.eks.amazonaws.com";
    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    /// The profile `prod` with more keys.
    fn profile(keys: &str) -> Profile {
        let text = format!(
            "[sources.work]\naws_profile = \"work\"\n[profiles.prod]\ncluster = \"prod\"\nregion = \"eu-west-1\"\n\
             source = \"work\"\n{keys}\n"
        );
        let config = Config::parse(Path::new("config.toml"), &text).unwrap();
        let user = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
        Profile::find(&config, &"prod".parse().unwrap(), &user).unwrap()
    }

    fn pinned(keys: &str) -> Profile {
        profile(&format!("server = \"{SERVER}\"\nca_sha256 = \"{}\"\n{keys}", ca_sha256(CA).unwrap()))
    }

    fn cluster(server: &str) -> ExecCluster {
        ExecCluster {
            server: server.to_owned(),
            certificate_authority_data: Some(CA.to_owned()),
            ..ExecCluster::default()
        }
    }

    fn compare(cluster: &ExecCluster) -> Result<(), PinError> {
        check(&pinned(""), Some(cluster), &EntryProof::Absent)
    }

    fn key(text: &str) -> EntryProof {
        EntryProof::Key(text.parse().unwrap())
    }

    /// Fault matrix row 40.
    #[test]
    fn other_server_gets_no_token() {
        for same in [
            SERVER,
            "https://ABC.eks.amazonaws.com/",
            "HTTPS://abc.eks.amazonaws.com:443/x",
            "https://abc.eks.amazonaws.com?x",
            "https://abc.eks.amazonaws.com#x",
        ] {
            assert_eq!(compare(&cluster(same)), Ok(()), "{same}");
        }
        for other in [
            "",
            "http://abc.eks.amazonaws.com",
            "abc.eks.amazonaws.com",
            "https://abc.eks.amazonaws.com.evil.com",
            "https://abc.eks.amazonaws.com:8443",
            "https://abc.eks.amazonaws.com:",
            "https://abc.eks.amazonaws.com@evil.com",
            "https://abc.eks.amazonaws.com:443@evil.com",
            "https://evil.com\\@abc.eks.amazonaws.com",
            "https://abc.eks.amazonaws.com\\@evil.com",
            "https://abc.eks.amazonaws.com\\.evil.com",
            "https:\\\\abc.eks.amazonaws.com",
            "https://abc.eks.amazonaws.com%2eevil.com",
            "https://abc.eks.amazonaws.com\t.evil.com",
            "https://abc.eks.amazonaws.com.",
            " https://abc.eks.amazonaws.com",
            "https:///abc.eks.amazonaws.com",
            "https://",
        ] {
            assert!(matches!(compare(&cluster(other)), Err(PinError::Server { .. })), "{other}");
        }
    }

    /// Fault matrix row 41.
    #[test]
    fn other_certificate_authority_gets_no_token() {
        for other in [Some("Q0I="), None, Some("not base64")] {
            let other = ExecCluster { certificate_authority_data: other.map(str::to_owned), ..cluster(SERVER) };
            assert_eq!(compare(&other), Err(PinError::Authority), "{other:?}");
        }
        let insecure = ExecCluster { insecure_skip_tls_verify: true, ..cluster(SERVER) };
        assert_eq!(compare(&insecure), Err(PinError::Insecure));
    }

    /// Fault matrix row 41.
    #[test]
    fn other_proxy_or_tls_name_gets_no_token() {
        let proxied = ExecCluster { proxy_url: Some("http://proxy:3128".to_owned()), ..cluster(SERVER) };
        let renamed = ExecCluster { tls_server_name: Some("kubernetes".to_owned()), ..cluster(SERVER) };
        assert_eq!(compare(&proxied), Err(PinError::Proxy));
        assert_eq!(compare(&renamed), Err(PinError::TlsServerName));
        let profile = pinned("proxy_url = \"http://proxy:3128\"\ntls_server_name = \"kubernetes\"");
        let both = ExecCluster { proxy_url: proxied.proxy_url.clone(), ..renamed.clone() };
        assert_eq!(check(&profile, Some(&both), &EntryProof::Absent), Ok(()));
        assert_eq!(check(&profile, Some(&renamed), &EntryProof::Absent), Err(PinError::Proxy));
        assert_eq!(check(&profile, Some(&proxied), &EntryProof::Absent), Err(PinError::TlsServerName));
    }

    /// Fault matrix row 42.
    #[test]
    fn unknown_server_needs_the_entry_key() {
        let entry_key = format!("entry_key = \"{KEY}\"");
        let other = key(&KEY.replace("ff", "fe"));
        for profile in [pinned(&entry_key), profile(&entry_key)] {
            assert_eq!(check(&profile, None, &key(KEY)), Ok(()));
            assert_eq!(check(&profile, None, &other), Err(PinError::EntryKey));
            assert_eq!(check(&profile, None, &EntryProof::Absent), Err(PinError::NoEntryKey));
            assert_eq!(check(&profile, None, &EntryProof::Terminal), Ok(()));
        }
        // Without a key in the profile, no entry has it.
        for profile in [pinned(""), profile("")] {
            assert_eq!(check(&profile, None, &key(KEY)), Err(PinError::EntryKey));
            assert_eq!(check(&profile, None, &EntryProof::Absent), Err(PinError::NoEntryKey));
        }
        // Without a pin, a named server proves nothing.
        let unpinned = profile(&entry_key);
        assert_eq!(check(&unpinned, Some(&cluster(SERVER)), &EntryProof::Absent), Err(PinError::NoEntryKey));
        assert_eq!(check(&unpinned, Some(&cluster(SERVER)), &EntryProof::Terminal), Err(PinError::NoEntryKey));
        assert_eq!(check(&unpinned, Some(&cluster(SERVER)), &key(KEY)), Ok(()));
        // With a pin, the pin decides.
        let evil = cluster("https://evil.com");
        assert!(check(&pinned(&entry_key), Some(&evil), &key(KEY)).is_err());
        assert_eq!(check(&pinned(&entry_key), Some(&cluster(SERVER)), &other), Ok(()));
    }

    #[test]
    fn pin_mode_require_needs_cluster_and_key() {
        let keys = format!("entry_key = \"{KEY}\"\npin = \"require\"");
        let required = pinned(&keys);
        assert_eq!(check(&required, Some(&cluster(SERVER)), &key(KEY)), Ok(()));
        assert_eq!(check(&required, Some(&cluster(SERVER)), &EntryProof::Absent), Err(PinError::NoEntryKey));
        assert!(check(&required, Some(&cluster("https://evil.com")), &key(KEY)).is_err());
        assert_eq!(check(&required, None, &key(KEY)), Err(PinError::ClusterRequired));
        assert_eq!(check(&required, None, &EntryProof::Terminal), Ok(()));
        assert_eq!(check(&profile(&keys), Some(&cluster(SERVER)), &key(KEY)), Err(PinError::PinRequired));
    }

    #[test]
    fn pin_mode_off_compares_nothing() {
        let evil = ExecCluster { insecure_skip_tls_verify: true, ..cluster("https://evil.com") };
        assert_eq!(check(&pinned("pin = \"off\""), Some(&evil), &EntryProof::Absent), Ok(()));
        assert_eq!(check(&profile("pin = \"off\""), None, &EntryProof::Absent), Ok(()));
    }
}
