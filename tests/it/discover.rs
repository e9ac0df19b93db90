//! The search for clusters.

use std::sync::Arc;

use rolecall_harness::{AwsProfile, Cluster, Fault, Op, Role};
use rolecall_protocol::{
    ClusterAccess, DescribedCluster, DiscoverRequest, DiscoverStep, DiscoveredCluster, DiscoveredIdentity, ErrorCode,
    LockRequest, LoginRequest,
};
use rolecalld::services::lock::Locker;
use tokio::sync::mpsc;

use crate::fixture::{ACCOUNT, Fixture, PROD, REGION};

const OTHER_ACCOUNT: &str = "444455556666";

/// Runs a search and returns its clusters, and what it skipped with the error codes.
fn discover(fixture: &Fixture, request: DiscoverRequest) -> (Vec<DiscoveredCluster>, Vec<(String, ErrorCode)>) {
    let service = Arc::clone(&fixture.agent.discover);
    let steps = fixture.block_on(async move {
        let (sender, mut steps) = mpsc::channel(16);
        let received = async move {
            let mut all = Vec::new();
            while let Some(step) = steps.recv().await {
                all.push(step);
            }
            all
        };
        tokio::join!(service.discover(request, sender), received).1
    });
    assert_eq!(steps.last(), Some(&DiscoverStep::Done), "{steps:?}");
    let (mut found, mut skipped, mut last) = (Vec::new(), Vec::new(), (0, 0));
    for step in steps {
        match step {
            DiscoverStep::Found { cluster } => found.push(*cluster),
            DiscoverStep::Skipped { what, error } => skipped.push((what, error.code)),
            DiscoverStep::Progress { done, total, .. } => last = (done, total),
            _ => {}
        }
    }
    assert_eq!(last.0, last.1, "the last progress is complete");
    found.sort_by_key(|cluster| (cluster.name.to_string(), cluster.region.to_string()));
    (found, skipped)
}

fn in_regions(regions: &[&str]) -> DiscoverRequest {
    let regions = regions.iter().map(|region| region.parse().unwrap()).collect();
    DiscoverRequest { regions, ..DiscoverRequest::default() }
}

fn names(found: &[DiscoveredCluster]) -> Vec<String> {
    found.iter().map(|cluster| format!("{} {}", cluster.name, cluster.region)).collect()
}

#[test]
fn discover_finds_clusters_of_sources_and_aws_profiles() {
    let fixture = Fixture::new();
    for (name, region) in [("edge", "us-east-2"), ("lab", REGION)] {
        fixture.aws.add_cluster(Cluster::new(name, region));
    }
    let role = "arn:aws:iam::444455556666:role/partner";
    fixture.aws.add_role(Role::new(role).trusts(&fixture.user.arn));
    fixture.aws.add_cluster(Cluster::new("partner", "us-east-2").account(OTHER_ACCOUNT));
    let partner = AwsProfile::role(role, "work");
    fixture.sandbox.write_aws_config("partner", &partner, &fixture.aws.endpoint());

    // Without regions, those of the files.
    assert_eq!(names(&discover(&fixture, DiscoverRequest::default()).0), ["lab eu-west-1", "prod eu-west-1"]);
    let (found, skipped) = discover(&fixture, in_regions(&[REGION, "us-east-2"]));
    assert_eq!(names(&found), ["edge us-east-2", "lab eu-west-1", "partner us-east-2", "prod eu-west-1"]);
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!(found[3].identity, DiscoveredIdentity::Source { source: "work".parse().unwrap() });
    assert_eq!(found[3].account.as_deref(), Some(ACCOUNT));
    // The user is not mapped in the cluster; the role of the profile is.
    assert_eq!(found[3].access, Some(ClusterAccess::NotMapped));
    let DescribedCluster::Cluster(prod) = &found[3].described else { panic!("{:?}", found[3]) };
    assert_eq!(prod.server, fixture.api.url());
    assert_eq!(found[2].identity, DiscoveredIdentity::AwsProfile { aws_profile: "partner".to_owned() });
    assert_eq!(found[2].account.as_deref(), Some(OTHER_ACCOUNT));
    // It has no endpoint.
    assert!(matches!(&found[1].described, DescribedCluster::ClusterProblem(_)) && found[1].access.is_none());

    let (found, _) = discover(&fixture, in_regions(&["us-east-2"]));
    assert_eq!(names(&found), ["edge us-east-2", "partner us-east-2"]);
    let only = DiscoverRequest { aws_profiles: vec!["partner".to_owned()], ..in_regions(&["us-east-2"]) };
    assert_eq!(names(&discover(&fixture, only).0), ["partner us-east-2"]);
    let all =
        DiscoverRequest { all_regions: true, sources: vec!["work".parse().unwrap()], ..DiscoverRequest::default() };
    assert_eq!(names(&discover(&fixture, all).0), ["edge us-east-2", "lab eu-west-1", "prod eu-west-1"]);
}

