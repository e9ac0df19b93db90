//! What is shown, to the character.

use super::*;

/// Five profiles in five states at noon.
pub(in crate::commands::status) fn sample() -> Status {
    let profile = |name: &str, state: &str, more: serde_json::Value| {
        let mut profile = serde_json::json!({
            "name": name, "cluster": "prod", "region": "eu-west-1", "source": "work", "state": state,
            "role_arn": "arn:aws:iam::111122223333:role/team/developers",
        });
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        profile
    };
    let session = |issued: &str, expires: &str| serde_json::json!({"session": {"key_id_suffix": "WXYZ", "issued": issued, "expires": expires}});
    let mut prod = session("2026-01-02T11:47:00Z", "2026-01-02T12:47:00Z");
    prod["next_renewal"] = "2026-01-02T12:17:00Z".into();
    prod["last_used"] = "2026-01-02T11:59:48Z".into();
    let mut worried = session("2026-01-02T11:10:00Z", "2026-01-02T12:10:00Z");
    worried["problem"] = serde_json::json!({"since": "2026-01-02T11:55:00Z", "code": "aws_unavailable",
        "class": "retry", "retry": "2026-01-02T12:00:12Z",
        "message": "STS in eu-west-1 does not answer", "hint": "It is tried again by itself", "automatic_retry": true});
    let lost = serde_json::json!({"source": "partner", "problem": {"since": "2026-01-02T10:00:00Z", "code": "login_needed", "class": "login",
        "message": "the login of source \"partner\"\u{1b}[2J has expired", "hint": "Run: rolecall login partner"}});
    serde_json::from_value(serde_json::json!({
        "daemon": {"version": "0.1.0", "protocol": 1, "pid": 7, "started": "2026-01-02T10:00:00Z", "socket": "/s"},
        "config": {"path": "/c", "loaded": "2026-01-02T10:00:00Z"},
        "profiles": [
            profile("audit", "unused", serde_json::json!({})),
            profile("lab", "moon_phase", serde_json::json!({})),
            profile("partner", "login_needed", lost),
            profile("prod", "ready", prod),
            profile("staging", "ready", worried),
        ],
        "sources": [
            {"name": "partner", "kind": "AWS profile partner"},
            {"name": "work", "kind": "AWS profile work"},
        ],
    }))
    .unwrap()
}

