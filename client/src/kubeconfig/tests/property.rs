//! Generated kubeconfigs: after an edit, entries of other tools have the same meaning, and every comment is still
//! there.

use proptest::prelude::*;

use super::*;

/// A scalar in block style.
fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,8}",
        "'[ -&(-~]{0,12}'",
        "\"[ !#-\\[\\]-~]{0,12}\"",
        Just("https://a.example:6443".to_owned()),
        Just("null".to_owned()),
        Just("~".to_owned()),
        Just("yes".to_owned()),
        Just("007".to_owned()),
        Just("1.50".to_owned()),
        Just("!!str 12".to_owned()),
        Just("{a: 1, b: [x, 'y']}".to_owned()),
        Just("[]".to_owned()),
    ]
}

/// A blank line, an indented comment line, or nothing.
fn filler() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        1 => Just("\n".to_owned()),
        2 => ("[ ]{0,6}", "[ -~]{0,16}").prop_map(|(pad, text)| format!("{pad}# {text}\n")),
    ]
}

fn trailer() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ -~]{0,12}".prop_map(|text| format!(" # {text}"))]
}

/// The lines of one entry of another tool, in a list with indentation `pad`.
fn item(pad: &'static str, body: &'static str) -> impl Strategy<Value = String> {
    let field = (scalar(), trailer(), filler());
    let name = "(foreign-[a-z0-9]{1,6}|'foreign [a-z]{1,3}')";
    (name, proptest::collection::btree_map("[a-z]{1,6}", field, 0..4), any::<bool>(), filler(), trailer()).prop_map(
        move |(name, fields, name_first, filler, trailer)| {
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(key, (value, trailer, filler))| format!("{pad}    {key}: {value}{trailer}\n{filler}"))
                .collect();
            let fields = fields.concat();
            let empty = if fields.is_empty() { " {}" } else { "" };
            if name_first {
                format!("{pad}- name: {name}{trailer}\n{filler}{pad}  {body}:{empty}\n{fields}")
            } else {
                format!("{pad}- {body}:{empty}{trailer}\n{fields}{pad}  name: {name}\n{filler}")
            }
        },
    )
}

fn list(key: &'static str, body: &'static str) -> impl Strategy<Value = String> {
    let items = |pad| proptest::collection::vec(item(pad, body), 1..4).prop_map(|items| items.concat());
    prop_oneof![
        1 => Just(String::new()),
        1 => (prop_oneof![Just(" null"), Just(" []"), Just(""), Just(" ~")], trailer())
            .prop_map(move |(value, trailer)| format!("{key}:{value}{trailer}\n")),
        3 => (items(""), trailer(), filler()).prop_map(move |(items, trailer, filler)| format!("{key}:{trailer}\n{filler}{items}")),
        3 => (items("  "), trailer(), filler()).prop_map(move |(items, trailer, filler)| format!("{key}:{trailer}\n{filler}{items}")),
        1 => Just(format!("{key}: [{{name: foreign-flow, {body}: {{a: b}}}}]\n")),
    ]
}

fn kubeconfig() -> impl Strategy<Value = String> {
    let head =
        prop_oneof![Just(""), Just("apiVersion: v1\nkind: Config\n"), Just("---\nkind: Config\n"), Just("# head\n\n")];
    let current = prop_oneof![Just(""), Just("current-context: foreign\n"), Just("current-context: \"\" # none\n")];
    let lists = (list("clusters", "cluster"), list("contexts", "context"), list("users", "user"));
    (head, lists, current, filler(), filler(), any::<bool>(), any::<bool>(), 0..6_usize).prop_map(
        |(head, (clusters, contexts, users), current, between, end, crlf, open_end, turn)| {
            let mut parts = [clusters, contexts, users, current.to_owned() + &between];
            parts.rotate_left(turn % 4);
            let mut text = format!("{head}{}{end}", parts.concat());
            if open_end {
                text.truncate(text.trim_end_matches('\n').len());
            }
            if crlf { text.replace('\n', "\r\n") } else { text }
        },
    )
}

/// Returns the lines that are only a comment.
fn comments(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| line.starts_with('#')).collect()
}

fn foreign(text: &str) -> Vec<Vec<Value>> {
    let model = parsed(text);
    let is_foreign =
        |item: &Value| item.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with("foreign"));
    let items = |kind: EntryKind| model.get(kind.list_key()).map(Value::items).unwrap_or_default().to_vec();
    EntryKind::ALL.map(|kind| items(kind).into_iter().filter(is_foreign).collect()).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_keep_foreign_entries_and_comments(before in kubeconfig()) {
        let fixture = Fixture::with(&before);
        let files = fixture.files();
        // Other tests cover invalid files, such as one with duplicate names.
        prop_assume!(files.load().is_ok());

        upsert(&files, &[entry("prod"), entry("yes")], None).unwrap();
        let added = fixture.read("config");
        prop_assert_eq!(foreign(&before), foreign(&added));
        prop_assert_eq!(comments(&before), comments(&added), "{}", added);
        for line in before.lines().filter(|line| !line.ends_with(['l', ']', '~', ':']) && !line.contains('#')) {
            prop_assert!(added.lines().any(|other| other == line), "lost {:?} of\n{}\nin\n{}", line, before, added);
        }

        let moved = Entry { server: "https://moved".to_owned(), ..entry("prod") };
        upsert(&files, &[moved], Some("prod")).unwrap();
        let server = find(&files, "prod").unwrap().unwrap().server;
        prop_assert_eq!(server.as_deref(), Some("https://moved"));

        remove(&files, &["prod", "yes"]).unwrap();
        let removed = fixture.read("config");
        prop_assert_eq!(foreign(&before), foreign(&removed));
        prop_assert_eq!(comments(&before), comments(&removed), "{}", removed);
        prop_assert!(!removed.contains("rolecall"));
        if before.contains("\r\n") {
            prop_assert_eq!(removed.matches('\n').count(), removed.matches("\r\n").count());
        }
    }
}
