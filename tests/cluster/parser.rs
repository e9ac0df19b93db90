//! Rolecall reads and edits aws-auth as the authenticator's own parser reads it: the samples of `tests/cluster/aws_auth`,
//! generated texts, and texts that Rolecall has edited.

mod generate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rolecall_core::cluster_access::aws_auth::edit::{self, EditError, MappingChange, NewMapping};
use rolecall_core::cluster_access::aws_auth::{AwsAuth, Data, MapKey, Mapping, ProblemKind, Subject, manifest};
use rolecall_harness::Sandbox;
use serde_json::{Value, json};

use crate::programs::Programs;

/// How many ConfigMaps are generated. `ROLECALL_TEST_AWS_AUTH` sets another number.
const MAPS: u64 = 10_000;
/// Of how many generated ConfigMaps one is edited.
const EDITED: u64 = 10;
/// Edits of one generated ConfigMap.
const EDITS: usize = 4;

#[test]
fn samples_are_what_the_authenticator_reads() {
    let Some(programs) = Programs::find() else { return };
    let samples = samples();
    let readings = readings(&programs, &samples.values().cloned().collect::<Vec<_>>());
    for ((path, data), theirs) in samples.iter().zip(readings) {
        assert_eq!(reading_of(data), theirs, "{}", path.display());
        let expected = serde_json::from_str(&fs::read_to_string(path.with_extension("json")).unwrap()).unwrap();
        let has_error = !theirs["errors"].as_array().unwrap().is_empty();
        let mut theirs = theirs;
        theirs.as_object_mut().unwrap().remove("errors");
        theirs["error"] = json!(has_error);
        assert_eq!(theirs, without_user_ids(expected), "{}", path.display());
    }
}

#[test]
fn generated_maps_are_read_as_the_authenticator_reads_them() {
    let Some(programs) = Programs::find() else { return };
    let maps: Vec<(u64, Data)> = (0..count()).map(|seed| (seed, generate::data(&mut Rng::with_seed(seed)))).collect();
    let texts: Vec<Data> = maps.iter().map(|(_, data)| data.clone()).collect();
    let mut differences = Differences::default();
    for ((seed, data), mut theirs) in maps.iter().zip(readings(&programs, &texts)) {
        let mut ours = reading_of(data);
        remove_invalid_texts(data, &mut ours, &mut theirs);
        differences.compare(&format!("seed {seed}"), data, &ours, &theirs);
    }
    differences.assert_none();
}

/// An edit changes one mapping for the authenticator and nothing else.
#[test]
fn edited_maps_are_read_as_intended() {
    let Some(programs) = Programs::find() else { return };
    let (mut maps, mut intended, mut refused) = (Vec::new(), Vec::new(), 0);
    for seed in 0..count() / EDITED {
        let mut rng = Rng::with_seed(seed);
        let mut data = generate::data(&mut rng);
        let mut reading = reading_of(&data);
        for step in 0..EDITS {
            let edited = Edit::random(&mut rng, &AwsAuth::read(&data)).apply(&data, &mut reading);
            let Ok(edited) = edited else {
                refused += 1;
                continue;
            };
            data = edited;
            maps.push(data.clone());
            intended.push((format!("seed {seed}, edit {step}"), reading.clone()));
        }
    }
    assert!(refused < maps.len(), "{refused} edits are refused, {} made", maps.len());
    let mut differences = Differences::default();
    for ((data, (place, mut ours)), mut theirs) in maps.iter().zip(intended).zip(readings(&programs, &maps)) {
        remove_invalid_texts(data, &mut ours, &mut theirs);
        differences.compare(&place, data, &ours, &theirs);
    }
    differences.assert_none();
}

/// A random edit of a ConfigMap.
enum Edit {
    Add(NewMapping),
    /// The list, the index of the item in the text, and its index among the mappings that are read.
    Remove(MapKey, usize, usize),
    Change(MapKey, usize, usize, MappingChange),
}

impl Edit {
    fn random(rng: &mut Rng, read: &AwsAuth) -> Self {
        let key = if rng.bool() { MapKey::Roles } else { MapKey::Users };
        let mappings = if key == MapKey::Users { &read.users } else { &read.roles };
        let groups = || vec!["system:masters".to_owned(), "1".to_owned(), "a: b".to_owned()];
        let Some((position, mapping)) = rng.choice(mappings.iter().enumerate()).filter(|_| rng.u8(..3) > 0) else {
            let resource = if key == MapKey::Users { "user" } else { "role" };
            let arn = format!("arn:aws:iam::111122223333:{resource}/new-{}", rng.u8(..));
            return Self::Add(NewMapping { key, arn, username: "new:{{SessionName}}".to_owned(), groups: groups() });
        };
        match rng.u8(..4) {
            0 | 1 => Self::Remove(key, mapping.index, position),
            2 => {
                let change = MappingChange { username: Some("yes".to_owned()), groups: None };
                Self::Change(key, mapping.index, position, change)
            }
            _ => {
                let change = MappingChange { username: None, groups: Some(groups()) };
                Self::Change(key, mapping.index, position, change)
            }
        }
    }

