//! Who may enter a cluster: lists, plans and changes.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rolecall_harness::{Fault, Gate, Op, Role};
use rolecall_protocol::{
    AccessAction, AccessGrantRequest, AccessListRequest, AccessPlan, AccessQuery, AccessReport, AccessRevokeRequest,
    AccessStep, AuthenticationMode, ChangeOptions, Endpoint, ErrorBody, ErrorCode, GivenPrincipal, LockRequest,
    PrincipalKind,
};
use rolecalld::services::lock::Locker;
use tokio::sync::mpsc;

use crate::fixture::{Fixture, PROD, REGION, ROLE};

/// How long a test waits for a call.
const HANG_GUARD: Duration = Duration::from_secs(20);
const VIEW: &str = "AmazonEKSViewPolicy";
const CLUSTER_ADMIN: &str = "AmazonEKSClusterAdminPolicy";

/// A fixture whose profile has a pin.
pub(crate) fn pinned() -> Fixture {
    let fixture = Fixture::new();
    let hash = rolecall_aws::cluster::ca_sha256(&fixture.api.ca_base64()).unwrap();
    fixture.configure(&format!("{PROD}server = \"{}\"\nca_sha256 = \"{hash}\"\n", fixture.api.url()));
    fixture
}

pub(crate) fn api_server(fixture: &Fixture) -> AccessQuery {
    AccessQuery { server: fixture.api.url(), certificate_authority_data: fixture.api.ca_base64() }
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::111122223333:role/{name}")
}

pub(crate) fn given(name: &str) -> GivenPrincipal {
    let kind = if name.contains(':') { PrincipalKind::Unknown } else { PrincipalKind::Role };
    GivenPrincipal { kind, name: name.to_owned() }
}

fn view(names: &[&str]) -> AccessGrantRequest {
    AccessGrantRequest {
        principals: names.iter().map(|name| given(name)).collect(),
        policies: vec![VIEW.to_owned()],
        ..AccessGrantRequest::default()
    }
}

/// Runs a grant and returns its steps.
pub(crate) fn grant(fixture: &Fixture, request: &AccessGrantRequest) -> Vec<AccessStep> {
    let (service, request) = (Arc::clone(&fixture.agent.access), request.clone());
    fixture.block_on(async move {
        let (sender, steps) = mpsc::channel(16);
        tokio::join!(service.grant("prod".parse().unwrap(), request, sender), received(steps)).1
    })
}

pub(crate) fn revoke(fixture: &Fixture, request: &AccessRevokeRequest) -> Vec<AccessStep> {
    let (service, request) = (Arc::clone(&fixture.agent.access), request.clone());
    fixture.block_on(async move {
        let (sender, steps) = mpsc::channel(16);
        tokio::join!(service.revoke("prod".parse().unwrap(), request, sender), received(steps)).1
    })
}

pub(crate) async fn received(mut steps: mpsc::Receiver<AccessStep>) -> Vec<AccessStep> {
    let mut all = Vec::new();
    while let Some(step) = steps.recv().await {
        all.push(step);
    }
    all
}

