//! The further parameters of AssumeRole.

use crate::config::inputs::StepInputs;

use super::*;

/// Profiles with every parameter; `via` has one role.
const FULL: &str = r#"
[defaults]
source_identity = "dev@example.com"
tags = { team = "platform", "cost center" = "42" }
fips = true

[sources.work]
aws_profile = "work"

[profiles.prod]
cluster = "prod"
region = "eu-west-1"
source = "work"
role_arn = "arn:aws:iam::111122223333:role/developers"
via = ["arn:aws:iam::999988887777:role/hub"]
transitive_tags = ["team"]
policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
policy = '{ "Version": "2012-10-17", "Statement": [ ] }'
sts_endpoint = "https://sts.corp"
dual_stack = true

[profiles.twin]
cluster = "twin"
region = "eu-west-1"
source = "work"
role_arn = "arn:aws:iam::111122223333:role/developers"
via = ["arn:aws:iam::999988887777:role/hub"]
transitive_tags = ["team"]
policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
policy = '{"Version":"2012-10-17","Statement":[]}'
sts_endpoint = "https://sts.corp"
dual_stack = true

[profiles.plain]
cluster = "prod"
region = "eu-west-1"
source = "work"
role_arn = "arn:aws:iam::111122223333:role/developers"
source_identity = "other"
tags = {}
fips = false

[profiles.self]
cluster = "prod"
region = "eu-west-1"
source = "work"
"#;

