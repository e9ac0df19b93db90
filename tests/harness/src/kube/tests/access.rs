//! Which source maps a token, what RBAC and access policies allow, and optimistic locking.

use serde_json::{Value, json};

use super::*;
use crate::kube::api::router::{ApiRequest, respond};
use crate::kube::authenticator::User;

const CANONICAL: &str = "arn:aws:iam::111122223333:role/developers";
const AWS_AUTH: &str = "/api/v1/namespaces/kube-system/configmaps/aws-auth";

fn user(groups: &[&str]) -> User {
    User {
        username: "dev".to_owned(),
        uid: String::new(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        extra: std::collections::BTreeMap::new(),
        policies: Vec::new(),
    }
}

/// Sends a request as a user; returns the status and the body.
fn send(api: &ApiServer, user: &User, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = body.to_string();
    let request = ApiRequest { method, path, query, accept: "application/json", body: body.as_bytes() };
    let response = respond(&api.shared, Some(user), &request);
    (response.code, serde_json::from_str(&response.body).unwrap())
}

#[test]
fn authentication_mode_decides_which_source_maps() {
    let (aws, api, session) = fixture();
    let username = || {
        api.clear_token_cache();
        authenticate(&api, &token(&api, &session).mint()).map(|user| user.username).ok()
    };
    api.map_role(CANONICAL, "by-map", &[]);
    assert_eq!(username().as_deref(), Some("by-map"));
    aws.grant("prod", REGION, DEVELOPERS, "by-entry", &[]);
    for (mode, expected) in [("CONFIG_MAP", "by-map"), ("API_AND_CONFIG_MAP", "by-entry"), ("API", "by-entry")] {
        aws.set_authentication_mode("prod", REGION, mode);
        assert_eq!(username().as_deref(), Some(expected), "{mode}");
    }
    aws.revoke("prod", REGION, DEVELOPERS);
    assert_eq!(username(), None);
    aws.set_authentication_mode("prod", REGION, "API_AND_CONFIG_MAP");
    assert_eq!(username().as_deref(), Some("by-map"));
    api.set_aws_auth(&[("mapRoles", "- rolearn: [")]);
    assert_eq!(username(), None, "invalid YAML maps no role");
    api.remove_aws_auth();
    assert_eq!(username(), None);
}

#[test]
fn role_made_again_does_not_match_its_old_entry() {
    let (aws, api, session) = fixture();
    aws.grant("prod", REGION, DEVELOPERS, "dev", &[]);
    assert!(authenticate(&api, &token(&api, &session).mint()).is_ok());
    aws.remove_role(DEVELOPERS);
    aws.add_role(Role::new(DEVELOPERS));
    let again = aws.session(DEVELOPERS, "dev", Duration::from_hours(1));
    let error = authenticate(&api, &token(&api, &again).mint()).unwrap_err();
    assert!(error.starts_with("ARN is not mapped"), "{error}");
    aws.grant("prod", REGION, DEVELOPERS, "dev", &[]);
    assert!(authenticate(&api, &token(&api, &again).mint()).is_ok());
}

#[test]
fn creator_is_a_hidden_administrator_until_entries_are_enabled() {
    let (aws, api, session) = fixture();
    aws.add_cluster(api.cluster().authentication_mode("CONFIG_MAP").creator(DEVELOPERS));
    let mapped = || {
        api.clear_token_cache();
        authenticate(&api, &token(&api, &session).mint())
    };
    assert_eq!(mapped().unwrap().username, "kubernetes-admin");
    aws.set_authentication_mode("prod", REGION, "API_AND_CONFIG_MAP");
    assert!(mapped().is_err());
}

#[test]
fn changed_access_entry_counts_after_some_lookups() {
    let (aws, api, session) = fixture();
    aws.delay_access_changes(2);
    aws.grant("prod", REGION, DEVELOPERS, "dev", &[]);
    let mapped = || authenticate(&api, &token(&api, &session).mint()).is_ok();
    assert_eq!([mapped(), mapped(), mapped()], [false, false, true]);
}

#[test]
fn replaced_config_map_with_an_old_version_is_a_conflict() {
    let (_aws, api, _session) = fixture();
    let admin = user(&["system:masters"]);
    assert_eq!(send(&api, &admin, "GET", AWS_AUTH, &Value::Null).0, 404);
    let folder = "/api/v1/namespaces/kube-system/configmaps";
    let new =
        json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "aws-auth" }, "data": { "a": "1" } });
    let (status, created) = send(&api, &admin, "POST", folder, &new);
    assert_eq!((status, &created["metadata"]["namespace"]), (201, &json!("kube-system")));
    assert_eq!(send(&api, &admin, "POST", folder, &new).1["reason"], "AlreadyExists");

    let mut changed = created.clone();
    changed["data"]["a"] = json!("2");
    let (status, replaced) = send(&api, &admin, "PUT", AWS_AUTH, &changed);
    assert_eq!((status, &replaced["data"]["a"]), (200, &json!("2")));
    assert_eq!(replaced["metadata"]["uid"], created["metadata"]["uid"]);
    let (status, conflict) = send(&api, &admin, "PUT", AWS_AUTH, &changed);
    assert_eq!((status, &conflict["reason"]), (409, &json!("Conflict")));
    api.edit_before_replace(&[("a", "other")]);
    assert_eq!(send(&api, &admin, "PUT", AWS_AUTH, &replaced).0, 409);
    assert_eq!(api.aws_auth().unwrap()["data"], json!({ "a": "other" }));

    let mut wrong = api.aws_auth().unwrap();
    wrong["data"]["a"] = json!(7);
    assert_eq!(send(&api, &admin, "PUT", AWS_AUTH, &wrong).0, 400);
    let mut fixed = api.aws_auth().unwrap();
    fixed["immutable"] = json!(true);
    let (_, mut fixed) = send(&api, &admin, "PUT", AWS_AUTH, &fixed);
    fixed["data"]["a"] = json!("3");
    assert_eq!(send(&api, &admin, "PUT", AWS_AUTH, &fixed).0, 422);
    assert_eq!(send(&api, &admin, "DELETE", AWS_AUTH, &Value::Null).0, 200);
    assert_eq!(api.aws_auth(), None);
}

