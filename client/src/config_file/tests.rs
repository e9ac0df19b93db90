//! Text of the user stays, and entries that were written read back.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::sources::SourceEntry;
use super::*;

const HAND: &str = "\
# my roles
# second line

[defaults]
duration = \"1h\"        # as long as they let me

[sources.work]           # the job
aws_profile = 'work'
mfa = { serial = \"arn:aws:iam::111122223333:mfa/dev\", session = \"12h\" }

# the big one
[profiles.prod]
cluster  = \"prod\"      # the only one
region   = \"eu-west-1\"
source   = \"work\"
role_arn = 'arn:aws:iam::111122223333:role/developers'
keep_warm = \"2h\"         # not the client's business
server   = \"https://old\"

# for reading
[profiles.audit]
cluster = \"prod\"
region = \"eu-west-1\"
source = \"work\"
via = [ \"arn:aws:iam::111122223333:role/a\",
        \"arn:aws:iam::111122223333:role/b\" ]
# the end
";

fn file(text: &str) -> ConfigFile {
    ConfigFile::parse(Path::new("config.toml"), text).unwrap()
}

fn entry() -> ProfileEntry {
    ProfileEntry {
        cluster: "prod".parse().unwrap(),
        region: "eu-west-1".parse().unwrap(),
        source: "work".parse().unwrap(),
        role_arn: Some("arn:aws:iam::111122223333:role/developers".parse().unwrap()),
        via: Vec::new(),
        external_id: None,
        session_name: None,
        duration: None,
        inputs: InputsEntry::default(),
        server: Some("https://old".to_owned()),
        ca_sha256: None,
    }
}

fn save<T>(path: &Path, change: impl FnOnce(&mut ConfigFile) -> T) -> T {
    edit(path, |file| Ok::<T, ConfigFileError>(change(file))).unwrap()
}

#[test]
fn set_equal_values_leaves_the_text_unchanged() {
    let mut config = file(HAND);
    assert_eq!(config.profile("prod"), Some(entry()));
    config.set_profile("prod", &entry()).unwrap();
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile("work"), None).unwrap().as_str(), "work");
    let audit = config.profile("audit").unwrap();
    assert_eq!(audit.via.len(), 2);
    config.set_profile("audit", &audit).unwrap();
    assert!(!config.remove_profile("missing"));
    assert_eq!(config.text(), HAND);
}

#[test]
fn set_profile_changes_only_different_keys() {
    let mut config = file(HAND);
    let changed = ProfileEntry {
        cluster: "other".parse().unwrap(),
        role_arn: None,
        ca_sha256: Some("00ff".to_owned()),
        server: Some("https://new".to_owned()),
        ..entry()
    };
    config.set_profile("prod", &changed).unwrap();
    let wanted = HAND
        .replace("cluster  = \"prod\"", "cluster  = \"other\"")
        .replace("role_arn = 'arn:aws:iam::111122223333:role/developers'\n", "")
        .replace("server   = \"https://old\"\n", "server   = \"https://new\"\nca_sha256 = \"00ff\"\n");
    assert_eq!(config.text(), wanted);
    assert_eq!(config.profile("prod"), Some(changed));
}

#[test]
fn entry_key_is_set_once_and_kept() {
    let [first, second] = ["ab", "cd"].map(|byte| byte.repeat(32).parse::<EntryKey>().unwrap());
    let mut config = file(HAND);
    assert_eq!(config.entry_key("prod"), None);
    assert_eq!(config.entry_key_or_set("prod", &first), Some(first.clone()));
    assert_eq!(config.entry_key_or_set("prod", &second), Some(first.clone()));
    assert_eq!(config.entry_key_or_set("missing", &second), None);
    let line = format!("entry_key = \"{}\"\n", "ab".repeat(32));
    let with_key = HAND.replace("server   = \"https://old\"\n", &format!("server   = \"https://old\"\n{line}"));
    assert_eq!(config.text(), with_key);
    // A change of the profile keeps the key.
    config.set_profile("prod", &ProfileEntry { duration: Some("2h".to_owned()), ..entry() }).unwrap();
    assert_eq!(config.entry_key("prod"), Some(first));
    let mut malformed = file(&with_key.replace("\"abab", "\"xbab"));
    assert_eq!(malformed.entry_key_or_set("prod", &second), Some(second.clone()));
    assert_eq!(malformed.entry_key("prod"), Some(second));
}

