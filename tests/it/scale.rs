//! Many profiles, long role chains, and circular ones.

use std::fmt::Write as _;

use rolecall_harness::Op;

use crate::fixture::{Fixture, PROD, ROLE, config_path};

const PROFILES: usize = 10_000;
const CLUSTERS: usize = 2_000;

/// A configuration of many profiles, each with its own role. Only the role of the last one exists.
fn many() -> String {
    let mut text = "[sources.work]\naws_profile = \"work\"\n".to_owned();
    for number in 0..PROFILES {
        let cluster = number % CLUSTERS;
        let role = if number == PROFILES - 1 { ROLE.to_owned() } else { format!("{ROLE}-{number}") };
        write!(
            text,
            "\n[profiles.team-{number}]\ncluster = \"cluster-{cluster}\"\nregion = \"eu-west-1\"\nsource = \"work\"\n\
             role_arn = \"{role}\"\nserver = \"https://{cluster:032X}.gr7.eu-west-1.eks.amazonaws.com\"\n"
        )
        .unwrap();
    }
    text
}

/// Fault matrix row 92.
#[test]
fn ten_thousand_profiles_are_served() {
    let fixture = Fixture::new();
    fixture.configure(&many());
    fixture.good_token("team-9999");
    let status = fixture.agent.status.status();
    assert!(status.config.problem.is_none(), "{:?}", status.config.problem);
    assert_eq!(status.profiles.len(), PROFILES);
    // One profile among many still has its own result, and an unknown name is reported.
    let line = fixture.token_error("team-0", 1);
    assert!(line.contains(&format!("AssumeRole of {ROLE}-0")), "{line}");
    let line = fixture.token_error("taem-9999", 1);
    assert!(line.contains("Did you mean team-9999"), "{line}");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 2);
}

/// Fault matrix row 92.
#[test]
fn error_in_one_of_ten_thousand_profiles_is_located() {
    let fixture = Fixture::new();
    fixture.configure(&format!("{}colour = \"red\"\n", many()));
    let line = fixture.token_error("team-9999", 1);
    let expected = format!("{}:70003: profiles.team-9999.colour: ", config_path(&fixture.sandbox).display());
    assert!(line.contains(&expected), "{line}");
}

/// Fault matrix row 92.
#[test]
fn role_chain_of_a_thousand_steps_is_rejected() {
    let fixture = Fixture::new();
    let via = vec!["\"arn:aws:iam::999988887777:role/hub\""; 1000].join(", ");
    fixture.configure(&format!("{PROD}via = [{via}]\n"));
    let problem = fixture.agent.status.status().config.problem.unwrap().error.message;
    assert!(problem.ends_with("profiles.prod.via: makes 1001 roles in all, the limit is 5"), "{problem}");
    fixture.good_token("prod");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1, "the last valid configuration is in force");
}

/// Fault matrix row 92.
#[test]
fn cycle_in_aws_files_is_an_error() {
    let fixture = Fixture::new();
    let profile = |name: &str, source: &str| {
        fixture.sandbox.append_aws_config(&format!(
            "[profile {name}]\nrole_arn = arn:aws:iam::111122223333:role/{name}\nsource_profile = {source}\n"
        ));
    };
    // A circle of three profiles, a profile that leads into it, and a profile without an access key that names itself.
    for (name, source) in [("one", "two"), ("two", "three"), ("three", "one"), ("into", "two"), ("own", "own")] {
        profile(name, source);
    }
    for (name, expected) in [
        ("one", "forms a circle: one, two, three, one"),
        ("into", "forms a circle: into, two, three, one, two"),
        ("own", "forms a circle: own, own"),
    ] {
        fixture.configure(&PROD.replace("aws_profile = \"work\"", &format!("aws_profile = \"{name}\"")));
        let line = fixture.token_error("prod", 1);
        assert!(line.contains(&format!("AWS profile \"{name}\"")) && line.contains(expected), "{line}");
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
}
