//! Generates kubeconfigs of the shapes that users have. The number of a file determines its text.

/// A generated kubeconfig.
pub(super) struct Generated {
    pub(super) bytes: Vec<u8>,
    /// The text in UTF-8, without the mark of UTF-16.
    pub(super) text: String,
    /// Lines of the text, or items of JSON, in order, that no edit of Rolecall's entries may change.
    pub(super) fixed: Vec<String>,
    pub(super) is_json: bool,
    /// A name of a context.
    pub(super) context: String,
}

/// SplitMix64: the same sequence on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    /// True once in `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// One value of an entry's body: block style, flow style, and JSON.
const TEXTS: [&str; 16] = [
    "plain",
    "'single quoted'",
    "\"double quoted\"",
    "https://10.0.0.1:6443",
    "arn:aws:eks:eu-west-1:111122223333:cluster/dev",
    "'it''s'",
    "\"tab\\tand \\u00e9\"",
    "null",
    "~",
    "''",
    "a#b",
    "!!str 12",
    "'yes'",
    "\"007\"",
    "2024-01-01",
    "é",
];

/// Values that kubectl does not accept as strings, or reads in another way than YAML 1.2.
const ODD: [&str; 24] = [
    "yes", "No", "on", "OFF", "y", "n", "true", "False", "007", "12", "-3", "1.50", "1e3", "1_000", "0x1f", "0b11",
    "0o17", "1:20", ".inf", ".NaN", "[]", "{}", "[a]", "{a: b}",
];

/// One of the layouts of a whole file.
#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Block,
    Indented,
    FlowItems,
    Json,
    PrettyJson,
}

struct Entry {
    name: String,
    /// Keys and values of the body, as YAML.
    body: Vec<(String, String)>,
}

