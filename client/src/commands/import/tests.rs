//! Imports every kubeconfig of `tests/kubeconfigs`: what is not of a converted user stays byte for byte, and undo gives the original
//! bytes. Those named `aws-cli*` were written by `aws eks update-kubeconfig`.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use serde_json::{Value, json};

use super::plan::Becomes;
use super::*;
use crate::cli::{Cli, Command as Parsed};
use crate::environment::Environment;
use crate::kubeconfig::{Conversion, OldUser, RestoreState};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kubeconfigs")
}

/// Returns the kubeconfigs of the corpus, sorted.
fn kubeconfigs() -> Vec<PathBuf> {
    let files = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path());
    let is_kubeconfig = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "yaml" || ending == "json");
    let mut files: Vec<PathBuf> = files.filter(is_kubeconfig).collect();
    files.sort();
    files
}

/// Copies of kubeconfigs in a folder.
struct Fixture {
    folder: tempfile::TempDir,
    files: Files,
}

impl Fixture {
    fn of(path: &Path) -> Self {
        Self::new(&[("config", &fs::read(path).unwrap())])
    }

    fn new(texts: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(corpus().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
        let paths = texts.iter().map(|(name, bytes)| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        });
        let files = Files::of_paths(paths.collect());
        Self { folder, files }
    }

