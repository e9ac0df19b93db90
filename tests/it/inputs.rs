//! What a profile, and the configuration as a whole, says of how AWS is called.

use rolecall_harness::{Op, Proxy, Role};

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

#[test]
fn a_private_ca_is_trusted_where_the_configuration_says_so() {
    let world = World::new();
    let tls = world.aws.over_tls(&["localhost"]);
    let ca = world.sandbox.write("home/ca.pem", tls.ca_pem());
    world.configure(&format!("{PROD}{}", endpoints(&tls.endpoint())));
    let line = world.token_error("prod", 1);
    assert!(line.contains("STS cannot be reached") && line.contains("certificate"), "{line}");
    let network = format!("[network]\nca_bundle = \"{}\"\n", ca.display());
    world.configure(&format!("{PROD}{}{network}", endpoints(&tls.endpoint())));
    world.good_token("prod");
    // In addition to, not instead of: AWS over plain loopback is as before, and the session is kept.
    let calls = world.aws.calls(Op::AssumeRole);
    world.configure(&format!("{PROD}{}", endpoints(&tls.endpoint())));
    world.good_token("prod");
    assert_eq!(world.aws.calls(Op::AssumeRole), calls);
}

#[test]
fn a_proxy_leads_to_aws_and_its_password_is_nowhere_to_be_seen() {
    let world = World::new();
    let (sts, eks) = ("sts.eu-west-1.amazonaws.com", "eks.eu-west-1.amazonaws.com");
    let tls = world.aws.over_tls(&[sts, eks]);
    let proxy = Proxy::start(tls.addr(), Some("dev:hunter2!"));
    let ca = world.sandbox.write("home/ca.pem", tls.ca_pem());
    // The real names: nothing of AWS's own is configured, and nothing is asked of a name server but the proxy's address.
    let (id, secret) = (&world.user.id, &world.user.secret);
    world.sandbox.write_aws_profile("work", &world.user, NOWHERE);
    world.sandbox.write(
        "home/.aws/credentials",
        &format!("[bare]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
    );
    let with = |url: &str, more: &str| {
        let config = PROD.replace("aws_profile = \"work\"", "aws_profile = \"bare\"");
        format!("{config}[network]\nproxy = \"{url}\"\nca_bundle = \"{}\"\n{more}", ca.display())
    };
    world.configure(&with(&format!("http://dev:wrong-hunter@{}", proxy.addr()), ""));
    let line = world.token_error("prod", 1);
    assert!(line.contains("STS cannot be reached") && line.contains("the proxy"), "{line}");
    assert!(!line.contains("hunter"), "{line}");
    world.configure(&with(&format!("http://dev:hunter2%21@{}", proxy.addr()), ""));
    world.good_token("prod");
    let name = "prod".parse().unwrap();
    world.block_on(world.agent.cluster(&name)).unwrap();
    let asked = proxy.asked();
    assert!(asked.iter().all(|target| [format!("{sts}:443"), format!("{eks}:443")].contains(target)), "{asked:?}");
    assert_eq!((world.aws.calls(Op::AssumeRole), world.aws.calls(Op::DescribeCluster)), (1, 1));
    // What is on this machine does not go through it, and neither does what is said not to. (127.1 is this machine for the
    // resolver alone: a name that asks no name server.)
    let proxied = |more: &str| {
        let before = proxy.asked().len();
        world.configure(&with(&format!("http://dev:hunter2%21@{}", proxy.addr()), more));
        world.token("prod");
        proxy.asked().len() > before
    };
    let odd = endpoints(&format!("https://127.1:{}", tls.addr().port()));
    assert!(!proxied(&endpoints(&world.aws.endpoint())));
    assert!(proxied(&odd));
    assert!(!proxied(&format!("no_proxy = \"10.0.0.0/8,127.1\"\n{odd}")));
}
