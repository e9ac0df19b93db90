//! The doctor: what it checks, and what its findings say.

mod causes;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rolecall_harness::{Op, Role};
use rolecall_protocol::{
    AccessQuery, DoctorRequest, DoctorStep, Endpoint, ErrorCode, Finding, FindingArea, FindingState, Hint, LockRequest,
};
use rolecalld::services::lock::Locker;
use tokio::sync::mpsc;

use crate::access::pinned;
use crate::fixture::{Fixture, PROD, REGION, ROLE, config_path};

/// Diagnoses the profile `prod`. The kubeconfig has the API server of the pin, and the CA of the fixture.
fn diagnose(fixture: &Fixture) -> Vec<Finding> {
    diagnose_with(fixture, DoctorRequest { api_server: Some(api_server(fixture)), ..DoctorRequest::default() })
}

fn api_server(fixture: &Fixture) -> AccessQuery {
    let details = fixture.agent.status.profile(&"prod".parse().unwrap()).unwrap();
    AccessQuery { server: details.server.unwrap(), certificate_authority_data: fixture.api.ca_base64() }
}

fn diagnose_with(fixture: &Fixture, request: DoctorRequest) -> Vec<Finding> {
    let mut steps = steps(fixture, request);
    assert_eq!(steps.pop(), Some(DoctorStep::Done), "{steps:#?}");
    let finding = |step| match step {
        DoctorStep::Found { finding } => Some(finding),
        DoctorStep::Checking { .. } => None,
        other => panic!("{other:?}"),
    };
    steps.into_iter().filter_map(finding).collect()
}

fn steps(fixture: &Fixture, request: DoctorRequest) -> Vec<DoctorStep> {
    let service = Arc::clone(&fixture.agent.doctor);
    fixture.block_on(async move {
        let (sender, mut steps) = mpsc::channel(16);
        let receive = async {
            let mut all = Vec::new();
            while let Some(step) = steps.recv().await {
                all.push(step);
            }
            all
        };
        tokio::join!(service.doctor("prod".parse().unwrap(), request, sender), receive).1
    })
}

/// Returns the code of the first finding that is not as it should be. It has a cause and a way to fix it.
#[track_caller]
fn first(fixture: &Fixture) -> Finding {
    let findings = diagnose(fixture);
    let first = findings.iter().find(|finding| finding.state != FindingState::Ok);
    first.unwrap_or_else(|| panic!("nothing found: {findings:#?}")).clone()
}

#[test]
fn healthy_profile_has_only_good_findings() {
    let fixture = pinned();
    let findings = diagnose(&fixture);
    assert!(
        findings.iter().all(|finding| finding.state == FindingState::Ok && finding.code.is_empty()),
        "{findings:#?}"
    );
    let causes: Vec<(FindingArea, &str)> =
        findings.iter().map(|finding| (finding.area, finding.cause.as_str())).collect();
    let token = causes[3].1;
    assert!(token.starts_with("token of ") && token.ends_with(" of 4,096 bytes, accepted by STS"), "{token}");
    assert_eq!(
        causes,
        [
            (FindingArea::Source, "arn:aws:iam::111122223333:user/dev (AWS profile work)"),
            (FindingArea::Source, "clock within 1 s of AWS"),
            (FindingArea::Role, ROLE),
            (FindingArea::ApiServer, token),
            (FindingArea::ApiServer, "API server reachable"),
            (FindingArea::ApiServer, "certificate matches the pin"),
            (FindingArea::Access, "user dev:dev-laptop (groups system:masters)"),
            (FindingArea::Access, "may do everything in namespace default"),
        ]
    );
    // A second diagnosis uses the session of the first.
    diagnose(&fixture);
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1);
}

/// Replaces a part of the configuration, which has the pin of `pinned`.
fn reconfigure(fixture: &Fixture, from: &str, to: &str) {
    let text = std::fs::read_to_string(config_path(&fixture.sandbox)).unwrap();
    assert!(text.contains(from), "{text}");
    fixture.configure(&text.replace(from, to));
}

/// Pins the profile to another API server and CA.
fn pin_to(fixture: &Fixture, server: &str, ca_base64: &str) {
    let hash = rolecall_aws::cluster::ca_sha256(ca_base64).unwrap();
    fixture.configure(&format!("{PROD}server = \"{server}\"\nca_sha256 = \"{hash}\"\n"));
}

/// The session in the cache works until it ends.
#[test]
fn failed_source_is_a_warning_while_the_session_is_usable() {
    let fixture = pinned();
    diagnose(&fixture);
    fixture.aws.remove_key(&fixture.user.id);
    let findings = diagnose(&fixture);
    let bad: Vec<_> = findings.iter().filter(|finding| finding.state != FindingState::Ok).collect();
    let [finding] = bad.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((finding.state, finding.code.as_str()), (FindingState::Warning, "access_key_unknown"));
    assert!(finding.consequence.as_deref().unwrap().starts_with("kubectl works for another 1 h"), "{finding:#?}");
    assert!(findings.iter().any(|finding| finding.area == FindingArea::Access));
}

#[test]
fn mapping_in_other_case_is_accepted() {
    let fixture = pinned();
    fixture.api.map_role("arn:aws:iam::111122223333:role/Developers", "dev", &["view"]);
    fixture.aws.revoke("prod", REGION, ROLE);
    assert!(diagnose(&fixture).iter().all(|finding| finding.state == FindingState::Ok));
}

