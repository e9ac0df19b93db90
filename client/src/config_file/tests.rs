//! Text of the user stays, and entries that were written read back.

mod edit;
mod includes;
mod sources;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use rolecall_protocol::EntryKey;

use super::sources::SourceEntry;
use super::*;
use crate::files::error::Untouched;

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
