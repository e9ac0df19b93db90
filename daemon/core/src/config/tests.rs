use std::fmt::Write as _;

use super::*;

const GOOD: &str = r#"
[defaults]
duration = "45min"

[sources.work]
aws_profile = "work"

[profiles.prod]
cluster  = "prod"
region   = "eu-west-1"
source   = "work"
role_arn = "arn:aws:iam::111122223333:role/developers"
via      = ["arn:aws:iam::999988887777:role/hub"]
external_id = "x/y"
duration = "2h"
session_name = "dev@{host}"
server = "https://ABC.gr7.eu-west-1.eks.amazonaws.com"
ca_sha256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"

[profiles.self]
cluster = "prod"
region = "eu-west-1"
source = "work"
"#;

mod constraints;
mod environment;
mod inputs;
mod network;

fn error(text: &str) -> String {
    Config::parse(Path::new("config.toml"), text).unwrap_err().to_string()
}

fn with(line: &str, instead: &str) -> String {
    assert!(GOOD.contains(line), "{line}");
    GOOD.replacen(line, instead, 1)
}

#[test]
fn config_valid_has_defaults_filled_in() {
    let config = Config::parse(Path::new("config.toml"), GOOD).unwrap();
    let prod = &config.profiles[&"prod".parse().unwrap()];
    assert_eq!(prod.roles.len(), 2);
    assert_eq!(prod.roles[1].role_name(), "developers");
    assert_eq!(prod.duration, Duration::from_hours(2));
    assert_eq!(&*prod.session_name, "dev@{host}");
    let pin = prod.pin.as_ref().unwrap();
    assert!(pin.ca_sha256.as_ref().unwrap().starts_with("e3b0c442"));
    let own = &config.profiles[&"self".parse().unwrap()];
    assert!(own.roles.is_empty());
    assert_eq!((own.duration, &*own.session_name), (Duration::from_mins(45), "{user}@{host}"));
    assert_eq!(Config::parse(Path::new("config.toml"), "").unwrap(), Config::default());
}

#[test]
fn config_error_has_file_line_and_key() {
    for (text, expected) in [
        (
            with("region   = \"eu-west-1\"", "region = \"EU\""),
            "config.toml:10: profiles.prod.region: region: must look like eu-west-1",
        ),
        (
            with("source   = \"work\"", "source = \"wrok\""),
            "config.toml:11: profiles.prod.source: unknown source \"wrok\"; did you mean \"work\"?",
        ),
        (
            with("duration = \"2h\"", "duration = \"2d\""),
            "config.toml:15: profiles.prod.duration: must be a duration such as \"1h\" or \"45min\"",
        ),
        (
            with("duration = \"2h\"", "duration = \"13h\""),
            "config.toml:15: profiles.prod.duration: must be from 15min to 12h",
        ),
        (with("https://ABC", "http://ABC"), "config.toml:17: profiles.prod.server: must be an https URL"),
        (
            with("ca_sha256 = \"E3", "ca_sha256 = \"3"),
            "config.toml:18: profiles.prod.ca_sha256: must be 64 hexadecimal digits",
        ),
        (
            with(
                "ca_sha256 = \"E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855\"",
                "certificate_authority_data = \"QQ==\"",
            ),
            "config.toml:18: profiles.prod.certificate_authority_data: has no effect without server and ca_sha256",
        ),
        (
            with("role_arn = \"arn:aws:iam::111122223333:role/developers\"", ""),
            "config.toml:13: profiles.prod.via: has no effect without role_arn",
        ),
        (
            with("[\"arn:aws:iam::999988887777:role/hub\"]", "[\"hub\"]"),
            "config.toml:13: profiles.prod.via[0]: role ARN: must look like arn:aws:iam::111122223333:role/NAME",
        ),
        (
            with("session_name = \"dev@{host}\"", "session_name = \"dev {host}\""),
            "config.toml:16: profiles.prod.session_name: session name: may hold only letters, digits and '_+=,.@-', not ' '",
        ),
        (
            with("arn:aws:iam::111122223333:role/developers", "arn:aws-cn:iam::111122223333:role/developers"),
            "config.toml:12: profiles.prod.role_arn: is in partition aws-cn, but the region eu-west-1 is not",
        ),
    ] {
        assert_eq!(error(&text), expected);
    }
}

