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
