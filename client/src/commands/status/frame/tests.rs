//! What is drawn, to the character.

use serde_json::json;

use super::super::render::tests::sample;
use super::*;

const NOON: &str = "2026-01-02T12:00:00Z";

fn drawn(picture: &Picture<'_>, unicode: bool, width: Option<usize>, rows: Option<usize>) -> String {
    strip_str(&compose(picture, &TimeZone::UTC, Screen { unicode, width, is_wide: false }, rows)).to_string()
}

fn picture(status: &Status) -> Picture<'_> {
    let noon = NOON.parse().unwrap();
    Picture { status: Some(status), now: noon, as_of: noon, outage: None, exit_key: Some("q") }
}

#[test]
fn compose_whole_picture() {
    let status = sample();
    let text = drawn(&picture(&status), true, None, None);
    assert!(text.starts_with("  PROFILE  CLUSTER "), "{text}");
    assert!(text.ends_with("login needed → rolecall login partner\n\nAs of 12:00:00. q to exit.\n"), "{text}");
    // Twelve rows and one for the cursor are just enough.
    assert_eq!(drawn(&picture(&status), true, Some(120), Some(13)), text);
    // Durations are counted from now; the status is as old as the daemon's last response.
    let heard = Picture { as_of: "2026-01-02T11:59:51Z".parse().unwrap(), ..picture(&status) };
    assert_eq!(drawn(&heard, true, None, None), text.replace("As of 12:00:00", "As of 11:59:51"));
    let left = Picture { exit_key: None, ..picture(&status) };
    assert!(drawn(&left, true, None, None).ends_with("\nAs of 12:00:00.\n"));
}

#[test]
fn compose_tall_is_cut_between_profiles() {
    let status = sample();
    assert_eq!(
        drawn(&picture(&status), true, Some(60), Some(11)),
        "  PROFILE  SESSION
○ audit    not used yet
! lab      unknown to this version of rolecall
! partner  login needed: source partner
  … and 2 more, 1 with a problem

  SOURCE   LOGIN
! partner  login needed → rolecall login partner

As of 12:00:00. q to exit.
"
    );
    // The rows of all profiles come before a problem of one of them.
    let rows = drawn(&picture(&status), true, Some(60), Some(13));
    assert!(rows.contains("! staging  ") && !rows.contains("does not answer") && !rows.contains("more"), "{rows}");
    // There are rows for more important things than a footer.
    assert_eq!(
        drawn(&picture(&status), false, Some(60), Some(7)),
        "  PROFILE  SESSION
- audit    not used yet
  ... and 4 more, 2 with a problem

  SOURCE   LOGIN
! partner  login needed -> rolecall login partner
"
    );
    // Sources that need a login are shown before the others.
    let mut many = sample();
    for n in 0..9 {
        let login = json!({"kind": "sso", "renews": true});
        let source = json!({"name": format!("corp{n}"), "kind": "AWS profile", "login": login});
        many.sources.push(serde_json::from_value(source).unwrap());
    }
    assert!(drawn(&picture(&many), true, Some(60), Some(11)).contains("\n  SOURCE   LOGIN\n! partner  login"));
    assert!(
        drawn(&picture(&many), true, Some(60), Some(60)).contains("\n● corp0    signed in, renewed automatically\n")
    );
    for rows in 0..40 {
        let (text, screen) = (
            drawn(&picture(&status), true, Some(30), Some(rows)),
            Screen { unicode: true, width: Some(30), is_wide: false },
        );
        assert!(height(&text, screen) < rows.max(1), "{rows}: {text}");
    }
}

#[test]
fn compose_outage_is_dimmed() {
    let mut status = sample();
    status.profiles.truncate(1);
    let outage = Picture { outage: Some("the agent is not running; waiting for it"), ..picture(&status) };
    let screen = Screen { unicode: true, width: None, is_wide: false };
    let text = compose(&outage, &TimeZone::UTC, screen, None);
    assert_eq!(
        strip_str(&text).to_string(),
        "\
! the agent is not running; waiting for it
  PROFILE  CLUSTER         ROLE        SESSION
○ audit    prod eu-west-1  developers  not used yet

As of 12:00:00. q to exit.
"
    );
    assert!(text.contains("\u{1b}[2m○ audit    prod eu-west-1  developers  not used yet\u{1b}[0m\n"), "{text:?}");
    let nothing = Picture { status: None, ..outage };
    assert_eq!(drawn(&nothing, true, None, Some(24)), "! the agent is not running; waiting for it\n");
}

#[test]
fn compose_without_profiles_has_a_hint() {
    let mut status = sample();
    status.profiles.clear();
    let text = drawn(&picture(&status), true, Some(80), Some(24));
    assert!(
        text.starts_with(
            "  there are no profiles yet. Begin with: rolecall import, rolecall discover or\n  rolecall add\n\nAs of"
        ),
        "{text}"
    );
}

#[test]
fn paint_overwrites_the_last_picture() {
    let screen = Screen { unicode: true, width: Some(8), is_wide: false };
    assert_eq!(
        paint("one\n\u{1b}[2mtwo and more\u{1b}[0m\n\n12345678\n", screen),
        "\u{1b}[H\u{1b}[Kone\r\n\u{1b}[J\u{1b}[2mtwo and more\u{1b}[0m\r\n\u{1b}[K\r\n\u{1b}[K12345678\r\n\u{1b}[J"
    );
    assert_eq!(paint("", screen), "\u{1b}[H\u{1b}[J");
}

#[test]
fn rows_of_counts_wrapped_lines() {
    let rows = |text: &str, width| height(text, Screen { unicode: true, width, is_wide: false });
    assert_eq!(rows("", Some(4)), 0);
    assert_eq!(rows("\n", Some(4)), 1);
    assert_eq!(rows("abcd\n", Some(4)), 1);
    assert_eq!(rows("abcde\n\u{1b}[1m●●●●\u{1b}[0m\n", Some(4)), 3);
    assert_eq!(rows("a line that goes on\n", None), 1);
}
