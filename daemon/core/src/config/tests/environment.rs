//! The environment of programs.

use std::ffi::OsString;

use super::*;
use crate::config::network::Proxy;

fn own() -> Vec<(OsString, OsString)> {
    [
        ("HOME", "/home/dev"),
        ("LC_ALL", "C"),
        ("AWS_VAULT_BACKEND", "pass"),
        ("EDITOR", "vi"),
        ("HTTPS_PROXY", "http://shell"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec()
}

fn of_program(text: &str) -> Vec<String> {
    let network = &Config::parse(Path::new("config.toml"), text).unwrap().network;
    let variables = network.environment.of_program(own(), network.path.proxy.as_ref().map(Proxy::for_programs));
    variables.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
}

#[test]
fn program_gets_the_fixed_list_and_what_is_configured() {
    assert_eq!(of_program(""), ["HOME=/home/dev", "LC_ALL=C"]);
    let text = "[environment]\npass = [\"AWS_VAULT_BACKEND\", \"GONE\"]\nset = { PYENV_ROOT = \"/opt/pyenv\", LC_ALL = \"de\" }\n";
    assert_eq!(of_program(text), ["AWS_VAULT_BACKEND=pass", "HOME=/home/dev", "LC_ALL=de", "PYENV_ROOT=/opt/pyenv"]);
}

#[test]
fn program_gets_the_proxy_without_its_password() {
    let variables = of_program("[network]\nproxy = \"http://me:hunter2@proxy:3128\"\nno_proxy = \"*.corp,\"\n");
    for expected in ["HTTPS_PROXY=http://proxy:3128", "https_proxy=http://proxy:3128", "NO_PROXY=.corp"] {
        assert!(variables.iter().any(|variable| variable == expected), "{variables:?}");
    }
}

#[test]
fn invalid_environment_error_has_line_and_no_value() {
    let credentials = "must not have credentials; use a source of its own for them";
    let names = "must be names of variables: letters, digits and _";
    let loader = "must not have LD_ and DYLD_ variables, which act on the daemon too; use set";
    for (line, key, expected) in [
        ("pass = [\"AWS_SECRET_ACCESS_KEY\"]", "pass[0]", credentials),
        ("pass = [\"AWS_SECRET_KEY\"]", "pass[0]", credentials),
        ("pass = [\"X=hunter2\"]", "pass[0]", names),
        ("pass = [\"LD_PRELOAD\"]", "pass[0]", loader),
        ("pass = [\"A\"]\nset = { A = \"x\" }", "pass", "has A, which set has too"),
        ("passs = []", "passs", "unknown key \"passs\"; did you mean \"pass\"?"),
    ] {
        let message = error(&format!("[environment]\n{line}\n"));
        assert_eq!(message, format!("config.toml:2: environment.{key}: {expected}"));
    }
    for line in [
        "set = { \"A=hunter2\" = \"x\" }",
        "set = { A = \"hunter\\u0000\" }",
        "set = { AWS_SESSION_TOKEN = \"hunter2\" }",
    ] {
        let message = error(&format!("[environment]\n{line}\n"));
        assert!(message.starts_with("config.toml:2: environment.set: ") && !message.contains("hunter"), "{message}");
    }
}
