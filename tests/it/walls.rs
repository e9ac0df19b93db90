//! Walls that no lint can hold: who may do what, as a look at the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, product_code(&fs::read_to_string(&path).unwrap())));
            }
        }
    }
    found
}

/// A file without its tests and its comments.
fn product_code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn files_with(folders: &[&str], word: &str) -> BTreeSet<String> {
    let all = folders.iter().flat_map(|folder| sources(folder));
    all.filter(|(name, text)| !name.contains("test") && text.contains(word)).map(|(name, _)| name).collect()
}

#[track_caller]
fn only_in(word: &str, folders: &[&str], allowed: &[&str]) {
    let found = files_with(folders, word);
    let allowed: BTreeSet<String> = allowed.iter().map(ToString::to_string).collect();
    assert!(found.is_subset(&allowed), "{word}: found in {found:?}, allowed in {allowed:?}");
    assert!(!found.is_empty(), "{word}: a wall around nothing");
}

#[test]
fn secrets_are_exposed_in_few_places() {
    only_in(
        ".expose()",
        &["daemon/src", "client/src", "client/protocol/src"],
        &[
            "client/protocol/src/secret.rs",
            "client/src/commands/keys/put.rs",
            "client/src/daemon/call.rs",
            "client/src/login/prompter.rs",
            "client/src/terminal/passphrase.rs",
            "client/src/terminal/prompt.rs",
            "daemon/src/agent.rs",
            "daemon/src/agent/keep.rs",
            "daemon/src/agent/keys.rs",
            "daemon/src/config/network.rs",
            "daemon/src/handover/linux.rs",
            "daemon/src/keyring/item.rs",
            "daemon/src/keyring/shelf.rs",
            "daemon/src/hop.rs",
            "daemon/src/hop/session_token.rs",
            "daemon/src/sessions/codes.rs",
            "daemon/src/source/process.rs",
            "daemon/src/sso/browser.rs",
            "daemon/src/sso/callback.rs",
            "daemon/src/sso/token.rs",
            "daemon/src/sso/wire.rs",
            "daemon/src/lock/verifier.rs",
            "daemon/src/once.rs",
            "daemon/src/run.rs",
            "daemon/src/server/answer.rs",
            "daemon/src/server/endpoints/mod.rs",
            "daemon/src/token.rs",
            "daemon/src/transport.rs",
        ],
    );
}

#[test]
fn sts_is_called_in_one_file() {
    only_in("aws_sdk_sts::Client", &["daemon/src"], &["daemon/src/hop.rs"]);
}

#[test]
fn iam_is_called_in_one_file() {
    only_in("aws_sdk_iam::Client", &["daemon/src"], &["daemon/src/keyring/iam.rs"]);
}

#[test]
fn the_keyring_is_opened_in_one_folder() {
    for word in ["keyring_core::", "secret_service::"] {
        let found = files_with(&["daemon/src"], word);
        assert!(found.iter().all(|name| name.starts_with("daemon/src/keyring/")), "{found:?}");
    }
}

#[test]
fn the_session_bus_is_used_by_the_keyring_and_for_notifications() {
    let mut found = files_with(&["daemon/src"], "zbus::");
    assert!(found.remove("daemon/src/notify.rs"), "{found:?}");
    assert!(found.iter().all(|name| name.starts_with("daemon/src/keyring/")), "{found:?}");
}

#[test]
fn http_stays_in_the_server() {
    let found = files_with(&["daemon/src"], "hyper");
    assert!(found.iter().all(|name| name.starts_with("daemon/src/server/")), "{found:?}");
}

#[test]
fn yaml_stays_in_the_kubeconfig_module() {
    for word in ["yaml_edit", "serde_saphyr"] {
        let found = files_with(&["client/src", "daemon/src"], word);
        assert!(found.iter().all(|name| name.starts_with("client/src/kubeconfig/")), "{found:?}");
    }
}

#[test]
fn unsafe_code_is_in_the_hardening_and_its_one_caller() {
    only_in(
        "unsafe {",
        &["daemon/src", "client/src", "client/protocol/src"],
        &["daemon/src/harden.rs", "daemon/src/main.rs"],
    );
}

#[test]
fn paths_are_spelt_in_the_protocol_alone() {
    only_in("/v1/", &["daemon/src", "client/src", "client/protocol/src"], &["client/protocol/src/endpoint.rs"]);
}

/// A module of the daemon uses only those that stand above it in `lib.rs`.
#[test]
fn modules_import_upwards_only() {
    let library = product_code(&fs::read_to_string(root().join("daemon/src/lib.rs")).unwrap());
    let order: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    assert!(order.len() > 10, "{order:?}");
    for (name, text) in sources("daemon/src") {
        let module = name.trim_start_matches("daemon/src/").split(['/', '.']).next().unwrap();
        let Some(place) = order.iter().position(|other| *other == module) else { continue };
        assert!(!text.contains("use crate::{"), "{name}: one module a line, so that this test can read it");
        let is_in_folder = name.matches('/').count() > 2;
        assert!(is_in_folder || !text.contains("super::"), "{name}: goes through the root");
        for below in &order[place + 1..] {
            assert!(!text.contains(&format!("crate::{below}::")), "{name} uses {below}, which stands below it");
        }
    }
}

/// The client is started by every kubectl: it carries neither a runtime nor the SDK.
#[test]
fn the_client_links_neither_tokio_nor_aws() {
    let cargo = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-p", "rolecall", "-e", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let tree = String::from_utf8(cargo.stdout).unwrap();
    for line in tree.lines() {
        assert!(!["tokio", "aws-", "hyper"].iter().any(|banned| line.starts_with(banned)), "{line}");
    }
    assert!(tree.contains("rolecall-protocol"));
}
