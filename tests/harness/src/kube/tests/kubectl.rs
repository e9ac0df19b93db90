//! The real kubectl, with a static token.

use std::io::Write as _;

use super::*;
use crate::sandbox::{Output, Sandbox};

/// Returns a sandbox for kubectl with this token. Returns `None`, with a note on stderr, if there is no kubectl.
fn kubectl_sandbox(api: &ApiServer, token: &str) -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    sandbox.write("home/.kube/config", &api.kubeconfig(token));
    let found = sandbox.kubectl().is_some();
    if !found {
        // Written to stderr directly, past the capture of the test runner, so that tests/run counts it.
        writeln!(std::io::stderr(), "SKIPPED: kubectl: not on PATH, and no ROLECALL_TEST_KUBECTL").unwrap();
    }
    found.then_some(sandbox)
}

fn kubectl(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    sandbox.run(sandbox.kubectl().unwrap().args(arguments))
}

#[test]
fn kubectl_valid_token_lists_pods_and_namespaces() {
    let (aws, api, session) = fixture();
    aws.grant("prod", REGION, DEVELOPERS, "dev", &["view"]);
    api.add_pod("shop", "cart-0");
    let Some(sandbox) = kubectl_sandbox(&api, &token(&api, &session).mint()) else { return };
    for (arguments, expected) in [
        (&["get", "pods"][..], &["NAME", "READY", "prod-web-6f9c7d5b8-", "1/1", "Running", "27h"][..]),
        (&["get", "pods", "-A"], &["NAMESPACE", "shop", "cart-0", "kube-system", "coredns-"]),
        (&["get", "pods", "-n", "shop", "-o", "wide"], &["10.0.1.42", "ip-10-0-1-23.internal"]),
        (&["get", "pods", "-n", "shop", "-o", "name"], &["pod/cart-0\n"]),
        (
            &["get", "pod", "cart-0", "-n", "shop", "-o", "jsonpath={.metadata.namespace}/{.status.phase}"],
            &["shop/Running"],
        ),
        (&["get", "pods", "-A", "-o", "json"], &["\"kind\": \"List\"", "\"name\": \"cart-0\""]),
        (&["get", "ns"], &["NAME", "STATUS", "default", "Active"]),
        (&["version"], &["Server Version: v1.33.5-eks-harness"]),
        (&["get", "--raw", "/readyz"], &["ok"]),
    ] {
        let output = kubectl(&sandbox, arguments);
        output.assert_ok();
        assert!(expected.iter().all(|text| output.stdout.contains(text)), "{output}");
    }
    let empty = kubectl(&sandbox, &["get", "pods", "-n", "nowhere"]);
    assert_eq!(empty.assert_ok().stderr, "No resources found in nowhere namespace.\n");
    let absent = kubectl(&sandbox, &["get", "pod", "nothing"]);
    assert_eq!(absent.assert_code(1).stderr, "Error from server (NotFound): pods \"nothing\" not found\n");
    assert_eq!(api.sts_calls(), 1, "one token, one call");
    assert!(api.requests().iter().all(|request| request.user_agent.contains("kubectl")));
}

#[test]
fn kubectl_auth_whoami_shows_user_and_extras() {
    let (aws, api, session) = fixture();
    aws.grant("prod", REGION, DEVELOPERS, "dev:{{SessionName}}", &["view"]);
    let Some(sandbox) = kubectl_sandbox(&api, &token(&api, &session).mint()) else { return };
    let output = kubectl(&sandbox, &["auth", "whoami", "-o", "json"]);
    let info = output.assert_ok().json()["status"]["userInfo"].clone();
    assert_eq!(info["username"], "dev:dev-laptop");
    assert_eq!(info["groups"], serde_json::json!(["view", "system:authenticated"]));
    assert_eq!(info["extra"]["arn"][0], session.arn);
    assert_eq!(info["extra"]["accessKeyId"][0], session.id);
    let table = kubectl(&sandbox, &["auth", "whoami"]);
    assert!(table.assert_ok().stdout.contains("Extra: canonicalArn"), "{table}");
}

#[test]
fn kubectl_bad_token_or_group_shows_401_or_403() {
    let (aws, api, session) = fixture();
    let Some(sandbox) = kubectl_sandbox(&api, &token(&api, &session).mint()) else { return };
    // Before kubectl has cached discovery, it has a message of its own for a 401.
    let unmapped = kubectl(&sandbox, &["get", "pods"]);
    assert!(unmapped.assert_code(1).stderr.contains("error: You must be logged in to the server ("), "{unmapped}");
    assert!(api.requests()[0].denied_because.as_ref().unwrap().starts_with("ARN is not mapped"));

    aws.grant("prod", REGION, DEVELOPERS, "dev", &["guests"]);
    let forbidden = kubectl(&sandbox, &["get", "pods"]);
    assert_eq!(
        forbidden.assert_code(1).stderr,
        "Error from server (Forbidden): pods is forbidden: User \"dev\" cannot list resource \"pods\" in API group \"\" \
         in the namespace \"default\"\n"
    );
    api.allow_group("guests");
    kubectl(&sandbox, &["get", "pods"]).assert_ok();

    api.reject_next(usize::MAX);
    let rejected = kubectl(&sandbox, &["get", "pods"]);
    assert_eq!(rejected.assert_code(1).stderr, "error: You must be logged in to the server (Unauthorized)\n");
    api.reject_next(0);
    let last = api.requests().pop().unwrap();
    assert_eq!((last.code, last.user, last.method.as_str()), (401, None, "GET"));
    api.wait_for_requests(3, Duration::from_secs(1));
}

#[test]
fn kubectl_reads_and_replaces_aws_auth() {
    let (aws, api, session) = fixture();
    aws.grant("prod", REGION, DEVELOPERS, "dev", &["system:masters"]);
    api.map_role("arn:aws:iam::111122223333:role/other", "other", &["a"]);
    let Some(sandbox) = kubectl_sandbox(&api, &token(&api, &session).mint()) else { return };
    let aws_auth = ["-n", "kube-system", "get", "configmap", "aws-auth"];
    let table = kubectl(&sandbox, &aws_auth);
    assert!(table.assert_ok().stdout.contains("DATA"), "{table}");
    let object = kubectl(&sandbox, &[&aws_auth[..], &["-o", "json"]].concat()).assert_ok().stdout.clone();
    sandbox.write("home/edited.json", &object.replace("other", "another"));
    let file = sandbox.home().join("edited.json").display().to_string();
    kubectl(&sandbox, &["replace", "--validate=false", "-f", &file]).assert_ok();
    assert!(api.aws_auth().unwrap()["data"]["mapRoles"].as_str().unwrap().contains("role/another"));
    let conflict = kubectl(&sandbox, &["replace", "--validate=false", "-f", &file]);
    assert!(conflict.assert_code(1).stderr.contains("the object has been modified"), "{conflict}");
}

#[test]
fn kubectl_other_ca_rejects_server() {
    let (_aws, api, session) = fixture();
    let other = ApiServer::start(api.shared.clock.clone(), &Aws::start(Clock::system()), "other", REGION);
    let token = token(&api, &session).mint();
    let Some(sandbox) = kubectl_sandbox(&api, &token) else { return };
    sandbox.write("home/.kube/config", &api.kubeconfig(&token).replace(&api.ca_base64(), &other.ca_base64()));
    let output = kubectl(&sandbox, &["get", "pods"]);
    assert!(output.assert_code(1).stderr.contains("certificate"), "{output}");
    assert!(api.requests().is_empty());
}
