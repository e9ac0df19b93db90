//! The keys of constraints.

use super::*;
use crate::constraints::Confirm;

fn constraints(defaults: &str, profile: &str) -> Option<Arc<Constraints>> {
    let text = with("duration = \"45min\"", defaults).replace("external_id = \"x/y\"", profile);
    let config = Config::parse(Path::new("config.toml"), &text).unwrap();
    config.profiles[&"prod".parse().unwrap()].constraints.clone()
}

#[test]
fn profile_replaces_the_defaults_key_by_key() {
    assert_eq!(constraints("", ""), None);
    let defaults = "max_lifetime = \"8h\"\nconfirm = \"first\"\nallowed_hours = \"Mo-Fr 08:00-19:00\"";
    let own = "confirm = \"never\"\nallowed_programs = [\"/usr/bin/kubectl\"]\nallowed_hours = [\"00:00-24:00\"]";
    let both = constraints(defaults, own).unwrap();
    assert_eq!((both.max_lifetime, both.confirm), (Some(Duration::from_hours(8)), Confirm::Never));
    assert_eq!(both.allowed_programs.as_deref(), Some(&[PathBuf::from("/usr/bin/kubectl")][..]));
    assert_eq!(both.allowed_hours.as_ref().unwrap().to_string(), "00:00-24:00");
    assert_eq!(constraints("confirm = \"always\"", "confirm = \"never\""), None);
}

#[test]
fn keep_warm_is_at_most_the_lifetime() {
    let text = with("duration = \"45min\"", "max_lifetime = \"2h\"");
    let config = Config::parse(Path::new("config.toml"), &text).unwrap();
    assert_eq!(config.profiles[&"prod".parse().unwrap()].keep_warm, Duration::from_hours(2));
}

#[test]
fn malformed_constraint_is_an_error_with_its_key() {
    for (line, key, message) in [
        ("max_lifetime = \"30s\"", "max_lifetime", "must be from a minute (1min) to a week (168h)"),
        ("confirm = \"sometimes\"", "confirm", "unknown variant"),
        ("allowed_programs = []", "allowed_programs", "must name a program"),
        ("allowed_programs = [\"kubectl\"]", "allowed_programs[0]", "must be an absolute path"),
        ("allowed_hours = \"9 to 5\"", "allowed_hours", "must be periods such as \"Mo-Fr 08:00-19:00\""),
        ("allowed_hours = []", "allowed_hours", "must be periods"),
        ("allowed_hours = 9", "allowed_hours", "expected a period such as"),
    ] {
        let error = error(&with("external_id = \"x/y\"", line));
        assert!(error.contains(&format!("profiles.prod.{key}: ")) && error.contains(message), "{line}: {error}");
    }
    let error = error(&format!("{GOOD}\n[confirm]\nprogram = \"pinentry\"\n"));
    assert!(error.contains("confirm.program: must be an absolute path"), "{error}");
}
