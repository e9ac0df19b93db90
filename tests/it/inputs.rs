//! Settings of profiles and of the configuration that affect calls to AWS.

use rolecall_harness::{Op, Proxy, Role};

use crate::fixture::{Fixture, PROD, ROLE};

/// No server listens on this port.
const NOWHERE: &str = "http://127.0.0.1:1";

fn endpoints(url: &str) -> String {
    format!("[endpoints]\nsts = \"{url}\"\neks = \"{url}\"\n")
}

#[test]
fn configured_endpoints_override_aws_files_without_restart() {
    let fixture = Fixture::new();
    fixture.sandbox.write_aws_profile("work", &fixture.user, NOWHERE);
    fixture.token_error("prod", 1);
    fixture.configure(&format!("{PROD}{}", endpoints(&fixture.aws.endpoint())));
    fixture.good_token("prod");
    let cluster = fixture.block_on(fixture.agent.profiles.cluster(&"prod".parse().unwrap())).unwrap();
    assert_eq!(cluster.name.as_str(), "prod");
    assert_eq!((fixture.aws.calls(Op::AssumeRole), fixture.aws.calls(Op::DescribeCluster)), (1, 1));
    // A session from another STS is not served.
    fixture.configure(&format!("{PROD}{}", endpoints("http://127.0.0.1:2")));
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("STS cannot be reached"), "{line}");
    // Only the STS address is part of a session's key; the EKS address is not.
    fixture.configure(&format!("{PROD}{}", endpoints(&fixture.aws.endpoint())));
    fixture.good_token("prod");
    let calls = fixture.aws.calls(Op::AssumeRole);
    fixture.configure(&format!("{PROD}{}", endpoints(&fixture.aws.endpoint()).replace("eks", "iam")));
    fixture.good_token("prod");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), calls);
}

#[test]
fn configured_endpoints_apply_to_roles_of_aws_files() {
    let hub = "arn:aws:iam::999988887777:role/hub";
    for services in ["", "services = mine\n[services mine]\nsts =\n  endpoint_url = http://127.0.0.1:1\n"] {
        let fixture = Fixture::new();
        fixture.aws.add_role(Role::new(hub).trusts(&fixture.user.arn));
        fixture.aws.update_role(ROLE, |role| role.trusts(hub));
        fixture.sandbox.write_aws_profile("work", &fixture.user, NOWHERE);
        fixture.sandbox.append_aws_config(&format!(
            "[profile hub]\nrole_arn = {hub}\nsource_profile = work\nregion = eu-west-1\nendpoint_url = {NOWHERE}\n{services}"
        ));
        let config = PROD.replace("aws_profile = \"work\"", "aws_profile = \"hub\"");
        fixture.configure(&format!("{config}{}", endpoints(&fixture.aws.endpoint())));
        fixture.good_token("prod");
        let roles: Vec<_> = fixture.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
        assert_eq!(roles, [hub, ROLE]);
    }
}

#[test]
fn probe_uses_endpoints_of_the_given_config() {
    let fixture = Fixture::new();
    let probe = |url: &str| {
        let text = format!("{PROD}{}", endpoints(url));
        fixture.block_on(fixture.agent.probe.probe(&"prod".parse().unwrap(), text))
    };
    assert!(probe(NOWHERE).is_err());
    fixture.good_token("prod");
    let calls = fixture.aws.calls(Op::AssumeRole);
    probe(&fixture.aws.endpoint()).unwrap();
    assert_eq!(fixture.aws.calls(Op::AssumeRole), calls + 1);
}

