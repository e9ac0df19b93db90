//! Included files: what they may have, what overrides what, and what a broken one affects.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use std::time::Duration;

use super::*;
use crate::config::PinMode;
use crate::constraints::Confirm;

const TEAM: &str = r#"
[defaults]
duration = "30min"

[sources.work]
aws_profile = "work"

[profiles.prod]
cluster = "prod"
region = "eu-west-1"
source = "work"
role_arn = "arn:aws:iam::111122223333:role/developers"
"#;

/// A home folder with a configuration and included files.
struct Home {
    folder: tempfile::TempDir,
    last: LastValid,
}

impl Home {
    fn new(config: &str) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap(), last: LastValid::default() };
        home.write("config.toml", config);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn load(&mut self) -> Loaded {
        load(&self.path("config.toml"), self.folder.path(), &mut self.last).unwrap()
    }

    /// The problem of the only included file, without the folder.
    fn problem(&mut self) -> Option<String> {
        let loaded = self.load();
        let [include] = loaded.includes.as_slice() else { panic!("{:?}", loaded.includes) };
        let folder = format!("{}/", self.folder.path().display());
        include.problem.as_ref().map(|problem| problem.error().to_string().replace(&folder, ""))
    }
}

fn profiles(loaded: &Loaded) -> Vec<&str> {
    loaded.config.profiles.keys().map(ProfileName::as_str).collect()
}

fn profile<'a>(loaded: &'a Loaded, name: &str) -> &'a ProfileConfig {
    &loaded.config.profiles[&name.parse().unwrap()]
}

const INCLUDE: &str = "include = [\"team.toml\"]\n";

#[test]
fn included_profile_has_the_defaults_of_its_file() {
    let mut home = Home::new(&format!(
        "{INCLUDE}[defaults]\nduration = \"2h\"\nkeep_warm = \"1h\"\nconfirm = \"first\"\n\
         [sources.own]\naws_profile = \"own\"\n\
         [profiles.mine]\ncluster = \"a\"\nregion = \"eu-west-1\"\nsource = \"own\"\n"
    ));
    home.write("team.toml", TEAM);
    let loaded = home.load();
    assert_eq!(profiles(&loaded), ["mine", "prod"]);
    let (prod, mine) = (profile(&loaded, "prod"), profile(&loaded, "mine"));
    assert_eq!((prod.duration, mine.duration), (Duration::from_mins(30), Duration::from_hours(2)));
    assert_eq!(prod.keep_warm, Duration::from_hours(1), "the user's default");
    assert_eq!(prod.constraints.as_ref().unwrap().confirm, Confirm::First);
    assert_eq!(prod.pin_mode, PinMode::Entry);
    let origins = &loaded.config.origins;
    let file: Arc<Path> = home.path("team.toml").into();
    assert_eq!(origins.profiles, [("prod".parse().unwrap(), Origin::Included(Arc::clone(&file)))].into());
    assert_eq!(origins.sources, [("work".parse().unwrap(), Origin::Included(file))].into());
    assert_eq!(loaded.includes[0].profiles, 1);
    assert_eq!(loaded.includes[0].problem, None);
}

