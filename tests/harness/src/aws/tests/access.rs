//! Access entries, access policies and the authentication mode.

use serde_json::{Value, json};

use super::client::{REGION, Response, call, eks};
use super::{ACCOUNT, DEVELOPERS, aws};
use crate::aws::{AccessKey, Aws, Cluster, Fault, Op, Role};

const ENTRIES: &str = "/clusters/prod/access-entries";

/// Returns an AWS with the cluster `prod`.
fn fixture() -> (Aws, AccessKey) {
    let (aws, dev) = aws();
    aws.add_cluster(Cluster::new("prod", REGION));
    (aws, dev)
}

fn send(aws: &Aws, key: &AccessKey, method: &str, target: &str, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    call(aws, key, "eks", method, target, &body).unwrap()
}

/// Returns the status, the code in lower case and the message of an error.
fn error(response: &Response) -> (u16, String, String) {
    let code = response.head.lines().find_map(|line| line.strip_prefix("x-amzn-errortype: ")).unwrap_or_default();
    (response.status, code.to_owned(), response.json()["message"].as_str().unwrap_or_default().to_owned())
}

fn entry_path(principal: &str) -> String {
    format!("{ENTRIES}/{}", crate::encoding::uri_encode(principal))
}

#[test]
fn access_entry_created_changed_deleted() {
    let (aws, dev) = fixture();
    let new = json!({ "principalArn": DEVELOPERS, "kubernetesGroups": ["dev"], "tags": { "team": "a" } });
    let created = send(&aws, &dev, "POST", ENTRIES, &new).json()["accessEntry"].clone();
    assert_eq!((&created["type"], &created["clusterName"]), (&json!("STANDARD"), &json!("prod")));
    assert_eq!(created["username"], "arn:aws:sts::111122223333:assumed-role/developers/{{SessionName}}");
    assert_eq!((&created["kubernetesGroups"], &created["tags"]), (&json!(["dev"]), &json!({ "team": "a" })));
    assert_eq!(eks(&aws, &dev, &entry_path(DEVELOPERS)).json()["accessEntry"], created);
    assert_eq!(eks(&aws, &dev, ENTRIES).json()["accessEntries"], json!([DEVELOPERS]));

    let again = send(&aws, &dev, "POST", ENTRIES, &new);
    let text = "The specified access entry resource is already in use on this cluster.";
    assert_eq!(error(&again), (409, "resourceinuseexception".to_owned(), text.to_owned()));

    let change = json!({ "username": "dev:{{SessionName}}", "kubernetesGroups": [] });
    let changed = send(&aws, &dev, "POST", &entry_path(DEVELOPERS), &change).json()["accessEntry"].clone();
    assert_eq!((&changed["username"], &changed["kubernetesGroups"]), (&json!("dev:{{SessionName}}"), &json!([])));
    let kept = send(&aws, &dev, "POST", &entry_path(DEVELOPERS), &json!({})).json()["accessEntry"].clone();
    assert_eq!(kept["username"], "dev:{{SessionName}}");

    assert_eq!(send(&aws, &dev, "DELETE", &entry_path(DEVELOPERS), &Value::Null).status, 200);
    for (method, body) in [("GET", Value::Null), ("DELETE", Value::Null), ("POST", json!({}))] {
        let (status, code, message) = error(&send(&aws, &dev, method, &entry_path(DEVELOPERS), &body));
        assert_eq!((status, code.as_str()), (404, "resourcenotfoundexception"), "{method}");
        assert!(message.starts_with("The specified principalArn could not be found."), "{message}");
    }
}

#[test]
fn access_entry_creation_repeated_with_its_token_is_the_same_entry() {
    let (aws, dev) = fixture();
    let new = json!({ "principalArn": dev.arn, "clientRequestToken": "t" });
    let first = send(&aws, &dev, "POST", ENTRIES, &new).json();
    assert_eq!(send(&aws, &dev, "POST", ENTRIES, &new).json(), first);
    assert_eq!(first["accessEntry"]["username"], dev.arn);
}

