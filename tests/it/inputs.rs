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
    let cluster = world.block_on(world.agent.cluster.cluster(&"prod".parse().unwrap())).unwrap();
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
        world.block_on(world.agent.probe.probe(&"prod".parse().unwrap(), text))
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
    world.block_on(world.agent.cluster.cluster(&name)).unwrap();
    let asked = proxy.targets();
    assert!(asked.iter().all(|target| [format!("{sts}:443"), format!("{eks}:443")].contains(target)), "{asked:?}");
    assert_eq!((world.aws.calls(Op::AssumeRole), world.aws.calls(Op::DescribeCluster)), (1, 1));
    // What is on this machine does not go through it, and neither does what is said not to. (127.1 is this machine for the
    // resolver alone: a name that asks no name server.)
    let proxied = |more: &str| {
        let before = proxy.targets().len();
        world.configure(&with(&format!("http://dev:hunter2%21@{}", proxy.addr()), more));
        world.token("prod");
        proxy.targets().len() > before
    };
    let odd = endpoints(&format!("https://127.1:{}", tls.addr().port()));
    assert!(!proxied(&endpoints(&world.aws.endpoint())));
    assert!(proxied(&odd));
    assert!(!proxied(&format!("no_proxy = \"10.0.0.0/8,127.1\"\n{odd}")));
}

const HUB: &str = "arn:aws:iam::999988887777:role/hub";