#[test]
fn included_file_cannot_have_what_belongs_to_the_user() {
    let mut home = Home::new(INCLUDE);
    for table in
        ["endpoints", "network", "environment", "lock", "notifications", "audit", "confirm", "client", "included"]
    {
        home.write("team.toml", &format!("{TEAM}[{table}]\n"));
        let problem = home.problem().unwrap();
        assert!(
            problem.starts_with("team.toml:")
                && problem.contains(&format!(": {table}: must not be in an included file")),
            "{problem}"
        );
    }
    for (line, expected) in [
        ("include = []", "team.toml:1: include: must not be in an included file; name each file"),
        ("defaults.sts_endpoint = \"https://x.example\"", "team.toml:1: defaults.sts_endpoint: must not be in an"),
        ("defaults.pin = \"off\"", "team.toml:1: defaults.pin: must not be \"off\" in an included file"),
        ("sources.a.keyring = \"k\"", "team.toml:1: sources.a.keyring: must not be in an included file"),
        (
            "sources.a = { aws_profile = \"a\", mfa = { serial = \"arn:aws:iam::111122223333:mfa/d\", process = \"x\" } }",
            "team.toml:1: sources.a.mfa: must not be in an included file",
        ),
        ("nonsense = 1", "team.toml:1: nonsense: unknown key \"nonsense\""),
    ] {
        home.write("team.toml", &format!("{line}\n"));
        let problem = home.problem().unwrap();
        assert!(problem.starts_with(expected), "{problem}");
    }
    let key = "00".repeat(32);
    for line in [
        &format!("entry_key = \"{key}\""),
        "server = \"https://x.example\"",
        &format!("ca_sha256 = \"{key}\""),
        "certificate_authority_data = \"QQ==\"",
        "tls_server_name = \"x\"",
        "proxy_url = \"http://x.example\"",
        "sts_endpoint = \"https://x.example\"",
        "pin = \"off\"",
    ] {
        home.write("team.toml", &format!("{TEAM}{line}\n"));
        let name = line.split(' ').next().unwrap();
        let problem = home.problem().unwrap();
        assert!(problem.starts_with(&format!("team.toml:13: profiles.prod.{name}: must not be")), "{problem}");
        assert!(!problem.contains(&key));
    }
    home.write("team.toml", &format!("{TEAM}pin = \"require\"\n"));
    assert_eq!(home.problem(), None);
}

#[test]
fn included_file_cannot_allow_more_than_the_user() {
    let mut home = Home::new(&format!(
        "{INCLUDE}[defaults]\npin = \"require\"\nconfirm = \"first\"\ncredentials = false\nmax_lifetime = \"2h\"\nallowed_programs = [\"/bin/a\"]\n"
    ));
    home.write(
        "team.toml",
        &format!(
            "{TEAM}pin = \"entry\"\nconfirm = \"never\"\ncredentials = true\nmax_lifetime = \"9h\"\nallowed_programs = [\"/bin/b\"]\n"
        ),
    );
    let loaded = home.load();
    let prod = profile(&loaded, "prod");
    let constraints = prod.constraints.as_ref().unwrap();
    assert_eq!((prod.pin_mode, constraints.confirm), (PinMode::Require, Confirm::First));
    assert!(prod.tokens_only);
    assert_eq!(constraints.max_lifetime, Some(Duration::from_hours(2)));
    assert_eq!(constraints.allowed_programs.as_deref(), Some(&[PathBuf::from("/bin/a")][..]));
    // A stricter included file counts.
    home.write("team.toml", &format!("{TEAM}confirm = \"always\"\nmax_lifetime = \"1h\"\n"));
    let loaded = home.load();
    let constraints = profile(&loaded, "prod").constraints.clone().unwrap();
    assert_eq!((constraints.confirm, constraints.max_lifetime), (Confirm::Always, Some(Duration::from_hours(1))));
    assert_eq!(profile(&loaded, "prod").keep_warm, Duration::from_hours(1), "not longer than the lifetime");
}

#[test]
fn own_profiles_and_sources_override() {
    let mut home = Home::new(&format!(
        "{INCLUDE}[sources.work]\naws_profile = \"mine\"\n\
         [profiles.prod]\ncluster = \"other\"\nregion = \"us-east-1\"\nsource = \"work\"\n"
    ));
    home.write(
        "team.toml",
        &TEAM.replace(
            "[profiles.prod]",
            "[profiles.audit]\ncluster = \"a\"\nregion = \"eu-west-1\"\nsource = \"work\"\n[profiles.prod]",
        ),
    );
    let loaded = home.load();
    assert_eq!(profiles(&loaded), ["audit", "prod"]);
    assert_eq!(profile(&loaded, "prod").cluster.as_str(), "other");
    assert!(profile(&loaded, "prod").roles.is_empty(), "as a whole");
    assert_eq!(loaded.config.sources[&"work".parse().unwrap()].aws_profile(), Some("mine"));
    assert!(matches!(loaded.config.origins.profiles[&"prod".parse().unwrap()], Origin::Overrides(_)));
    assert!(matches!(loaded.config.origins.sources[&"work".parse().unwrap()], Origin::Overrides(_)));
    assert_eq!((loaded.includes[0].profiles, &loaded.includes[0].problem), (1, &None));
}