    /// Makes the edit, and the same change in the reading.
    fn apply(self, data: &Data, reading: &mut Value) -> Result<Data, EditError> {
        let list = |key| if key == MapKey::Users { "users" } else { "roles" };
        match self {
            Self::Add(new) => {
                let edited = edit::add(data, &new)?;
                let field = if new.key == MapKey::Users { "userarn" } else { "rolearn" };
                let mapping = json!({ field: new.arn, "username": new.username, "groups": new.groups });
                reading[list(new.key)].as_array_mut().unwrap().push(mapping);
                Ok(edited)
            }
            Self::Remove(key, index, position) => {
                let edited = edit::remove(data, key, index)?;
                reading[list(key)].as_array_mut().unwrap().remove(position);
                // The mapping may have been the one with the wrong type.
                reading["errors"] = reading_of(&edited)["errors"].clone();
                Ok(edited)
            }
            Self::Change(key, index, position, change) => {
                let edited = edit::change(data, key, index, &change)?;
                let mapping = &mut reading[list(key)][position];
                if let Some(username) = &change.username {
                    mapping["username"] = json!(username);
                }
                if let Some(groups) = &change.groups {
                    mapping["groups"] = json!(groups);
                }
                reading["errors"] = reading_of(&edited)["errors"].clone();
                Ok(edited)
            }
        }
    }
}

#[allow(clippy::disallowed_methods)] // the suite's own look at the environment
fn count() -> u64 {
    std::env::var("ROLECALL_TEST_AWS_AUTH").map_or(MAPS, |count| count.parse().unwrap())
}

/// The samples by path. A file beside each has what the authenticator reads.
fn samples() -> BTreeMap<PathBuf, Data> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cluster/aws_auth");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let samples = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    samples.map(|path| (path.clone(), manifest::data_of(&fs::read_to_string(path).unwrap()).unwrap())).collect()
}

/// Returns what the authenticator's parser reads from each ConfigMap.
fn readings(programs: &Programs, maps: &[Data]) -> Vec<Value> {
    let sandbox = Sandbox::new();
    let mut input = String::new();
    for data in maps {
        writeln!(input, "{}", json!(data)).unwrap();
    }
    let said = sandbox.run_with_input(&mut sandbox.command(programs.path("aws-auth-reader")), input.as_bytes());
    let readings: Vec<Value> = said.assert_ok().stdout.lines().map(|line| as_sample(&line.parse().unwrap())).collect();
    assert_eq!(readings.len(), maps.len());
    readings
}

/// Brings the reader's output into the form of the samples.
fn as_sample(reading: &Value) -> Value {
    let list = |key: &str| if reading[key].is_null() { json!([]) } else { reading[key].clone() };
    // The keys of a map are sorted.
    let errors: Vec<&String> = reading["errors"].as_object().unwrap().keys().collect();
    without_user_ids(json!({
        "roles": list("roles"), "users": list("users"), "accounts": list("accounts"), "errors": errors,
    }))
}

/// Rolecall does not use `userid`, and makes no difference between no groups and an empty list.
fn without_user_ids(mut reading: Value) -> Value {
    for list in ["roles", "users"] {
        for mapping in reading[list].as_array_mut().unwrap() {
            mapping.as_object_mut().unwrap().remove("userid");
            if mapping["groups"].is_null() {
                mapping["groups"] = json!([]);
            }
        }
    }
    reading
}

/// Returns what Rolecall reads, in the form of the samples.
fn reading_of(data: &Data) -> Value {
    let read = AwsAuth::read(data);
    let mapping = |mapping: &Mapping| {
        let mut json = json!({ "username": mapping.username, "groups": mapping.groups });
        match &mapping.subject {
            Subject::Role(arn) => json["rolearn"] = json!(arn),
            Subject::User(arn) => json["userarn"] = json!(arn),
            Subject::PermissionSet { name, account, partition } => {
                json["sso"] = json!({ "permissionSetName": name, "accountID": account });
                if !partition.is_empty() {
                    json["sso"]["partition"] = json!(partition);
                }
            }
        }
        json
    };
    json!({
        "roles": read.roles.iter().map(mapping).collect::<Vec<_>>(),
        "users": read.users.iter().map(mapping).collect::<Vec<_>>(),
        "accounts": read.accounts.iter().map(|account| &account.id).collect::<Vec<_>>(),
        "errors": read.problems.iter().map(|problem| problem.key.as_str()).collect::<BTreeSet<_>>(),
    })
}

/// Removes from both readings the texts that Rolecall calls invalid, and therefore never edits. The authenticator reads the
/// start of some: it ignores the rest after a bracket at the start of a line or after less indentation.
fn remove_invalid_texts(data: &Data, ours: &mut Value, theirs: &mut Value) {
    for problem in AwsAuth::read(data).problems {
        if !matches!(problem.kind, ProblemKind::InvalidYaml { .. }) {
            continue;
        }
        let list = match problem.key {
            MapKey::Roles => "roles",
            MapKey::Users => "users",
            MapKey::Accounts => "accounts",
        };
        for reading in [&mut *ours, &mut *theirs] {
            reading[list] = Value::Null;
            reading["errors"].as_array_mut().unwrap().retain(|key| key != problem.key.as_str());
        }
    }
}

/// The ConfigMaps that are read in two ways.
#[derive(Default)]
struct Differences(Vec<(usize, String)>);

impl Differences {
    /// How many are printed. The shortest ones explain the most.
    const SHOWN: usize = 8;

    fn compare(&mut self, place: &str, data: &Data, ours: &Value, theirs: &Value) {
        if ours != theirs {
            let length = data.values().map(String::len).sum();
            let report =
                format!("{place}: {}\nRolecall reads          {ours}\nthe authenticator reads {theirs}", json!(data));
            self.0.push((length, report));
        }
    }

    #[track_caller]
    fn assert_none(mut self) {
        self.0.sort();
        let shown: Vec<&str> = self.0.iter().take(Self::SHOWN).map(|(_, report)| report.as_str()).collect();
        assert!(shown.is_empty(), "{} ConfigMaps are read differently:\n{}", self.0.len(), shown.join("\n"));
    }
}
