//! Changes of aws-auth: backup, conflict, lock-out, the way back.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::sync::Arc;

use rolecall_harness::Role;
use rolecall_protocol::{
    AccessExplainRequest, AccessGrantRequest, AccessMigrateRequest, AccessRecoverRequest, AccessRestoreRequest,
    AccessRevokeRequest, AccessStep, AuthenticationMode, ChangeOptions, ErrorCode,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::access::{api_server, failure, given, grant, make_grant, pinned, plan, received, report, revoke};
use crate::fixture::{Fixture, REGION, ROLE};

const BACKUP: &str = "20260101T000000Z-00";

/// A cluster whose aws-auth alone lets the profile's role enter, and a backup of it.
fn mapped(backup_roles: &str) -> Fixture {
    let fixture = pinned();
    fixture.aws.revoke("prod", REGION, ROLE);
    fixture.api.map_role(ROLE, "dev:{{SessionName}}", &["system:masters"]);
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "aws-auth", "namespace": "kube-system" },
        "data": { "mapRoles": backup_roles },
    });
    let folder = fixture.sandbox.home().join("backups/111122223333.eu-west-1.prod");
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder).unwrap();
    let path = folder.join(format!("{BACKUP}.json"));
    let file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).unwrap();
    serde_json::to_writer(file, &object).unwrap();
    fixture
}

fn with_role(more: &str) -> String {
    format!("# kept\n- rolearn: {ROLE}\n  username: dev:{{{{SessionName}}}}\n  groups: [system:masters]\n{more}")
}

const OPS: &str = "- rolearn: arn:aws:iam::111122223333:role/ops\n  username: ops\n  groups: [ops]\n";

fn restore(fixture: &Fixture, request: &AccessRestoreRequest) -> Vec<AccessStep> {
    let (service, request) = (Arc::clone(&fixture.agent.access), request.clone());
    fixture.block_on(async move {
        let (sender, steps) = mpsc::channel(16);
        tokio::join!(service.restore("prod".parse().unwrap(), request, sender), received(steps)).1
    })
}

fn request(fixture: &Fixture) -> AccessRestoreRequest {
    let change = ChangeOptions { api_server: Some(api_server(fixture)), ..ChangeOptions::default() };
    AccessRestoreRequest { change, backup: None }
}

/// Plans a restore and applies the plan.
#[track_caller]
fn make(fixture: &Fixture, mut request: AccessRestoreRequest) -> rolecall_protocol::AccessReport {
    request.change.apply = Some(plan(restore(fixture, &request)).id);
    report(restore(fixture, &request))
}

fn roles(fixture: &Fixture) -> Value {
    fixture.api.aws_auth().unwrap()["data"]["mapRoles"].clone()
}

#[test]
fn restore_replaces_aws_auth_and_saves_the_former() {
    let fixture = mapped(&with_role(OPS));
    let before = roles(&fixture);
    let planned = plan(restore(&fixture, &request(&fixture)));
    assert!(planned.diff.unwrap().contains("+- rolearn: arn:aws:iam::111122223333:role/ops"));
    assert_eq!(roles(&fixture), before, "a plan changes nothing");
    let made = make(&fixture, request(&fixture));
    assert!(made.results[0].error.is_none() && made.rolled_back.is_none(), "{made:?}");
    assert_eq!(roles(&fixture), with_role(OPS));
    let saved = made.backup.unwrap();
    assert_eq!(std::fs::metadata(&saved).unwrap().mode() & 0o777, 0o600);
    let saved: Value = serde_json::from_slice(&std::fs::read(saved).unwrap()).unwrap();
    assert_eq!(saved["data"]["mapRoles"], before);
    // The newest backup is the former state now.
    assert!(make(&fixture, request(&fixture)).results[0].error.is_none());
    assert_eq!(roles(&fixture), before);
    let named = AccessRestoreRequest { backup: Some("20200101T000000Z-00".to_owned()), ..request(&fixture) };
    assert!(failure(restore(&fixture, &named)).to_string().contains(BACKUP));
}

/// Fault matrix row 119.
#[test]
fn restore_that_locks_the_caller_out_is_refused() {
    let fixture = mapped(OPS);
    let before = roles(&fixture);
    let error = failure(restore(&fixture, &request(&fixture)));
    assert_eq!(error.code, ErrorCode::AccessRefused);
    assert!(error.to_string().contains("own last way"), "{error}");
    assert_eq!(roles(&fixture), before);
    let mut forced = request(&fixture);
    forced.change.force = true;
    assert!(make(&fixture, forced).results[0].error.is_none());
    assert_eq!(roles(&fixture), OPS);
}