#[test]
fn invalid_access_entry_rejected_with_real_texts() {
    let (aws, dev) = fixture();
    aws.add_role(Role::new("arn:aws:iam::444455556666:role/nodes"));
    let reject = |body: Value| {
        let (status, code, message) = error(&send(&aws, &dev, "POST", ENTRIES, &body));
        assert_eq!((status, code.as_str()), (400, "invalidparameterexception"), "{body}");
        message
    };
    for principal in [
        "arn:aws:iam::111122223333:role/developers",
        "arn:aws:iam::111122223333:role/team/none",
        "arn:aws:sts::111122223333:assumed-role/developers/dev",
        "arn:aws:iam::111122223333:root",
        "developers",
        "",
    ] {
        let message = reject(json!({ "principalArn": principal }));
        assert_eq!(message, "The specified principalArn is invalid: invalid principal.", "{principal}");
    }
    let with = |field: &str, value: Value| {
        let mut body = json!({ "principalArn": DEVELOPERS });
        body[field] = value;
        body
    };
    assert_eq!(
        reject(with("kubernetesGroups", json!(["a", "system:masters"]))),
        "The kubernetes group name system:masters is invalid, it cannot start with system:"
    );
    for prefix in ["system:", "eks:", "aws:", "amazon:", "iam:"] {
        let message = reject(with("username", json!(format!("{prefix}x"))));
        assert_eq!(message, format!("The username must not begin with {prefix}"));
    }
    reject(with("type", json!("EC2_OTHER")));
    reject(json!({ "principalArn": DEVELOPERS, "type": "EC2_LINUX", "kubernetesGroups": ["a"] }));
    reject(json!({ "principalArn": dev.arn, "type": "EC2_LINUX" }));
    reject(json!({ "principalArn": "arn:aws:iam::444455556666:role/nodes", "type": "EC2_LINUX" }));
    assert_eq!(aws.access_entries("prod", REGION).len(), 0);

    let other = json!({ "principalArn": "arn:aws:iam::444455556666:role/nodes" });
    assert_eq!(send(&aws, &dev, "POST", ENTRIES, &other).status, 200, "a role of another account may be STANDARD");
    let nodes = send(&aws, &dev, "POST", ENTRIES, &json!({ "principalArn": DEVELOPERS, "type": "EC2_LINUX" })).json();
    assert_eq!(nodes["accessEntry"]["username"], "system:node:{{EC2PrivateDNSName}}");
}