#[test]
fn second_file_with_a_name_has_a_problem() {
    let mut home = Home::new("include = [\"a.toml\", \"b.toml\"]\n[sources.own]\naws_profile = \"own\"\n");
    home.write("a.toml", TEAM);
    let other = |source: &str| {
        format!(
            "[sources.work]\naws_profile = \"{source}\"\n[profiles.prod]\ncluster = \"b\"\nregion = \"eu-west-1\"\n\
             source = \"work\"\n[profiles.b]\ncluster = \"b\"\nregion = \"eu-west-1\"\nsource = \"own\"\n"
        )
    };
    // Two teams may name the same AWS profile.
    home.write("b.toml", &other("work"));
    let loaded = home.load();
    assert_eq!(profiles(&loaded), ["b", "prod"]);
    assert_eq!(profile(&loaded, "prod").cluster.as_str(), "prod");
    let problem = loaded.includes[1].problem.as_ref().unwrap();
    assert!(matches!(problem, IncludeProblem::Entry(_)));
    let (path, first) = (home.path("b.toml"), home.path("a.toml"));
    assert_eq!(
        problem.error().to_string(),
        format!(
            "{}:3: profiles.prod: {} has another profile of this name, which is used",
            path.display(),
            first.display()
        )
    );
    home.write("b.toml", &other("b").replace("profiles.prod", "profiles.c"));
    let loaded = home.load();
    assert_eq!(profiles(&loaded), ["b", "prod"], "c would use the source of another file");
    let error = loaded.includes[1].problem.as_ref().unwrap().error().to_string();
    assert!(error.contains("sources.work: ") && error.ends_with("(1 more like this)"), "{error}");
    // The second file's profile serves when the first one no longer has its name.
    home.write("a.toml", "# none\n");
    let loaded = home.load();
    assert_eq!(profiles(&loaded), ["b", "c"]);
    assert_eq!(loaded.includes[1].problem, None);
}

#[test]
fn included_profiles_are_read_in_every_layout() {
    let mut home = Home::new(INCLUDE);
    let inline = "profiles.prod = { cluster = \"prod\", region = \"eu-west-1\", source = \"work\" }\n";
    for layout in [
        TEAM.replace("[profiles.prod]", " [profiles.prod]"),
        TEAM.replace("[profiles.prod]", "[ profiles . prod ]"),
        TEAM.replace("[profiles.prod]", "[\"profiles\".prod]"),
        format!("{inline}[sources.work]\naws_profile = \"work\"\n"),
        format!("[profiles]\n{}[sources.work]\naws_profile = \"work\"\n", inline.replace("profiles.prod", "prod")),
        format!("\u{feff}{TEAM}"),
    ] {
        home.write("team.toml", &layout);
        let loaded = home.load();
        assert_eq!((profiles(&loaded), &loaded.includes[0].problem), (vec!["prod"], &None), "{layout}");
    }
}

/// Fault matrix row 90.
#[test]
fn broken_file_keeps_its_last_valid_text_and_the_others() {
    let mut home = Home::new("include = [\"a.toml\", \"missing.toml\", \"b.toml\"]\n");
    home.write("a.toml", TEAM);
    home.write("b.toml", &TEAM.replace("profiles.prod", "profiles.b"));
    let loaded = home.load();
    assert_eq!(profiles(&loaded), ["b", "prod"]);
    let missing = loaded.includes[1].clone();
    assert_eq!((missing.text, missing.profiles), (None, 0));
    assert!(missing.problem.unwrap().error().to_string().ends_with("missing.toml: does not exist"));
    for broken in ["[profiles", "", "[profiles.prod]\ncluster = \"x\"\n"] {
        home.write("a.toml", broken);
        home.write("b.toml", &TEAM.replace("profiles.prod", "profiles.b2"));
        let loaded = home.load();
        assert_eq!(profiles(&loaded), ["b2", "prod"], "{broken}");
        assert!(loaded.includes[0].problem.is_some() && loaded.includes[0].text.is_some(), "{broken}");
        assert_eq!(loaded.includes[2].problem, None);
    }
    fs::remove_file(home.path("a.toml")).unwrap();
    assert_eq!(profiles(&home.load()), ["b2", "prod"]);
    // After a restart, nothing of it is known.
    home.last = LastValid::default();
    let loaded = home.load();
    assert_eq!(profiles(&loaded), ["b2"]);
    assert_eq!(loaded.includes[0].text, None);
}

