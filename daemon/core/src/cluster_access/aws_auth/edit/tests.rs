use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::cluster_access::aws_auth::{AwsAuth, Subject, manifest};

const ROLE: &str = "arn:aws:iam::111122223333:role/";

fn role(name: &str, groups: &[&str]) -> NewMapping {
    NewMapping {
        key: MapKey::Roles,
        arn: format!("{ROLE}{name}"),
        username: name.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

fn roles(text: &str) -> Data {
    Data::from([("mapRoles".to_owned(), text.to_owned())])
}

#[track_caller]
fn text(data: Result<Data, EditError>) -> String {
    data.unwrap().remove("mapRoles").unwrap()
}

/// The files of `tests/cluster/aws_auth`, with what the authenticator reads from each.
fn corpus() -> Vec<(PathBuf, Data, Json)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cluster/aws_auth");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let case = |path: PathBuf| {
        let data = manifest::data_of(&read(&path)).unwrap();
        let expected = serde_json::from_str(&read(&path.with_extension("json"))).unwrap();
        (path, data, expected)
    };
    files.into_iter().map(case).collect()
}

/// What was read, as the authenticator's own types become JSON.
fn as_json(read: &AwsAuth) -> Json {
    let mapping = |mapping: &super::super::Mapping| {
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
        "error": !read.problems.is_empty(),
    })
}

#[test]
fn corpus_is_read_as_the_authenticator_reads_it() {
    let corpus = corpus();
    assert!(corpus.len() > 30);
    for (path, data, mut expected) in corpus {
        for list in ["roles", "users"] {
            for mapping in expected[list].as_array_mut().unwrap() {
                mapping.as_object_mut().unwrap().remove("userid");
                if mapping["groups"].is_null() {
                    mapping["groups"] = json!([]);
                }
            }
        }
        assert_eq!(as_json(&AwsAuth::read(&data)), expected, "{}", path.display());
    }
}

#[test]
fn add_to_block_list_keeps_every_byte() {
    let old = "# ours\n- rolearn: arn:aws:iam::111122223333:role/a # first\n  username: 'a'\n\n# end\n";
    let new = text(add(&roles(old), &role("b", &["x", "1"])));
    let added = "- rolearn: arn:aws:iam::111122223333:role/b\n  username: b\n  groups:\n    - x\n    - \"1\"\n";
    assert_eq!(new, old.replace("'a'\n", &format!("'a'\n{added}")));
}

#[test]
fn add_keeps_crlf_indentation_and_missing_line_break() {
    let old = "  - rolearn: a\r\n    groups:\r\n    - x";
    let new = text(add(&roles(old), &role("b", &[])));
    assert_eq!(new, format!("{old}\r\n  - rolearn: {ROLE}b\r\n    username: b\r\n    groups: []"));
}

