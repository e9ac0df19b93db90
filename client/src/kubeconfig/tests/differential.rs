//! Compares Rolecall with kubectl on generated kubeconfigs: both find the same contexts, clusters and users before and
//! after an edit, and the current context. What is not Rolecall's stays byte-identical.
//!
//! kubectl takes 50 ms for a start, so one kubectl reads many files as one `KUBECONFIG` list; the names are different in
//! each file. `ROLECALL_TEST_KUBECONFIGS` sets the number of files.

mod generator;

use std::collections::BTreeMap;

use generator::Generated;

use super::*;

/// How many files are generated if the environment does not say.
const FILES: u64 = 2_000;
/// How many files one kubectl reads.
const BATCH: usize = 100;
/// One file in so many is also compared alone: its current context, and edits by kubectl.
const ALONE: u64 = 40;

/// The entries of a file, by kind and name: the values of [`FIELDS`].
type Entries = BTreeMap<(String, String), BTreeMap<String, serde_json::Value>>;

/// The fields that are compared.
const FIELDS: [(EntryKind, &[&str]); 3] = [
    (
        EntryKind::Cluster,
        &["server", "tls-server-name", "proxy-url", "insecure-skip-tls-verify", "certificate-authority-data"],
    ),
    (EntryKind::Context, &["cluster", "user", "namespace"]),
    (EntryKind::User, &["token", "username", "exec", "client-key-data"]),
];

/// Runs kubectl in a folder. Returns stdout and stderr.
fn kubectl(folder: &Path, list: &str, args: &[&str]) -> (bool, String, String) {
    let mut command = std::process::Command::new("kubectl");
    let output = command.current_dir(folder).env("HOME", folder).env("KUBECONFIG", list).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn view(folder: &Path, list: &str) -> Result<serde_json::Value, String> {
    let (is_ok, stdout, stderr) = kubectl(folder, list, &["config", "view", "--raw", "-o", "json"]);
    if is_ok { Ok(serde_json::from_str(&stdout).unwrap()) } else { Err(stderr) }
}

/// Returns what kubectl rejects of these files, with its message.
fn rejected_by_kubectl(folder: &Path, files: &[String]) -> BTreeMap<String, String> {
    let Err(errors) = view(folder, &files.join(":")) else { return BTreeMap::new() };
    let parts = errors.split("error loading config file \"").skip(1);
    parts.filter_map(|part| part.split_once("\": ")).map(|(file, why)| (file.to_owned(), why.to_owned())).collect()
}

/// Returns the entries that kubectl finds.
fn of_kubectl(view: &serde_json::Value) -> Entries {
    let mut entries = Entries::new();
    for (kind, fields) in FIELDS {
        for item in view[kind.list_key()].as_array().into_iter().flatten() {
            let name = item["name"].as_str().unwrap().to_owned();
            let body = &item[kind.body_key()];
            let fields = fields.iter().map(|field| ((*field).to_owned(), normal(field, body[*field].clone())));
            entries.insert((kind.list_key().to_owned(), name), fields.collect());
        }
    }
    entries
}

/// Returns the entries that Rolecall finds.
fn of_rolecall(model: &Value) -> Entries {
    let mut entries = Entries::new();
    for (kind, fields) in FIELDS {
        for item in model.get(kind.list_key()).map(Value::items).unwrap_or_default() {
            let name = item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let value = |field| item.at_path(&[kind.body_key(), field]).map_or(serde_json::Value::Null, json);
            let fields = fields.iter().map(|field| ((*field).to_owned(), normal(field, value(field))));
            entries.insert((kind.list_key().to_owned(), name), fields.collect());
        }
    }
    entries
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => i64::try_from(*value).unwrap().into(),
        Value::Float(value) => (*value).into(),
        Value::Str(text) => text.clone().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(pairs) => pairs.iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), json(value))).collect(),
    }
}

