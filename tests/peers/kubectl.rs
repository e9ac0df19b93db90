//! The real kubectl with the plugin.

use std::fs;

use crate::fixture::{Fixture, ROLE};

#[test]
fn kubectl_lists_pods_and_prints_its_identity() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.api.add_pod("default", "web-7d4b9");
    for version in ["v1", "v1beta1"] {
        let path = fixture.sandbox.kubeconfig();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            &path,
            text.replace("client.authentication.k8s.io/v1\n", &format!("client.authentication.k8s.io/{version}\n")),
        )
        .unwrap();
        let said = fixture.kubectl(&["--context", "prod", "get", "pods"]);
        said.assert_ok();
        assert!(said.stdout.contains("web-7d4b9"), "{}", said.stdout);
        let said = fixture.kubectl(&["--context", "prod", "auth", "whoami"]);
        said.assert_ok();
        assert!(said.stdout.contains("developer:"), "{}", said.stdout);
        assert!(said.stdout.contains("assumed-role/developers/"), "{}", said.stdout);
    }
    assert!(
        fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap().contains("v1beta1\n"),
        "the second round used v1beta1"
    );
}

#[test]
fn kubectl_prints_one_line_when_role_is_denied() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    fixture.aws.remove_role(ROLE);
    let said = fixture.kubectl(&["--context", "prod", "get", "pods"]);
    said.assert_code(1);
    let ours: Vec<_> = said.stderr.lines().filter(|line| line.starts_with("rolecall: ")).collect();
    assert!(ours.iter().all(|line| *line == ours[0]), "{ours:#?}");
    assert!(ours[0].starts_with("rolecall: prod: AWS denied AssumeRole"), "{ours:#?}");
    assert_eq!(fixture.assume_role_calls(), 2, "one call of add, one for all plugin runs of kubectl");
}

/// Fault matrix rows 40 and 43.
#[test]
fn kubectl_with_other_server_gets_no_token() {
    let Some(fixture) = Fixture::new() else { return };
    let path = fixture.sandbox.kubeconfig();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&fixture.api.url(), "https://127.0.0.1:9")).unwrap();
    let said = fixture.kubectl(&["--context", "prod", "get", "pods"]);
    said.assert_code(1);
    assert!(said.stderr.contains("rolecall: prod: the kubeconfig names server https://127.0.0.1:9"), "{}", said.stderr);
}

/// Replaces a text of the kubeconfig, which has to exist.
fn edit_kubeconfig(fixture: &Fixture, from: &str, to: &str) {
    let path = fixture.sandbox.kubeconfig();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

/// Fault matrix rows 40 to 43.
#[test]
fn kubectl_with_forged_entry_gets_no_token() {
    let Some(fixture) = Fixture::new() else { return };
    let own = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    let key = fixture.sandbox.entry_key("prod").unwrap();
    let server = format!("server: {}\n", fixture.api.url());
    let ca = format!("certificate-authority-data: {}\n", fixture.api.ca_base64());
    let before = fixture.api.requests().len();
    let refusals = |changes: &[(&str, &str)], expected: &str| {
        fs::write(fixture.sandbox.kubeconfig(), &own).unwrap();
        for (from, to) in changes {
            edit_kubeconfig(&fixture, from, to);
        }
        let said = fixture.kubectl(&["--context", "prod", "get", "pods"]);
        said.assert_code(1);
        assert!(said.stderr.contains(expected), "{expected}: {}", said.stderr);
    };
    let (no_info, no_key) =
        (("provideClusterInfo: true", "provideClusterInfo: false"), ("ROLECALL_ENTRY_KEY", "OTHER"));
    refusals(&[no_info, no_key], "prod: the call has no entry key");
    refusals(&[no_info, (&key, &"ab".repeat(32))], "prod: the call has another entry key");
    refusals(&[no_info, no_key, ("- token\n", "- token\n      - --\n")], "prod: the call has no entry key");
    for more in ["proxy-url: http://127.0.0.1:9\n", "tls-server-name: localhost\n"] {
        refusals(&[(&server, &format!("{server}    {more}"))], "rolecall: prod: the kubeconfig has another");
    }
    refusals(
        &[(&ca, "insecure-skip-tls-verify: true\n")],
        "rolecall: prod: the kubeconfig has insecure-skip-tls-verify",
    );
    refusals(&[("- token\n      - prod\n", "- agent\n      - start\n")], "as its plugin");
    let open = fixture.sandbox.write("home/open.toml", "");
    let variables = format!(
        "OTHER\n        value: x\n      - name: ROLECALL_CONFIG\n        value: {}\n      - name: OTHER",
        open.display()
    );
    refusals(&[no_info, ("ROLECALL_ENTRY_KEY", &variables)], "prod: the call has no entry key");
    assert_eq!((fixture.api.requests().len(), fixture.assume_role_calls()), (before, 1), "only add called AWS");
}

/// Fault matrix row 42.
#[test]
fn kubectl_with_own_entry_without_cluster_info_gets_a_token() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.api.add_pod("default", "web-7d4b9");
    edit_kubeconfig(&fixture, "provideClusterInfo: true", "provideClusterInfo: false");
    let said = fixture.kubectl(&["--context", "prod", "get", "pods"]);
    said.assert_ok();
    assert!(said.stdout.contains("web-7d4b9"), "{}", said.stdout);
}
