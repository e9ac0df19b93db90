//! Reads the ConfigMap as aws-iam-authenticator does (pkg/mapper/configmap, pkg/config/mapper.go).
//!
//! `mapRoles` and `mapUsers` go from YAML to JSON and through Go's encoding/json, which matches keys without case, ignores
//! unknown ones, and after a wrong type keeps everything else. `mapAccounts` goes through go-yaml alone. A text that is not
//! valid YAML loses all its mappings and leaves the other two texts as they are.

use super::node::{Content, Node, Position, YamlError};
use super::value::{Value, ValueData};
use super::yaml;
use super::{AwsAuth, Data, MapKey, MappedAccount, Mapping, Problem, ProblemKind, Subject};

/// The partitions that the authenticator accepts in `sso` (pkg/endpoints).
const PARTITIONS: [&str; 8] =
    ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"];

impl AwsAuth {
    /// Returns what the authenticator reads from the field `data`.
    #[must_use]
    pub fn read(data: &Data) -> Self {
        let mut read = Self::default();
        for key in MapKey::ALL {
            let Some(text) = data.get(key.as_str()).filter(|text| !is_skippable(text)) else { continue };
            if let Err(error) = read.read_text(key, text) {
                let kind = ProblemKind::InvalidYaml { message: error.message };
                read.problems.push(Problem { key, line: error.at.line, column: error.at.column, kind });
            }
        }
        read
    }

    fn read_text(&mut self, key: MapKey, text: &str) -> Result<(), YamlError> {
        if key == MapKey::Accounts {
            return self.read_accounts(text);
        }
        let start = Position { line: 1, column: 1 };
        // The authenticator takes a text that begins with a brace for JSON.
        if text.trim_start().starts_with('{') {
            return match serde_json::from_str::<serde::de::IgnoredAny>(text) {
                Ok(_) => {
                    self.report(key, start, ProblemKind::NotAList);
                    Ok(())
                }
                Err(error) => Err(YamlError {
                    at: Position { line: error.line().max(1), column: error.column().max(1) },
                    message: "the text begins with { and is not valid JSON".to_owned(),
                }),
            };
        }
        let Some(node) = yaml::parse(text)? else { return Ok(()) };
        let value = Value::of(&node)?;
        match &value.data {
            ValueData::Null => {}
            ValueData::List(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.read_item(key, index, item))
            }
            _ => self.report(key, value.at, ProblemKind::NotAList),
        }
        Ok(())
    }

    fn read_item(&mut self, key: MapKey, index: usize, item: &Value) {
        let mut raw = RawMapping::default();
        match &item.data {
            ValueData::Map(fields) => {
                for (name, value) in fields {
                    raw.set(key, &fold(name), value, &mut |at, field, needed| {
                        self.report(key, at, ProblemKind::WrongType { index, field, needed });
                    });
                }
            }
            ValueData::Null => {}
            _ => return self.report(key, item.at, ProblemKind::NotAMapping { index }),
        }
        match raw.subject(key) {
            Ok(subject) => {
                let mapping =
                    Mapping { key, index, line: item.at.line, subject, username: raw.username, groups: raw.groups };
                if key == MapKey::Users { self.users.push(mapping) } else { self.roles.push(mapping) }
            }
            Err(reason) => self.report(key, item.at, ProblemKind::Dropped { index, reason }),
        }
    }

    /// go-yaml decodes into texts directly: a number or boolean keeps its spelling.
    fn read_accounts(&mut self, text: &str) -> Result<(), YamlError> {
        let key = MapKey::Accounts;
        let Some(node) = yaml::parse(text)? else { return Ok(()) };
        let Content::List { items, .. } = &node.content else {
            if !matches!(Value::of(&node), Ok(Value { data: ValueData::Null, .. })) {
                self.report(key, node.at, ProblemKind::NotAList);
            }
            return Ok(());
        };
        for (index, item) in items.iter().enumerate() {
            match account_id(item)? {
                Some(id) => self.accounts.push(MappedAccount { index, line: item.at.line, id }),
                None => {
                    let kind = ProblemKind::WrongType { index, field: "account", needed: "a text" };
                    self.report(key, item.at, kind);
                }
            }
        }
        Ok(())
    }

    fn report(&mut self, key: MapKey, at: Position, kind: ProblemKind) {
        self.problems.push(Problem { key, line: at.line, column: at.column, kind });
    }
}

/// Whether the authenticator takes a text for an absent one.
pub(crate) fn is_skippable(text: &str) -> bool {
    matches!(text.trim(), "" | "``" | "\"\"" | "''")
}

