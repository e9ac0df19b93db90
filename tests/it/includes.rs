//! Included files: a change of one affects what it changed, and nothing else.

use std::fs;

use crate::fixture::{Fixture, PROD, ROLE, config_path};

/// The team's profiles, of the source of the team's file.
fn team(names: &[&str]) -> String {
    let section = |name: &&str| {
        format!(
            "[profiles.{name}]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"team\"\nrole_arn = \"{ROLE}\"\n"
        )
    };
    let profiles: String = names.iter().map(section).collect();
    format!("[sources.team]\naws_profile = \"work\"\n{profiles}")
}

fn write_team(fixture: &Fixture, text: &str) {
    let path = config_path(&fixture.sandbox).with_file_name("team.toml");
    fixture.sandbox.write(path.strip_prefix(fixture.sandbox.root()).unwrap(), text);
    fixture.agent.config.reload();
}

/// The configuration with an entry key for the included profiles.
fn including() -> Fixture {
    let fixture = Fixture::new();
    let key = "5e".repeat(32);
    let pins = ["a", "b"].map(|name| format!("[included.{name}]\nentry_key = \"{key}\"\n")).concat();
    fixture.configure(&format!("include = [\"team.toml\"]\n{PROD}{pins}"));
    fixture
}

fn names(fixture: &Fixture) -> Vec<String> {
    fixture.agent.status.status().profiles.into_iter().map(|profile| profile.name.to_string()).collect()
}

/// Fault matrix row 90.
#[test]
fn change_of_an_include_keeps_other_sessions() {
    let fixture = including();
    assert_eq!(names(&fixture), ["prod"]);
    write_team(&fixture, &team(&["a", "b"]));
    assert_eq!(names(&fixture), ["a", "b", "prod"]);
    let token = fixture.good_token("a");
    fixture.api.username(token.token()).unwrap();
    fixture.good_token("prod");
    let calls = fixture.aws.calls(rolecall_harness::Op::AssumeRole);
    // A broken file, a file without `b`, no file: the sessions of the others stay.
    for text in ["[profiles", &team(&["a"]), ""] {
        write_team(&fixture, text);
        fixture.good_token("a");
        fixture.good_token("prod");
    }
    assert_eq!(fixture.aws.calls(rolecall_harness::Op::AssumeRole), calls);
    assert_eq!(names(&fixture), ["a", "prod"]);
    let status = fixture.agent.config.config_status();
    assert!(status.problem.is_none());
    let include = &status.includes[0];
    let problem = include.problem.as_ref().unwrap();
    assert!(problem.error.message.contains("team.toml: is empty"), "{}", problem.error.message);
    assert!(include.loaded.is_some() && include.profiles == 1);
    fs::remove_file(config_path(&fixture.sandbox).with_file_name("team.toml")).unwrap();
    fixture.agent.config.reload();
    assert_eq!(names(&fixture), ["a", "prod"]);
    // No longer included.
    fixture.configure(PROD);
    assert_eq!(names(&fixture), ["prod"]);
    assert!(fixture.agent.config.config_status().includes.is_empty());
}

#[test]
fn own_profile_overrides_and_gives_way_again() {
    let fixture = including();
    write_team(&fixture, &team(&["prod"]).replace("\"prod\"\nregion", "\"other\"\nregion"));
    let status = || fixture.agent.status.status().profiles.remove(0);
    assert_eq!(status().cluster.as_str(), "prod");
    assert!(status().overrides.is_some_and(|path| path.ends_with("team.toml")));
    fixture.configure("include = [\"team.toml\"]\n");
    assert_eq!(status().cluster.as_str(), "other");
    assert!(status().included_from.is_some_and(|path| path.ends_with("team.toml")) && status().overrides.is_none());
}