#[test]
fn role_that_is_not_mapped_is_explained_to_an_administrator() {
    let fixture = pinned();
    fixture.aws.revoke("prod", REGION, ROLE);
    let finding = first(&fixture);
    assert!(finding.consequence.unwrap().contains("You must be logged in to the server (Unauthorized)"));
    let administrator = finding.administrator.unwrap();
    assert_eq!(
        administrator.commands,
        [
            format!("rolecall access grant prod --role {ROLE} --policy AmazonEKSViewPolicy"),
            format!(
                "aws eks create-access-entry --cluster-name prod --region {REGION} --principal-arn {ROLE} && aws eks \
                 associate-access-policy --cluster-name prod --region {REGION} --principal-arn {ROLE} --policy-arn \
                 arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy --access-scope type=cluster"
            ),
        ]
    );
    // `status` knows it.
    assert!(fixture.agent.status.status().profiles[0].tokens_rejected.is_some());
}

#[test]
fn cluster_of_other_region_is_found_without_a_kubeconfig() {
    let fixture = pinned();
    reconfigure(&fixture, "\"eu-west-1\"", "\"eu-central-1\"");
    let findings = diagnose_with(&fixture, DoctorRequest::default());
    let last = findings.last().unwrap();
    assert_eq!(last.code, "cluster_in_other_region", "{findings:#?}");
    assert!(last.fix.as_ref().map(Hint::as_str).unwrap().contains("region = \"eu-west-1\""), "{last:#?}");
}

/// A role of another account than the cluster's, which EKS therefore does not find.
#[test]
fn cluster_of_another_account_is_accepted() {
    let fixture = pinned();
    fixture.aws.add_cluster(fixture.api.cluster().account("444455556666"));
    fixture.aws.remove_cluster("prod", REGION);
    let findings = diagnose(&fixture);
    let bad: Vec<_> = findings.iter().filter(|finding| finding.state != FindingState::Ok).collect();
    assert_eq!((bad.len(), bad[0].code.as_str()), (1, "cluster_of_other_account"), "{findings:#?}");
    // The pinned API server answers, so the cluster was not deleted.
    fixture.aws.revoke("prod", REGION, ROLE);
    // The clock stands still, so the token is the one that the API server has cached.
    fixture.api.clear_token_cache();
    assert_eq!(diagnose(&fixture).last().unwrap().code, "not_mapped");
}

#[test]
fn source_without_role_has_a_finding_for_each_area() {
    let fixture = pinned();
    fixture.aws.grant("prod", REGION, &fixture.user.arn, "dev", &["system:masters"]);
    reconfigure(&fixture, &format!("role_arn = \"{ROLE}\""), "");
    let findings = diagnose(&fixture);
    assert!(findings.iter().all(|finding| finding.state == FindingState::Ok), "{findings:#?}");
    for area in [FindingArea::Source, FindingArea::Role, FindingArea::ApiServer, FindingArea::Access] {
        assert!(findings.iter().any(|finding| finding.area == area), "{area:?}");
    }
}

#[test]
fn kubeconfig_without_entry_leaves_the_api_server_unchecked() {
    let fixture = pinned();
    let findings = diagnose_with(&fixture, DoctorRequest::default());
    let last = findings.last().unwrap();
    assert_eq!((last.state, last.code.as_str()), (FindingState::NotChecked, "no_kubeconfig_entry"), "{findings:#?}");
    assert_eq!(last.fix.as_ref().map(Hint::as_str), Some("rolecall kubeconfig prod"));
    let mut request = DoctorRequest { api_server: Some(api_server(&fixture)), ..DoctorRequest::default() };
    request.api_server.as_mut().unwrap().server = "https://evil.example.com".to_owned();
    let findings = diagnose_with(&fixture, request);
    let last = findings.last().unwrap();
    assert_eq!((last.state, last.code.as_str()), (FindingState::Problem, "pin_mismatch"), "{findings:#?}");
}

#[test]
fn failure_that_is_fixed_is_not_remembered() {
    let fixture = pinned();
    fixture.aws.update_role(ROLE, |_| Role::new(ROLE));
    assert_eq!(first(&fixture).code, "trust_policy");
    fixture.aws.update_role(ROLE, |role| role.trusts(&fixture.user.arn));
    assert!(diagnose(&fixture).iter().all(|finding| finding.state == FindingState::Ok));
}

#[test]
fn locked_agent_and_unknown_profile_are_refused() {
    let fixture = pinned();
    let request = LockRequest { passphrase: Some("correct horse".to_owned().into()), ..LockRequest::default() };
    fixture.block_on(fixture.agent.lock.lock(request, Locker::default())).unwrap();
    let refused = steps(&fixture, DoctorRequest::default());
    assert!(matches!(&refused[..], [DoctorStep::Failed { error }] if error.code == ErrorCode::Locked), "{refused:?}");
    assert_eq!(fixture.aws.calls(Op::GetCallerIdentity), 0);
}

/// The endpoint as the client calls it.
#[test]
fn doctor_endpoint_streams_its_steps() {
    let fixture = pinned();
    let mut socket = UnixStream::connect(fixture.sandbox.runtime_dir().join("rolecall/agent.sock")).unwrap();
    let path = Endpoint::Doctor("prod".parse().unwrap()).path();
    write!(socket, "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}")
        .unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let lines = response.lines().filter(|line| line.starts_with('{'));
    let steps: Vec<DoctorStep> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(steps.iter().all(|step| *step != DoctorStep::Unknown));
    assert_eq!(steps.last(), Some(&DoctorStep::Done));
}
