//! Generates the field `data` of aws-auth, of the forms that people and tools write, with mistakes in some.

use std::fmt::Write as _;

use fastrand::Rng;
use rolecall_core::cluster_access::aws_auth::Data;

const ARN: &str = "arn:aws:iam::111122223333:";
/// Values of `username` and groups, as they stand in the text.
const TEXTS: [&str; 22] = [
    "developer",
    "system:masters",
    "\"dev:{{SessionName}}\"",
    "system:node:{{EC2PrivateDNSName}}",
    "'it''s'",
    "\"tab\\there\"",
    "123",
    "0x1f",
    "1_000",
    "1e3",
    "0b11",
    "yes",
    "true",
    "~",
    "",
    "null",
    "2024-01-02",
    ".inf",
    "a # comment",
    "a#b",
    "\"multi\n    line\"",
    "\u{e9}t\u{e9}",
];
/// Text that a mistake inserts.
const SNIPPETS: [&str; 27] = [
    "- ", ": ", ":", "\t", "'", "\"", "[", "]", "{", "}", "&a ", "*a", "#", " #", "|", ">", "%", "!!str ", "\n", "  ",
    "---\n", "...\n", "? ", ",", "\u{feff}", "\\", "@",
];

/// Returns the data of a ConfigMap. Two of three are as their author intended.
pub(super) fn data(rng: &mut Rng) -> Data {
    let mut data = Data::new();
    data.insert("mapRoles".to_owned(), text(rng, "rolearn"));
    if rng.bool() {
        data.insert("mapUsers".to_owned(), text(rng, "userarn"));
    }
    if rng.u8(..4) == 0 {
        data.insert("mapAccounts".to_owned(), accounts(rng));
    }
    if rng.u8(..3) == 0 {
        for text in data.values_mut() {
            break_text(rng, text);
        }
    }
    if rng.u8(..10) == 0 {
        for text in data.values_mut() {
            *text = text.replace('\n', "\r\n");
        }
    }
    data
}

fn text(rng: &mut Rng, arn: &str) -> String {
    let indent = choose(rng, &["", "", "  ", "    "]);
    let mut text = String::from(choose(rng, &["", "", "", "# ours\n", "---\n", "\n"]));
    for _ in 0..rng.u8(..5) {
        text += &mapping(rng, arn, indent);
        if rng.u8(..8) == 0 {
            text += choose(rng, &["\n", "# between\n", "    # indented\n"]);
        }
    }
    match rng.u8(..20) {
        0 => text.trim_end_matches('\n').to_owned(),
        1 => choose(rng, &["", "[]", "``", "\"\"", "~", "{}", "text", "[]\n", " \n"]).to_owned(),
        _ => text,
    }
}

/// Returns an item of `mapRoles` or `mapUsers`.
fn mapping(rng: &mut Rng, arn: &str, indent: &str) -> String {
    let principal = principal(rng, arn);
    let mut fields = vec![(spelled(rng, arn), quoted(rng, &principal))];
    if rng.u8(..8) > 0 {
        fields.push((spelled(rng, "username"), choose(rng, &TEXTS).to_owned()));
    }
    if rng.u8(..12) == 0 {
        fields.push((choose(rng, &["userid", "note", "1", "\"a b\""]).to_owned(), choose(rng, &TEXTS).to_owned()));
    }
    if arn == "rolearn" && rng.u8(..12) == 0 {
        let account = choose(rng, &["\"111122223333\"", "111122223333", "1"]);
        let sso = format!("{{permissionSetName: Admins, accountID: {account}}}");
        fields.push((spelled(rng, "sso"), sso));
        if rng.bool() {
            fields.remove(0);
        }
    }
    rng.shuffle(&mut fields);
    if rng.u8(..6) == 0 {
        return flow(rng, indent, &fields);
    }
    let mut text = String::new();
    for (at, (name, value)) in fields.iter().enumerate() {
        let start = if at == 0 { "- " } else { "  " };
        writeln!(text, "{indent}{start}{name}: {value}").unwrap();
    }
    if rng.u8(..6) > 0 {
        text += &groups(rng, indent);
    }
    text
}

fn flow(rng: &mut Rng, indent: &str, fields: &[(String, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let groups = choose(rng, &[", groups: [a, \"b\"]", ", groups: []", ""]);
    format!("{indent}- {{{}{groups}}}\n", fields.join(", "))
}

fn groups(rng: &mut Rng, indent: &str) -> String {
    let name = spelled(rng, "groups");
    match rng.u8(..12) {
        0 => return format!("{indent}  {name}: [system:masters, 'b']\n"),
        1 => return format!("{indent}  {name}: system:masters\n"),
        2 => return format!("{indent}  {name}:\n"),
        _ => {}
    }
    let mut text = format!("{indent}  {name}:{}\n", choose(rng, &["", "", " # may", " "]));
    let deeper = choose(rng, &["  ", "    ", "      "]);
    for _ in 0..=rng.u8(..3) {
        writeln!(text, "{indent}{deeper}- {}", choose(rng, &TEXTS)).unwrap();
    }
    text
}

fn principal(rng: &mut Rng, arn: &str) -> String {
    let resource = if arn == "rolearn" { "role" } else { "user" };
    let name = choose(rng, &["a", "b", "Admins", "team/ops", "x,y=z@w", "node-1.2"]);
    format!("{ARN}{resource}/{name}")
}

/// Go's JSON decoder ignores the case of keys.
fn spelled(rng: &mut Rng, name: &str) -> String {
    match rng.u8(..10) {
        0 => name.to_uppercase(),
        1 => format!("\"{name}\""),
        2 => format!("{}{}", name[..1].to_uppercase(), &name[1..]),
        _ => name.to_owned(),
    }
}

fn quoted(rng: &mut Rng, text: &str) -> String {
    match rng.u8(..4) {
        0 => format!("\"{text}\""),
        1 => format!("'{text}'"),
        _ => text.to_owned(),
    }
}

fn accounts(rng: &mut Rng) -> String {
    let accounts = ["\"111122223333\"", "111122223333", "012345678901", "'1'", "yes", "~", "[1]", "1.5"];
    let mut text = String::new();
    for _ in 0..rng.u8(..4) {
        writeln!(text, "- {}", choose(rng, &accounts)).unwrap();
    }
    text
}

/// Makes one to three mistakes.
fn break_text(rng: &mut Rng, text: &mut String) {
    for _ in 0..=rng.u8(..3) {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let Some(&at) = rng.choice(&places) else { return };
        match rng.u8(..5) {
            0 => drop(text.remove(at)),
            1 => text.insert_str(at, choose(rng, &SNIPPETS)),
            2 => {
                let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
                text.insert_str(start, choose(rng, &[" ", "  ", "\t", "- ", "# "]));
            }
            3 => {
                let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
                let end = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
                let line = text[start..end].to_owned();
                text.insert_str(start, &line);
            }
            _ => text.truncate(at),
        }
    }
}

fn choose<'a>(rng: &mut Rng, texts: &[&'a str]) -> &'a str {
    rng.choice(texts).copied().unwrap()
}