#[track_caller]
pub(crate) fn plan(mut steps: Vec<AccessStep>) -> AccessPlan {
    match steps.pop() {
        Some(AccessStep::Plan(plan)) => plan,
        other => panic!("no plan: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn report(mut steps: Vec<AccessStep>) -> AccessReport {
    match steps.pop() {
        Some(AccessStep::Report(report)) => report,
        other => panic!("no report: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn failure(mut steps: Vec<AccessStep>) -> ErrorBody {
    match steps.pop() {
        Some(AccessStep::Failed { error }) => error,
        other => panic!("not failed: {other:?}"),
    }
}

/// Plans a grant and applies the plan.
#[track_caller]
pub(crate) fn make_grant(fixture: &Fixture, request: &AccessGrantRequest) -> AccessReport {
    let apply = Some(plan(grant(fixture, request)).id);
    let change = ChangeOptions { apply, ..request.change.clone() };
    report(grant(fixture, &AccessGrantRequest { change, ..request.clone() }))
}

fn entries(fixture: &Fixture) -> BTreeSet<String> {
    let entries = fixture.aws.access_entries("prod", REGION);
    entries.iter().map(|entry| entry["principalArn"].as_str().unwrap().to_owned()).collect()
}

fn list(fixture: &Fixture, request: AccessListRequest) -> rolecall_protocol::AccessList {
    fixture.block_on(fixture.agent.access.list(&"prod".parse().unwrap(), request)).unwrap()
}

#[test]
fn list_has_entries_with_policies_from_all_pages() {
    let fixture = pinned();
    fixture.aws.set_page_size(2);
    for name in ["a", "b", "gone"] {
        fixture.aws.grant("prod", REGION, &role(name), name, &["dev"]);
    }
    fixture.aws.add_role(Role::new(&role("a")));
    fixture.aws.add_role(Role::new(&role("b")));
    fixture.aws.grant_policy("prod", REGION, &role("a"), VIEW, &["web", "api"]);
    let found = list(&fixture, AccessListRequest { api_server: Some(api_server(&fixture)) });
    assert_eq!(found.mode, Some(AuthenticationMode::ApiAndConfigMap));
    let principals: Vec<&str> = found.rows.iter().map(|row| row.principal.as_str()).collect();
    assert_eq!(principals, [&role("a"), &role("b"), ROLE, &role("gone")]);
    assert_eq!(found.rows[0].policies[0].policy, VIEW);
    assert_eq!(found.rows[0].policies[0].namespaces, ["web", "api"]);
    let codes: Vec<&str> = found.rows[3].findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["principal_missing"]);
    assert!(found.rows[..3].iter().all(|row| row.applies && row.findings.is_empty()), "{found:?}");
    assert!(found.unread.is_empty(), "{:?}", found.unread);
}

/// Fault matrix row 123.
#[test]
fn list_names_what_cannot_be_read() {
    let fixture = pinned();
    for action in ["eks:DescribeCluster", "iam:GetRole"] {
        fixture.aws.deny(ROLE, action);
    }
    let found = list(&fixture, AccessListRequest::default());
    assert_eq!((found.mode, found.rows.len()), (None, 1));
    let what: Vec<&str> = found.unread.iter().map(|unread| unread.what.as_str()).collect();
    assert_eq!(what, ["authentication mode", "aws-auth", "IAM"]);
    assert!(found.unread[0].error.to_string().contains("eks:DescribeCluster"), "{:?}", found.unread);

    fixture.aws.deny(ROLE, "eks:ListAccessEntries");
    let name = "prod".parse().unwrap();
    let nothing = fixture.block_on(fixture.agent.access.list(&name, AccessListRequest::default()));
    assert_eq!(nothing.unwrap_err().0.code, ErrorCode::AccessDenied);
    // A server that the pin does not name gets no token.
    let other = AccessQuery { server: "https://127.0.0.1:1".to_owned(), ..api_server(&fixture) };
    let request = AccessListRequest { api_server: Some(other) };
    let refused = fixture.block_on(fixture.agent.access.list(&name, request));
    assert_eq!(refused.unwrap_err().0.code, ErrorCode::PinMismatch);
}

#[test]
fn policies_are_listed_with_what_they_allow() {
    let fixture = Fixture::new();
    fixture.aws.set_page_size(3);
    let found = fixture.block_on(fixture.agent.access.policies(&"prod".parse().unwrap())).unwrap();
    let view = found.policies.iter().find(|policy| policy.name == VIEW).unwrap();
    assert!(view.allows.as_ref().unwrap().contains("no secrets"), "{view:?}");
    assert!(found.policies.len() > 3);
    assert!(found.policies.is_sorted_by(|a, b| a.name < b.name));
}

/// Fault matrix row 115.
#[test]
fn grant_to_200_principals_with_throttling() {
    let fixture = Fixture::new();
    let names: Vec<String> = (0..197).map(|number| format!("r{number}")).collect();
    for name in &names {
        fixture.aws.add_role(Role::new(&role(&format!("team/{name}"))));
    }
    for op in [Op::GetRole, Op::CreateAccessEntry, Op::AssociateAccessPolicy] {
        fixture.aws.throttle_every(op, 7);
    }
    let session = "arn:aws:sts::111122223333:assumed-role/r1/jo";
    let linked = "arn:aws:iam::111122223333:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS";
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.extend(["gone", session, linked, "r5"]); // r5 is a duplicate
    let request = view(&all);
    let planned = plan(grant(&fixture, &request));
    assert_eq!((planned.changes.len(), planned.effective()), (200, 197));
    assert_eq!(entries(&fixture).len(), 1, "a plan changes nothing");

    let made = make_grant(&fixture, &request);
    let failed: Vec<_> = made.results.iter().filter(|result| result.error.is_some()).collect();
    let explained: Vec<String> =
        failed.iter().map(|result| format!("{}: {}", result.target, result.error.as_ref().unwrap())).collect();
    assert_eq!(
        explained,
        [
            format!("{0}: IAM has no role {0}", role("gone")),
            format!("{session}: {session} is the ARN of a session; name its role, which looks like {}", role("r1")),
            format!("{linked}: {linked} is a service-linked role, which EKS rejects as a principal"),
        ]
    );
    let found = entries(&fixture);
    assert_eq!(found.len(), 198);
    assert!(found.contains(&role("team/r5")), "the entry has the path that IAM names");
    let shown = fixture.aws.access_entries("prod", REGION);
    let r7 = shown.iter().find(|entry| entry["principalArn"] == role("team/r7")).unwrap();
    assert!(r7["policies"][0]["policyArn"].as_str().unwrap().ends_with(VIEW), "{r7}");

    fixture.aws.clear_faults();
    let again = plan(grant(&fixture, &request));
    assert_eq!(again.effective(), 0);
    assert_eq!(again.changes.iter().filter(|change| change.action == AccessAction::Keep).count(), 197);
}

/// Fault matrix row 117.
#[test]
fn plan_that_is_out_of_date_changes_nothing() {
    let fixture = Fixture::new();
    fixture.aws.add_role(Role::new(&role("dev")));
    let request = view(&["dev"]);
    let apply = Some(plan(grant(&fixture, &request)).id);
    fixture.aws.grant("prod", REGION, &role("dev"), "dev", &["ops"]);
    let change = ChangeOptions { apply, ..ChangeOptions::default() };
    let error = failure(grant(&fixture, &AccessGrantRequest { change, ..request }));
    assert_eq!(error.code, ErrorCode::AccessChanged, "{error}");
    assert_eq!(fixture.aws.calls(Op::AssociateAccessPolicy), 0);
}

/// Fault matrix row 116.
#[test]
fn grant_that_fails_half_way_says_what_stands() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        fixture.aws.add_role(Role::new(&role(name)));
    }
    let denied = Fault::error(403, "AccessDeniedException", "no");
    fixture.aws.fault(Op::AssociateAccessPolicy, denied.times(1));
    let request = view(&["a", "b"]);
    let made = make_grant(&fixture, &request);
    let errors: Vec<String> =
        made.results.iter().filter_map(|result| Some(result.error.as_ref()?.to_string())).collect();
    assert_eq!(errors.len(), 1, "{made:?}");
    assert!(
        errors[0].contains("eks:AssociateAccessPolicy") && errors[0].contains("access entry created"),
        "{errors:?}"
    );
    // The second run does the rest.
    let made = make_grant(&fixture, &request);
    assert!(made.results.iter().all(|result| result.error.is_none()), "{made:?}");
    assert_eq!(fixture.aws.calls(Op::CreateAccessEntry), 2);
}

#[test]
fn grant_with_invalid_names_is_refused_as_a_whole() {
    let fixture = pinned();
    fixture.aws.add_role(Role::new(&role("dev")));
    let refused = |change: &dyn Fn(&mut AccessGrantRequest)| {
        let mut request = view(&["dev"]);
        request.change.api_server = Some(api_server(&fixture));
        change(&mut request);
        let error = failure(grant(&fixture, &request));
        assert_eq!(error.code, ErrorCode::AccessRefused);
        error.to_string()
    };
    let unknown = refused(&|request| request.policies = vec!["AmazonEKSViewPolcy".to_owned()]);
    assert!(unknown.contains("did you mean AmazonEKSViewPolicy?"), "{unknown}");
    let masters = refused(&|request| request.groups = vec!["system:masters".to_owned()]);
    assert!(masters.contains(CLUSTER_ADMIN), "{masters}");
    let namespace = refused(&|request| request.namespaces = vec!["wbe".to_owned()]);
    assert!(namespace.contains("no namespace wbe"), "{namespace}");
    fixture.aws.set_authentication_mode("prod", REGION, "CONFIG_MAP");
    let mode = refused(&|request| request.via = Some(rolecall_protocol::AccessVia::AccessEntries));
    assert!(mode.contains("CONFIG_MAP"), "{mode}");
    assert_eq!(fixture.aws.calls(Op::CreateAccessEntry), 0);
}

/// Fault matrix row 119.
#[test]
fn revoke_of_the_own_last_way_in_needs_force() {
    let fixture = pinned();
    fixture.aws.grant("prod", REGION, &role("dev"), "dev", &["dev"]);
    let request = |name: &str, force: bool| AccessRevokeRequest {
        principals: vec![given(name)],
        change: ChangeOptions { force, api_server: Some(api_server(&fixture)), ..ChangeOptions::default() },
        ..AccessRevokeRequest::default()
    };
    let apply = |mut request: AccessRevokeRequest| {
        request.change.apply = Some(plan(revoke(&fixture, &request)).id);
        report(revoke(&fixture, &request))
    };
    let error = failure(revoke(&fixture, &request("developers", false)));
    assert_eq!(error.code, ErrorCode::AccessRefused);
    assert!(error.to_string().contains("own last way"), "{error}");
    assert!(apply(request("dev", false)).results[0].error.is_none());
    assert_eq!(entries(&fixture), BTreeSet::from([ROLE.to_owned()]));
    assert_eq!(plan(revoke(&fixture, &request("dev", false))).effective(), 0, "a second run changes nothing");
    assert!(apply(request("developers", true)).results[0].error.is_none());
    assert!(entries(&fixture).is_empty());
}

/// Fault matrix row 118.
#[test]
fn change_that_began_ends_although_its_client_left() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        fixture.aws.add_role(Role::new(&role(name)));
    }
    let request = view(&["a", "b"]);
    let apply = Some(plan(grant(&fixture, &request)).id);
    let request = AccessGrantRequest { change: ChangeOptions { apply, ..ChangeOptions::default() }, ..request };
    let gate = Gate::new();
    fixture.aws.fault(Op::CreateAccessEntry, Fault::Hold(gate.clone()).times(2));
    let (sender, steps) = mpsc::channel(16);
    let service = Arc::clone(&fixture.agent.access);
    let changing = {
        let _inside = fixture.runtime();
        tokio::spawn(service.grant("prod".parse().unwrap(), request, sender))
    };
    fixture.aws.wait_for_calls(Op::CreateAccessEntry, 2, HANG_GUARD);
    assert_eq!(fixture.agent.access.check_settled().unwrap_err().0.code, ErrorCode::RestartRefused);
    drop(steps);
    gate.open();
    fixture.block_on(changing).unwrap().unwrap();
    assert!(entries(&fixture).is_superset(&BTreeSet::from([role("a"), role("b")])));
    assert!(fixture.agent.access.check_settled().is_ok());
}

