//! `add` and `token` with moto as STS and EKS, an independent implementation of AWS.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rolecall_harness::{AccessKey, Sandbox};
use serde_json::Value;

use crate::peer;

/// A moto server that stops when dropped.
pub(crate) struct Moto {
    child: Child,
    said: Value,
}

impl Moto {
    pub(crate) fn start(python: &std::path::PathBuf) -> Self {
        let mut command = peer::program(python, "moto_server.py");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, said: serde_json::from_str(&line).expect("moto_server.py says where it is") }
    }

    /// Returns the endpoint, or the id or secret of the user's access key.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.said[key].as_str().unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn add_and_token_succeed_with_moto() {
    let Some(python) = peer::python() else { return };
    let moto = Moto::start(&python);
    let sandbox = Sandbox::new();
    let key = AccessKey {
        id: moto.get("id").to_owned(),
        secret: moto.get("secret").to_owned(),
        arn: "arn:aws:iam::123456789012:user/dev".to_owned(),
        session_token: None,
    };
    sandbox.write_aws_profile("work", &key, moto.get("endpoint"));
    let said = sandbox.run(sandbox.rolecall().args([
        "add",
        "prod",
        "--region",
        "eu-west-1",
        "--role-arn",
        "arn:aws:iam::123456789012:role/developers",
        "--aws-profile",
        "work",
    ]));
    said.assert_ok();
    assert!(said.stdout.contains("assumed arn:aws:iam::123456789012:role/developers"), "{}", said.stdout);
    assert!(said.stdout.contains("found cluster prod in eu-west-1"), "{}", said.stdout);
    let said = sandbox.run(sandbox.rolecall().args(["token", "prod"]));
    said.assert_ok();
    assert!(said.json()["status"]["token"].as_str().unwrap().starts_with("k8s-aws-v1."));

    let said = sandbox.run(sandbox.rolecall().args([
        "add",
        "other",
        "--cluster",
        "prdo",
        "--region",
        "eu-west-1",
        "--aws-profile",
        "work",
    ]));
    said.assert_code(1);
    assert!(said.stderr.contains("Did you mean \"prod\"?"), "{}", said.stderr);
}
