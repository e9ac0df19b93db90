//! What `add` learns through the daemon before it writes anything.

use rolecall_harness::{Cluster, Op};
use rolecall_protocol::{ErrorCode, ProbedCluster};

use crate::world::{PROD, REGION, ROLE, World};

fn probe(world: &World, text: &str) -> rolecall_protocol::Probed {
    world.block_on(world.agent.probe.probe(&"prod".parse().unwrap(), text.to_owned())).unwrap()
}

#[test]
fn a_probe_assumes_the_role_and_finds_the_cluster() {
    let world = World::new();
    let probed = probe(&world, PROD);
    assert_eq!(probed.session.arn.as_deref(), Some("arn:aws:sts::111122223333:assumed-role/developers/dev@laptop"));
    let ProbedCluster::Cluster(cluster) = probed.cluster else { panic!("no cluster") };
    assert_eq!((cluster.server.as_str(), cluster.version.as_deref()), (world.api.url().as_str(), Some("1.33")));
    assert_eq!(cluster.certificate_authority_data, world.api.ca_base64());
    // The session is there for the first kubectl.
    world.good_token("prod");
    assert_eq!(world.aws.calls(Op::AssumeRole), 1);
}

#[test]
fn a_role_that_may_not_describe_leaves_it_to_its_source() {
    let world = World::new();
    world.aws.deny(ROLE, "eks:DescribeCluster");
    assert!(matches!(probe(&world, PROD).cluster, ProbedCluster::Cluster(_)));
    world.aws.deny(&world.user.arn, "eks:DescribeCluster");
    let ProbedCluster::ClusterProblem(problem) = probe(&world, PROD).cluster else { panic!("described") };
    assert_eq!(problem.code, ErrorCode::AccessDenied);
    assert!(problem.to_string().contains("eks:DescribeCluster"), "{problem}");
}

#[test]
fn a_cluster_that_is_not_there_names_those_that_are() {
    let world = World::new();
    world.aws.add_cluster(Cluster::new("staging", REGION));
    let problem = |cluster: &str| {
        let text = PROD.replace("cluster  = \"prod\"", &format!("cluster = \"{cluster}\""));
        match probe(&world, &text).cluster {
            ProbedCluster::ClusterProblem(problem) => problem.to_string(),
            ProbedCluster::Cluster(cluster) => panic!("{cluster:?}"),
        }
    };
    assert_eq!(problem("prdo"), "there is no cluster \"prdo\" in eu-west-1 of this account. Did you mean \"prod\"?");
    assert_eq!(
        problem("elsewhere"),
        "there is no cluster \"elsewhere\" in eu-west-1 of this account. There are: prod, staging."
    );
}

#[test]
fn a_source_without_a_role_is_asked_who_it_is() {
    let world = World::new();
    let probed = probe(&world, &PROD.replace(&format!("role_arn = \"{ROLE}\""), ""));
    assert_eq!(probed.session.arn.as_deref(), Some("arn:aws:iam::111122223333:user/dev"));
}