/// Fault matrix row 118.
#[test]
fn locked_agent_changes_and_lists_nothing() {
    let fixture = Fixture::new();
    let request = LockRequest { passphrase: Some("correct horse".to_owned().into()), ..LockRequest::default() };
    fixture.block_on(fixture.agent.lock.lock(request, Locker::default())).unwrap();
    let listed = fixture.block_on(fixture.agent.access.list(&"prod".parse().unwrap(), AccessListRequest::default()));
    assert_eq!(listed.unwrap_err().0.code, ErrorCode::Locked);
    assert_eq!(failure(grant(&fixture, &view(&["dev"]))).code, ErrorCode::Locked);
    assert_eq!(fixture.aws.calls(Op::ListAccessEntries), 0);
}

/// The endpoint as the client calls it.
#[test]
fn grant_endpoint_streams_its_steps() {
    let fixture = Fixture::new();
    fixture.aws.add_role(Role::new(&role("dev")));
    let mut socket = UnixStream::connect(fixture.sandbox.runtime_dir().join("rolecall/agent.sock")).unwrap();
    let body = serde_json::to_string(&view(&["dev"])).unwrap();
    let path = Endpoint::AccessGrant("prod".parse().unwrap()).path();
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let lines = response.lines().filter(|line| line.starts_with('{'));
    let steps: Vec<AccessStep> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(steps.iter().all(|step| *step != AccessStep::Unknown));
    assert_eq!(plan(steps).effective(), 1);
}
