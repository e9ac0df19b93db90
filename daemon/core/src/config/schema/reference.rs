//! The reference of the configuration: one table of all keys, and the files that are made from it.
//!
//! The tests compare the table with the keys that the types accept, and these files with the table:
//!
//! - `install/man/rolecall-config.5`: the heading and the first sentence of each key, between the marks of [`man`];
//! - `install/rolecall.schema.json`: the JSON Schema for editors;
//! - `install/config.toml`: the file that `rolecall config init` writes.
//!
//! `ROLECALL_TEST_ACCEPT=1 cargo test -p rolecall-core reference` writes them.

mod json_schema;
mod key_table;
mod man;
mod template;

use std::fs;
use std::path::{Path, PathBuf};

use super::keys::of_table;
use key_table::{KEYS, Key, Kind, PINNED, TABLES};

const MAN_PAGE: &str = "install/man/rolecall-config.5";
const JSON_SCHEMA: &str = "install/rolecall.schema.json";
const TEMPLATE: &str = "install/config.toml";

/// Returns the keys of a table: its own, and those that it has in common with another table.
fn keys_of(table: &str) -> Vec<&'static Key> {
    let own = KEYS.iter().filter(|key| key.table == table);
    match table {
        "profiles.*" => own.chain(KEYS.iter().filter(|key| key.table == "defaults")).collect(),
        "included.*" => PINNED.iter().map(|name| find("profiles.*", name).unwrap()).collect(),
        _ => own.collect(),
    }
}

fn find(table: &str, name: &str) -> Option<&'static Key> {
    keys_of(table).into_iter().find(|key| key.name == name)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Asserts that a file has the text, or writes it if the run accepts changes.
#[track_caller]
fn assert_current(file: &str, text: &str) {
    let path = root().join(file);
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    let accept = std::env::var_os("ROLECALL_TEST_ACCEPT").is_some();
    if accept {
        fs::write(&path, text).unwrap();
    }
    let now = fs::read_to_string(&path).unwrap_or_default();
    let differs = now.lines().zip(text.lines()).position(|(now, new)| now != new);
    let line = differs.unwrap_or_else(|| now.lines().count().min(text.lines().count())) + 1;
    assert!(
        now == text,
        "{file} is stale from line {line} on. Write it with: ROLECALL_TEST_ACCEPT=1 cargo test -p rolecall-core reference"
    );
}

#[test]
fn reference_has_exactly_the_keys_of_the_types() {
    for table in TABLES {
        let path: Vec<&str> = table.name.split('.').filter(|part| !part.is_empty()).collect();
        let mut expected: Vec<&str> = of_table(&path).unwrap().to_vec();
        let mut listed: Vec<&str> = keys_of(table.name).iter().map(|key| key.name).collect();
        if table.name.is_empty() {
            let tables = TABLES.iter().filter_map(|table| table.name.split('.').next()).filter(|name| !name.is_empty());
            listed.extend(tables);
        }
        expected.sort_unstable();
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed, expected, "[{}]", table.name);
    }
    let orphan = KEYS.iter().find(|key| !TABLES.iter().any(|table| table.name == key.table));
    assert!(orphan.is_none(), "{:?}", orphan.map(|key| key.name));
}

/// A key that the table calls a simple value is one for the types too, so no table of keys is missing from [`TABLES`].
#[test]
fn reference_has_every_table_of_the_types() {
    for table in TABLES {
        for key in keys_of(table.name) {
            let path: Vec<&str> =
                table.name.split('.').filter(|part| !part.is_empty()).chain(std::iter::once(key.name)).collect();
            let nested = of_table(&path).is_some();
            assert_eq!(nested, key.kind == Kind::Keys, "{}", path.join("."));
        }
    }
}

#[test]
fn man_page_has_the_reference() {
    let page = fs::read_to_string(root().join(MAN_PAGE)).unwrap();
    assert_current(MAN_PAGE, &man::with_reference(&page));
    for value in KEYS.iter().filter_map(|key| match key.kind {
        Kind::OneOf(values) => Some(values),
        _ => None,
    }) {
        let missing = value.iter().find(|value| !page.contains(&format!("\n.B \\(dq{value}\\(dq\n")));
        assert_eq!(missing, None, "not explained in {MAN_PAGE}");
    }
}

#[test]
fn json_schema_has_the_reference() {
    assert_current(JSON_SCHEMA, &json_schema::render());
}

#[test]
fn template_has_the_reference() {
    assert_current(TEMPLATE, &template::render());
}
