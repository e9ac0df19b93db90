//! The pin: a forged kubeconfig gets no token and causes no call to AWS.

use rolecall_harness::{Op, Output};

use crate::fixture::{Fixture, PROD, one_line};

/// KUBERNETES_EXEC_INFO with this `spec`.
fn info(spec: &str) -> String {
    format!(r#"{{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{spec}}}"#)
}

/// `spec` with a cluster and further fields of it.
fn cluster(server: &str, ca: &str, more: &str) -> String {
    format!(r#"{{"cluster":{{"server":"{server}","certificate-authority-data":"{ca}"{more}}}}}"#)
}

/// A profile with a pin, and how a kubeconfig without its entry key runs the plugin.
fn pinned(more: &str) -> Fixture {
    let fixture = Fixture::new();
    let hash = rolecall_aws::cluster::ca_sha256(&fixture.api.ca_base64()).unwrap();
    fixture.configure(&format!("{PROD}server = \"{}\"\nca_sha256 = \"{hash}\"\n{more}", fixture.api.url()));
    fixture
}

fn without_key(fixture: &Fixture, info: &str) -> Output {
    let mut command = fixture.token_command("prod");
    fixture.sandbox.run(command.env("KUBERNETES_EXEC_INFO", info).env_remove("ROLECALL_ENTRY_KEY"))
}

/// Fault matrix rows 40 and 41.
#[test]
fn kubeconfig_with_other_cluster_gets_no_token() {
    let fixture = pinned("");
    let (server, ca) = (fixture.api.url(), fixture.api.ca_base64());
    for (spec, expected) in [
        (
            cluster("https://evil.example.com", &ca, ""),
            "names server https://evil.example.com, but the profile was added with https://127.0.0.1:",
        ),
        (cluster(&format!("{server}\\\\@evil.example.com"), &ca, ""), "names server"),
        (cluster(&format!("{server}@evil.example.com"), &ca, ""), "names server"),
        (cluster(&server, "RVZJTA==", ""), "trusts another certificate authority"),
        (cluster(&server, &ca, r#","insecure-skip-tls-verify":true"#), "insecure-skip-tls-verify"),
        (cluster(&server, &ca, r#","Insecure-Skip-TLS-Verify":true"#), "insecure-skip-tls-verify"),
    ] {
        let line = one_line(&without_key(&fixture, &info(&spec)), 1);
        assert!(line.starts_with("rolecall: prod: ") && line.contains(expected), "{line}");
        assert!(line.contains("rolecall kubeconfig prod (with --repin"), "{line}");
    }
    for (more, expected) in [
        (r#","proxy-url":"http://evil.example.com""#, "another proxy-url"),
        (r#","Proxy-URL":"http://evil.example.com""#, "another proxy-url"),
        (r#","tls-server-name":"evil.example.com""#, "another tls-server-name"),
        (r#","server":"https://evil.example.com""#, "is not an ExecCredential"),
        (r#","SERVER":"https://evil.example.com""#, "is not an ExecCredential"),
    ] {
        let line = one_line(&without_key(&fixture, &info(&cluster(&server, &ca, more))), 1);
        assert!(line.contains(expected), "{line}");
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
    without_key(&fixture, &info(&cluster(&server, &ca, ""))).assert_ok();
}

/// Fault matrix row 42.
#[test]
fn kubeconfig_without_cluster_needs_the_entry_key() {
    let fixture = pinned("");
    let absent = ["", " ", &info("{}"), &info(r#"{"cluster":null}"#), &info(r#"{"Cluster":null,"interactive":true}"#)];
    for info in absent {
        let line = one_line(&without_key(&fixture, info), 1);
        assert!(line.starts_with("rolecall: prod: the call has no entry key"), "{line}");
    }
    for info in ["{", "null", "[]", &info(r#"{"cluster":[]}"#)] {
        assert!(one_line(&without_key(&fixture, info), 1).contains("is not an ExecCredential"), "{info}");
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
    for info in absent {
        fixture.sandbox.run(fixture.token_command("prod").env("KUBERNETES_EXEC_INFO", info)).assert_ok();
    }
}

/// A proxy that the user configured for the profile is allowed, and no other.
#[test]
fn kubeconfig_with_configured_proxy_gets_a_token() {
    let fixture = pinned("proxy_url = \"http://proxy:3128\"\n");
    let with = |more| info(&cluster(&fixture.api.url(), &fixture.api.ca_base64(), more));
    without_key(&fixture, &with(r#","proxy-url":"http://proxy:3128""#)).assert_ok();
    for more in ["", r#","proxy-url":"http://other:3128""#] {
        let line = one_line(&without_key(&fixture, &with(more)), 1);
        assert!(line.contains("as proxy_url into [profiles.prod]"), "{line}");
    }
}

#[test]
fn pin_mode_of_defaults_applies_to_profiles() {
    let fixture = pinned("[defaults]\npin = \"require\"\n");
    let line = one_line(&fixture.sandbox.run(&mut fixture.token_command("prod")), 1);
    assert!(line.contains("does not say which server gets the token"), "{line}");
    let named = info(&cluster(&fixture.api.url(), &fixture.api.ca_base64(), ""));
    fixture.sandbox.run(fixture.token_command("prod").env("KUBERNETES_EXEC_INFO", &named)).assert_ok();
    assert!(one_line(&without_key(&fixture, &named), 1).contains("no entry key"));
    fixture.configure(&format!("{PROD}pin = \"off\"\n[defaults]\npin = \"require\"\n"));
    without_key(&fixture, "").assert_ok();
}