/// kubectl prints no value for an empty one, base64 in one line, and more fields of a command than the file has.
fn normal(field: &str, value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::Bool(false) => Json::Null,
        Json::String(text) if text.is_empty() => Json::Null,
        Json::String(text) if field.ends_with("-data") => Json::String(text.trim().to_owned()),
        Json::Object(fields) => {
            let fields = fields
                .into_iter()
                .filter(|(name, _)| ["apiVersion", "command", "args", "provideClusterInfo"].contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), normal(&name, value)))
                .filter(|(_, value)| !value.is_null());
            Json::Object(fields.collect())
        }
        value => value,
    }
}

struct Case {
    number: u64,
    /// The name of its file.
    name: String,
    generated: Generated,
}

impl Case {
    fn files(&self, folder: &Path, prefix: &str) -> Files {
        Files::one(&folder.join(format!("{prefix}{}", self.name))).unwrap()
    }

    /// The profile that is added to the file.
    fn profile(&self) -> String {
        format!("f{}-prod", self.number)
    }

    fn problem(&self, what: impl fmt::Display) -> String {
        format!("file {}: {what}\n{}", self.number, self.generated.text)
    }
}

/// Edits a file, without the time to sync it to disk.
fn edit<T>(files: &Files, edit: impl Fn(&mut Draft<'_>) -> Result<T, KubeconfigError>) -> Result<(), KubeconfigError> {
    transaction::prepare(files, edit).map(|prepared| transaction::write_unsynced(&prepared))
}

fn model(files: &Files) -> Result<Value, KubeconfigError> {
    files.load().map(|mut loaded| loaded.remove(0).model)
}

/// Compares the files of one folder. Returns the differences.
fn compare_all(folder: &Path, cases: &[Case]) -> Vec<String> {
    let mut problems = Vec::new();
    for batch in cases.chunks(BATCH) {
        let names: Vec<String> = batch.iter().map(|case| case.name.clone()).collect();
        let rejected = rejected_by_kubectl(folder, &names);
        let mut readable = Vec::new();
        for case in batch {
            match (model(&case.files(folder, "")), rejected.get(&case.name)) {
                (Ok(model), None) => readable.push((case, of_rolecall(&model))),
                (Err(_), Some(_)) => {}
                (Ok(_), Some(why)) => problems.push(case.problem(format!("only kubectl rejects it: {why}"))),
                (Err(why), None) => problems.push(case.problem(format!("only Rolecall rejects it: {why}"))),
            }
        }
        problems.extend(compare_views(folder, "", &readable));
        let mut written = Vec::new();
        for (case, mut entries) in readable {
            match add_profile(folder, case) {
                Ok(added) => {
                    entries.extend(added);
                    written.push((case, entries));
                }
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(compare_views(folder, "edited-", &written));
        for (case, _) in written.iter().filter(|(case, _)| case.number % ALONE == 0) {
            problems.extend(compare_alone(folder, case).err());
        }
    }
    problems
}

/// Compares what kubectl finds in these files with the expected entries.
fn compare_views(folder: &Path, prefix: &str, files: &[(&Case, Entries)]) -> Vec<String> {
    let list: Vec<String> = files.iter().map(|(case, _)| format!("{prefix}{}", case.name)).collect();
    if list.is_empty() {
        return Vec::new();
    }
    let mut found = match view(folder, &list.join(":")) {
        Ok(view) => of_kubectl(&view),
        Err(error) => return vec![format!("kubectl rejects edited files: {error}")],
    };
    let mut problems = Vec::new();
    for (case, expected) in files {
        for (key, fields) in expected {
            match found.remove(key) {
                Some(theirs) if theirs == *fields => {}
                theirs => {
                    problems.push(case.problem(format!("{prefix} {key:?}: kubectl {theirs:?}, Rolecall {fields:?}")));
                }
            }
        }
    }
    problems.extend(found.keys().map(|key| format!("only kubectl finds {key:?}")));
    problems
}

/// Adds a profile to a copy of the file. Returns its entries.
fn add_profile(folder: &Path, case: &Case) -> Result<Entries, String> {
    fs::write(folder.join(format!("edited-{}", case.name)), &case.generated.bytes).unwrap();
    let (files, profile) = (case.files(folder, "edited-"), case.profile());
    edit(&files, |draft| draft.upsert(&entry(&profile)))
        .map_err(|error| case.problem(format!("cannot add: {error}")))?;
    let text = &files.load().unwrap()[0].original.text;
    let mut lines = text.lines().map(|line| line.trim_start_matches('\u{feff}'));
    let mut rest = text.as_str();
    for part in &case.generated.fixed {
        let is_kept = match rest.split_once(part.as_str()).filter(|_| case.generated.is_json) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => lines.any(|line| line == part),
        };
        if !is_kept {
            return Err(case.problem(format!("changed {part:?}; the file after the edit:\n{text}")));
        }
    }
    let added = of_rolecall(&parsed(&render(&[entry(&profile)], None).unwrap()));
    Ok(added)
}

/// Compares the current context and edits of one file.
fn compare_alone(folder: &Path, case: &Case) -> Result<(), String> {
    let current = |name: &str| view(folder, name).unwrap()["current-context"].as_str().unwrap_or_default().to_owned();
    let same = |what: &str, theirs: &dyn fmt::Debug, ours: &dyn fmt::Debug| {
        let (theirs, ours) = (format!("{theirs:?}"), format!("{ours:?}"));
        if theirs == ours { Ok(()) } else { Err(case.problem(format!("{what}: kubectl {theirs}, Rolecall {ours}"))) }
    };
    let edited = format!("edited-{}", case.name);
    let files = case.files(folder, "edited-");
    same("current context", &current(&case.name), &current_context(&case.files(folder, "")).unwrap_or_default())?;
    same("current context after add", &current(&edited), &current_context(&files).unwrap_or_default())?;

    // The same choice of a context.
    for prefix in ["theirs-", "ours-"] {
        fs::write(folder.join(format!("{prefix}{}", case.name)), &case.generated.bytes).unwrap();
    }
    let (theirs, ours) = (format!("theirs-{}", case.name), format!("ours-{}", case.name));
    let (is_ok, ..) = kubectl(folder, &theirs, &["config", "use-context", &case.generated.context]);
    let used = use_context(&case.files(folder, "ours-"), &case.generated.context, None);
    same("use", &is_ok, &used.is_ok())?;
    same("after use", &view(folder, &theirs), &view(folder, &ours))?;

    // kubectl edits what Rolecall wrote, and Rolecall what kubectl wrote.
    let (is_ok, _, error) = kubectl(folder, &edited, &["config", "set-context", &case.profile(), "--namespace=web"]);
    same("set-context", &is_ok, &true).map_err(|problem| problem + &error)?;
    let again = upsert(&files, &[entry(&case.profile())], None).unwrap();
    same("entry after set-context", &Change::Unchanged, &again.entries[0].change)?;
    remove(&files, &[&case.profile()]).unwrap();
    same("after remove", &view(folder, &case.name), &view(folder, &edited))
}

/// Returns the number of files from the environment.
#[expect(clippy::disallowed_methods, reason = "an option of the test")]
fn wanted_files() -> u64 {
    std::env::var("ROLECALL_TEST_KUBECONFIGS").ok().and_then(|number| number.parse().ok()).unwrap_or(FILES)
}

#[test]
fn kubectl_and_rolecall_agree_on_generated_files() {
    if std::process::Command::new("kubectl").args(["version", "--client"]).output().is_err() {
        std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: kubectl: not on PATH\n").unwrap();
        return;
    }
    let count = wanted_files();
    // In memory if possible: thousands of files on disk slow down the tests that sync theirs.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let cases: Vec<Case> = (0..count)
        .map(|number| Case { number, name: number.to_string(), generated: generator::kubeconfig(number) })
        .collect();
    for case in &cases {
        fs::write(folder.path().join(&case.name), &case.generated.bytes).unwrap();
    }
    let problems: Vec<String> = std::thread::scope(|scope| {
        let folder = folder.path();
        let halves: Vec<_> = cases
            .chunks(cases.len().div_ceil(2).max(1))
            .map(|half| scope.spawn(move || compare_all(folder, half)))
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let shown = problems[..problems.len().min(8)].join("\n");
    assert!(problems.is_empty(), "{} differences in {count} files:\n{shown}", problems.len());
}