#[test]
fn trusted_configs_are_read() {
    assert!(file(HAND).trusted_configs().is_empty());
    let config = file("[client]\ntrusted_configs = [\"/etc/a.toml\", \"/etc/b.toml\"]\n");
    assert_eq!(config.trusted_configs(), [Path::new("/etc/a.toml"), Path::new("/etc/b.toml")]);
}

#[test]
fn new_profile_and_source_are_placed_beside_the_others() {
    let mut config = file(HAND);
    let source = config.ensure_source(SourceEntry::AwsProfile("Team A/dev"), None).unwrap();
    assert_eq!(source.as_str(), "Team-A-dev");
    config.set_profile("v1.2", &ProfileEntry { source, ..entry() }).unwrap();
    let text = config.text();
    let wanted = HAND
        .replace("# the big one\n", "[sources.Team-A-dev]\naws_profile = \"Team A/dev\"\n\n# the big one\n")
        .replace(
            "# the end\n",
            "
[profiles.\"v1.2\"]
cluster = \"prod\"
region = \"eu-west-1\"
source = \"Team-A-dev\"
role_arn = \"arn:aws:iam::111122223333:role/developers\"
server = \"https://old\"
# the end
",
        );
    assert_eq!(text, wanted);
    assert_eq!(file(&text).profile_names(), ["prod", "audit", "v1.2"]);
}

#[test]
fn ensure_source_with_a_used_name_adds_a_number() {
    let mut config = file("[sources.work]\nkeyring = \"work\"\n[sources.other]\naws_profile = \"job\"\n");
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile("work"), None).unwrap().as_str(), "work-2");
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile("work"), None).unwrap().as_str(), "work-2");
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile("job"), None).unwrap().as_str(), "other");
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile("„…“"), None).unwrap().as_str(), "aws");
    assert_eq!(config.source_names(), ["work", "other", "work-2", "aws"]);
    let long = "x".repeat(200);
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile(&long), None).unwrap().as_str().len(), 56);
}

#[test]
fn remove_profile_removes_only_its_own_comment() {
    let mut config = file(HAND);
    assert!(config.remove_profile("prod"));
    let gone = HAND.split("\n# the big one\n").nth(1).unwrap().split("\n# for reading").next().unwrap();
    assert_eq!(config.text(), HAND.replace(&format!("# the big one\n{gone}\n"), ""));

    let mut config =
        file("# header\n# of the file\n\n# first\n[profiles.a]\ncluster = 'a'\n\n[profiles.b]\ncluster = 'b'\n");
    config.remove_profile("a");
    assert_eq!(config.text(), "# header\n# of the file\n\n[profiles.b]\ncluster = 'b'\n");
    config.remove_profile("b");
    assert_eq!(config.text(), "# header\n# of the file\n");
}

#[test]
fn new_file_starts_with_the_header() {
    let mut config = file("");
    assert_eq!(config.text(), "");
    config.ensure_source(SourceEntry::AwsProfile("work"), None).unwrap();
    config.set_profile("prod", &entry()).unwrap();
    let text = config.text();
    assert!(
        text.starts_with(&format!("{NEW_FILE_HEADER}[sources.work]\naws_profile = \"work\"\n\n[profiles.prod]\n")),
        "{text}"
    );
    assert!(text.contains("man rolecall-config"));
    let mut again = file(&text);
    again.remove_profile("prod");
    assert_eq!(again.text(), format!("{NEW_FILE_HEADER}[sources.work]\naws_profile = \"work\"\n"));

    let mut commented = file("# nothing yet\n");
    commented.ensure_source(SourceEntry::AwsProfile("work"), None).unwrap();
    assert_eq!(commented.text(), "# nothing yet\n\n[sources.work]\naws_profile = \"work\"\n");
}

#[test]
fn set_profile_accepts_every_table_syntax() {
    for text in [
        "profiles = { prod = { cluster = \"a\", region = \"eu-west-1\", source = \"s\" } }\n",
        "profiles.prod = { cluster = \"a\", region = \"eu-west-1\", source = \"s\" }\n",
        "profiles.prod.cluster = \"a\"\nprofiles.prod.region = \"eu-west-1\"\nprofiles.prod.source = \"s\"\n",
        "[profiles]\nprod.cluster = \"a\"\nprod.region = \"eu-west-1\"\nprod.source = \"s\"\n",
        "[profiles]\n[profiles.prod]\ncluster = \"a\"\nregion = \"eu-west-1\"\nsource = \"s\"\n",
    ] {
        let mut config = file(text);
        config.set_profile("prod", &entry()).unwrap();
        config.set_profile("new", &entry()).unwrap();
        let read = file(&config.text());
        assert_eq!((read.profile("prod"), read.profile("new")), (Some(entry()), Some(entry())), "{}", config.text());
        let mut read = read;
        assert!(read.remove_profile("prod") && read.remove_profile("new"));
        assert!(file(&read.text()).profile_names().is_empty());
    }
}