#[test]
fn access_policy_associated_replaced_disassociated() {
    let (aws, dev) = fixture();
    send(&aws, &dev, "POST", ENTRIES, &json!({ "principalArn": DEVELOPERS }));
    let path = format!("{}/access-policies", entry_path(DEVELOPERS));
    let view = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy";
    let associate = |policy: &str, scope: Value| {
        send(&aws, &dev, "POST", &path, &json!({ "policyArn": policy, "accessScope": scope }))
    };
    let scoped = associate(view, json!({ "type": "namespace", "namespaces": ["dev-*"] })).json();
    assert_eq!(scoped["associatedAccessPolicy"]["accessScope"]["namespaces"], json!(["dev-*"]));
    assert_eq!(associate(view, json!({ "type": "cluster" })).status, 200);
    let listed = eks(&aws, &dev, &path).json()["associatedAccessPolicies"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["policyArn"]), (1, &json!(view)));
    assert_eq!(listed[0]["accessScope"], json!({ "type": "cluster", "namespaces": [] }));
    let by_policy = eks(&aws, &dev, &format!("{ENTRIES}?associatedPolicyArn={view}")).json();
    assert_eq!(by_policy["accessEntries"], json!([DEVELOPERS]));

    let all = json!({ "type": "cluster" });
    for (policy, scope, status, code) in [
        ("AmazonEKSViewPolicy", all.clone(), 400, "invalidparameterexception"),
        ("arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolcy", all.clone(), 404, "resourcenotfoundexception"),
        ("arn:aws-cn:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", all, 400, "invalidparameterexception"),
        (view, json!({ "type": "namespace" }), 400, "invalidparameterexception"),
        (view, json!({ "type": "cluster", "namespaces": ["a"] }), 400, "invalidparameterexception"),
        (view, json!({ "type": "namespace", "namespaces": ["A_b"] }), 400, "invalidparameterexception"),
        (view, json!(null), 400, "invalidparameterexception"),
    ] {
        let found = error(&associate(policy, scope.clone()));
        assert_eq!((found.0, found.1.as_str()), (status, code), "{policy} {scope}: {}", found.2);
    }
    let one = format!("{path}/{}", crate::encoding::uri_encode(view));
    assert_eq!(send(&aws, &dev, "DELETE", &one, &Value::Null).status, 200);
    assert_eq!(send(&aws, &dev, "DELETE", &one, &Value::Null).status, 404);
    let all_policies = eks(&aws, &dev, "/access-policies").json()["accessPolicies"].clone();
    assert!(all_policies.as_array().unwrap().contains(&json!({ "name": "AmazonEKSViewPolicy", "arn": view })));
}

#[test]
fn access_entries_paged_by_the_service_itself() {
    let (aws, dev) = fixture();
    for number in 0..5 {
        aws.grant("prod", REGION, &format!("arn:aws:iam::{ACCOUNT}:role/r{number}"), "u", &["system:masters"]);
    }
    aws.set_page_size(2);
    let (mut target, mut found, mut pages) = (ENTRIES.to_owned(), Vec::new(), 0);
    loop {
        let page = eks(&aws, &dev, &target).json();
        found.extend(page["accessEntries"].as_array().unwrap().clone());
        pages += 1;
        let Some(next) = page["nextToken"].as_str() else { break };
        target = format!("{ENTRIES}?nextToken={}", crate::encoding::uri_encode(next));
    }
    assert_eq!((found.len(), pages), (5, 3));
}

#[test]
fn authentication_mode_changes_one_way_and_later() {
    let (aws, dev) = fixture();
    aws.add_cluster(Cluster::new("prod", REGION).authentication_mode("CONFIG_MAP").creator(DEVELOPERS));
    let (status, code, message) = error(&eks(&aws, &dev, ENTRIES));
    assert_eq!((status, code.as_str()), (400, "invalidrequestexception"));
    assert!(message.contains("must be set to one of [API, API_AND_CONFIG_MAP]"), "{message}");

    let change = |mode: &str| {
        let body = json!({ "accessConfig": { "authenticationMode": mode } });
        send(&aws, &dev, "POST", "/clusters/prod/update-config", &body)
    };
    let unsupported = error(&change("API"));
    assert_eq!(unsupported.2, "Unsupported authentication mode update from CONFIG_MAP to API");
    aws.set_update_polls(1);
    let update = change("API_AND_CONFIG_MAP").json()["update"].clone();
    assert_eq!((&update["status"], &update["type"]), (&json!("InProgress"), &json!("AccessConfigUpdate")));
    assert_eq!(error(&change("API_AND_CONFIG_MAP")).1, "resourceinuseexception");
    let cluster = || eks(&aws, &dev, "/clusters/prod").json()["cluster"].clone();
    assert_eq!(
        (&cluster()["status"], aws.authentication_mode("prod", REGION).as_str()),
        (&json!("UPDATING"), "CONFIG_MAP")
    );
    let path = format!("/clusters/prod/updates/{}", update["id"].as_str().unwrap());
    let status = || eks(&aws, &dev, &path).json()["update"]["status"].clone();
    assert_eq!([status(), status()], [json!("InProgress"), json!("Successful")]);
    assert_eq!(cluster()["accessConfig"]["authenticationMode"], "API_AND_CONFIG_MAP");
    assert_eq!(eks(&aws, &dev, ENTRIES).json()["accessEntries"], json!([DEVELOPERS]), "the creator's entry");
    assert_eq!(error(&change("CONFIG_MAP")).1, "invalidparameterexception");

    aws.fail_next_update();
    aws.set_update_polls(0);
    let update = change("API").json()["update"].clone();
    let path = format!("/clusters/prod/updates/{}", update["id"].as_str().unwrap());
    assert_eq!(eks(&aws, &dev, &path).json()["update"]["status"], "Failed");
    assert_eq!(aws.authentication_mode("prod", REGION), "API_AND_CONFIG_MAP");
    assert_eq!(eks(&aws, &dev, "/clusters/prod/updates/none").status, 404);
}