#[test]
fn rbac_and_access_policies_decide() {
    let (aws, api, session) = fixture();
    api.map_role(CANONICAL, "dev", &[]);
    let (plain, viewer) = (user(&["system:authenticated"]), user(&["view"]));
    let (status, denied) = send(&api, &plain, "GET", AWS_AUTH, &Value::Null);
    assert_eq!(
        (status, denied["message"].as_str().unwrap()),
        (
            403,
            "configmaps \"aws-auth\" is forbidden: User \"dev\" \
        cannot get resource \"configmaps\" in API group \"\" in the namespace \"kube-system\""
        )
    );
    assert_eq!(send(&api, &viewer, "GET", AWS_AUTH, &Value::Null).0, 200);
    assert_eq!(send(&api, &viewer, "PUT", AWS_AUTH, &api.aws_auth().unwrap()).0, 403);
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(send(&api, &viewer, "GET", bindings, &Value::Null).0, 403);
    api.bind(Some("kube-system"), "edits", "edit", &[("User", "dev")]);
    assert_eq!(send(&api, &plain, "PUT", AWS_AUTH, &api.aws_auth().unwrap()).0, 200);
    assert_eq!(send(&api, &plain, "GET", "/api/v1/namespaces/default/configmaps", &Value::Null).0, 403);

    aws.grant("prod", REGION, DEVELOPERS, "ops", &[]);
    aws.grant_policy("prod", REGION, DEVELOPERS, "AmazonEKSViewPolicy", &["def*"]);
    let ops = authenticate(&api, &token(&api, &session).mint()).unwrap();
    assert_eq!(send(&api, &ops, "GET", "/api/v1/namespaces/default/pods", &Value::Null).0, 200);
    assert_eq!(send(&api, &ops, "GET", "/api/v1/namespaces/kube-system/pods", &Value::Null).0, 403);
    assert_eq!(send(&api, &ops, "GET", "/api/v1/pods", &Value::Null).0, 403);
}

#[test]
fn reviews_answer_as_the_authorizers_decide() {
    let (aws, api, _session) = fixture();
    let (admin, viewer) = (user(&["system:masters"]), user(&["view"]));
    let folder = "/apis/authorization.k8s.io/v1";
    let asks = |verb: &str| json!({ "verb": verb, "resource": "pods", "group": "", "namespace": "default" });
    let own = |user: &User, verb: &str| {
        let body = json!({ "kind": "SelfSubjectAccessReview", "spec": { "resourceAttributes": asks(verb) } });
        let (status, review) = send(&api, user, "POST", &format!("{folder}/selfsubjectaccessreviews"), &body);
        assert_eq!(status, 201);
        review["status"]["allowed"] == true
    };
    assert!(own(&viewer, "list") && !own(&viewer, "delete") && own(&admin, "delete"));
    let rules = json!({ "kind": "SelfSubjectRulesReview", "spec": { "namespace": "default" } });
    let (_, review) = send(&api, &viewer, "POST", &format!("{folder}/selfsubjectrulesreviews"), &rules);
    assert_eq!(review["status"]["incomplete"], true);
    assert!(review["status"]["resourceRules"][0]["resources"].as_array().unwrap().contains(&json!("pods")));

    aws.grant("prod", REGION, DEVELOPERS, "ops", &[]);
    aws.grant_policy("prod", REGION, DEVELOPERS, "AmazonEKSEditPolicy", &[]);
    let about = |extra: Value| json!({ "spec": { "user": "ops", "groups": [], "extra": extra, "resourceAttributes": asks("delete") } });
    let path = format!("{folder}/subjectaccessreviews");
    let by_policy = about(json!({ "canonicalArn": [CANONICAL] }));
    assert_eq!(send(&api, &viewer, "POST", &path, &by_policy).0, 403);
    assert_eq!(send(&api, &admin, "POST", &path, &by_policy).1["status"]["allowed"], true);
    assert_eq!(send(&api, &admin, "POST", &path, &about(json!({}))).1["status"]["allowed"], false);
}

#[test]
fn lists_are_paged() {
    let (_aws, api, _session) = fixture();
    let admin = user(&["system:masters"]);
    for number in 0..5 {
        api.bind(None, &format!("b{number}"), "view", &[("Group", "g")]);
    }
    let list = |query: &str| {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings{query}");
        send(&api, &admin, "GET", &path, &Value::Null)
    };
    let all = list("").1["items"].as_array().unwrap().len();
    let (mut query, mut found) = ("?limit=3".to_owned(), 0);
    loop {
        let (_, page) = list(&query);
        found += page["items"].as_array().unwrap().len();
        let next = page["metadata"]["continue"].as_str().unwrap();
        if next.is_empty() {
            break;
        }
        query = format!("?limit=3&continue={}", crate::encoding::uri_encode(next));
    }
    assert_eq!((found, all), (8, 8));
    assert_eq!(list("?limit=x").0, 400);
}