fn shown(status: &Status, unicode: bool, width: Option<usize>) -> String {
    let now = "2026-01-02T12:00:00Z".parse().unwrap();
    let text = render(status, now, &TimeZone::UTC, Screen { unicode, width, is_wide: false });
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn render_table() {
    assert_eq!(
        shown(&sample(), true, None),
        "  PROFILE  CLUSTER         ROLE        SESSION                              NEXT RENEWAL  LAST USED
○ audit    prod eu-west-1  developers  not used yet
! lab      prod eu-west-1  developers  unknown to this version of rolecall
! partner  prod eu-west-1  developers  login needed: source partner
● prod     prod eu-west-1  developers  █████████████░░░  47 min left        in 17 min     12 s ago
! staging  prod eu-west-1  developers  ███░░░░░░░░░░░░░  10 min left
  STS in eu-west-1 does not answer. It is tried again by itself (5 min ago; next try in 12 s)

  SOURCE   KIND                 LOGIN
! partner  AWS profile partner  login needed → rolecall login partner
"
    );
}

#[test]
fn render_name_of_a_protected_profile_is_red() {
    let mut status = sample();
    status.profiles.retain(|profile| ["audit", "prod"].contains(&profile.name.as_str()));
    status.profiles[1].protected = true;
    let now = "2026-01-02T12:00:00Z".parse().unwrap();
    let text = render(&status, now, &TimeZone::UTC, Screen { unicode: true, width: None, is_wide: false });
    assert!(text.contains("\u{1b}[31mprod\u{1b}[") && !text.contains("\u{1b}[31maudit"), "{text}");
}

#[test]
fn render_narrow_ascii() {
    let mut status = sample();
    status.profiles.retain(|profile| profile.name.as_str() == "prod");
    assert_eq!(
        shown(&status, false, Some(60)),
        "  PROFILE  CLUSTER         ROLE        SESSION
* prod     prod eu-west-1  developers  47 min left
  hidden: NEXT RENEWAL, LAST USED; --wide shows all
"
    );
    assert_eq!(
        shown(&status, false, Some(40)),
        "  PROFILE  CLUSTER         SESSION
* prod     prod eu-west-1  47 min left
  hidden: ROLE, NEXT RENEWAL, LAST USED;
  --wide shows all
"
    );
    assert_eq!(
        shown(&status, false, Some(24)),
        "  PROFILE  SESSION
* prod     47 min left
  hidden: CLUSTER, ROLE,
  NEXT RENEWAL, LAST
  USED; --wide shows all
",
        "the bar is dropped, and never the number"
    );
}

#[test]
fn render_next_renewal_dropped_first() {
    let mut status = sample();
    status.profiles.retain(|profile| profile.name.as_str() == "prod");
    assert_eq!(
        shown(&status, true, Some(80)),
        "  PROFILE  CLUSTER         ROLE        SESSION                        LAST USED
● prod     prod eu-west-1  developers  █████████████░░░  47 min left  12 s ago
  hidden: NEXT RENEWAL; --wide shows all
"
    );
    let whole = shown(&status, true, None);
    assert_eq!(shown(&status, true, Some(200)), whole);
    let wide = Screen { unicode: true, width: Some(40), is_wide: true };
    let text = render(&status, "2026-01-02T12:00:00Z".parse().unwrap(), &TimeZone::UTC, wide);
    assert_eq!(anstream::adapter::strip_str(&text).to_string(), whole);
    // A column without a value is left out.
    status.profiles[0].next_renewal = None;
    assert!(!shown(&status, true, None).contains("RENEWAL"));
}

#[test]
fn render_invalid_config_first() {
    let mut status = sample();
    status.profiles.clear();
    status.config.problem = serde_json::from_value(serde_json::json!({"since": "2026-01-02T11:59:00Z",
        "code": "config_invalid", "message": "config.toml:3: unknown key", "hint": "Correct that line."}))
    .unwrap();
    assert_eq!(
        shown(&status, true, None),
        "\
! config.toml:3: unknown key. Correct that line. (1 min ago)
  The configuration read at 10:00 stays in force until this is fixed.
"
    );
    status.config.loaded = None;
    assert_eq!(
        shown(&status, true, None),
        "\
! config.toml:3: unknown key. Correct that line. (1 min ago)
  No profile is served until this is fixed.
"
    );
}

#[test]
fn render_lock_first() {
    let mut status = sample();
    status.profiles.clear();
    let lock = &mut status.daemon.lock;
    (lock.locked, lock.since) = (true, Some("2026-01-02T10:02:00Z".parse().unwrap()));
    let locked = "! locked since 10:02: no profile is served. Run: rolecall unlock\n";
    assert_eq!(shown(&status, true, None), locked);
    let problem =
        rolecall_protocol::ErrorBody::new(rolecall_protocol::ErrorCode::ConfigInvalid, "[lock] has no effect");
    status.daemon.lock.problem = Some(problem.hint("Set one: rolecall lock --passphrase"));
    let ineffective = "! [lock] has no effect. Set one: rolecall lock --passphrase\n";
    assert_eq!(shown(&status, true, None), [locked, ineffective].concat());
    status.daemon.lock.locked = false;
    assert_eq!(shown(&status, true, None), ineffective);
}

#[test]
fn render_corrected_clock() {
    let mut status = sample();
    status.profiles.clear();
    let clock = |skew_seconds, corrected| {
        let measured = "2026-01-02T12:05:00Z".parse().unwrap();
        Some(rolecall_protocol::ClockStatus { skew_seconds, measured, corrected })
    };
    status.daemon.clock = clock(4, false);
    assert_eq!(shown(&status, true, None), "");
    status.daemon.clock = clock(420, true);
    assert_eq!(
        shown(&status, true, Some(80)),
        "\
! the clock of this machine is 7 min behind AWS's; Rolecall corrects it, other
  programs do not. Set the clock.
"
    );
}

#[test]
fn render_used_profile_without_session() {
    let mut status = sample();
    status.profiles.truncate(1);
    status.profiles[0].last_used = Some("2026-01-02T11:00:00Z".parse().unwrap());
    let text = shown(&status, true, None);
    assert!(text.ends_with("  no session; assumed on next use  1 h ago\n"), "{text}");
}

#[test]
fn render_problems_wrapped() {
    let mut status = sample();
    status.profiles.retain(|profile| profile.name.as_str() == "staging");
    assert_eq!(
        shown(&status, true, Some(50)),
        "  PROFILE  CLUSTER         ROLE        SESSION
! staging  prod eu-west-1  developers  10 min left
  STS in eu-west-1 does not answer. It is tried
  again by itself (5 min ago; next try in 12 s)
"
    );
}

#[test]
fn render_audit_log_problem() {
    let line = |lost: u64, waiting: u64, problem: Option<&str>| {
        let mut status = sample();
        let problem = problem.map(str::to_owned);
        status.daemon.audit = Some(AuditStatus { file: "/s/audit.jsonl".to_owned(), lost, waiting, problem });
        let text = shown(&status, true, None);
        text.lines().find(|line| line.contains("audit log")).map(str::to_owned)
    };
    assert_eq!(line(0, 3, None), None);
    let failing = line(0, 0, Some("it is not a file\u{1b}[2J")).unwrap();
    assert_eq!(
        failing,
        "! the audit log /s/audit.jsonl cannot be written: it is not a file\\u{1b}[2J. Run: rolecall doctor"
    );
    let failing = line(7, 1024, Some("No space left on device")).unwrap();
    assert!(
        failing.ends_with(
            ": No space left on device; 1024 decisions not written yet; 7 decisions lost. Run: rolecall doctor"
        ),
        "{failing}"
    );
    let lost = line(1, 0, None).unwrap();
    assert_eq!(lost, "! the audit log /s/audit.jsonl is incomplete; 1 decision lost. Run: rolecall doctor");
}

/// Sources in every state, and two profiles of one that waits for a login.
fn signing_in() -> Status {
    let mut status = sample();
    let mut partner = status.profiles.remove(2);
    status.profiles.retain(|profile| profile.name.as_str() == "audit");
    status.profiles[0].source = "gone".parse().unwrap();
    status.profiles.push(partner.clone());
    partner.name = "partner-2".parse().unwrap();
    status.profiles.push(partner);
    let source = |name: &str, login: serde_json::Value| {
        serde_json::from_value(serde_json::json!({"name": name, "kind": format!("AWS profile {name}"), "login": login}))
            .unwrap()
    };
    status.sources = vec![
        source("codes", serde_json::json!({"kind": "mfa", "ends": "2026-01-02T23:00:00Z"})),
        source("corp", serde_json::json!({"kind": "sso", "ends": "2026-01-02T19:42:00Z", "renews": true})),
        source("fresh", serde_json::json!({"kind": "mfa"})),
        source("gone", serde_json::json!({"kind": "sso"})),
        source("keys", serde_json::json!({"kind": "keyring"})),
        source("old", serde_json::json!({"kind": "sso", "ends": "2026-01-02T12:12:00Z"})),
        source("partner", serde_json::json!({"kind": "sso", "ends": "2026-01-02T10:00:00Z"})),
        source("static", serde_json::Value::Null),
    ];
    status
}

#[test]
fn render_sources_login_command() {
    assert_eq!(
        shown(&signing_in(), true, None),
        "  PROFILE    CLUSTER         ROLE        SESSION
○ audit      prod eu-west-1  developers  not used yet; needs a login
! partner    prod eu-west-1  developers  login needed: source partner
! partner-2  prod eu-west-1  developers  login needed: source partner

  SOURCE   KIND                 LOGIN
● codes    AWS profile codes    MFA session valid for 11 h
● corp     AWS profile corp     signed in until 19:42, renewed automatically
○ fresh    AWS profile fresh    needs an MFA code on first use → rolecall login fresh
○ gone     AWS profile gone     not logged in → rolecall login gone
! old      AWS profile old      signed in until 12:12, 12 min left → rolecall login old --renew
! partner  AWS profile partner  login needed → rolecall login partner
"
    );
}

#[test]
fn render_sources_narrow_command_below() {
    let mut status = signing_in();
    status.profiles.truncate(2);
    status.sources.retain(|source| ["corp", "partner"].contains(&source.name.as_str()));
    assert_eq!(
        shown(&status, false, Some(60)),
        "  PROFILE  CLUSTER         SESSION
- audit    prod eu-west-1  not used yet
! partner  prod eu-west-1  login needed: source partner

  SOURCE   LOGIN
* corp     signed in until 19:42, renewed automatically
! partner  login needed -> rolecall login partner
  hidden: ROLE, KIND; --wide shows all
"
    );
    assert!(
        shown(&status, false, Some(36)).ends_with(
            "
  SOURCE   KIND
* corp     AWS profile corp
  signed in until 19:42, renewed
  automatically
! partner  AWS profile partner
  login needed -> rolecall login
  partner
  hidden: CLUSTER, ROLE; --wide
  shows all
"
        ),
        "{}",
        shown(&status, false, Some(36))
    );
}

#[test]
fn render_failing_source_once() {
    let mut status = sample();
    let mut staging = status.profiles.remove(4);
    status.profiles.clear();
    staging.session = None;
    staging.state = ProfileState::Failed;
    status.profiles.push(staging.clone());
    let alone = shown(&status, true, None);
    assert!(alone.contains("  failing\n  STS in eu-west-1 does not answer.") && !alone.contains("SOURCE"), "{alone}");
    status.sources.last_mut().unwrap().problem = staging.problem.clone();
    assert_eq!(shown(&status, true, None), alone, "of one profile it is said there");
    staging.name = "staging-2".parse().unwrap();
    status.profiles.push(staging);
    assert_eq!(
        shown(&status, true, None),
        "  PROFILE    CLUSTER         ROLE        SESSION
! staging    prod eu-west-1  developers  failing: source work
! staging-2  prod eu-west-1  developers  failing: source work

  SOURCE  KIND              LOGIN
! work    AWS profile work  failing
  STS in eu-west-1 does not answer. It is tried again by itself (5 min ago; next try in 12 s)
"
    );
}

#[test]
fn render_older_agent_without_sources() {
    let mut status = sample();
    status.sources.clear();
    status.profiles.retain(|profile| profile.name.as_str() == "partner");
    let text = shown(&status, true, None);
    assert!(text.ends_with("\n\n  SOURCE   LOGIN\n! partner  login needed → rolecall login partner\n"), "{text}");
}

#[test]
fn render_rejected_tokens_and_lock() {
    let mut status = sample();
    status.profiles.retain(|profile| profile.name.as_str() == "prod");
    status.profiles[0].tokens_rejected = Some("2026-01-02T11:59:48Z".parse().unwrap());
    assert_eq!(
        shown(&status, true, Some(80)),
        "  PROFILE  CLUSTER         ROLE        SESSION                        LAST USED
! prod     prod eu-west-1  developers  █████████████░░░  47 min left  12 s ago
  the cluster rejects this role (401): rolecall doctor prod
  hidden: NEXT RENEWAL; --wide shows all
"
    );
    status.daemon.lock.locked = true;
    status.profiles[0].tokens_rejected = None;
    status.profiles[0].session = None;
    status.profiles[0].state = ProfileState::Unused;
    assert!(shown(&status, true, None).contains("\n○ prod     prod eu-west-1  developers  locked "));
}
