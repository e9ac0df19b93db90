//! Rules of the code's structure that no lint checks: what a file may do, and what it may import.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of product code.
const PRODUCT: [&str; 7] = [
    "daemon/core/src",
    "daemon/aws/src",
    "daemon/src",
    "client/src",
    "client/protocol/src",
    "client/trusted-file/src",
    "client/loopback/src",
];
/// The daemon's crates, in the order in which they depend on each other.
pub(crate) const DAEMON: [&str; 3] = ["daemon/core/src", "daemon/aws/src", "daemon/src"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the path (from the root) and the product code of every source file below a folder.
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

/// Returns a file without its unit tests and its comments.
fn product_code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn files_with(folders: &[&str], word: &str) -> BTreeSet<String> {
    let all = folders.iter().flat_map(|folder| sources(folder));
    // Tests and fuzz targets are no product code.
    let is_product = |name: &str| !name.contains("test") && !name.ends_with("fuzz.rs");
    all.filter(|(name, text)| is_product(name) && text.contains(word)).map(|(name, _)| name).collect()
}

#[track_caller]
fn only_in(word: &str, folders: &[&str], allowed: &[&str]) {
    let found = files_with(folders, word);
    let allowed: BTreeSet<String> = allowed.iter().map(ToString::to_string).collect();
    assert!(found.is_subset(&allowed), "{word}: found in {found:?}, allowed in {allowed:?}");
    assert!(!found.is_empty(), "{word}: the rule applies to no file");
}

/// Fault matrix row 56.
#[test]
fn secrets_are_exposed_in_few_files() {
    only_in(
        ".expose()",
        &PRODUCT,
        &[
            "client/protocol/src/entry_key.rs",
            "client/protocol/src/location/variables.rs",
            "client/protocol/src/secret.rs",
            "client/src/aws_session.rs",
            "client/src/commands/credentials.rs",
            "client/src/credential_server/request.rs",
            "client/src/credential_server/serve.rs",
            "client/src/commands/env.rs",
            "client/src/commands/keys/put.rs",
            "client/src/config_file/profiles.rs",
            "client/src/daemon/call.rs",
            "client/src/daemon/http/message.rs",
            "client/src/kubeconfig/entry.rs",
            "client/src/login/prompter.rs",
            "client/src/terminal/passphrase.rs",
            "client/src/terminal/prompt.rs",
            "client/src/token.rs",
            "daemon/aws/src/kubernetes.rs",
            "daemon/aws/src/http.rs",
            "daemon/aws/src/secret_file.rs",
            "daemon/aws/src/shared_config/file.rs",
            "daemon/aws/src/source/aws_login/cached_login.rs",
            "daemon/aws/src/source/process.rs",
            "daemon/aws/src/sso/browser.rs",
            "daemon/aws/src/sso/callback.rs",
            "daemon/aws/src/sso/client.rs",
            "daemon/aws/src/sso/portal.rs",
            "daemon/aws/src/sso/token.rs",
            "daemon/aws/src/sts.rs",
            "daemon/aws/src/sts/session_token.rs",
            "daemon/aws/src/token.rs",
            "daemon/aws/src/token/verify.rs",
            "daemon/aws/src/unsigned_call.rs",
            "daemon/core/src/config/network.rs",
            "daemon/core/src/lock/verifier.rs",
            "daemon/src/handover/linux.rs",
            "daemon/src/keyring/item.rs",
            "daemon/src/keyring/store.rs",
            "daemon/src/once.rs",
            "daemon/src/run.rs",
            "daemon/src/server/response.rs",
            "daemon/src/server/endpoints/mod.rs",
            "daemon/src/services/access/connection.rs",
            "daemon/src/services/keys.rs",
            "daemon/src/services/snapshot.rs",
            "daemon/src/services/token.rs",
            "daemon/src/sessions/mfa.rs",
        ],
    );
}

#[test]
fn each_aws_service_is_called_in_one_file() {
    only_in("aws_sdk_sts::Client", &DAEMON, &["daemon/aws/src/sts.rs"]);
    only_in("service: Service::Iam", &DAEMON, &["daemon/aws/src/iam.rs"]);
    only_in("service: Service::Eks", &DAEMON, &["daemon/aws/src/eks.rs"]);
}

#[test]
fn only_the_crate_for_aws_uses_the_sdk() {
    for word in ["aws_sdk_", "aws_config::", "aws_smithy_runtime", "aws_sigv4"] {
        let found = files_with(&DAEMON, word);
        let is_allowed = |name: &String| name.starts_with("daemon/aws/") || name == "daemon/src/log.rs";
        assert!(found.iter().all(is_allowed), "{word}: {found:?}");
    }
}

#[test]
fn keyring_libraries_are_used_in_one_folder() {
    for word in ["keyring_core::", "secret_service::"] {
        let found = files_with(&DAEMON, word);
        assert!(found.iter().all(|name| name.starts_with("daemon/src/keyring/")), "{found:?}");
    }
}

#[test]
fn dbus_is_used_for_keyring_and_desktop() {
    let mut found = files_with(&DAEMON, "zbus::");
    for desktop in ["daemon/src/desktop_lock.rs", "daemon/src/desktop_notifications.rs"] {
        assert!(found.remove(desktop), "{found:?}");
    }
    assert!(found.iter().all(|name| name.starts_with("daemon/src/keyring/")), "{found:?}");
}

#[test]
fn hyper_is_used_in_servers() {
    let mut found = files_with(&DAEMON, "hyper::");
    assert!(found.remove("daemon/aws/src/sso/callback.rs"), "{found:?}");
    assert!(found.iter().all(|name| name.starts_with("daemon/src/server/")), "{found:?}");
}

#[test]
fn yaml_is_used_in_the_kubeconfig_module() {
    for word in ["yaml_edit", "serde_saphyr"] {
        let found = files_with(&PRODUCT, word);
        assert!(found.iter().all(|name| name.starts_with("client/src/kubeconfig/")), "{found:?}");
    }
}

#[test]
fn unsafe_code_is_in_harden_main_and_what_macos_needs() {
    let files = [
        "daemon/src/darwin.rs",
        "daemon/src/harden.rs",
        "daemon/src/main.rs",
        "client/src/debugging.rs",
        "client/src/main.rs",
    ];
    only_in("unsafe {", &PRODUCT, &files);
    only_in("[unsafe(", &PRODUCT, &["client/src/main.rs"]);
}

/// Fault matrix row 56. `Debug` prints every field. A field whose name says that it holds a secret is a `Secret`, which prints a
/// placeholder, or its type has no `Debug`.
#[test]
fn type_with_debug_has_no_plain_field_with_the_name_of_a_secret() {
    const NAMES: [&str; 8] =
        ["secret", "token", "passphrase", "password", "private_key", "entry_key", "code", "verifier"];
    const PLAIN: [&str; 6] = ["String", "Vec<u8>", "Box<str>", "Arc<str>", "Bytes", "&'a str"];
    let mut found = BTreeSet::new();
    for (name, text) in PRODUCT.iter().flat_map(|folder| sources(folder)).filter(|(name, _)| !name.contains("test")) {
        let mut has_debug = false;
        for line in text.lines().map(str::trim) {
            let words = ["pub(super) ", "pub(crate) ", "pub "];
            let line = words.iter().fold(line, |line, word| line.strip_prefix(word).unwrap_or(line));
            match line {
                _ if line.starts_with("#[derive(") => has_debug = line.contains("Debug"),
                // The derived traits belong to one type.
                "}" => has_debug = false,
                _ => {}
            }
            let Some((field, kind)) = line.split_once(": ").filter(|_| has_debug) else { continue };
            let kind = kind.trim_start_matches("Option<");
            let is_field = field.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let has_name = NAMES.iter().any(|word| field.contains(word));
            if is_field && has_name && PLAIN.iter().any(|plain| kind.starts_with(plain)) {
                found.insert(format!("{name}: {field}"));
            }
        }
    }
    // Codes of errors and of findings, the code that a user compares in the browser, positions in lists, and the path of a file.
    let harmless = [
        "client/protocol/src/access.rs: code",
        "client/protocol/src/doctor.rs: code",
        "client/protocol/src/login.rs: code",
        "client/src/login/flow.rs: code",
        "daemon/aws/src/eks.rs: next_token",
        "daemon/aws/src/eks/access_entries.rs: next_token",
        "daemon/aws/src/eks/access_policies.rs: next_token",
        "daemon/aws/src/eks/cluster_config.rs: error_code",
        "daemon/aws/src/iam.rs: code",
        "daemon/aws/src/retry.rs: code",
        "daemon/aws/src/source/aws_profile.rs: token_file",
        "daemon/aws/src/sso/client.rs: code",
        "daemon/aws/src/sso/client.rs: user_code",
        "daemon/aws/src/sso/login.rs: code",
        "daemon/aws/src/sso/portal.rs: next_token",
    ];
    assert_eq!(found, harmless.map(str::to_owned).into_iter().collect());
}

#[test]
fn endpoint_paths_are_spelt_in_the_protocol() {
    // The other files have paths of the Kubernetes API, and of AWS Sign-In.
    let kubernetes =
        ["review.rs", "config_map.rs", "bindings.rs"].map(|name| format!("daemon/aws/src/kubernetes/{name}"));
    let [review, config_map, bindings] = kubernetes.each_ref().map(String::as_str);
    let sign_in = "daemon/aws/src/source/aws_login.rs";
    only_in("/v1/", &PRODUCT, &["client/protocol/src/endpoint.rs", review, config_map, bindings, sign_in]);
}

/// A module of the daemon uses only modules that stand above it in its crate's `lib.rs`.
#[test]
fn daemon_modules_import_upwards_only() {
    for folder in DAEMON {
        let library = product_code(&fs::read_to_string(root().join(folder).join("lib.rs")).unwrap());
        let declared = |line: &str| line.trim_start_matches("pub ").strip_prefix("mod ").map(str::to_owned);
        let order: Vec<String> =
            library.lines().filter_map(declared).map(|name| name.trim_end_matches(';').to_owned()).collect();
        assert!(order.len() > 5, "{folder}: {order:?}");
        for (name, text) in sources(folder) {
            let below_folder = name.trim_start_matches(folder).trim_start_matches('/');
            let module = below_folder.split(['/', '.']).next().unwrap();
            let Some(place) = order.iter().position(|other| other == module) else { continue };
            assert!(
                !text.contains("use crate::{"),
                "{name}: import one module per line, so that this test can read it"
            );
            let is_in_folder = below_folder.contains('/');
            assert!(is_in_folder || !text.contains("super::"), "{name}: imports through the crate root");
            for below in &order[place + 1..] {
                assert!(!text.contains(&format!("crate::{below}::")), "{name} uses {below}, which stands below it");
            }
        }
    }
}

/// Returns the packages that a package links, as `cargo tree` prints them.
fn dependencies(package: &str) -> Vec<String> {
    let cargo = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-p", package, "-e", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    String::from_utf8(cargo.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// kubectl starts the client for every call, so the client links neither an async runtime nor the SDK.
#[test]
fn client_links_neither_tokio_nor_aws() {
    let all = dependencies("rolecall");
    for line in &all {
        assert!(!["tokio", "aws-", "hyper"].iter().any(|banned| line.starts_with(banned)), "{line}");
    }
    assert!(all.iter().any(|line| line.starts_with("rolecall-protocol")));
}

/// The policy crate compiles and is tested without the SDK, an HTTP stack or TLS. Of AWS's crates it links only those
/// with the types of credentials and of a time source, and their dependencies.
#[test]
fn core_links_no_sdk_and_no_network() {
    let all = dependencies("rolecall-core");
    let types = ["aws-credential-types", "aws-smithy-async", "aws-smithy-runtime-api", "aws-smithy-types"];
    for line in &all {
        let name = line.split(' ').next().unwrap_or_default();
        let is_banned =
            name.starts_with("aws-") && !types.contains(&name) && !name.starts_with("aws-smithy-runtime-api-");
        assert!(!is_banned && !["hyper", "hyper-util", "rustls", "mio"].contains(&name), "{line}");
    }
    assert!(all.iter().any(|line| line.starts_with("rolecall-protocol")));
}