#[test]
fn private_ca_from_config_is_trusted() {
    let fixture = Fixture::new();
    let tls = fixture.aws.over_tls(&["localhost"]);
    let ca = fixture.sandbox.write("home/ca.pem", tls.ca_pem());
    fixture.configure(&format!("{PROD}{}", endpoints(&tls.endpoint())));
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("STS at localhost is not trusted: its certificate is signed by an authority"), "{line}");
    let network = format!("[network]\nca_bundle = \"{}\"\n", ca.display());
    fixture.configure(&format!("{PROD}{}{network}", endpoints(&tls.endpoint())));
    fixture.good_token("prod");
    let other = fixture.aws.over_tls(&["aws.example"]);
    fixture.sandbox.write("home/ca.pem", other.ca_pem());
    fixture.configure(&format!("{PROD}{}{network}# again\n", endpoints(&other.endpoint())));
    let line = fixture.token_error("prod", 1);
    assert!(
        line.contains("STS at localhost is not trusted: its certificate is for another host: aws.example."),
        "{line}"
    );
    fixture.sandbox.write("home/ca.pem", tls.ca_pem());
    fixture.configure(&format!("{PROD}{}{network}", endpoints(&tls.endpoint())));
    fixture.good_token("prod");
    // The CA bundle adds to the trusted CAs: AWS over plain http on loopback still works, and the session is kept.
    let calls = fixture.aws.calls(Op::AssumeRole);
    fixture.configure(&format!("{PROD}{}", endpoints(&tls.endpoint())));
    fixture.good_token("prod");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), calls);
}

#[test]
fn ca_bundle_of_the_aws_profile_is_honoured() {
    let fixture = Fixture::new();
    let (tls, other) = (fixture.aws.over_tls(&["localhost"]), fixture.aws.over_tls(&["localhost"]));
    let ca = fixture.sandbox.write("home/ca.pem", tls.ca_pem());
    let (id, secret) = (&fixture.user.id, &fixture.user.secret);
    let with =
        |bundle: &str, endpoint: &str| {
            fixture.sandbox.write("home/.aws/config", &format!(
            "[profile work]\nregion = eu-west-1\nca_bundle = {bundle}\nservices = local\naws_access_key_id = {id}\n\
             aws_secret_access_key = {secret}\n\n[services local]\nsts =\n  endpoint_url = {endpoint}\n"
        ));
            fixture.sandbox.write("home/.aws/credentials", "");
            fixture.configure("# nothing\n");
            fixture.configure(PROD);
        };
    with(&ca.display().to_string(), &tls.endpoint());
    fixture.good_token("prod");
    with(&ca.display().to_string(), &other.endpoint());
    // The other CA has the same name and another key.
    assert!(fixture.token_error("prod", 1).contains("STS at localhost is not trusted: its certificate is not valid"));
    with("/nowhere/ca.pem", &tls.endpoint());
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("AWS profile \"work\": ca_bundle: /nowhere/ca.pem does not exist"), "{line}");
    with("ca.pem", &tls.endpoint());
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("ca_bundle: must be an absolute path; the request was not sent"), "{line}");
}

