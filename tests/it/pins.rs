//! The pin: a forged kubeconfig gets no token and causes no call to AWS.

use rolecall_harness::Op;

use crate::fixture::{Fixture, PROD, one_line};

fn info(server: &str, ca: &str, insecure: bool) -> String {
    format!(
        r#"{{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{{"cluster":{{"server":"{server}","certificate-authority-data":"{ca}","insecure-skip-tls-verify":{insecure}}}}}}}"#
    )
}

/// Fault matrix rows 40 and 41.
#[test]
fn kubeconfig_with_other_cluster_gets_no_token() {
    let fixture = Fixture::new();
    let (server, ca) = (fixture.api.url(), fixture.api.ca_base64());
    let hash = rolecall_aws::cluster::ca_sha256(&ca).unwrap();
    fixture.configure(&format!("{PROD}server = \"{server}\"\nca_sha256 = \"{hash}\"\n"));
    let ask = |info: String| fixture.sandbox.run(fixture.token_command("prod").env("KUBERNETES_EXEC_INFO", info));
    for (info, expected) in [
        (
            info("https://evil.example.com", &ca, false),
            "names server https://evil.example.com, but the profile was added with https://127.0.0.1:",
        ),
        (info(&server, "RVZJTA==", false), "trusts another certificate authority"),
        (info(&server, &ca, true), "insecure-skip-tls-verify"),
    ] {
        let line = one_line(&ask(info), 1);
        assert!(line.starts_with("rolecall: prod: ") && line.contains(expected), "{line}");
        assert!(line.contains("rolecall kubeconfig prod (with --repin"), "{line}");
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
    ask(info(&server, &ca, false)).assert_ok();
}