/// Fault matrix row 120.
#[test]
fn change_after_which_the_caller_cannot_enter_is_rolled_back() {
    let fixture = mapped(&with_role(OPS));
    let before = roles(&fixture);
    let apply = Some(plan(restore(&fixture, &request(&fixture))).id);
    fixture.api.reject_after_replace(2);
    let mut request = request(&fixture);
    request.change.apply = apply;
    let made = report(restore(&fixture, &request));
    assert!(made.rolled_back.as_ref().unwrap().to_string().contains("401"), "{made:?}");
    assert_eq!(made.results[0].error.as_ref().unwrap().code, ErrorCode::AccessRefused);
    assert_eq!(roles(&fixture), before);
}

/// Fault matrix row 121.
#[test]
fn concurrent_edit_is_a_conflict_and_is_kept() {
    let fixture = mapped(&with_role(OPS));
    let other = with_role("- rolearn: arn:aws:iam::111122223333:role/other\n  username: other\n");
    fixture.api.edit_before_replace(&[("mapRoles", &other)]);
    let made = make(&fixture, request(&fixture));
    assert_eq!(made.results[0].error.as_ref().unwrap().code, ErrorCode::AccessChanged, "{made:?}");
    assert_eq!(roles(&fixture), other);
}

/// A grant by aws-auth, since the cluster has no access entries.
fn grant_ops(fixture: &Fixture) -> AccessGrantRequest {
    let change = ChangeOptions { api_server: Some(api_server(fixture)), ..ChangeOptions::default() };
    AccessGrantRequest {
        change,
        principals: vec![given("ops")],
        groups: vec!["ops".to_owned()],
        username: Some("ops".to_owned()),
        ..AccessGrantRequest::default()
    }
}

#[test]
fn grant_by_aws_auth_keeps_every_other_byte() {
    let fixture = mapped(OPS);
    fixture.aws.set_authentication_mode("prod", REGION, "CONFIG_MAP");
    fixture.aws.add_role(Role::new("arn:aws:iam::111122223333:role/team/ops"));
    let before = roles(&fixture).as_str().unwrap().to_owned();
    let made = make_grant(&fixture, &grant_ops(&fixture));
    assert!(made.results.iter().all(|result| result.error.is_none()), "{made:?}");
    let after = roles(&fixture).as_str().unwrap().to_owned();
    assert!(after.starts_with(&before) && after.contains("arn:aws:iam::111122223333:role/ops"), "{after}");
    assert!(made.backup.is_some() && made.rolled_back.is_none());
    assert_eq!(plan(grant(&fixture, &grant_ops(&fixture))).effective(), 0, "a second run changes nothing");

    let mut own = AccessRevokeRequest { principals: vec![given(ROLE)], ..AccessRevokeRequest::default() };
    own.change.api_server = Some(api_server(&fixture));
    let error = failure(revoke(&fixture, &own));
    assert!(error.to_string().contains("own last way"), "{error}");
    assert_eq!(roles(&fixture), after);
}

#[test]
fn migrate_makes_entries_of_mappings_and_changes_the_mode() {
    let fixture = mapped(OPS);
    fixture.aws.set_authentication_mode("prod", REGION, "CONFIG_MAP");
    fixture.aws.set_update_polls(2);
    let node = "arn:aws:iam::111122223333:role/eks/node";
    fixture.aws.add_role(Role::new(node));
    let canonical = "arn:aws:iam::111122223333:role/node";
    fixture.api.map_role(canonical, "system:node:{{EC2PrivateDNSName}}", &["system:bootstrappers", "system:nodes"]);
    let migrate = |request: &AccessMigrateRequest| {
        let (service, request) = (Arc::clone(&fixture.agent.access), request.clone());
        fixture.block_on(async move {
            let (sender, steps) = mpsc::channel(16);
            tokio::join!(service.migrate("prod".parse().unwrap(), request, sender), received(steps)).1
        })
    };
    let change = ChangeOptions { api_server: Some(api_server(&fixture)), ..ChangeOptions::default() };
    let mut request = AccessMigrateRequest { change, mode: None };
    assert_eq!(failure(migrate(&request)).code, ErrorCode::AccessRefused, "the mode changes only if it is named");
    request.mode = Some(AuthenticationMode::ApiAndConfigMap);
    request.change.apply = Some(plan(migrate(&request)).id);
    let made = report(migrate(&request));
    assert!(made.results.iter().all(|result| result.error.is_none()), "{made:?}");
    assert_eq!(fixture.aws.authentication_mode("prod", REGION), "API_AND_CONFIG_MAP");
    let entries = fixture.aws.access_entries("prod", REGION);
    let of = |arn: &str| entries.iter().find(|entry| entry["principalArn"] == arn).unwrap();
    assert_eq!(of(node)["type"], "EC2_LINUX");
    let admin = of(ROLE)["policies"][0]["policyArn"].as_str().unwrap();
    assert!(admin.ends_with("AmazonEKSClusterAdminPolicy"), "{admin}");
}