/// What else each AssumeRole was given.
fn given(world: &World) -> Vec<Vec<(String, String)>> {
    let known = ["Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds"];
    let more = |call: rolecall_harness::Call| {
        call.params.into_iter().filter(|(key, _)| !known.contains(&key.as_str())).collect::<Vec<_>>()
    };
    world.aws.log_of(Op::AssumeRole).into_iter().map(more).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const EVERYTHING: &str = r#"
source_identity = "dev@example.com"
tags = { team = "platform", stage = "prod" }
transitive_tags = ["team"]
policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
policy = '{ "Version": "2012-10-17", "Statement": [] }'
"#;

#[test]
fn sts_sees_what_the_profile_says() {
    let world = World::new();
    world.aws.update_role(ROLE, |role| role.allows_tag_session().allows_source_identity());
    world.configure(&format!("{PROD}{EVERYTHING}"));
    world.good_token("prod");
    let all = [
        ("Policy", r#"{"Statement":[],"Version":"2012-10-17"}"#),
        ("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        ("SourceIdentity", "dev@example.com"),
        ("Tags.member.1.Key", "stage"),
        ("Tags.member.1.Value", "prod"),
        ("Tags.member.2.Key", "team"),
        ("Tags.member.2.Value", "platform"),
        ("TransitiveTagKeys.member.1", "team"),
    ];
    assert_eq!(given(&world), [pairs(&all)]);
    // All of it is part of what a session was made from.
    for (from, to) in [
        ("dev@example.com", "ops@example.com"),
        ("platform", "payments"),
        ("ReadOnlyAccess", "ViewOnlyAccess"),
        ("2012-10-17", "2008-10-17"),
        ("[\"team\"]", "[\"stage\"]"),
    ] {
        let calls = world.aws.calls(Op::AssumeRole);
        world.configure(&format!("{PROD}{}", EVERYTHING.replace(from, to)));
        world.good_token("prod");
        assert_eq!(world.aws.calls(Op::AssumeRole), calls + 1, "{to}");
    }
}

#[test]
fn a_chain_begins_with_what_stays_and_ends_with_what_does_not() {
    let world = World::new();
    world.aws.add_role(Role::new(HUB).trusts(&world.user.arn).allows_tag_session().allows_source_identity());
    world.aws.update_role(ROLE, |role| role.trusts(HUB).allows_tag_session().allows_source_identity());
    world.configure(&format!("{PROD}via = [\"{HUB}\"]\nexternal_id = \"hand/shake\"\n{EVERYTHING}"));
    world.good_token("prod");
    let first = [
        ("SourceIdentity", "dev@example.com"),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "platform"),
        ("TransitiveTagKeys.member.1", "team"),
    ];
    let last = [
        ("ExternalId", "hand/shake"),
        ("Policy", r#"{"Statement":[],"Version":"2012-10-17"}"#),
        ("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        ("Tags.member.1.Key", "stage"),
        ("Tags.member.1.Value", "prod"),
    ];
    assert_eq!(given(&world), [pairs(&first), pairs(&last)]);
}

#[test]
fn what_a_role_does_not_allow_is_said_with_what_to_do() {
    let world = World::new();
    world.configure(&format!("{PROD}tags = {{ team = \"x\" }}\n"));
    let line = world.token_error("prod", 1);
    assert!(line.contains("Session tags want sts:TagSession"), "{line}");
    world.configure(&format!("{PROD}source_identity = \"dev\"\n"));
    let line = world.token_error("prod", 1);
    assert!(line.contains("A source identity wants sts:SetSourceIdentity"), "{line}");
    world.aws.update_role(ROLE, Role::allows_tag_session);
    let tags: Vec<_> = (0..50).map(|n| format!("t{n} = \"{}\"", "x".repeat(200))).collect();
    world.configure(&format!("{PROD}tags = {{ {} }}\n", tags.join(", ")));
    let line = world.token_error("prod", 1);
    assert!(line.contains("use fewer or shorter ones"), "{line}");
}

#[test]
fn a_profile_may_have_an_sts_of_its_own_and_its_token_names_a_standard_host() {
    let world = World::new();
    let tls = world.aws.over_tls(&["localhost"]);
    let ca = world.sandbox.write("home/ca.pem", tls.ca_pem());
    let (own, nowhere) = (tls.endpoint(), endpoints(NOWHERE).replace("eks", "iam"));
    world.configure(&format!(
        "{PROD}sts_endpoint = \"{own}\"\nfips = true\ndual_stack = true\n{nowhere}[network]\nca_bundle = \"{}\"\n",
        ca.display()
    ));
    let url = url_of(world.good_token("prod").token());
    assert!(url.starts_with("https://sts-fips.eu-west-1.api.aws/?Action=GetCallerIdentity"), "{url}");
    assert!(world.aws.log_of(Op::AssumeRole)[0].host.starts_with("localhost:"));
    let details = world.agent.status.profile(&"prod".parse().unwrap()).unwrap();
    assert_eq!(details.inputs.sts_endpoint, Some(own));
    assert!(details.inputs.fips && details.inputs.dual_stack);
}

/// The URL in a token.
fn url_of(token: &str) -> String {
    use base64::Engine as _;
    let encoded = token.strip_prefix("k8s-aws-v1.").unwrap();
    String::from_utf8(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}

#[test]
fn a_session_may_be_called_as_the_session_of_its_source() {
    let world = World::new();
    world.aws.add_role(Role::new(HUB).trusts(&world.user.arn));
    world.aws.update_role(ROLE, |role| role.trusts(HUB));
    world.configure(&format!("{PROD}via = [\"{HUB}\"]\nsession_name = \"{{profile}}-{{source_session}}\"\n"));
    world.good_token("prod");
    let names = |from: usize| {
        let log = world.aws.log_of(Op::AssumeRole);
        log.into_iter().skip(from).filter_map(|call| call.session_name).collect::<Vec<_>>()
    };
    assert_eq!(names(0), ["prod-dev", "prod-dev"], "of the source, not of the hub");
    assert_eq!(world.aws.calls(Op::GetCallerIdentity), 1);
    world.block_on(world.agent.refresh.refresh(&"prod".parse().unwrap())).unwrap();
    assert_eq!((names(2).len(), world.aws.calls(Op::GetCallerIdentity)), (2, 1), "whose they are is remembered");
    // Other credentials are somebody else's.
    let other = world.aws.add_user("111122223333", "ops");
    world.aws.update_role(HUB, |role| role.trusts(&other.arn));
    world.sandbox.write_aws_profile("work", &other, &world.aws.endpoint());
    world.block_on(world.agent.refresh.refresh(&"prod".parse().unwrap())).unwrap();
    assert_eq!(names(4), ["prod-ops", "prod-ops"]);
    let shown = world.agent.status.profile(&"prod".parse().unwrap()).unwrap().session_name;
    assert_eq!(shown.as_deref(), Some("prod-{source_session}"));
}
