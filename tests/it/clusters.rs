//! The probe: what `rolecall add` gets from the daemon before it writes a file.

use rolecall_harness::{Cluster, Op};
use rolecall_protocol::{ErrorCode, ProbedCluster};

use crate::fixture::{Fixture, PROD, REGION, ROLE};

fn probe(fixture: &Fixture, text: &str) -> rolecall_protocol::Probed {
    fixture.block_on(fixture.agent.probe.probe(&"prod".parse().unwrap(), text.to_owned())).unwrap()
}

#[test]
fn probe_assumes_role_and_finds_cluster() {
    let fixture = Fixture::new();
    let probed = probe(&fixture, PROD);
    assert_eq!(probed.session.arn.as_deref(), Some("arn:aws:sts::111122223333:assumed-role/developers/dev@laptop"));
    let ProbedCluster::Cluster(cluster) = probed.cluster else { panic!("no cluster") };
    assert_eq!((cluster.server.as_str(), cluster.version.as_deref()), (fixture.api.url().as_str(), Some("1.33")));
    assert_eq!(cluster.certificate_authority_data, fixture.api.ca_base64());
    // The first kubectl gets the probe's session.
    fixture.good_token("prod");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1);
}

#[test]
fn probe_falls_back_to_source_for_describe() {
    let fixture = Fixture::new();
    fixture.aws.deny(ROLE, "eks:DescribeCluster");
    assert!(matches!(probe(&fixture, PROD).cluster, ProbedCluster::Cluster(_)));
    fixture.aws.deny(&fixture.user.arn, "eks:DescribeCluster");
    let ProbedCluster::ClusterProblem(problem) = probe(&fixture, PROD).cluster else { panic!("described") };
    assert_eq!(problem.code, ErrorCode::AccessDenied);
    assert!(problem.to_string().contains("eks:DescribeCluster"), "{problem}");
}

#[test]
fn cluster_description_is_no_use_of_the_profile() {
    let fixture = Fixture::new();
    let name = "prod".parse().unwrap();
    let cluster = fixture.block_on(fixture.agent.profiles.cluster(&name)).unwrap();
    assert_eq!(cluster.server, fixture.api.url());
    let last_used = || fixture.agent.status.status().profiles[0].last_used;
    assert_eq!(last_used(), None);
    fixture.good_token("prod");
    assert!(last_used().is_some());
}

#[test]
fn probe_of_missing_cluster_lists_existing_names() {
    let fixture = Fixture::new();
    fixture.aws.add_cluster(Cluster::new("staging", REGION));
    let problem = |cluster: &str| {
        let text = PROD.replace("cluster  = \"prod\"", &format!("cluster = \"{cluster}\""));
        match probe(&fixture, &text).cluster {
            ProbedCluster::ClusterProblem(problem) => problem.to_string(),
            ProbedCluster::Cluster(cluster) => panic!("{cluster:?}"),
        }
    };
    assert_eq!(problem("prdo"), "there is no cluster \"prdo\" in eu-west-1 of this account. Did you mean \"prod\"?");
    assert_eq!(
        problem("elsewhere"),
        "there is no cluster \"elsewhere\" in eu-west-1 of this account. Existing clusters: prod, staging."
    );
}

#[test]
fn probe_without_role_gets_the_source_identity() {
    let fixture = Fixture::new();
    let probed = probe(&fixture, &PROD.replace(&format!("role_arn = \"{ROLE}\""), ""));
    assert_eq!(probed.session.arn.as_deref(), Some("arn:aws:iam::111122223333:user/dev"));
}
