//! The file that `rolecall config init` writes: every key with its default or an example, all of them comments.

use std::fmt::Write as _;

use super::key_table::{KEYS, Key, Kind, TABLES, Value};

/// The width of a comment.
const WIDTH: usize = 100;

const HEAD: &str = "\
# The configuration of Rolecall. `man rolecall-config` describes each key in full.
#
# Every setting is a comment here and shows its default, or an example if it has none. To set one, remove the # before it
# and before the [table] above it. `rolecall config check` names a mistake. A valid change is in force within a second.
# `rolecall add` and `rolecall remove` edit the file below this text and keep comments.
";

pub(super) fn render() -> String {
    let mut text = HEAD.to_owned();
    // The tables with names come last, where `rolecall add` writes them.
    let is_named = |name: &str| name.contains('*');
    for table in TABLES.iter().filter(|table| !is_named(table.name)) {
        section(&mut text, table.name, &header(table.name), table.summary);
    }
    for (name, example) in [("sources.*", "sources.work"), ("profiles.*", "profiles.prod")] {
        let table = TABLES.iter().find(|table| table.name == name).unwrap();
        section(&mut text, name, &format!("#[{example}]\n"), table.summary);
    }
    text += "\n# A profile can also have every key of [defaults]. `rolecall kubeconfig` writes its API server and its entry key.\n";
    text
}

fn header(table: &str) -> String {
    if table.is_empty() { String::new() } else { format!("#[{table}]\n") }
}

fn section(text: &mut String, table: &str, header: &str, summary: &str) {
    text.push('\n');
    if !header.is_empty() {
        comment(text, summary);
        text.push_str(header);
        text.push('\n');
    }
    let keys: Vec<String> =
        KEYS.iter().filter(|key| key.table == table && is_written_by_users(key)).map(entry).collect();
    text.push_str(&keys.join("\n"));
}

fn entry(key: &Key) -> String {
    let mut text = String::new();
    let note = match (key.kind, key.value) {
        (Kind::OneOf(values), _) => format!(" One of: {}.", values.join(", ")),
        (_, Value::Example(value)) if key.summary.contains(value) => " No default.".to_owned(),
        (_, Value::Example(_)) => " No default; for example:".to_owned(),
        (_, Value::Required(_)) => " Required.".to_owned(),
        (_, Value::Default(_)) => String::new(),
    };
    comment(&mut text, &format!("{}{note}", key.summary));
    let _ = writeln!(text, "#{} = {}", key.name, key.value.shown());
    text
}

/// Whether users write the key by hand. Rolecall itself writes the pin and the entry key of a profile.
fn is_written_by_users(key: &Key) -> bool {
    !super::PINNED.contains(&key.name)
}

/// Adds a comment in lines of at most [`WIDTH`] characters. TOML values in it need no quotes of Markdown.
fn comment(text: &mut String, markdown: &str) {
    let part = |(index, part): (usize, &str)| match index % 2 {
        1 if !part.starts_with(['"', '[', '{']) => format!("`{part}`"),
        _ => part.to_owned(),
    };
    let plain: String = markdown.split('`').enumerate().map(part).collect();
    let mut line = "#".to_owned();
    for word in plain.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(text, "{line}");
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const PROFILE: &str = "
[sources.w]
aws_profile = \"w\"

[profiles.p]
cluster = \"p\"
region = \"eu-west-1\"
source = \"w\"
role_arn = \"arn:aws:iam::111122223333:role/developers\"
";

    fn parse(text: &str) -> Config {
        Config::parse(Path::new("config.toml"), text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// Returns a line without its `#` if it is a setting or a header.
    fn uncommented(line: &str) -> Option<&str> {
        line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '))
    }

    #[test]
    fn template_is_valid_and_has_the_defaults() {
        assert_eq!(parse(&render()), Config::default());
        assert_eq!(parse(&format!("{}{PROFILE}", render())), parse(PROFILE));
    }

    #[test]
    fn template_default_uncommented_changes_nothing() {
        let (text, mut header) = (render(), "");
        let mut tried = 0;
        for line in text.lines().filter_map(uncommented) {
            if line.starts_with('[') {
                header = line;
                continue;
            }
            let (name, _) = line.split_once(" = ").unwrap();
            let table = header.trim_matches(['[', ']']);
            let Some(key) = super::super::find(table, name) else { continue };
            let alone = format!("{header}\n{line}\n{PROFILE}");
            match key.value {
                Value::Default(_) => assert_eq!(parse(&alone), parse(PROFILE), "{line}"),
                // A CA bundle is read, and a list of hosts without a proxy is an error.
                Value::Example(_) if ["ca_bundle", "no_proxy", "transitive_tags"].contains(&name) => continue,
                Value::Example(_) => assert_ne!(parse(&alone), parse(PROFILE), "{line}"),
                Value::Required(_) => unreachable!("{line}"),
            }
            tried += 1;
        }
        assert!(tried > 30, "{tried}");
    }

    #[test]
    fn template_source_and_profile_uncommented_are_valid() {
        let text = render();
        let (_, named) = text.split_once("#[sources.work]").unwrap();
        let lines: Vec<&str> =
            named.lines().filter_map(uncommented).filter(|line| !line.starts_with("keyring")).collect();
        let config = parse(&format!("[sources.work]\n{}", lines.join("\n")));
        assert_eq!((config.sources.len(), config.profiles.len()), (1, 1));
    }
}