#[test]
fn set_profile_keeps_crlf_line_breaks() {
    let before = HAND.replace('\n', "\r\n");
    let mut config = file(&before);
    assert_eq!(config.text(), before);
    config.set_profile("new", &entry()).unwrap();
    let text = config.text();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    config.remove_profile("new");
    assert_eq!(config.text(), before);
}

#[test]
fn malformed_file_error_has_position_without_content() {
    for (text, words) in [
        ("[defaults]\nsecret = sesame\n", "config.toml:2:10: "),
        ("sesame = 1\nsesame = 2\n", "config.toml:2:1: duplicate key"),
        ("[profiles.a\n", "config.toml:1:12: "),
        ("a = \"sesame\n", "config.toml:1:"),
    ] {
        let error = ConfigFile::parse(Path::new("config.toml"), text).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("sesame") && !error.to_string().contains('\n'), "{error}");
        assert!(error.untouched() == Some(Untouched::LeftAsItWas));
    }
    for text in ["profiles = 1\n", "profiles = []\n", "[profiles]\nnew = 1\n", "[[profiles]]\n"] {
        let error = file(text).set_profile("new", &entry()).unwrap_err();
        assert!(error.to_string().contains("is not a table"), "{error}");
    }
}

#[test]
fn edit_creates_mode_0600_and_keeps_an_existing_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolecall/config.toml");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    save(&path, |file| file.set_profile("prod", &entry()).unwrap());
    assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    save(&path, |file| file.set_profile("audit", &entry()).unwrap());
    assert_eq!(mode(&path), 0o644);

    let time = fs::metadata(&path).unwrap().modified().unwrap();
    save(&path, |file| file.set_profile("audit", &entry()).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), time);
    let failed = edit(&path, |file| {
        file.remove_profile("prod");
        Err::<(), _>(ConfigFileError::NotATable { path: PathBuf::new(), key: String::new() })
    });
    assert!(failed.is_err());
    assert_eq!(ConfigFile::load(&path).unwrap().profile_names(), ["prod", "audit"]);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn edit_can_restore_the_previous_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, HAND).unwrap();
    let before = ConfigFile::load(&path).unwrap();
    save(&path, |file| file.remove_profile("prod"));
    save(&path, |file| *file = before.clone());
    assert_eq!(fs::read_to_string(&path).unwrap(), HAND);
}

#[test]
fn edit_keeps_a_symlink_and_load_rejects_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("real"), HAND).unwrap();
    let link = folder.path().join("config.toml");
    std::os::unix::fs::symlink("real", &link).unwrap();
    save(&link, |file| file.remove_profile("prod"));
    assert!(link.is_symlink());
    assert!(ConfigFile::load(folder.path()).unwrap_err().to_string().contains("is a folder"));
}

#[test]
fn fifty_concurrent_edits_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::thread::scope(|scope| {
        for number in 0..50 {
            let path = &path;
            scope.spawn(move || save(path, |file| file.set_profile(&format!("p{number}"), &entry()).unwrap()));
        }
    });
    assert_eq!(ConfigFile::load(&path).unwrap().profile_names().len(), 50);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_changes_reads_back(steps in proptest::collection::vec(("[a-d][a-d0-9._-]{0,2}", any::<bool>(), "[ -~]{0,20}"), 0..20)) {
        let mut config = file(HAND);
        let mut wanted: std::collections::BTreeMap<String, ProfileEntry> = std::collections::BTreeMap::new();
        for (name, adds, text) in steps {
            if adds {
                let entry = ProfileEntry { session_name: Some(text), ..entry() };
                config.set_profile(&name, &entry).unwrap();
                wanted.insert(name, entry);
            } else {
                prop_assert_eq!(config.remove_profile(&name), wanted.remove(&name).is_some());
            }
            config = file(&config.text());
        }
        prop_assert_eq!(config.profile_names().len(), wanted.len() + 2);
        for (name, entry) in wanted {
            prop_assert_eq!(config.profile(&name), Some(entry));
        }
        let text = config.text();
        for line in HAND.lines() {
            prop_assert!(text.lines().any(|other| other == line), "lost {:?} in\n{}", line, text);
        }
    }
}