#[test]
fn proxy_reaches_aws_and_hides_its_password() {
    let fixture = Fixture::new();
    let (sts, eks) = ("sts.eu-west-1.amazonaws.com", "eks.eu-west-1.amazonaws.com");
    let tls = fixture.aws.over_tls(&[sts, eks]);
    let proxy = Proxy::start(tls.addr(), Some("dev:hunter2!"));
    let ca = fixture.sandbox.write("home/ca.pem", tls.ca_pem());
    // No endpoint is configured, so the proxy gets AWS's real host names, and no name server does.
    let (id, secret) = (&fixture.user.id, &fixture.user.secret);
    fixture.sandbox.write_aws_profile("work", &fixture.user, NOWHERE);
    fixture.sandbox.write(
        "home/.aws/credentials",
        &format!("[bare]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
    );
    let with = |url: &str, more: &str| {
        let config = PROD.replace("aws_profile = \"work\"", "aws_profile = \"bare\"");
        format!("{config}[network]\nproxy = \"{url}\"\nca_bundle = \"{}\"\n{more}", ca.display())
    };
    fixture.configure(&with(&format!("http://dev:wrong-hunter@{}", proxy.addr()), ""));
    let line = fixture.token_error("prod", 1);
    assert!(
        line.contains("STS cannot be reached at sts.eu-west-1.amazonaws.com: the proxy requires a user name"),
        "{line}"
    );
    assert!(!line.contains("hunter"), "{line}");
    fixture.configure(&with(&format!("http://dev:hunter2%21@{}", proxy.addr()), ""));
    fixture.good_token("prod");
    let name = "prod".parse().unwrap();
    fixture.block_on(fixture.agent.profiles.cluster(&name)).unwrap();
    let asked = proxy.targets();
    assert!(asked.iter().all(|target| [format!("{sts}:443"), format!("{eks}:443")].contains(target)), "{asked:?}");
    assert_eq!((fixture.aws.calls(Op::AssumeRole), fixture.aws.calls(Op::DescribeCluster)), (1, 1));
    // Loopback addresses and those in no_proxy do not use the proxy. (Only the resolver knows that 127.1 is this machine; it asks
    // no name server for it.)
    let proxied = |more: &str| {
        let before = proxy.targets().len();
        fixture.configure(&with(&format!("http://dev:hunter2%21@{}", proxy.addr()), more));
        fixture.token("prod");
        proxy.targets().len() > before
    };
    let odd = endpoints(&format!("https://127.1:{}", tls.addr().port()));
    assert!(!proxied(&endpoints(&fixture.aws.endpoint())));
    assert!(proxied(&odd));
    assert!(!proxied(&format!("no_proxy = \"10.0.0.0/8,127.1:{},\"\n{odd}", tls.addr().port())));
    assert!(proxied(&format!("no_proxy = \"127.1:1\"\n{odd}")));
}

const HUB: &str = "arn:aws:iam::999988887777:role/hub";

/// Returns the further parameters of each AssumeRole.
fn given(fixture: &Fixture) -> Vec<Vec<(String, String)>> {
    let known = ["Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds"];
    let more = |call: rolecall_harness::Call| {
        call.params.into_iter().filter(|(key, _)| !known.contains(&key.as_str())).collect::<Vec<_>>()
    };
    fixture.aws.log_of(Op::AssumeRole).into_iter().map(more).collect()
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
fn profile_options_reach_sts() {
    let fixture = Fixture::new();
    fixture.aws.update_role(ROLE, |role| role.allows_tag_session().allows_source_identity());
    fixture.configure(&format!("{PROD}{EVERYTHING}"));
    fixture.good_token("prod");
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
    assert_eq!(given(&fixture), [pairs(&all)]);
    // Every option is part of a session's key.
    for (from, to) in [
        ("dev@example.com", "ops@example.com"),
        ("platform", "payments"),
        ("ReadOnlyAccess", "ViewOnlyAccess"),
        ("2012-10-17", "2008-10-17"),
        ("[\"team\"]", "[\"stage\"]"),
    ] {
        let calls = fixture.aws.calls(Op::AssumeRole);
        fixture.configure(&format!("{PROD}{}", EVERYTHING.replace(from, to)));
        fixture.good_token("prod");
        assert_eq!(fixture.aws.calls(Op::AssumeRole), calls + 1, "{to}");
    }
}

#[test]
fn role_chain_applies_options_to_the_right_steps() {
    let fixture = Fixture::new();
    fixture.aws.add_role(Role::new(HUB).trusts(&fixture.user.arn).allows_tag_session().allows_source_identity());
    fixture.aws.update_role(ROLE, |role| role.trusts(HUB).allows_tag_session().allows_source_identity());
    fixture.configure(&format!("{PROD}via = [\"{HUB}\"]\nexternal_id = \"hand/shake\"\n{EVERYTHING}"));
    fixture.good_token("prod");
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
    assert_eq!(given(&fixture), [pairs(&first), pairs(&last)]);
}

#[test]
fn options_denied_by_role_are_reported_with_hint() {
    let fixture = Fixture::new();
    fixture.configure(&format!("{PROD}tags = {{ team = \"x\" }}\n"));
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("Allow sts:TagSession"), "{line}");
    fixture.configure(&format!("{PROD}source_identity = \"dev\"\n"));
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("Allow sts:SetSourceIdentity"), "{line}");
    fixture.aws.update_role(ROLE, Role::allows_tag_session);
    let tags: Vec<_> = (0..50).map(|n| format!("t{n} = \"{}\"", "x".repeat(200))).collect();
    fixture.configure(&format!("{PROD}tags = {{ {} }}\n", tags.join(", ")));
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("fewer or shorter session tags"), "{line}");
}