    fn path(&self) -> PathBuf {
        self.files.paths()[0].clone()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn plan(&self, line: &str) -> Plan {
        let Parsed::Import(wanted) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else { panic!() };
        let config = ConfigFile::load(&self.folder.path().join("config.toml")).unwrap();
        plan(&wanted, &self.files, &AwsProfiles::default(), &config, &Context::new(Environment::default)).unwrap()
    }

    /// Converts everything that can be converted.
    fn convert(&self, plan: &Plan) -> Vec<OldUser> {
        let conversions = conversions(plan);
        let old = kubeconfig::check_convert(&self.files, &conversions).unwrap();
        kubeconfig::convert(&self.files, &conversions).unwrap();
        old
    }

    /// Returns what kubectl reads; `None` without kubectl.
    fn view(&self) -> Option<Value> {
        let mut command = Command::new("kubectl");
        command.env("HOME", self.folder.path()).env("KUBECONFIG", self.path());
        let Ok(output) = command.args(["config", "view", "--raw", "-o", "json"]).output() else {
            writeln!(std::io::stderr(), "SKIPPED: kubectl: not on PATH").unwrap(); // past the test runner's capture
            return None;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(serde_json::from_slice(&output.stdout).unwrap())
    }
}

fn conversions(plan: &Plan) -> Vec<Conversion> {
    let entry = |index: usize| Entry {
        profile: plan.profiles[index].name.to_string(),
        server: plan.profiles[index].target.server.url.clone(),
        certificate_authority_data: plan.profiles[index].target.server.ca_data.clone(),
        command: PathBuf::from("/usr/local/bin/rolecall"),
        install_hint: "Install it:\nrolecall".to_owned(),
        env: Vec::new(),
        key: Some("ab".repeat(32).parse().unwrap()),
    };
    apply::conversions(plan, entry)
}

/// Returns a text of UTF-8 or UTF-16.
fn text(bytes: &[u8]) -> String {
    if !bytes.starts_with(&[0xff, 0xfe]) {
        return String::from_utf8(bytes.to_vec()).unwrap();
    }
    let units: Vec<u16> = bytes[2..].as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16(&units).unwrap()
}

/// Asserts that both texts are equal outside of the converted users.
#[track_caller]
fn assert_rest_is_equal(before: &str, after: &str, old: &[OldUser]) {
    let (mut before, mut after) = (before, after);
    for (number, user) in old.iter().enumerate() {
        let last_line = user.text().lines().last().unwrap_or_default();
        assert!(!last_line.trim_start().starts_with('#'), "a comment after the user belongs to the file: {last_line}");
        let (kept, rest) = before.split_once(user.text()).unwrap();
        let at = after.find(kept).unwrap_or_else(|| panic!("{kept:?} is not in {after:?}"));
        assert!(number > 0 || at == 0, "the start of {after:?}");
        (before, after) = (rest, &after[at + kept.len()..]);
    }
    assert!(after.ends_with(before), "{before:?} does not end {after:?}");
}

/// Removes `exec` of the converted users. Asserts that they run `rolecall token`.
fn without_exec(mut view: Value, old: &[OldUser], is_converted: bool) -> Value {
    for user in view["users"].as_array_mut().unwrap() {
        let Some(old) = old.iter().find(|old| user["name"] == old.user) else { continue };
        let exec = user["user"].as_object_mut().unwrap().remove("exec").unwrap();
        if is_converted {
            assert_eq!(exec["args"], json!(["token", old.profile]));
            assert_eq!(exec["command"], "/usr/local/bin/rolecall");
            assert_eq!((&exec["interactiveMode"], &exec["provideClusterInfo"]), (&json!("IfAvailable"), &json!(true)));
            assert_eq!(exec["env"], json!([{"name": "ROLECALL_ENTRY_KEY", "value": "ab".repeat(32)}]));
        }
    }
    view
}

#[test]
fn corpus_is_converted_and_restored_byte_for_byte() {
    let mut converted = 0;
    for path in kubeconfigs() {
        let fixture = Fixture::of(&path);
        let (before, view) = (fixture.bytes(), fixture.view());
        let plan = fixture.plan("rolecall import");
        let old = fixture.convert(&plan);
        converted += old.len();
        assert_rest_is_equal(&text(&before), &text(&fixture.bytes()), &old);
        assert_eq!(fixture.bytes() == before, old.is_empty(), "{}", path.display());
        if let (Some(before), Some(after)) = (view, fixture.view()) {
            let (before, after) = (without_exec(before, &old, false), without_exec(after, &old, true));
            assert_eq!(before, after, "{}", path.display());
        }
        let again = fixture.plan("rolecall import");
        assert_eq!(again.count(), 0, "{}", path.display());
        let (results, _) = kubeconfig::restore(&old).unwrap();
        assert!(results.iter().all(|result| *result == RestoreState::Restored), "{}: {results:?}", path.display());
        assert_eq!(text(&fixture.bytes()), text(&before), "{}", path.display());
        assert_eq!(fixture.bytes(), before);
        let (results, _) = kubeconfig::restore(&old).unwrap();
        assert!(results.iter().all(|result| *result == RestoreState::NothingToDo), "{}: {results:?}", path.display());
    }
    assert!(kubeconfigs().len() >= 40 && converted >= 100, "{converted}");
}

#[test]
fn undo_keeps_later_edits() {
    for path in kubeconfigs() {
        let fixture = Fixture::of(&path);
        let edit = |bytes: &[u8]| -> Vec<u8> {
            // Not in JSON, which has no comments, nor in UTF-16.
            let edited = text(bytes).replacen("\nkind: Config", "\n# edited by hand\nkind: Config", 1);
            if bytes.starts_with(&[0xff, 0xfe]) { bytes.to_vec() } else { edited.into_bytes() }
        };
        let before = fixture.bytes();
        let old = fixture.convert(&fixture.plan("rolecall import"));
        fs::write(fixture.path(), edit(&fixture.bytes())).unwrap();
        kubeconfig::restore(&old).unwrap();
        assert_eq!(text(&fixture.bytes()), text(&edit(&before)), "{}", path.display());
    }
}

/// kubectl writes the whole file in its own style. The users then get their former meaning.
#[test]
fn undo_after_kubectl_rewrote_the_file_restores_the_meaning() {
    for path in kubeconfigs() {
        let [original, imported] = [Fixture::of(&path), Fixture::of(&path)];
        let old = imported.convert(&imported.plan("rolecall import"));
        for fixture in [&original, &imported] {
            let mut command = Command::new("kubectl");
            command.env("HOME", fixture.folder.path()).env("KUBECONFIG", fixture.path());
            let set = command.args(["config", "set-context", "made-later", "--namespace", "web"]).output();
            let Ok(output) = set else { return };
            assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
        }
        let (results, _) = kubeconfig::restore(&old).unwrap();
        assert!(results.iter().all(|result| *result == RestoreState::Restored), "{}: {results:?}", path.display());
        assert_eq!(imported.view(), original.view(), "{}", path.display());
    }
}

#[test]
fn undo_leaves_users_that_were_edited() {
    let before = fs::read(corpus().join("aws-cli-three-clusters.yaml")).unwrap();
    for edit in [
        ("interactiveMode: IfAvailable", "interactiveMode: Never"),
        ("env:\n", "env:\n      - name: MINE\n        value: x\n"),
        ("      - token\n", "      - token\n      - --mine\n"),
        ("provideClusterInfo: true", "provideClusterInfo: false"),
    ] {
        let fixture = Fixture::new(&[("config", &before)]);
        let old = fixture.convert(&fixture.plan("rolecall import"));
        let edited = text(&fixture.bytes()).replacen(edit.0, edit.1, 1);
        assert_ne!(edited.as_bytes(), fixture.bytes());
        fs::write(fixture.path(), edited).unwrap();
        let (results, _) = kubeconfig::restore(&old).unwrap();
        assert_eq!(results.iter().filter(|result| **result == RestoreState::Edited).count(), 1, "{edit:?}");
        assert!(text(&fixture.bytes()).contains(edit.1) && text(&fixture.bytes()).contains("get-token"));
    }
    // A user that is gone, or the file: it may come back.
    let fixture = Fixture::new(&[("config", &before)]);
    let old = fixture.convert(&fixture.plan("rolecall import"));
    fs::write(fixture.path(), "").unwrap();
    assert!(kubeconfig::restore(&old).unwrap().0.iter().all(|result| *result == RestoreState::NothingToDo));
    fs::remove_file(fixture.path()).unwrap();
    assert!(kubeconfig::restore(&old).unwrap().0.iter().all(|result| *result == RestoreState::FileAbsent));
}

#[test]
fn several_files_each_keep_their_users() {
    let whole = fs::read_to_string(corpus().join("authenticator.yaml")).unwrap();
    let (first, users) = whole.split_once("users:\n").unwrap();
    let users = format!("# users alone\nusers:\n{users}");
    let shadowed = users.replace("aws-iam-authenticator", "other-program");
    let texts = [("a", first.as_bytes()), ("b", users.as_bytes()), ("c", shadowed.as_bytes())];
    let fixture = Fixture::new(&texts);
    let plan = fixture.plan("rolecall import");
    assert_eq!(plan.count(), 1);
    let old = fixture.convert(&plan);
    let read = |index: usize| fs::read(&fixture.files.paths()[index]).unwrap();
    assert_eq!((read(0), read(2)), (first.as_bytes().to_vec(), shadowed.as_bytes().to_vec()));
    assert!(text(&read(1)).starts_with("# users alone\nusers:\n") && text(&read(1)).contains("rolecall"));
    kubeconfig::restore(&old).unwrap();
    assert_eq!(text(&read(1)), users);
}

#[test]
fn convert_refuses_a_user_that_was_changed_since_the_plan() {
    let fixture = Fixture::of(&corpus().join("aws-cli.yaml"));
    let plan = fixture.plan("rolecall import");
    let changed = text(&fixture.bytes()).replace("get-token", "other");
    fs::write(fixture.path(), &changed).unwrap();
    let error = kubeconfig::convert(&fixture.files, &conversions(&plan)).unwrap_err();
    assert!(error.to_string().contains("changed by another program"), "{error}");
    assert_eq!(text(&fixture.bytes()), changed);
}

#[test]
fn two_thousand_contexts_are_converted_and_restored() {
    let mut parts = [String::new(), String::new(), String::new()];
    for n in 0..2_000 {
        let [clusters, contexts, users] = &mut parts;
        write!(clusters, "- cluster: {{server: 'https://{n:X}.gr7.eu-west-1.eks.amazonaws.com', certificate-authority-data: QQ==}}\n  name: c{n}\n").unwrap();
        write!(contexts, "- context:\n    cluster: c{n}\n    user: u{n}\n  name: n{n} # {n}\n").unwrap();
        write!(users, "- name: u{n}\n  user:\n    exec: # {n}\n      command: aws\n      args: [eks, get-token, --cluster-name, c{n}]\n").unwrap();
    }
    let [clusters, contexts, users] = parts;
    let before = format!("apiVersion: v1\nkind: Config\nclusters:\n{clusters}contexts:\n{contexts}users:\n{users}");
    let fixture = Fixture::new(&[("config", before.as_bytes())]);
    let plan = fixture.plan("rolecall import");
    assert_eq!((plan.count(), plan.profiles.len()), (2_000, 2_000));
    let old = fixture.convert(&plan);
    assert_rest_is_equal(&before, &text(&fixture.bytes()), &old);
    assert_eq!(fixture.plan("rolecall import").count(), 0);
    kubeconfig::restore(&old).unwrap();
    assert_eq!(text(&fixture.bytes()), before);
}

#[test]
fn only_selects_contexts_and_those_with_the_same_user() {
    let fixture = Fixture::of(&corpus().join("shared-user.yaml"));
    assert_eq!(fixture.plan("rolecall import --only web").count(), 3);
    let fixture = Fixture::of(&corpus().join("aws-cli-merged.yaml"));
    assert_eq!(fixture.plan("rolecall import --only minikube").count(), 0);
    let Parsed::Import(wanted) = Cli::try_parse_from(["rolecall", "import", "--only", "minikub"]).unwrap().command
    else {
        panic!()
    };
    let config = ConfigFile::load(&fixture.folder.path().join("config.toml")).unwrap();
    let context = Context::new(Environment::default);
    let error = plan(&wanted, &fixture.files, &AwsProfiles::default(), &config, &context).unwrap_err().to_string();
    assert_eq!(error, "there is no context \"minikub\". Did you mean minikube?");
}

/// The plan of each file, in `tests/kubeconfigs/plans.golden`. `ROLECALL_TEST_ACCEPT=1` writes it.
#[test]
fn plans_equal_the_golden_file() {
    let mut plans = String::new();
    for path in kubeconfigs() {
        let fixture = Fixture::of(&path);
        let plan = fixture.plan("rolecall import");
        writeln!(plans, "{}", path.file_name().unwrap().display()).unwrap();
        for row in plan.rows.iter().take(10) {
            let becomes = match &row.becomes {
                Becomes::Profile(index) => {
                    let profile = &plan.profiles[*index];
                    let target = &profile.target;
                    let role = target.role_arn.as_ref().map_or("-", |role| role.role_name());
                    format!(
                        "profile {}: {}, role {role}, AWS profile {}",
                        profile.name, row.cluster, target.aws_profile
                    )
                }
                Becomes::Unchanged => "unchanged".to_owned(),
                Becomes::Refused(why) => {
                    format!("unchanged: {}", why.replace(&fixture.folder.path().display().to_string(), "…"))
                }
            };
            writeln!(plans, "  {} ({}) -> {becomes}", row.context, row.today).unwrap();
        }
    }
    let golden = corpus().join("plans.golden");
    #[allow(clippy::disallowed_methods)] // the test's own look at the environment
    if std::env::var_os("ROLECALL_TEST_ACCEPT").is_some() {
        fs::write(&golden, &plans).unwrap();
    }
    assert_eq!(fs::read_to_string(&golden).unwrap_or_default(), plans, "accept it with ROLECALL_TEST_ACCEPT=1");
}
