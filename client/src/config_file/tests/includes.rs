//! Patterns of included files, and the profiles that come from them.

use super::*;

#[test]
fn include_keeps_header_comments_and_layout() {
    let pattern = |text: &str| text.parse().unwrap();
    let added = |text: &str, paths: &[&str]| {
        let mut config = file(text);
        for path in paths {
            assert!(config.add_include(&pattern(path)).unwrap());
            assert!(!config.add_include(&pattern(path)).unwrap(), "only once");
        }
        config.text()
    };
    // The comment that belongs to the first table stays with it.
    assert_eq!(added(HAND, &["a.toml"]), HAND.replacen("[defaults]", "include = [\"a.toml\"]\n\n[defaults]", 1));
    assert_eq!(
        added("# about work\n[sources.work]\naws_profile = \"work\"\n", &["a", "b"]),
        "include = [\"a\", \"b\"]\n\n# about work\n[sources.work]\naws_profile = \"work\"\n"
    );
    assert_eq!(added("", &["a"]), format!("{NEW_FILE_HEADER}include = [\"a\"]\n"));
    assert_eq!(added("# mine\r\n", &["a"]), "# mine\r\n\r\ninclude = [\"a\"]\r\n");
    // Comments and lines of the user's own array stay.
    let lines = "include = [\n  \"a\", # ours\n  \"b\",\n]\n";
    assert_eq!(added(lines, &["c"]), "include = [\n  \"a\", # ours\n  \"b\",\n  \"c\",\n]\n");
    let mut config = file(lines);
    assert_eq!(config.remove_include(&pattern("b")), ["b"]);
    assert_eq!(config.remove_include(&pattern("b")), Vec::<String>::new());
    assert!(config.text().contains("\"a\", # ours") && !config.text().contains("\"b\""), "{}", config.text());
    assert!(file("include = 1\n").add_include(&pattern("a")).is_err());
}

#[test]
fn included_profile_has_the_pin_of_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let [path, team] = ["config.toml", "team.toml"].map(|name| folder.path().join(name));
    for (path, text) in [(&path, "include = [\"team.toml\"]\n"), (&team, HAND)] {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let key = EntryKey::new(rolecall_protocol::Secret::new([7; 32]));
    save(&path, |file| {
        assert_eq!(file.all_profile_names(), ["audit", "prod"]);
        assert_eq!(file.included_from("prod"), Some(team.clone()));
        assert_eq!(file.entry_key_or_set("prod", &key), None, "no table yet");
        file.set_included_server("prod", Some(("https://new", "ab"))).unwrap();
        assert_eq!(file.entry_key_or_set("prod", &key), Some(key.clone()));
    });
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("include = [\"team.toml\"]\n\n[included.prod]\nserver = \"https://new\"\n"), "{text}");
    let mut config = ConfigFile::load(&path).unwrap();
    let pinned = config.profile_in_force("prod").unwrap();
    assert_eq!((pinned.server.as_deref(), pinned.role_arn), (Some("https://new"), entry().role_arn));
    assert!(config.profile("prod").is_none());
    assert!(config.check_own_profile("prod").unwrap_err().to_string().contains("the profile prod comes from"));
    // Only the server is replaced; what the user added stays.
    config.set_included_server("prod", None).unwrap();
    assert_eq!(config.text(), text);
    // A profile of the user's own overrides.
    config.set_profile("prod", &entry()).unwrap();
    assert_eq!((config.included_from("prod"), config.overridden("prod")), (None, Some(team)));
    assert_eq!(config.profile_in_force("prod"), Some(entry()));
    assert_eq!(config.entry_key("prod"), None, "it does not use the key of the included one");
}