#[test]
fn discover_reports_what_it_cannot_search() {
    let fixture = Fixture::new();
    fixture.aws.deny(&fixture.user.arn, "eks:ListClusters");
    let (found, skipped) = discover(&fixture, in_regions(&[REGION, "us-east-2"]));
    assert!(found.is_empty());
    assert_eq!(skipped, [("source work".to_owned(), ErrorCode::AccessDenied)]);

    let missing = DiscoverRequest { aws_profiles: vec!["wrok".to_owned()], ..in_regions(&[REGION]) };
    let (_, skipped) = discover(&fixture, missing);
    assert_eq!(skipped, [("AWS profile wrok".to_owned(), ErrorCode::SourceUnavailable)]);
}

#[test]
fn discover_lists_the_permission_sets_of_a_login() {
    let fixture = Fixture::new();
    let center = fixture.aws.sso();
    for (account, role) in [(ACCOUNT, "Developers"), (ACCOUNT, "Auditors"), (OTHER_ACCOUNT, "Developers")] {
        center.assign("dev", account, role);
    }
    fixture.aws.add_cluster(Cluster::new("partner", REGION).account(OTHER_ACCOUNT));
    fixture.sandbox.write_sso_profile("corp-dev", Some("corp"), &center, ACCOUNT, "Developers");
    fixture.configure(&format!("{PROD}[sources.corp]\naws_profile = \"corp-dev\"\n"));
    let wanted =
        || DiscoverRequest { sources: vec!["corp".parse().unwrap()], permission_sets: true, ..in_regions(&[REGION]) };
    let (found, skipped) = discover(&fixture, wanted());
    assert!(found.is_empty());
    let login = ErrorCode::LoginNeeded;
    assert_eq!(skipped, [("sso-session corp".to_owned(), login), ("source corp".to_owned(), login)]);

    center.approve_all();
    fixture.block_on(async {
        let (sender, mut steps) = mpsc::channel(16);
        let login = fixture.agent.login.login("corp".parse().unwrap(), LoginRequest::default(), sender);
        let read = async { while steps.recv().await.is_some() {} };
        tokio::join!(login, read).0.unwrap();
    });
    let (found, skipped) = discover(&fixture, wanted());
    assert!(skipped.is_empty(), "{skipped:?}");
    let by_role = |cluster: &DiscoveredCluster| match &cluster.identity {
        DiscoveredIdentity::PermissionSet { sso_session, account, role_name, account_name } => {
            assert_eq!((sso_session.as_str(), account_name.as_str()), ("corp", format!("account {account}").as_str()));
            format!("{} {account} {role_name}", cluster.name)
        }
        DiscoveredIdentity::Source { source } => format!("{} {source}", cluster.name),
        other => panic!("{other:?}"),
    };
    let mut seen: Vec<String> = found.iter().map(by_role).collect();
    seen.sort();
    assert_eq!(seen, ["partner 444455556666 Developers", "prod 111122223333 Auditors", "prod corp"]);

    let only = DiscoverRequest { accounts: vec![OTHER_ACCOUNT.to_owned()], ..wanted() };
    assert_eq!(names(&discover(&fixture, only).0), ["partner eu-west-1", "prod eu-west-1"]);
    let only = DiscoverRequest { role_names: vec!["Auditors".to_owned()], ..wanted() };
    assert_eq!(names(&discover(&fixture, only).0), ["prod eu-west-1", "prod eu-west-1"]);
}

/// Fault matrix row 128.
#[test]
fn discover_finds_a_cluster_that_is_listed_twice_once() {
    let fixture = Fixture::new();
    let listed = |names: Vec<String>| Fault::Raw {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: serde_json::json!({ "clusters": names }).to_string().into_bytes(),
    };
    fixture.aws.fault(Op::ListClusters, listed(vec!["prod".to_owned(); 5_000]));
    assert_eq!(names(&discover(&fixture, in_regions(&[REGION])).0), ["prod eu-west-1"]);
    fixture.aws.fault(Op::ListClusters, listed((0..10_001).map(|n| format!("c{n}")).collect()));
    let (found, skipped) = discover(&fixture, in_regions(&[REGION]));
    assert!(found.is_empty());
    assert_eq!(skipped.len(), 1, "{skipped:?}");
}

#[test]
fn discover_is_refused_while_locked() {
    let fixture = Fixture::new();
    fixture.block_on(async {
        let lock = LockRequest { passphrase: Some("correct horse".to_owned().into()), ..LockRequest::default() };
        fixture.agent.lock.lock(lock, Locker::default()).await.unwrap();
        let (sender, mut steps) = mpsc::channel(4);
        let result = fixture.agent.discover.discover(DiscoverRequest::default(), sender).await;
        assert_eq!(result, Err(ErrorCode::Locked));
        let Some(DiscoverStep::Failed { error }) = steps.recv().await else { panic!("no error") };
        assert_eq!(error.code, ErrorCode::Locked);
    });
}