#[test]
fn add_to_flow_list_stays_json() {
    let item = format!("{{\"rolearn\": \"{ROLE}b\", \"username\": \"b\", \"groups\": [\"x\"]}}");
    for (old, new) in [
        ("[]", format!("[{item}]")),
        ("[ ]\n", format!("[ {item}]\n")),
        (r#"[{"rolearn":"a"}]"#, format!(r#"[{{"rolearn":"a"}}, {item}]"#)),
        ("[{rolearn: a},\n]", format!("[{{rolearn: a}}, {item}\n]")),
        ("~", format!("[{item}]")),
    ] {
        assert_eq!(text(add(&roles(old), &role("b", &["x"]))), new, "{old}");
    }
}

#[test]
fn add_to_empty_text_writes_the_first_item() {
    let item = format!("- rolearn: {ROLE}b\n  username: b\n  groups:\n    - x\n");
    for (old, new) in [
        ("", item.clone()),
        ("\"\"", item.clone()),
        ("``", item.clone()),
        ("# c", format!("# c\n{item}")),
        ("---\n", format!("---\n{item}")),
    ] {
        assert_eq!(text(add(&roles(old), &role("b", &["x"]))), new, "{old}");
    }
    assert_eq!(text(add(&Data::new(), &role("b", &["x"]))), item);
}

#[test]
fn remove_keeps_comments_between_items() {
    let old = "---\n# one\n- rolearn: a\n  groups:\n  - x\n\n# two\n- rolearn: b # b\n# three\n- rolearn: c\n...\n";
    let without = |index| text(remove(&roles(old), MapKey::Roles, index));
    assert_eq!(without(0), "---\n# one\n\n# two\n- rolearn: b # b\n# three\n- rolearn: c\n...\n");
    assert_eq!(without(1), "---\n# one\n- rolearn: a\n  groups:\n  - x\n\n# two\n# three\n- rolearn: c\n...\n");
    assert_eq!(without(2), old.replace("- rolearn: c\n", ""));
    assert_eq!(text(remove(&roles("- rolearn: a\n"), MapKey::Roles, 0)), "");
}

#[test]
fn remove_from_flow_list_keeps_the_rest() {
    let old = "[{rolearn: a}, # one\n {rolearn: b},\n {rolearn: c}]";
    let without = |index| text(remove(&roles(old), MapKey::Roles, index));
    assert_eq!(without(0), "[ # one\n {rolearn: b},\n {rolearn: c}]");
    assert_eq!(without(1), "[{rolearn: a}, # one\n {rolearn: c}]");
    assert_eq!(without(2), "[{rolearn: a}, # one\n {rolearn: b}]");
    assert_eq!(text(remove(&roles("[{rolearn: a}]"), MapKey::Roles, 0)), "[]");
}

#[test]
fn change_edits_values_in_place() {
    let old = "- rolearn: a\n  UserName: \"a\" # name\n  groups:\n    - p # first\n    # note\n    - q\n- rolearn: b\n";
    let changed = |username: Option<&str>, groups: Option<&[&str]>| {
        let groups = groups.map(|groups| groups.iter().map(|group| (*group).to_owned()).collect());
        let new = MappingChange { username: username.map(str::to_owned), groups };
        text(change(&roles(old), MapKey::Roles, 0, &new))
    };
    assert_eq!(changed(Some("b:{{SessionName}}"), None), old.replace("\"a\"", "b:{{SessionName}}"));
    assert_eq!(changed(None, Some(&["p", "q", "r"])), old.replace("- q\n", "- q\n    - r\n"));
    assert_eq!(changed(None, Some(&["q"])), old.replace("    - p # first\n", ""));
    assert_eq!(
        changed(None, Some(&["r"])),
        old.replace("    - p # first\n    # note\n    - q\n", "    # note\n    - r\n")
    );
    assert!(changed(None, Some(&[])).contains("  groups: []\n- rolearn: b"));
}

#[test]
fn change_adds_missing_fields_and_repairs_wrong_ones() {
    let groups = MappingChange { username: None, groups: Some(vec!["x".to_owned()]) };
    for (old, new) in [
        ("- rolearn: a\n- rolearn: b\n", "- rolearn: a\n  groups: [\"x\"]\n- rolearn: b\n"),
        ("- groups: x\n  rolearn: a\n", "- groups: [\"x\"]\n  rolearn: a\n"),
        ("- rolearn: a\n  groups:\n", "- rolearn: a\n  groups: [\"x\"]\n"),
        ("[{rolearn: a}]", "[{rolearn: a, \"groups\": [\"x\"]}]"),
        ("- {rolearn: a, groups: [b]}\n", "- {rolearn: a, groups: [\"x\"]}\n"),
    ] {
        assert_eq!(text(change(&roles(old), MapKey::Roles, 0, &groups)), new, "{old}");
    }
}

#[test]
fn edit_that_would_change_more_is_refused() {
    let aliased = "- &a\n  rolearn: a\n  groups: &g [x]\n- *a\n- rolearn: b\n  groups: *g\n";
    assert!(matches!(remove(&roles(aliased), MapKey::Roles, 0), Err(EditError::Unsafe { .. })));
    let groups = MappingChange { username: None, groups: Some(vec![]) };
    for index in 0..3 {
        assert!(matches!(change(&roles(aliased), MapKey::Roles, index, &groups), Err(EditError::Unsafe { .. })));
    }
    assert_eq!(text(remove(&roles(aliased), MapKey::Roles, 1)), aliased.replace("- *a\n", ""));
    let invalid = add(&roles("- rolearn: \"a\n"), &role("b", &[])).unwrap_err();
    assert!(matches!(invalid, EditError::InvalidYaml { key: MapKey::Roles, .. }), "{invalid:?}");
    assert_eq!(add(&roles("a: b"), &role("b", &[])), Err(EditError::NotAList { key: MapKey::Roles }));
    let missing = Err(EditError::NoItem { key: MapKey::Roles, index: 1 });
    assert_eq!(remove(&roles("- rolearn: a\n"), MapKey::Roles, 1), missing);
}

/// A random edit.
#[derive(Debug, Clone)]
enum Step {
    Add(NewMapping),
    Remove(usize),
    Change(usize, MappingChange),
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "[a-z:{}@\"'#,\\[\\] -]{1,10}",
        Just("yes".to_owned()),
        Just("0x1f".to_owned()),
        Just("é ü".to_owned()),
        Just("{{SessionName}}".to_owned()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let groups = || prop::collection::vec(name(), 0..4);
    let key = prop_oneof![Just(MapKey::Roles), Just(MapKey::Users)];
    let mapping = (key, name(), name(), groups()).prop_map(|(key, arn, username, groups)| NewMapping {
        key,
        arn: format!("{ROLE}{arn}"),
        username,
        groups,
    });
    let change = (prop::option::of(name()), prop::option::of(groups()))
        .prop_map(|(username, groups)| MappingChange { username, groups });
    prop_oneof![
        mapping.prop_map(Step::Add),
        (0..6_usize).prop_map(Step::Remove),
        (0..6_usize, change).prop_map(|(index, change)| Step::Change(index, change)),
    ]
}

/// What the authenticator reads, without the places.
fn meaning(data: &Data) -> Vec<Json> {
    let json = as_json(&AwsAuth::read(data));
    json["roles"].as_array().unwrap().clone()
}

proptest! {
    /// Any sequence of edits of any valid aws-auth keeps the meaning of everything else and never makes a text invalid.
    #[test]
    fn edits_keep_the_meaning_of_everything_else(start in 0..1000_usize, steps in prop::collection::vec(step(), 1..8)) {
        static CORPUS: LazyLock<Vec<(PathBuf, Data, Json)>> = LazyLock::new(corpus);
        let (_, mut data, _) = CORPUS[start % CORPUS.len()].clone();
        let problems = |data: &Data| AwsAuth::read(data).problems.iter().filter(|problem| {
            matches!(problem.kind, super::super::ProblemKind::InvalidYaml { .. } | super::super::ProblemKind::NotAList)
        }).count();
        for step in steps {
            let (read, invalid) = (AwsAuth::read(&data), problems(&data));
            let (key, edited) = match &step {
                Step::Add(mapping) => (mapping.key, add(&data, mapping)),
                Step::Remove(index) => (MapKey::Roles, remove(&data, MapKey::Roles, *index)),
                Step::Change(index, new) => (MapKey::Roles, change(&data, MapKey::Roles, *index, new)),
            };
            let Ok(edited) = edited else { continue };
            prop_assert_eq!(problems(&edited), invalid);
            for other in MapKey::ALL.into_iter().filter(|other| *other != key) {
                prop_assert_eq!(edited.get(other.as_str()), data.get(other.as_str()));
            }
            if key == MapKey::Roles {
                let (mut before, mut after) = (meaning(&data), meaning(&edited));
                let kept = |index: usize| read.roles.iter().position(|mapping| mapping.index == index);
                match &step {
                    Step::Add(mapping) => {
                        let added = after.pop().unwrap();
                        prop_assert_eq!(added["rolearn"].as_str(), Some(&*mapping.arn));
                    }
                    Step::Remove(index) => { kept(*index).map(|at| before.remove(at)); }
                    Step::Change(index, _) => { kept(*index).map(|at| (before.remove(at), after.remove(at))); }
                }
                prop_assert_eq!(before, after);
            }
            data = edited;
        }
    }
}