pub(super) fn kubeconfig(number: u64) -> Generated {
    let mut random = Random(number.wrapping_mul(0x1000_0001).wrapping_add(7));
    let random = &mut random;
    let layout = match random.below(10) {
        0..=3 => Layout::Block,
        4..=6 => Layout::Indented,
        7 => Layout::FlowItems,
        8 => Layout::PrettyJson,
        _ => Layout::Json,
    };
    let is_json = matches!(layout, Layout::Json | Layout::PrettyJson);
    let mut lists = ["clusters", "contexts", "users"].map(|key| (key, entries(random, key, number, is_json)));
    let context = lists[1].1.first().map_or_else(|| format!("f{number}-none"), |entry| entry.name.clone());
    if random.once_in(40) {
        let (_, entries) = &mut lists[random.below(3)];
        if let Some(first) = entries.first() {
            let again = Entry { name: first.name.clone(), body: first.body.clone() };
            entries.push(again);
        }
    }
    let (mut text, mut fixed) =
        if is_json { json(random, layout, &lists, &context) } else { yaml(random, layout, &lists, &context) };
    if !is_json && random.once_in(6) {
        let line_break = random.of(&["\n", ""]);
        text.truncate(text.trim_end_matches('\n').len());
        text.push_str(line_break);
        for part in &mut fixed {
            part.truncate(part.trim_end_matches('\n').len());
        }
    }
    if !is_json && random.once_in(8) {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let tail = random.of(&[
            "---\n",
            "...\n",
            "---\n# nothing\n---\n",
            "---\nkind: Config\ncurrent-context: other\n",
            "---\ngarbage: [\n",
            "---\n- 1\n...\n",
            "--- # end\n",
        ]);
        text.push_str(tail);
        fixed.push(tail.to_owned());
    }
    if random.once_in(6) {
        text = text.replace('\n', "\r\n");
    }
    if !is_json {
        fixed = fixed.iter().flat_map(|part| part.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    }
    let bytes = encode(random, &mut text);
    Generated { bytes, text, fixed, is_json, context }
}

fn encode(random: &mut Random, text: &mut String) -> Vec<u8> {
    match random.below(12) {
        0 => {
            text.insert(0, '\u{feff}');
            text.as_bytes().to_vec()
        }
        1 => [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect(),
        2 if random.once_in(2) => {
            [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect()
        }
        _ => text.as_bytes().to_vec(),
    }
}

fn entries(random: &mut Random, list: &str, number: u64, is_json: bool) -> Vec<Entry> {
    let count = [0, 1, 1, 2, 3, 6][random.below(6)];
    let keys: &[&str] = match list {
        "clusters" => &[
            "server",
            "certificate-authority-data",
            "tls-server-name",
            "proxy-url",
            "insecure-skip-tls-verify",
            "x-mine",
        ],
        "contexts" => &["cluster", "user", "namespace", "x-mine"],
        _ => &["token", "username", "exec", "client-key-data", "x-mine"],
    };
    (0..count)
        .map(|index| {
            let name = match random.below(4) {
                0 => format!("f{number}-{index}"),
                1 => format!("arn:aws:eks:eu-west-1:111122223333:cluster/f{number}-{index}"),
                2 => format!("f{number}-{index}@corp.example"),
                _ => format!("f{number}-{index} my cluster"),
            };
            let mut body = Vec::new();
            for key in keys {
                if random.once_in(3) {
                    continue;
                }
                body.push(((*key).to_owned(), value(random, key, is_json)));
                if random.once_in(40) && !is_json {
                    body.push(((*key).to_owned(), value(random, key, is_json)));
                }
            }
            Entry { name, body }
        })
        .collect()
}

fn value(random: &mut Random, key: &str, is_json: bool) -> String {
    let text = |random: &mut Random| {
        let text = if random.once_in(150) { random.of(&ODD) } else { random.of(&TEXTS) };
        text.to_owned()
    };
    match key {
        _ if is_json => random.of(&["\"json\"", "\"\\u00e9\"", "\"https://a\"", "\"YQ==\""]).to_owned(),
        "certificate-authority-data" | "client-key-data" => {
            let odd = if random.once_in(60) { "not base64!" } else { "YQ==" };
            random.of(&[odd, "YQ==", "LS0tLS1CRUdJTi0tLS0tCg==", "''", "\"YQ==\"", "|\n      YQ==", "YQ==", "YQ==", "YQ=="]).to_owned()
        }
        "insecure-skip-tls-verify" if random.once_in(60) => "'true'".to_owned(),
        "insecure-skip-tls-verify" => random.of(&["true", "false", "yes", "off"]).to_owned(),
        "exec" => random
            .of(&[
                "{apiVersion: client.authentication.k8s.io/v1beta1, command: aws, args: [eks, get-token, --cluster-name, dev]}",
                "\n      apiVersion: client.authentication.k8s.io/v1beta1\n      args:\n      - --region\n      - eu-west-1\n      - eks\n      command: aws\n      env:\n      - name: AWS_PROFILE\n        value: work\n      interactiveMode: IfAvailable\n      provideClusterInfo: false",
                "null",
            ])
            .to_owned(),
        "token" => match random.below(6) {
            0 => "|\n      line 1\n      line 2".to_owned(),
            1 => ">-\n      folded\n      text".to_owned(),
            2 => "several words\n      on two lines".to_owned(),
            _ => text(random),
        },
        _ => text(random),
    }
}

fn json(random: &mut Random, layout: Layout, lists: &[(&str, Vec<Entry>); 3], context: &str) -> (String, Vec<String>) {
    let (line, pad) = if layout == Layout::PrettyJson { ("\n", "  ") } else { ("", "") };
    let mut fixed = Vec::new();
    let mut parts = vec!["\"apiVersion\": \"v1\"".to_owned(), "\"kind\": \"Config\"".to_owned()];
    for (key, entries) in lists {
        let items: Vec<String> = entries
            .iter()
            .map(|entry| {
                let body: Vec<String> = entry
                    .body
                    .iter()
                    .map(|(key, value)| match (key.as_str(), value.as_str()) {
                        ("insecure-skip-tls-verify", _) => format!("\"{key}\": true"),
                        ("exec", _) => format!("\"{key}\": {{\"command\": \"aws\"}}"),
                        ("certificate-authority-data" | "client-key-data", _) => format!("\"{key}\": \"YQ==\""),
                        (key, value) => format!("\"{key}\": {value}"),
                    })
                    .collect();
                format!("{{\"name\": \"{}\", \"{}\": {{{}}}}}", entry.name, key.trim_end_matches('s'), body.join(", "))
            })
            .collect();
        fixed.extend(items.clone());
        let items = items.join(&format!(",{line}{pad}{pad}"));
        parts.push(if items.is_empty() {
            format!("\"{key}\": {}", random.of(&["[]", "null"]))
        } else {
            format!("\"{key}\": [{items}]")
        });
    }
    if random.once_in(2) {
        parts.push(format!("\"current-context\": \"{context}\""));
    }
    let joined = parts.join(&format!(",{line}{pad}"));
    (format!("{{{line}{pad}{joined}{line}}}{}", random.of(&["", "\n"])), fixed)
}

fn yaml(random: &mut Random, layout: Layout, lists: &[(&str, Vec<Entry>); 3], context: &str) -> (String, Vec<String>) {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for (key, entries) in lists {
        let mut text = String::new();
        let mut parts = Vec::new();
        let comment = random.of(&["", "", "", " # mine"]);
        if entries.is_empty() {
            text = random
                .of(&["", "KEY: []\n", "KEY: null\n", "KEY:\n", "KEY: ~ # none\n", "'KEY': []\n"])
                .replace("KEY", key);
        } else {
            let quoted = if random.once_in(12) { format!("\"{key}\"") } else { (*key).to_owned() };
            let _infallible = std::fmt::Write::write_fmt(&mut text, format_args!("{quoted}:{comment}\n"));
            for entry in entries {
                let item = item(random, layout, key.trim_end_matches('s'), entry);
                text.push_str(&item);
                parts.push(item);
            }
        }
        sections.push((text, parts));
    }
    let current = random.of(&[
        "",
        "current-context: NAME\n",
        "current-context: NAME # today\n",
        "current-context: \"\"\n",
        "current-context: null\n",
    ]);
    sections.push((current.replace("NAME", &quote(context)), Vec::new()));
    for extra in [
        "apiVersion: v1\n",
        "kind: Config\n",
        "preferences: {}\n",
        "x-mine: {a: [1, 0x2, ~], b: 1.50}\n",
        "# a comment\n\n",
        "extensions:\n- extension:\n    last-update: Mon, 10 Feb 2025 10:00:00 CET\n  name: context_info\n",
        "x-anchor: &anchor\n  a: b\nx-alias:\n  <<: *anchor\n  c: *anchor\n",
    ] {
        if random.once_in(if extra.starts_with('x') || extra.starts_with('e') { 8 } else { 2 }) {
            sections.push((extra.to_owned(), vec![extra.to_owned()]));
        }
    }
    if random.once_in(25) {
        let again = random.of(&["kind: Config\n", "apiVersion: v1\n", "preferences: {}\n", "x-mine: 2\n"]);
        sections.push((again.to_owned(), vec![again.to_owned()]));
    }
    if random.once_in(60) {
        let odd = random.of(&[
            "kind: Other\n",
            "apiVersion: v2\n",
            "kind: yes\n",
            "clusters: {}\n",
            "users: none\n",
            "kind: ''\n",
            "Kind: x\n",
        ]);
        sections.push((odd.to_owned(), Vec::new()));
    }
    // A file that was made by appending another one has a list twice.
    if random.once_in(20) {
        let list = random.below(3);
        let (text, parts) = (sections[list].0.clone(), sections[list].1.clone());
        sections.push((text.replace("f", "g"), parts.iter().map(|part| part.replace("f", "g")).collect()));
    }
    for last in (1..sections.len()).rev() {
        let other = random.below(last + 1);
        sections.swap(last, other);
    }
    let head = random.of(&["", "", "", "", "---\n", "# head\n", "# head\n---\n", "\n", "%YAML 1.1\n---\n"]);
    let mut text = head.to_owned();
    let mut fixed = vec![head.to_owned()];
    for (section, parts) in sections {
        text.push_str(&section);
        fixed.extend(parts);
    }
    (text, fixed)
}

fn item(random: &mut Random, layout: Layout, body: &str, entry: &Entry) -> String {
    let pad = if layout == Layout::Indented { "  " } else { "" };
    let name = quote(&entry.name);
    let is_simple = entry.body.iter().all(|(_, value)| !value.contains('\n'));
    if layout == Layout::FlowItems && is_simple && !entry.name.contains('é') {
        let fields: Vec<String> = entry.body.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        return format!("- {{name: {name}, {body}: {{{}}}}}\n", fields.join(", "));
    }
    let mut fields = String::new();
    for (key, value) in &entry.body {
        let value = value.replace("\n      ", &format!("\n{pad}      "));
        let gap = if value.starts_with('\n') { "" } else { " " };
        let comment = if value.contains('\n') { "" } else { random.of(&["", "", "", "", " # note"]) };
        let _infallible =
            std::fmt::Write::write_fmt(&mut fields, format_args!("{pad}    {key}:{gap}{value}{comment}\n"));
        if random.once_in(20) {
            fields.push_str(random.of(&["# outer\n", "    # inner\n", "\n"]));
        }
    }
    let empty = if fields.is_empty() { random.of(&[" {}", "", " null"]) } else { "" };
    if random.once_in(3) {
        format!("{pad}- name: {name}\n{pad}  {body}:{empty}\n{fields}")
    } else {
        format!("{pad}- {body}:{empty}\n{fields}{pad}  name: {name}\n")
    }
}

/// Returns a name as YAML, in quotes where it needs them.
fn quote(name: &str) -> String {
    if name.contains(' ') { format!("\"{name}\"") } else { name.to_owned() }
}