#[test]
fn profile_sts_endpoint_keeps_standard_token_host() {
    let fixture = Fixture::new();
    let tls = fixture.aws.over_tls(&["localhost"]);
    let ca = fixture.sandbox.write("home/ca.pem", tls.ca_pem());
    let (own, nowhere) = (tls.endpoint(), endpoints(NOWHERE).replace("eks", "iam"));
    fixture.configure(&format!(
        "{PROD}sts_endpoint = \"{own}\"\nfips = true\ndual_stack = true\n{nowhere}[network]\nca_bundle = \"{}\"\n",
        ca.display()
    ));
    let url = url_of(fixture.good_token("prod").token());
    assert!(url.starts_with("https://sts-fips.eu-west-1.api.aws/?Action=GetCallerIdentity"), "{url}");
    assert!(fixture.aws.log_of(Op::AssumeRole)[0].host.starts_with("localhost:"));
    let details = fixture.agent.status.profile(&"prod".parse().unwrap()).unwrap();
    assert_eq!(details.inputs.sts_endpoint, Some(own));
    assert!(details.inputs.fips && details.inputs.dual_stack);
}

/// Returns the URL in a token.
fn url_of(token: &str) -> String {
    use base64::Engine as _;
    let encoded = token.strip_prefix("k8s-aws-v1.").unwrap();
    String::from_utf8(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}

#[test]
fn session_name_may_be_the_source_session_name() {
    let fixture = Fixture::new();
    fixture.aws.add_role(Role::new(HUB).trusts(&fixture.user.arn));
    fixture.aws.update_role(ROLE, |role| role.trusts(HUB));
    fixture.configure(&format!("{PROD}via = [\"{HUB}\"]\nsession_name = \"{{profile}}-{{source_session}}\"\n"));
    fixture.good_token("prod");
    let names = |from: usize| {
        let log = fixture.aws.log_of(Op::AssumeRole);
        log.into_iter().skip(from).filter_map(|call| call.session_name).collect::<Vec<_>>()
    };
    assert_eq!(names(0), ["prod-dev", "prod-dev"], "the session name of the source, not of the hub");
    assert_eq!(fixture.aws.calls(Op::GetCallerIdentity), 1);
    fixture.block_on(fixture.agent.profiles.refresh(&"prod".parse().unwrap())).unwrap();
    assert_eq!((names(2).len(), fixture.aws.calls(Op::GetCallerIdentity)), (2, 1), "the principal is remembered");
    // Other credentials belong to another principal.
    let other = fixture.aws.add_user("111122223333", "ops");
    fixture.aws.update_role(HUB, |role| role.trusts(&other.arn));
    fixture.sandbox.write_aws_profile("work", &other, &fixture.aws.endpoint());
    fixture.block_on(fixture.agent.profiles.refresh(&"prod".parse().unwrap())).unwrap();
    assert_eq!(names(4), ["prod-ops", "prod-ops"]);
    let shown = fixture.agent.status.profile(&"prod".parse().unwrap()).unwrap().session_name;
    assert_eq!(shown.as_deref(), Some("prod-{source_session}"));
}
