//! The doctor: each cause of a failure is the first problem that it names.

use std::sync::Arc;

use rolecall_protocol::{DoctorRequest, DoctorStep, Finding, FindingArea, FindingState};
use tokio::sync::mpsc;

use crate::access::{api_server, pinned};
use crate::fixture::{Fixture, REGION, ROLE};

/// Diagnoses the profile `prod`. The kubeconfig has the API server of the fixture.
fn diagnose(fixture: &Fixture) -> Vec<Finding> {
    diagnose_with(fixture, DoctorRequest { api_server: Some(api_server(fixture)), ..DoctorRequest::default() })
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
    assert_eq!(
        causes,
        [
            (FindingArea::Source, "arn:aws:iam::111122223333:user/dev (AWS profile work)"),
            (FindingArea::Source, "clock within 1 s of AWS"),
            (FindingArea::Role, ROLE),
            (FindingArea::ApiServer, "API server reachable"),
            (FindingArea::ApiServer, "certificate matches the pin"),
            (FindingArea::Access, "user dev:dev-laptop (groups system:masters)"),
            (FindingArea::Access, "may do everything in namespace default"),
        ]
    );
    // A second diagnosis uses the session of the first.
    diagnose(&fixture);
    assert_eq!(fixture.aws.calls(rolecall_harness::Op::AssumeRole), 1);
}

#[test]
fn role_that_is_not_mapped_is_named() {
    let fixture = pinned();
    fixture.aws.revoke("prod", REGION, ROLE);
    let finding = first(&fixture);
    assert_eq!((finding.code.as_str(), finding.area), ("not_mapped", FindingArea::Access), "{finding:#?}");
    assert!(finding.consequence.unwrap().contains("You must be logged in to the server (Unauthorized)"));
    let administrator = finding.administrator.unwrap();
    assert_eq!(
        administrator.commands[0],
        format!("rolecall access grant prod --role {ROLE} --policy AmazonEKSViewPolicy")
    );
}