#[test]
fn inputs_are_assigned_to_first_and_last_step() {
    let config = Config::parse(Path::new("config.toml"), FULL).unwrap();
    let inputs_of = |name: &str| config.profiles[&name.parse().unwrap()].inputs.clone();
    let prod = inputs_of("prod").unwrap();
    let [first, last] = [0, 1].map(|index| StepInputs::clone(prod.step(index).unwrap()));
    let keys = |inputs: &StepInputs| inputs.tags.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(first.source_identity.as_ref().unwrap().as_str(), "dev@example.com");
    assert_eq!((keys(&first), keys(&last)), (vec!["team".to_owned()], vec!["cost center".to_owned()]));
    assert_eq!((first.transitive_tags.len(), last.transitive_tags.len()), (1, 0));
    assert_eq!((first.policy, first.policy_arns.len(), &last.source_identity), (None, 0, &None));
    assert_eq!(last.policy.as_deref(), Some(r#"{"Statement":[],"Version":"2012-10-17"}"#));
    assert_eq!(last.policy_arns.len(), 1);
    assert_eq!(first.sts, last.sts);
    assert_eq!(last.sts.url.unwrap().as_str(), "https://sts.corp");
    assert!(prod.variant.fips && prod.variant.dual_stack);
    // Equal inputs share one allocation.
    assert!(Arc::ptr_eq(&prod, &inputs_of("twin").unwrap()));
    let plain = inputs_of("plain").unwrap();
    assert_eq!(plain.step(0).unwrap().source_identity.as_ref().unwrap().as_str(), "other");
    assert!(plain.step(0).unwrap().tags.is_empty() && !plain.variant.fips);
    // Without a role, only the endpoint of tokens remains of the defaults.
    let own = inputs_of("self").unwrap();
    assert!(own.step(0).is_none() && own.variant.fips);
    let bare = FULL.replace("source_identity = \"dev@example.com\"\n", "").replace("fips = true\n", "");
    let bare = bare.replace("tags = { team = \"platform\", \"cost center\" = \"42\" }\n", "");
    let bare = bare.replace("transitive_tags = [\"team\"]\n", "");
    assert_eq!(Config::parse(Path::new("x"), &bare).unwrap().profiles[&"self".parse().unwrap()].inputs, None);
}

#[test]
fn invalid_inputs_error_has_file_line_and_key() {
    let profile = |more: &str| {
        format!(
            "[sources.work]\naws_profile = \"work\"\n[profiles.p]\ncluster = \"c\"\nregion = \"eu-west-1\"\nsource = \"work\"\n\
             role_arn = \"arn:aws:iam::111122223333:role/developers\"\n{more}\n"
        )
    };
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().join(",");
    let tags = format!("tags = {{ {} }}", many(51, &|n| format!("t{n} = \"x\"")));
    let arns = format!("policy_arns = [{}]", many(11, &|n| format!("\"arn:aws:iam::aws:policy/p{n}\"")));
    let long = format!("policy = '{{\"Statement\": \"{}\"}}'", "y".repeat(2033));
    for (line, key, expected) in [
        (
            "source_identity = \"a b\"",
            "source_identity",
            "source identity: may hold only letters, digits and '_+=,.@-', not ' '",
        ),
        ("source_identity = \"x\"", "source_identity", "source identity: must have 2 to 64 characters"),
        ("tags = { \"aws:x\" = \"y\" }", "tags.aws:x", "tag key: may not begin with aws:, which is AWS's own"),
        (
            "tags = { team = \"*\" }",
            "tags.team",
            "tag value: may hold only letters, digits, spaces and '_.:/=+-@', not '*'",
        ),
        ("tags = { team = 5 }", "tags.team", "invalid type: integer `5`, expected a string"),
        ("tags = { Team = \"a\", team = \"b\" }", "tags", "has \"team\" twice; case is ignored"),
        (tags.as_str(), "tags", "has 51 entries, the limit is 50"),
        ("transitive_tags = [\"team\"]", "transitive_tags", "has \"team\", which is not a key of tags"),
        (
            "policy_arns = [\"ReadOnlyAccess\"]",
            "policy_arns[0]",
            "policy ARN: must look like arn:aws:iam::111122223333:policy/NAME, or arn:aws:iam::aws:policy/NAME",
        ),
        (
            "policy_arns = [\"arn:aws-cn:iam::aws:policy/X\"]",
            "policy_arns",
            "is in partition aws-cn, but the region eu-west-1 is not",
        ),
        (arns.as_str(), "policy_arns", "has 11 entries, the limit is 10"),
        ("policy = \"{ hunter\"", "policy", "must be a policy in JSON"),
        ("policy = \"[]\"", "policy", "must be a policy: a JSON object with a Statement"),
        ("policy = '{\"Statement\": \"\u{20ac}\"}'", "policy", "must contain only characters up to U+00FF"),
        (long.as_str(), "policy", "has 2049 characters without whitespace, the limit is 2048"),
        (
            "sts_endpoint = \"http://sts.corp\"",
            "sts_endpoint",
            "must be an https URL; http is allowed for this machine only (http://127.0.0.1:PORT)",
        ),
        ("fips = \"yes\"", "fips", "invalid type: string, expected a boolean"),
        (
            "session_name = \"{unknown}\"",
            "session_name",
            "session name: may hold only letters, digits and '_+=,.@-', not '{'",
        ),
    ] {
        assert_eq!(error(&profile(line)), format!("config.toml:8: profiles.p.{key}: {expected}"));
    }
    let fits = format!("policy = '{{ \"Statement\" : \"{}\" }}'", "y".repeat(2032));
    Config::parse(Path::new("config.toml"), &profile(&fits)).unwrap();
    let china = |line: &str| {
        let text = profile(line).replace("eu-west-1", "cn-north-1").replace("arn:aws:", "arn:aws-cn:");
        error(&text)
    };
    assert_eq!(china("fips = true"), "config.toml:8: profiles.p.fips: STS of partition aws-cn has no FIPS endpoints");
    let iso =
        |line: &str| error(&profile(line).replace("eu-west-1", "us-iso-east-1").replace("arn:aws:", "arn:aws-iso:"));
    let expected = "config.toml:8: profiles.p.dual_stack: STS of partition aws-iso has no dual-stack endpoints";
    assert_eq!(iso("dual_stack = true"), expected);
    for line in
        ["source_identity = \"dev\"", "tags = {}", "policy = '{\"Statement\":[]}'", "sts_endpoint = \"https://x\""]
    {
        let text = profile(line).replace("role_arn = \"arn:aws:iam::111122223333:role/developers\"\n", "");
        let key = line.split(' ').next().unwrap();
        assert_eq!(error(&text), format!("config.toml:7: profiles.p.{key}: has no effect without role_arn"));
    }
    let message = error(&format!("[defaults]\ntags = {{ \"a,b\" = \"x\" }}\n{}", profile("")));
    assert!(message.starts_with("config.toml:2: defaults.tags.a,b: tag key: may hold only"), "{message}");
}