/// Fault matrix row 122.
#[test]
fn recover_lets_the_caller_in_and_repairs_aws_auth() {
    let fixture = mapped(&with_role(OPS));
    fixture.aws.set_authentication_mode("prod", REGION, "CONFIG_MAP");
    fixture.aws.set_update_polls(2);
    let broken = format!("{}\n - oops: [", with_role(OPS));
    fixture.api.set_aws_auth(&[("mapRoles", &broken)]);
    let recover = |request: &AccessRecoverRequest| {
        let (service, request) = (Arc::clone(&fixture.agent.access), request.clone());
        fixture.block_on(async move {
            let (sender, steps) = mpsc::channel(16);
            tokio::join!(service.recover("prod".parse().unwrap(), request, sender), received(steps)).1
        })
    };
    let change = ChangeOptions { api_server: Some(api_server(&fixture)), ..ChangeOptions::default() };
    let first = AccessRecoverRequest { change, repair_aws_auth: true };
    let apply = |request: &AccessRecoverRequest| {
        let mut request = request.clone();
        request.change.apply = Some(plan(recover(&request)).id);
        report(recover(&request))
    };
    let done = apply(&first);
    assert!(done.results.iter().all(|result| result.error.is_none()), "{done:?}");
    assert!(done.notes.iter().any(|note| note.code == "access_checked"), "{done:?}");
    assert_eq!(fixture.aws.authentication_mode("prod", REGION), "API_AND_CONFIG_MAP");
    assert_eq!(roles(&fixture), broken, "it could not be read before");
    let done = apply(&first);
    assert!(done.results.iter().all(|result| result.error.is_none()), "{done:?}");
    assert_eq!(roles(&fixture), with_role(OPS), "the newest valid backup");
}

#[test]
fn explain_says_why_a_principal_can_or_cannot_enter() {
    let fixture = mapped(OPS);
    let ops = "arn:aws:iam::111122223333:role/team/ops";
    fixture.aws.add_role(Role::new(ops));
    let path = "arn:aws:iam::111122223333:role/team/ops";
    fixture.api.map_role(path, "ops", &["ops"]);
    let explain = |principal: Option<&str>| {
        let principal = principal.map(given);
        let request =
            AccessExplainRequest { api_server: Some(api_server(&fixture)), principal, namespace: String::new() };
        fixture.block_on(fixture.agent.access.explain(&"prod".parse().unwrap(), request)).unwrap()
    };
    let own = explain(None);
    assert_eq!((own.can_enter, own.principal.as_str()), (Some(true), ROLE));
    assert!(own.bindings.iter().any(|binding| binding.role == "ClusterRole/cluster-admin"), "{own:?}");
    assert!(!own.answers.is_empty() && own.answers.iter().all(|answer| answer.allowed == Some(true)), "{own:?}");
    let other = explain(Some("ops"));
    assert_eq!((other.can_enter, other.principal.as_str()), (Some(false), ops));
    assert!(other.reasons.iter().any(|reason| reason.code == "path_in_arn"), "{other:?}");
    fixture.api.map_role("arn:aws:iam::111122223333:role/ops", "ops", &["view"]);
    let other = explain(Some("ops"));
    assert_eq!(other.can_enter, Some(true), "{other:?}");
    let answer = |verb: &str, resource: &str| {
        let answer =
            other.answers.iter().find(|answer| (answer.verb.as_str(), answer.resource.as_str()) == (verb, resource));
        answer.unwrap().allowed
    };
    assert_eq!((answer("list", "pods"), answer("delete", "pods")), (Some(true), Some(false)));
}
