//! What `rolecall show` prints.

use super::*;

fn shown(details: &serde_json::Value) -> String {
    shown_with(details, None)
}

fn shown_with(details: &serde_json::Value, source: Option<&serde_json::Value>) -> String {
    let details: ProfileDetails = serde_json::from_value(details.clone()).unwrap();
    let all = all(source);
    shown_on(&details, &all, Screen { unicode: true, width: None, is_wide: false })
}

fn all(source: Option<&serde_json::Value>) -> Status {
    serde_json::from_value(serde_json::json!({
        "daemon": {"version": "0.1.0", "protocol": 1, "pid": 7, "started": "2026-01-02T10:00:00Z", "socket": "/s"},
        "config": {"path": "/c"}, "profiles": [], "sources": Vec::from_iter(source),
    }))
    .unwrap()
}

fn shown_on(details: &ProfileDetails, all: &Status, screen: Screen) -> String {
    let now = "2026-01-02T12:13:00Z".parse().unwrap();
    let text = render(details, all, Some("prod in ~/.kube/config"), now, &TimeZone::UTC, screen);
    anstream::adapter::strip_str(&text).to_string()
}

fn sample() -> serde_json::Value {
    serde_json::json!({
        "name": "prod", "cluster": "prod", "region": "eu-west-1", "source": "work",
        "role_arn": "arn:aws:iam::111122223333:role/developers", "state": "ready",
        "session": {"arn": "arn:aws:sts::111122223333:assumed-role/developers/dev@laptop",
                    "key_id_suffix": "WXYZ", "issued": "2026-01-02T12:00:00Z", "expires": "2026-01-02T13:00:00Z"},
        "next_renewal": "2026-01-02T12:30:00Z", "last_used": "2026-01-02T12:12:48Z",
        "source_kind": "AWS profile work",
        "hops": ["arn:aws:iam::999988887777:role/hub", "arn:aws:iam::111122223333:role/developers"],
        "session_name": "dev@laptop", "duration_seconds": 3600,
        "server": "https://x.eks.amazonaws.com", "new": 1
    })
}

#[test]
fn render_profile_lines() {
    assert_eq!(
        shown(&sample()),
        "\
prod
  cluster       prod in eu-west-1
  source        work (AWS profile work)
  via           arn:aws:iam::999988887777:role/hub
  role          arn:aws:iam::111122223333:role/developers
  session name  dev@laptop
  duration      1 h
  state         ready
  session       arn:aws:sts::111122223333:assumed-role/developers/dev@laptop
  access key    …WXYZ
  since         2026-01-02 12:00:00
  until         2026-01-02 13:00:00 (47 min left)
  next renewal  in 17 min
  last used     12 s ago
  context       prod in ~/.kube/config
  server        https://x.eks.amazonaws.com
"
    );
}

#[test]
fn render_pin_mode() {
    let line = |details: &serde_json::Value, key: &str| {
        let key = format!("  {key:<12}  ");
        shown(details).lines().find_map(|line| line.strip_prefix(&key)).map(str::to_owned)
    };
    let mut details = sample();
    assert_eq!(line(&details, "pin"), None, "an older daemon does not report it");
    details["pin"] = "entry".into();
    assert_eq!(line(&details, "pin").unwrap(), "entry, without an entry key. Run: rolecall kubeconfig prod");
    details["has_entry_key"] = true.into();
    assert_eq!(line(&details, "pin").unwrap(), "entry: a call that names no server needs the entry key");
    details["pin"] = "off".into();
    assert_eq!(line(&details, "pin").unwrap(), "off: any kubeconfig gets a token");
}

#[test]
fn render_login_and_mfa() {
    let source = |login: serde_json::Value| serde_json::json!({"name": "work", "kind": "x", "login": login});
    let line = |details: &serde_json::Value, login: serde_json::Value, key: &str| {
        let text = shown_with(details, Some(&source(login)));
        let key = format!("  {key:<12}  ");
        text.lines().find_map(|line| line.strip_prefix(&key)).map(str::to_owned)
    };
    let mut details = sample();
    let sso = serde_json::json!({"kind": "sso", "ends": "2026-01-02T19:42:00Z", "renews": true});
    assert_eq!(line(&details, sso, "login").as_deref(), Some("signed in until 19:42, renewed automatically"));
    assert_eq!(line(&details, serde_json::Value::Null, "login"), None);
    let over = serde_json::json!({"kind": "sso", "ends": "2026-01-02T12:00:00Z"});
    assert_eq!(line(&details, over.clone(), "login").as_deref(), Some("login needed. Run: rolecall login work"));

    let serial = "arn:aws:iam::111122223333:mfa/dev";
    details["mfa"] =
        serde_json::json!({"serial": serial, "in_assume_role": false, "seconds": 43_200, "by_command": true});
    assert_eq!(
        line(&details, serde_json::Value::Null, "mfa").unwrap(),
        format!(
            "{serial}: one code is valid for 12 h, for all roles of source work (GetSessionToken); codes by command"
        )
    );
    details["mfa"]["in_assume_role"] = true.into();
    details["mfa"]["by_command"] = false.into();
    assert_eq!(
        line(&details, serde_json::Value::Null, "mfa").unwrap(),
        format!(
            "{serial}: a code in AssumeRole for each session of 12 h: a session got with a code could assume roles \
             for 1 h at most"
        )
    );

    // The problem has the command, so the login does not repeat it.
    details["problem"] = serde_json::json!({"since": "2026-01-02T12:08:00Z", "class": "login",
        "code": "login_needed", "message": "it has expired", "hint": "Run: rolecall login work"});
    assert_eq!(line(&details, over.clone(), "login").as_deref(), Some("login needed"));
    assert_eq!(shown_with(&details, Some(&source(over))).matches("rolecall login").count(), 1);
}

