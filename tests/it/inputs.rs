//! What a profile, and the configuration as a whole, says of how AWS is called.

use rolecall_harness::{Op, Role};

use crate::world::{PROD, ROLE, World};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

fn endpoints(url: &str) -> String {
    format!("[endpoints]\nsts = \"{url}\"\neks = \"{url}\"\n")
}

#[test]
fn configured_endpoints_stand_above_awss_files_and_change_without_a_restart() {
    let world = World::new();
    world.sandbox.write_aws_profile("work", &world.user, NOWHERE);
    world.token_error("prod", 1);
    world.configure(&format!("{PROD}{}", endpoints(&world.aws.endpoint())));
    world.good_token("prod");
    let cluster = world.block_on(world.agent.cluster(&"prod".parse().unwrap())).unwrap();
    assert_eq!(cluster.name.as_str(), "prod");
    assert_eq!((world.aws.calls(Op::AssumeRole), world.aws.calls(Op::DescribeCluster)), (1, 1));
    // What came from another STS is not served any more.
    world.configure(&format!("{PROD}{}", endpoints("http://127.0.0.1:2")));
    let line = world.token_error("prod", 1);
    assert!(line.contains("STS cannot be reached"), "{line}");
    // And only STS: where clusters are described says nothing of a session.
    world.configure(&format!("{PROD}{}", endpoints(&world.aws.endpoint())));
    world.good_token("prod");
    let calls = world.aws.calls(Op::AssumeRole);
    world.configure(&format!("{PROD}{}", endpoints(&world.aws.endpoint()).replace("eks", "iam")));
    world.good_token("prod");
    assert_eq!(world.aws.calls(Op::AssumeRole), calls);
}

#[test]
fn configured_endpoints_hold_for_the_roles_of_awss_own_files() {
    let hub = "arn:aws:iam::999988887777:role/hub";
    for services in ["", "services = mine\n[services mine]\nsts =\n  endpoint_url = http://127.0.0.1:1\n"] {
        let world = World::new();
        world.aws.add_role(Role::new(hub).trusts(&world.user.arn));
        world.aws.update_role(ROLE, |role| role.trusts(hub));
        world.sandbox.write_aws_profile("work", &world.user, NOWHERE);
        world.sandbox.append_aws_config(&format!(
            "[profile hub]\nrole_arn = {hub}\nsource_profile = work\nregion = eu-west-1\nendpoint_url = {NOWHERE}\n{services}"
        ));
        let config = PROD.replace("aws_profile = \"work\"", "aws_profile = \"hub\"");
        world.configure(&format!("{config}{}", endpoints(&world.aws.endpoint())));
        world.good_token("prod");
        let roles: Vec<_> = world.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
        assert_eq!(roles, [hub, ROLE]);
    }
}

#[test]
fn a_profile_is_tried_at_the_endpoints_of_the_configuration_that_it_is_tried_in() {
    let world = World::new();
    let probe = |url: &str| {
        let text = format!("{PROD}{}", endpoints(url));
        world.block_on(world.agent.probe(&"prod".parse().unwrap(), text))
    };
    assert!(probe(NOWHERE).is_err());
    world.good_token("prod");
    let calls = world.aws.calls(Op::AssumeRole);
    probe(&world.aws.endpoint()).unwrap();
    assert_eq!(world.aws.calls(Op::AssumeRole), calls + 1);
}
