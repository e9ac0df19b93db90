//! Endpoints, proxies and authorities.

use super::*;

#[test]
fn invalid_endpoint_error_has_file_line_and_key() {
    let good = "[endpoints]\nsts = \"https://sts.corp\"\nsso_oidc = \"http://127.0.0.1:4566\"\n";
    let config = Config::parse(Path::new("config.toml"), good).unwrap();
    let all: Vec<_> = config.network.endpoints.iter().map(|(service, url)| (service.name(), url.as_str())).collect();
    assert_eq!(all, [("sts", "https://sts.corp"), ("sso-oidc", "http://127.0.0.1:4566")]);
    for (line, expected) in [
        (
            "sts = \"http://sts.corp\"",
            "config.toml:2: endpoints.sts: must be an https URL; http is allowed for this machine only (http://127.0.0.1:PORT)",
        ),
        ("iam = \"https://me@corp\"", "config.toml:2: endpoints.iam: must not contain a user name or a password"),
        (
            "sso-oidc = \"https://corp\"",
            "config.toml:2: endpoints.sso-oidc: unknown key \"sso-oidc\"; did you mean \"sso_oidc\"?",
        ),
        ("ec2 = \"https://corp\"", "config.toml:2: endpoints.ec2: unknown key \"ec2\"; did you mean \"eks\"?"),
    ] {
        assert_eq!(error(&format!("[endpoints]\n{line}\n")), expected);
    }
}

#[test]
fn invalid_network_error_has_line_and_no_secret() {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    let good =
        "[network]\nproxy = \"http://me:hunter2@proxy.corp:3128/\"\nno_proxy = \"169.254.169.254, .corp,10.0.0.0/8\"\n";
    let config = Config::parse(Path::new("config.toml"), good).unwrap();
    let proxy = config.network.path.proxy.as_ref().unwrap();
    assert_eq!(proxy.to_string(), "http://proxy.corp:3128");
    assert!(!format!("{config:?}").contains("hunter"), "{config:?}");
    let url_rule = "must look like http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT";
    let hosts_rule =
        "must be domains, addresses and networks separated by commas, such as \"10.0.0.0/8,.corp,host:443\"";
    for (line, key, expected) in [
        ("proxy = \"hunter.corp:3128\"", "proxy", url_rule),
        ("proxy = \"socks5://hunter.corp:3128\"", "proxy", url_rule),
        ("proxy = \"http://hunter.corp:3128/path\"", "proxy", url_rule),
        ("proxy = \"http://me:hunter#2@corp\"", "proxy", url_rule),
        ("proxy = \"http://@corp\"", "proxy", url_rule),
        ("proxy = \"http://\"", "proxy", url_rule),
        ("no_proxy = \".corp\"", "no_proxy", "has no effect without proxy"),
        ("no_proxy = \"http://hunter\"", "no_proxy", hosts_rule),
        ("no_proxy = \"10.0.0.0/999\"", "no_proxy", hosts_rule),
        ("ca_bundle = \"ca.pem\"", "ca_bundle", "must be an absolute path"),
        ("ca_bundle = \"/nowhere/ca.pem\"", "ca_bundle", "/nowhere/ca.pem does not exist"),
        ("proxie = \"x\"", "proxie", "unknown key \"proxie\"; did you mean \"proxy\"?"),
    ] {
        let message = error(&format!("[network]\n{line}\n"));
        assert_eq!(message, format!("config.toml:2: network.{key}: {expected}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let pem = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    for (content, mode, expected) in [
        (String::new(), 0o600, "contains no PEM certificate"),
        ("hello".to_owned(), 0o600, "contains no PEM certificate"),
        (pem("!!!!"), 0o600, "is not PEM"),
        (pem("aGVsbG8="), 0o600, "contains an invalid certificate, number 1"),
    ] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let message = error(&format!("[network]\nca_bundle = \"{}\"\n", path.display()));
        assert_eq!(message, format!("config.toml:2: network.ca_bundle: {} {expected}", path.display()));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o602)).unwrap();
    let message = error(&format!("[network]\nca_bundle = \"{}\"\n", path.display()));
    assert!(message.contains("ca.pem is not used: other users can write "), "{message}");
    assert!(message.ends_with(&format!("Fix it with: chmod go-w {}", path.display())), "{message}");
}

/// Fault matrix row 36.
#[test]
fn unknown_region_is_rejected_unless_allowed() {
    let profile = |region: &str, more: &str| {
        format!(
            "{more}[sources.work]\naws_profile = \"work\"\n[profiles.p]\ncluster = \"p\"\nsource = \"work\"\nregion = \"{region}\"\n"
        )
    };
    assert_eq!(
        error(&profile("eu-wset-1", "")),
        "config.toml:6: profiles.p.region: unknown region \"eu-wset-1\"; did you mean \"eu-west-1\"? A new region is allowed with extra_regions in [network]"
    );
    let allowed = profile("eu-wset-1", "[network]\nextra_regions = [\"eu-wset-1\"]\n");
    let config = Config::parse(Path::new("config.toml"), &allowed).unwrap();
    assert!(config.network.check_region(&"eu-wset-1".parse().unwrap()).is_ok());
    assert!(config.network.check_region(&"eu-wset-2".parse().unwrap()).is_err());
    assert!(
        error("[network]\nextra_regions = [\"evil.com#\"]\n").starts_with("config.toml:2: network.extra_regions[0]: ")
    );
}