#[test]
fn assume_role_options_are_written_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let inputs = InputsEntry {
        source_identity: Some("dev".parse().unwrap()),
        tags: [
            ("cost center".parse().unwrap(), "42".parse().unwrap()),
            ("team".parse().unwrap(), "x".parse().unwrap()),
        ]
        .into(),
        transitive_tags: vec!["team".parse().unwrap()],
        policy_arns: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".parse().unwrap()],
        policy: Some(r#"{"Version":"2012-10-17"}"#.to_owned()),
        sts_endpoint: Some("https://sts.corp".to_owned()),
        fips: Some(true),
        dual_stack: None,
    };
    let full = ProfileEntry { inputs, ..entry() };
    save(&path, |file| file.set_profile("prod", &full).unwrap());
    let config = ConfigFile::load(&path).unwrap();
    let text = config.text();
    assert!(text.contains("tags = { \"cost center\" = \"42\", team = \"x\" }\n"), "{text}");
    assert!(text.contains("fips = true\n") && !text.contains("dual_stack"), "{text}");
    assert_eq!(config.profile("prod"), Some(full.clone()));
    // Equal tags in a table of their own stay there.
    let by_hand = text.replace("tags = { \"cost center\" = \"42\", team = \"x\" }\n", "");
    let by_hand =
        format!("{}\n[profiles.prod.tags]\nteam = \"x\" # ours\n\"cost center\" = \"42\"\n", by_hand.trim_end());
    let mut config = ConfigFile::parse(&path, &by_hand).unwrap();
    config.set_profile("prod", &full).unwrap();
    assert_eq!(config.text(), by_hand);
    config.set_profile("prod", &entry()).unwrap();
    assert_eq!(config.profile("prod"), Some(entry()));
    assert!(!config.text().contains("team"), "{}", config.text());
}

#[test]
fn keyring_source_is_added_and_found() {
    let mut config = file("# mine\n[sources.work]\naws_profile = \"job\" # the usual\n");
    config.add_source_keyring("break-glass", &"break-glass".parse().unwrap()).unwrap();
    assert_eq!(
        config.text(),
        "# mine\n[sources.work]\naws_profile = \"job\" # the usual\n\n[sources.break-glass]\nkeyring = \"break-glass\"\n"
    );
    assert_eq!(config.sources_with_keyring(&"break-glass".parse().unwrap()), ["break-glass"]);
    assert!(config.sources_with_keyring(&"job".parse().unwrap()).is_empty());
}

#[test]
fn ensure_source_adds_mfa_and_keeps_an_existing_source() {
    let mut config = file("");
    let serial: rolecall_protocol::MfaSerial = "arn:aws:iam::111122223333:mfa/dev".parse().unwrap();
    let keys = "work".parse().unwrap();
    let of_keys = SourceEntry::Keyring(&keys);
    assert_eq!(config.ensure_source(of_keys, Some(&serial)).unwrap().as_str(), "work");
    let text = config.text();
    let made = "[sources.work]\nkeyring = \"work\"\nmfa = { serial = \"arn:aws:iam::111122223333:mfa/dev\" }\n";
    assert!(text.contains(made), "{text}");
    assert_eq!(config.ensure_source(of_keys, None).unwrap().as_str(), "work");
    assert_eq!(config.text(), text);
    let source = config.ensure_source(SourceEntry::AwsProfile("work"), None).unwrap();
    assert_eq!((source.as_str(), config.mfa_serial(&source)), ("work-2", None));
    assert_eq!(config.mfa_serial(&"work".parse().unwrap()).as_deref(), Some(serial.as_str()));
}

#[test]
fn given_server_is_recorded_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let before = "[profiles.prod]\ncluster = \"prod\" # mine\nserver = \"https://a\"\n";
    fs::write(&path, before).unwrap();
    let mut file = ConfigFile::load(&path).unwrap();
    assert_eq!(file.given_server("prod"), None);
    file.set_given_ca("prod", Some("QQ=="));
    assert_eq!(file.given_server("prod"), Some(("https://a", "QQ==")));
    assert_eq!(file.text(), format!("{before}certificate_authority_data = \"QQ==\"\n"));
    file.set_given_ca("prod", None);
    assert_eq!(file.text(), before);
    file.set_given_ca("missing", Some("QQ=="));
    assert_eq!(file.text(), before);
}

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