#[test]
fn config_unknown_key_error_lists_known_ones() {
    let message = error(&with("external_id", "externalid"));
    let expected =
        "config.toml:14: profiles.prod.externalid: unknown key \"externalid\"; did you mean \"external_id\"?";
    assert_eq!(message, expected);
    let message = error("[defaults]\nmoon = \"full\"\n");
    assert_eq!(
        message,
        "config.toml:2: defaults.moon: unknown key \"moon\"; known keys: session_name, duration, keep_warm, pin, credentials, max_lifetime, confirm, allowed_programs, \
         allowed_hours, source_identity, tags, transitive_tags, policy_arns, policy, sts_endpoint, fips, dual_stack"
    );
    let message = error("[profiles.prod]\ncluster = \"x\"\nregion = \"eu-west-1\"\n");
    assert!(message.contains("profiles.prod: missing field `source`"), "{message}");
    let message = error("[profiles.\"a b\"]\n");
    assert!(message.contains("profile name: may hold only"), "{message}");
}

/// Fault matrix row 90.
#[test]
fn config_malformed_error_has_line_and_no_content() {
    let message = error("[sources.work]\naws_profile = hunter2 hunter3\n");
    assert!(message.starts_with("config.toml:2: "), "{message}");
    assert!(!message.contains("hunter"), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

/// Fault matrix row 90.
#[test]
fn config_error_does_not_show_a_secret_in_a_wrong_place() {
    for text in [
        "\"wJalrXUtnFEMI/K7MDENG\" = 1\n",
        "AKIAIOSFODNN7EXAMPLE = \"x\"\n",
        "[profiles.prod]\n00112233445566778899aabbccddeeff = \"x\"\n",
        "[profiles.\"wJalrXUtnFEMI/K7MDENG\"]\nregion = 1\n",
        "[notifications]\nlogin = \"wJalrXUtnFEMI/K7MDENG\"\n",
        "[defaults]\npin = \"wJalrXUtnFEMI/K7MDENG\"\n",
        "[defaults]\nfips = \"a, expected wJalrXUtnFEMI/K7MDENG\"\n",
    ] {
        let message = error(text);
        for secret in ["wJalr", "AKIA", "00112233"] {
            assert!(!message.contains(secret), "{message}");
        }
    }
    let message = error("[profiles.\"a\\u001b[31m\"]\nregion = 1\n");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

#[test]
fn role_chain_is_limited_to_five_roles() {
    let via = ["\"arn:aws:iam::999988887777:role/hub\""; 5].join(",");
    let message = error(&with("[\"arn:aws:iam::999988887777:role/hub\"]", &format!("[{via}]")));
    assert_eq!(message, "config.toml:13: profiles.prod.via: makes 6 roles in all, the limit is 5");
}

#[test]
fn partition_follows_region_prefix() {
    for (region, expected) in [
        ("eu-west-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eusc-de-east-1", "aws-eusc"),
    ] {
        assert_eq!(partition(&region.parse().unwrap()), expected);
    }
}

/// Parsing section by section gives the same configuration as parsing the document, or `None`.
#[test]
fn sections_and_whole_document_agree() {
    let in_sections = |text: &str| Config::parse_by_section(Path::new("config.toml"), text).map(|(config, _)| config);
    let whole = |text: &str| Config::parse_whole(Path::new("config.toml"), text).map(|(config, _)| config);
    let profile = "[profiles.audit]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\n";
    for text in [
        "",
        "# nothing yet",
        GOOD,
        &GOOD.replace('\n', "\r\n"),
        &format!("\u{feff}{GOOD}"),
        // Sources and defaults may follow the profiles, and the order does not matter.
        &format!("{profile}{GOOD}# the end\n[sources.other]\naws_profile = \"other\""),
        &GOOD.replace("\"x/y\"", "\"\"\"x/y\"\"\""),
        &format!("{GOOD}session_name = \"\"\"dev\\\n\n   @x\"\"\" # the end\n{profile}"),
    ] {
        assert_eq!(in_sections(text).unwrap(), whole(text).unwrap(), "{text}");
    }
    for odd in [
        GOOD.replace("[profiles.self]", "  [profiles.self]").replace("[profiles.prod]", "  [profiles.prod]"),
        GOOD.replace("[profiles.self]", "[ profiles . self ]"),
        "[profiles]\naudit = { cluster = \"prod\", region = \"eu-west-1\", source = \"work\" }\n\
         [sources.work]\naws_profile = \"work\"\n"
            .to_owned(),
    ] {
        assert!(in_sections(&odd).is_err(), "{odd}");
        assert!(whole(&odd).is_ok(), "{odd}");
    }
    for wrong in [
        format!("{GOOD}{profile}{profile}"),
        format!("profiles = {{}}\n{GOOD}"),
        format!("{GOOD}[defaults]\n"),
        format!("{GOOD}[profiles.prod.more]\n"),
        format!("{GOOD}[[profiles.audit]]\n"),
        GOOD.replace("[\"arn", "[\n[profiles.x]\n\"arn"),
        GOOD.replace("\"dev@{host}\"", "\"\"\"\n[sources.x]\n\"\"\""),
    ] {
        assert!(in_sections(&wrong).is_err(), "{wrong}");
        assert!(whole(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn equal_values_of_profiles_share_one_allocation() {
    let config = Config::parse(Path::new("config.toml"), GOOD).unwrap();
    let [prod, own] = ["prod", "self"].map(|name| &config.profiles[&name.parse().unwrap()]);
    assert!(std::ptr::eq(prod.region.as_str(), own.region.as_str()));
    assert!(std::ptr::eq(prod.cluster.as_str(), own.cluster.as_str()));
}

#[test]
fn home_region_is_one_per_partition() {
    for (region, expected) in [
        ("eu-west-1", "us-east-1"),
        ("us-east-1", "us-east-1"),
        ("cn-northwest-1", "cn-north-1"),
        ("us-gov-east-1", "us-gov-west-1"),
        ("us-isob-east-1", "us-isob-east-1"),
    ] {
        assert_eq!(home_region(&region.parse().unwrap()).as_str(), expected, "{region}");
    }
}

#[test]
fn notifications_defaults_and_limits() {
    let path = Path::new("config.toml");
    let defaults = Notifications { login: true, unauthorized: true, warn_before: Duration::from_mins(15) };
    assert_eq!(Config::parse(path, GOOD).unwrap().notifications, defaults);
    let parsed = |text: &str| {
        Config::parse(path, &format!("[notifications]\n{text}\n{GOOD}")).map(|config| config.notifications)
    };
    assert_eq!(parsed("").unwrap(), defaults);
    let off = Notifications { login: false, unauthorized: false, warn_before: Duration::ZERO };
    assert_eq!(parsed("login = false\nunauthorized = false\nearly = \"0s\"").unwrap(), off);
    for (text, expected) in [
        ("early = \"25h\"", "config.toml:2: notifications.early: must be at most a day (24h)"),
        ("early = \"soon\"", "notifications.early: must be a duration"),
        ("login = \"yes\"", "config.toml:2: notifications.login: "),
        ("unauthorized = \"no\"", "config.toml:2: notifications.unauthorized: "),
        ("logins = true", "did you mean \"login\"?"),
    ] {
        let error = parsed(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn lock_rules_limits_and_no_default() {
    let path = Path::new("config.toml");
    assert_eq!(Config::parse(path, GOOD).unwrap().lock, LockRules::default());
    let parsed = |lock: &str| Config::parse(path, &format!("[lock]\n{lock}\n{GOOD}")).map(|config| config.lock);
    let (idle, max) = (Some(Duration::from_mins(30)), Some(Duration::from_hours(12)));
    let rules = LockRules { idle, max, ..LockRules::default() };
    assert_eq!(parsed("idle = \"30min\"\nmax = \"12h\"").unwrap(), rules);
    let with_desktop = LockRules { on_screen_lock: true, on_sleep: true, ..LockRules::default() };
    assert_eq!(parsed("on_screen_lock = true\non_sleep = true").unwrap(), with_desktop);
    assert_eq!(parsed("max = \"168h\"").unwrap().max, Some(Duration::from_hours(168)));
    for (lock, expected) in [
        ("idle = \"59s\"", "config.toml:2: lock.idle: must be from a minute"),
        ("max = \"169h\"", "config.toml:2: lock.max: must be from a minute"),
        ("max = \"soon\"", "lock.max: must be a duration"),
        ("idel = \"1h\"", "did you mean \"idle\"?"),
    ] {
        let error = parsed(lock).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Fault matrix row 33.
#[test]
fn text_of_many_marks_is_refused_before_it_is_parsed() {
    let tables = format!("a = [{}]", "{b=1},".repeat(6_000));
    let large = "has a table of more than 1 MiB, 100000 marks or 5000 inline tables";
    for (text, expected) in [
        ("[".repeat(2_000_000), large),
        ("\n".repeat(2_000_000), large),
        (format!("#{}", "a".repeat(1 << 20)), large),
        (format!("a = [{}]", "1,".repeat(200_000)), large),
        (tables, large),
        ("[profiles.x]\n".repeat(300_000), "has more than 1000000 marks"),
    ] {
        let error = Config::parse(Path::new("/c"), &text).unwrap_err();
        assert_eq!(error.message, expected);
    }
}

/// Returns a configuration of many profiles, too large to be parsed at once.
fn large() -> String {
    let mut text = "[sources.work]\naws_profile = \"work\"\n".to_owned();
    for number in 0..9_000 {
        let keys = "cluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"";
        writeln!(text, "[profiles.p{number}]\n{keys}").unwrap();
    }
    assert!(!schema::is_small(&text));
    text
}

/// Fault matrix row 92. A large file is never parsed as one document, and its errors have line and key too.
#[test]
fn error_in_a_large_file_has_line_and_key() {
    let text = large();
    let lines = text.lines().count();
    assert_eq!(Config::parse(Path::new("config.toml"), &text).unwrap().profiles.len(), 9_000);
    for (more, line, expected) in [
        ("colour = \"red\"\n", 1, "profiles.p8999.colour: unknown key \"colour\""),
        ("[lock]\n\nidle = \"soon\"\n", 3, "lock.idle: must be a duration"),
        ("[sources.other]\n", 1, "sources.other: "),
        (
            "[profiles.p0]\ncluster = \"c\"\nregion = \"eu-west-1\"\nsource = \"wrok\"\n",
            4,
            "profiles.p0.source: unknown source",
        ),
        (
            "[profiles.p0]\ncluster = \"c\"\nregion = \"eu-west-1\"\nsource = \"work\"\n",
            1,
            "profiles.p0: is there twice",
        ),
        ("[profiles.\n", 1, ""),
        ("\n[profiles]\na = {}\n", 3, "profiles.a: each profile of a file with more than 100000 marks needs a table"),
    ] {
        let message = error(&format!("{text}{more}"));
        let start = format!("config.toml:{}: {expected}", lines + line);
        assert!(message.starts_with(&start), "{message} instead of {start}");
    }
}

#[test]
fn profiles_have_a_limit() {
    let mut text = large();
    for number in 9_000..=MAX_PROFILES {
        let keys = "cluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"";
        writeln!(text, "[profiles.p{number}]\n{keys}").unwrap();
    }
    let message = error(&text);
    assert!(message.ends_with("profiles.p20000: is one too many: the limit is 20000 profiles"), "{message}");
}