#[test]
fn render_optional_inputs() {
    let mut details = sample();
    details["source_identity"] = "dev".into();
    details["tags"] = serde_json::json!({"stage": "a\u{1b}b", "team": "x"});
    details["transitive_tags"] = serde_json::json!(["team"]);
    details["policy_arns"] = serde_json::json!(["arn:aws:iam::aws:policy/ReadOnlyAccess"]);
    details["policy"] = "{}".into();
    details["fips"] = true.into();
    let text = shown(&details);
    let expected = "\
  source identity  dev
  tag              stage=a\\u{1b}b
  tag              team=x (transitive)
  policy ARN       arn:aws:iam::aws:policy/ReadOnlyAccess
  policy           {}
  STS              FIPS
";
    assert!(text.contains(expected), "{text}");
    details["sts_endpoint"] = "https://sts.corp".into();
    assert!(shown(&details).contains("  STS              https://sts.corp (tokens: FIPS)\n"));
}

#[test]
fn duration_limits_are_shown() {
    let mut details = sample();
    details["duration_seconds"] = 43_200.into();
    assert!(shown(&details).contains("  duration      12 h (AWS grants no more than 1 h)\n"), "{}", shown(&details));
    // A session that is as long as the limit is not cut short; a shorter one is.
    details["limit_seconds"] = 3600.into();
    let limited = "  duration      12 h (1 h at most: AWS limits a role that is assumed from another role)\n";
    assert!(shown(&details).contains(limited), "{}", shown(&details));
    details["session"]["expires"] = "2026-01-02T12:30:00Z".into();
    assert!(shown(&details).contains("  duration      12 h (AWS grants no more than 30 min)\n"));
    details["limit_seconds"] = serde_json::Value::Null;
    details["server"] = serde_json::Value::Null;
    assert!(shown(&details).contains("  server        not pinned\n"), "{}", shown(&details));
    details["hops"] = serde_json::json!([]);
    details["session"]["expires"] = serde_json::Value::Null;
    let text = shown(&details);
    assert!(text.contains("  duration      12 h\n"), "{text}");
    assert!(text.contains("  until         no end (long-lived keys)\n"), "{text}");
}

#[test]
fn problem_lines_name_the_remedy() {
    let result_text = |class: &str| {
        let mut details = sample();
        details["problem"] = serde_json::json!({"since": "2026-01-02T12:08:00Z", "class": class,
            "retry": "2026-01-02T12:13:12Z", "code": "aws_unavailable", "message": "STS does not\u{1b} answer"});
        let text = shown(&details);
        text.lines().skip_while(|line| !line.contains("  problem ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let problem = "  problem       STS does not\\u{1b} answer (5 min ago)";
    let (time, next) = ("  needs         only time", "  next try      in 12 s");
    assert_eq!(result_text("retry"), [problem, time, next]);
    assert_eq!(result_text("login"), [problem, "  needs         a login"]);
    assert_eq!(result_text("change"), [problem, "  needs         a fix of the permissions or the configuration", next]);
    assert_eq!(result_text("clock"), [problem, "  needs         a correct clock on this machine", next]);
    assert_eq!(result_text("moon_phase"), [problem, next]);
    let mut details = sample();
    details["problem"] = serde_json::json!({"since": "2026-01-02T12:08:00Z", "class": "retry",
        "code": "aws_unavailable", "message": "STS does not answer"});
    let text = shown(&details);
    assert!(text.contains("  state         ready, with a problem\n"), "{text}");
    assert!(text.ends_with("  needs         only time\n"), "the next renewal is the next try: {text}");
    details["next_renewal"] = serde_json::Value::Null;
    details["problem"]["remembered_until"] = "2026-01-02T12:13:40Z".into();
    let text = shown(&details);
    assert!(text.ends_with("  needs         only time\n  next try      on a use in 40 s or later\n"), "{text}");
}

#[test]
fn render_narrow_wraps_between_words() {
    let mut details = sample();
    details["problem"] = serde_json::json!({"since": "2026-01-02T12:08:00Z", "class": "change", "code": "pin_mismatch",
        "message": "the kubeconfig trusts another certificate authority", "hint": "Run: rolecall kubeconfig prod"});
    details["tokens_rejected"] = "2026-01-02T12:12:48Z".into();
    let details = serde_json::from_value(details).unwrap();
    for width in [40, 80, 200] {
        let text = shown_on(&details, &all(None), Screen { unicode: true, width: Some(width), is_wide: false });
        for line in text.lines() {
            let is_one_word = line.split_whitespace().count() == 1;
            assert!(line.chars().count() <= width || is_one_word, "{width}: {line}");
        }
        assert!(text.contains("\n  last used     12 s ago\n"), "{text}");
    }
    let text = shown_on(&details, &all(None), Screen { unicode: true, width: Some(40), is_wide: false });
    let lines = "  role\n    arn:aws:iam::111122223333:role/developers\n  session name  dev@laptop\n";
    assert!(text.contains(lines), "{text}");
    let lines = "  problem       the kubeconfig trusts\n                another certificate\n                authority. Run: rolecall\n";
    assert!(text.contains(lines), "{text}");
    assert!(text.contains("  problem       the cluster rejects this\n                role (401): rolecall\n                doctor prod\n"), "{text}");
}

#[test]
fn render_locked_agent() {
    let details = serde_json::from_value(sample()).unwrap();
    let mut locked = all(None);
    locked.daemon.lock.locked = true;
    let text = shown_on(&details, &locked, Screen { unicode: true, width: None, is_wide: false });
    assert!(text.contains("  state         locked. Run: rolecall unlock\n"), "{text}");
}