#[test]
fn access_calls_denied_throttled_and_logged() {
    let (aws, dev) = fixture();
    aws.deny(&dev.arn, "eks:CreateAccessEntry");
    let new = json!({ "principalArn": DEVELOPERS, "clientRequestToken": "t" });
    let (status, code, message) = error(&send(&aws, &dev, "POST", ENTRIES, &new));
    assert_eq!((status, code.as_str()), (403, "accessdeniedexception"));
    assert!(message.ends_with("on resource: arn:aws:eks:eu-west-1:111122223333:cluster/prod"), "{message}");
    aws.allow(&dev.arn, "eks:CreateAccessEntry");
    aws.throttle_every(Op::CreateAccessEntry, 2);
    let statuses = [0; 3].map(|_| send(&aws, &dev, "POST", ENTRIES, &new).status);
    assert_eq!(statuses, [200, 429, 200]);
    aws.clear_faults();
    aws.fault(Op::CreateAccessEntry, Fault::Throttle);
    assert_eq!(error(&send(&aws, &dev, "POST", ENTRIES, &new)).1, "throttlingexception");
    let logged = aws.log_of(Op::CreateAccessEntry)[0].params.clone();
    assert_eq!((logged["name"].as_str(), logged["principalArn"].as_str()), ("prod", DEVELOPERS));
}

#[test]
fn iam_principal_found_by_name_with_its_path() {
    let (aws, dev) = fixture();
    let iam = |parameters: &str| {
        let signer =
            crate::aws::sigv4::Signer { key: &dev, region: "us-east-1", service: "iam", at: aws.clock().now() };
        let host = aws.addr().to_string();
        let content = "application/x-www-form-urlencoded";
        let covered = [("host", host.as_str()), ("content-type", content)];
        let body = format!("Version=2010-05-08&{parameters}");
        let mut headers: Vec<(String, String)> =
            covered.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        headers.extend(signer.sign_headers("POST", "/", &covered, body.as_bytes()));
        super::http(aws.addr(), "POST", "/", &headers, &body).unwrap()
    };
    let role = iam("Action=GetRole&RoleName=developers");
    assert_eq!((role.element("Arn"), role.element("Path")), (DEVELOPERS, "/team/"));
    let id = role.element("RoleId").to_owned();
    assert_eq!(iam("Action=GetUser&UserName=dev").element("Arn"), dev.arn);
    assert_eq!(iam("Action=ListRoles").element("RoleName"), "developers");
    assert_eq!(
        iam("Action=GetRole&RoleName=none").error(),
        "404 NoSuchEntity: The role with name none cannot be found."
    );
    aws.remove_role(DEVELOPERS);
    aws.add_role(Role::new(DEVELOPERS));
    assert_ne!(iam("Action=GetRole&RoleName=developers").element("RoleId"), id);
    aws.deny(&dev.arn, "iam:GetRole");
    assert!(iam("Action=GetRole&RoleName=developers").error().starts_with("403 AccessDenied: "));
}