fn account_id(item: &Node) -> Result<Option<String>, YamlError> {
    let Content::Scalar { text, .. } = &item.content else { return Ok(None) };
    // The value `.inf`, which JSON does not allow, is a text here.
    Ok(Some(match Value::of(item).map(|value| value.data) {
        Ok(ValueData::Null) => String::new(),
        Ok(ValueData::Text(text)) => text,
        Ok(_) => text.clone(),
        Err(error) if item.tag.is_some() => return Err(error),
        Err(_) => text.clone(),
    }))
}

/// Folds a key as Go's encoding/json does: ASCII letters, and the two other letters whose upper case is ASCII.
pub(crate) fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

/// A mapping before it is validated. Fields are set in the order of their keys, and a later one with the same folded key
/// replaces or completes an earlier one.
#[derive(Debug, Default)]
struct RawMapping {
    arn: String,
    sso: Option<RawSso>,
    username: String,
    groups: Vec<String>,
    user_id: String,
}

#[derive(Debug, Default)]
struct RawSso {
    name: String,
    account: String,
    partition: String,
}

/// Reports a value of a wrong type: its place, the field, and the type that the field needs.
type WrongType<'a> = &'a mut dyn FnMut(Position, &'static str, &'static str);

impl RawMapping {
    fn set(&mut self, key: MapKey, folded: &str, value: &Value, wrong: WrongType<'_>) {
        match (key, folded) {
            (MapKey::Roles, "rolearn") => set_text(&mut self.arn, value, "rolearn", wrong),
            (MapKey::Users, "userarn") => set_text(&mut self.arn, value, "userarn", wrong),
            (MapKey::Roles, "sso") => self.set_sso(value, wrong),
            (_, "username") => set_text(&mut self.username, value, "username", wrong),
            (_, "groups") => set_groups(&mut self.groups, value, wrong),
            (_, "userid") => set_text(&mut self.user_id, value, "userid", wrong),
            _ => {}
        }
    }

    fn set_sso(&mut self, value: &Value, wrong: WrongType<'_>) {
        if value.data == ValueData::Null {
            self.sso = None;
            return;
        }
        let sso = self.sso.get_or_insert_default();
        let ValueData::Map(fields) = &value.data else { return wrong(value.at, "sso", "a mapping") };
        for (name, value) in fields {
            match fold(name).as_str() {
                "permissionsetname" => set_text(&mut sso.name, value, "permissionSetName", wrong),
                "accountid" => set_text(&mut sso.account, value, "accountID", wrong),
                "partition" => set_text(&mut sso.partition, value, "partition", wrong),
                _ => {}
            }
        }
    }

    /// Validates the mapping (pkg/config/mapper.go, Validate).
    fn subject(&self, key: MapKey) -> Result<Subject, String> {
        match (&self.sso, self.arn.is_empty()) {
            (None, true) => {
                let field = if key == MapKey::Users { "userarn" } else { "rolearn" };
                Err(format!("it has no {field}"))
            }
            (None, false) if key == MapKey::Users => Ok(Subject::User(self.arn.clone())),
            (None, false) => Ok(Subject::Role(self.arn.clone())),
            (Some(_), false) => Err("it has both rolearn and sso".to_owned()),
            (Some(sso), true) => sso.subject(),
        }
    }
}

impl RawSso {
    fn subject(&self) -> Result<Subject, String> {
        let RawSso { name, account, partition } = self;
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if !is_account {
            return Err("its sso.accountID is not an account id of twelve digits".to_owned());
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !(1..=32).contains(&name.len()) || !name.chars().all(is_name) {
            return Err("its sso.permissionSetName is not the name of a permission set".to_owned());
        }
        if !partition.is_empty() && !PARTITIONS.contains(&partition.as_str()) {
            return Err("its sso.partition is not a partition of AWS".to_owned());
        }
        Ok(Subject::PermissionSet { name: name.clone(), account: account.clone(), partition: partition.clone() })
    }
}

fn set_text(slot: &mut String, value: &Value, field: &'static str, wrong: WrongType<'_>) {
    match &value.data {
        ValueData::Text(text) => slot.clone_from(text),
        ValueData::Null => {}
        _ => wrong(value.at, field, "a text"),
    }
}

fn set_groups(slot: &mut Vec<String>, value: &Value, wrong: WrongType<'_>) {
    match &value.data {
        ValueData::List(items) => {
            slot.resize(items.len().max(slot.len()), String::new());
            for (group, item) in slot.iter_mut().zip(items) {
                set_text(group, item, "groups", wrong);
            }
            slot.truncate(items.len());
        }
        ValueData::Null => slot.clear(),
        _ => wrong(value.at, "groups", "a list of texts"),
    }
}