/// Fault matrix row 91.
#[test]
fn file_that_others_can_write_is_not_used() {
    let mut home = Home::new(INCLUDE);
    home.write("team.toml", TEAM);
    let path = home.path("team.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let problem = home.problem().unwrap();
    assert!(problem.starts_with("team.toml: is not used: other users can write team.toml (mode 0666)"), "{problem}");
    assert!(problem.ends_with(". Fix it with: chmod go-w team.toml"), "{problem}");
    assert!(home.load().config.profiles.is_empty());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(home.problem(), None);
}

#[test]
fn user_pin_belongs_to_an_included_profile() {
    let key = "ab".repeat(32);
    let section = format!(
        "[included.prod]\nserver = \"https://x.example\"\nca_sha256 = \"{key}\"\nentry_key = \"{key}\"\n[included.gone]\nentry_key = \"{key}\"\n"
    );
    let mut home = Home::new(&format!("{INCLUDE}{section}"));
    home.write("team.toml", TEAM);
    let loaded = home.load();
    let prod = profile(&loaded, "prod");
    assert_eq!(prod.pin.as_ref().unwrap().server, "https://x.example");
    assert!(prod.entry_key.is_some());
    assert_eq!(profiles(&loaded), ["prod"]);
    let error = |text: &str| parse(Path::new("config.toml"), text, Path::new("/")).unwrap_err().to_string();
    assert_eq!(
        error(&format!("[included.prod]\nca_sha256 = \"{key}\"\n")),
        "config.toml:2: included.prod.ca_sha256: has no effect without server"
    );
    assert!(error("[included.prod]\ncluster = \"x\"\n").contains("unknown key \"cluster\""));
    assert!(error("include = [\"*/x\"]\n").starts_with("config.toml:1: include[0]: may have * in its last part only"));
    let many = format!("include = [{}]\n", "\"a\",".repeat(17));
    assert_eq!(error(&many), "config.toml:1: include: has 17 paths, the limit is 16");
}

/// Fault matrix row 33. The texts of included files stay in memory.
#[test]
fn included_files_have_a_limit_together() {
    let mut home = Home::new("include = [\"*.inc\"]\n");
    for name in ["a", "b", "c"] {
        let keys = "cluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"";
        let comment = "x".repeat(500_000);
        let profiles = (0..6).map(|number| format!("[profiles.{name}{number}]\n{keys}\n#{comment}\n"));
        home.write(
            &format!("{name}.inc"),
            &format!("[sources.work]\naws_profile = \"work\"\n{}", profiles.collect::<String>()),
        );
    }
    let problems: Vec<_> = home.load().includes.into_iter().map(|include| include.problem.is_some()).collect();
    assert_eq!(problems, [false, false, true]);
}

#[test]
fn included_file_by_section_and_as_a_whole_agree() {
    let context = IncludeContext::default();
    for text in [TEAM, "", "# none", &TEAM.replace('\n', "\r\n")] {
        let by_section = sections::read_included(Path::new("team.toml"), text, &context).unwrap();
        let whole = parse_whole(Path::new("team.toml"), text, &context).unwrap();
        assert_eq!((by_section.sources, by_section.profiles), (whole.sources, whole.profiles), "{text}");
    }
    for bad in [format!("{TEAM}pin = \"off\"\n"), format!("{TEAM}[lock]\n"), format!("{TEAM}[included.a]\n")] {
        assert!(sections::read_included(Path::new("team.toml"), &bad, &context).is_err(), "{bad}");
        assert!(parse_whole(Path::new("team.toml"), &bad, &context).is_err(), "{bad}");
    }
}

#[test]
fn fingerprint_changes_with_each_file() {
    let home = Home::new("include = [\"*.inc\"]\n");
    let patterns = ["*.inc".parse().unwrap()];
    let now = || fingerprint(&home.path("config.toml"), &patterns, home.folder.path());
    let mut before = now();
    assert_eq!(before, now());
    let mut changed = |what: &str| {
        let after = now();
        assert_ne!(after, before, "{what}");
        before = after;
    };
    home.write("a.inc", TEAM);
    changed("a new file");
    home.write("a.inc", "# less\n");
    changed("its text");
    fs::set_permissions(home.path("a.inc"), fs::Permissions::from_mode(0o666)).unwrap();
    changed("its mode");
    fs::remove_file(home.path("a.inc")).unwrap();
    changed("no file");
}
