//! What a mapped user may do, and what the user sees.

use crate::fixture::Fixture;

#[test]
fn kubectl_has_the_rights_of_the_mapped_group() {
    let Some(fixture) = Fixture::new("rights") else { return };
    let role = fixture.role("developers", &fixture.user.arn);
    let namespace = fixture.namespace_for_viewers();
    fixture.control_plane.create(&serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "web-0", "namespace": namespace },
        "spec": { "containers": [{ "name": "web", "image": "web" }] },
    }));
    let mapping = format!("- rolearn: {role}\n  username: developer\n  groups:\n    - {namespace}\n");
    fixture.aws_auth.apply(&[("mapRoles", &mapping)]);
    let said = fixture.add("dev", &["--role-arn", &role]);
    let line = format!("✓ the cluster knows you as developer (groups: {namespace})");
    assert!(said.stdout.contains(&line), "{said}");

    let said = fixture.kubectl("dev", &["get", "pods", "-n", &namespace, "-o", "name"]);
    assert_eq!(said.assert_ok().stdout, "pod/web-0\n");
    for arguments in [
        &["get", "pods", "-n", "default"][..],
        &["get", "nodes"],
        &["delete", "pod", "web-0", "-n", &namespace],
        &["get", "configmap", "aws-auth", "-n", "kube-system"],
    ] {
        let said = fixture.kubectl("dev", arguments);
        said.assert_code(1);
        assert!(said.stderr.starts_with("Error from server (Forbidden): "), "{said}");
        assert!(said.stderr.contains("User \"developer\" cannot "), "{said}");
    }
    for (verb, expected) in [("list", "yes"), ("delete", "no")] {
        let said = fixture.kubectl("dev", &["auth", "can-i", verb, "pods", "-n", &namespace]);
        assert_eq!(said.stdout.trim(), expected, "{said}");
    }
    // 403 is no problem of the login: the token stays valid.
    let status = fixture.rolecall(&["status"]).stdout;
    assert!(!status.contains("401"), "{status}");
}

#[test]
fn add_reports_a_role_that_the_cluster_does_not_map() {
    let Some(fixture) = Fixture::new("unmapped") else { return };
    let role = fixture.role("developers", &fixture.user.arn);
    let said = fixture.add("dev", &["--role-arn", &role]);
    let line = "! this role is not mapped in the cluster prod: its API server answers 401 (Unauthorized)\n";
    assert!(said.stdout.contains(line), "{said}");
    fixture.aws_auth.apply(&[("mapRoles", &format!("- rolearn: {role}\n  username: developer\n"))]);
    let said = fixture.add("dev", &["--role-arn", &role]);
    assert!(said.stdout.contains("✓ the cluster knows you as developer"), "{said}");
}
