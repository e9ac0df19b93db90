//! `rolecall import` of contexts that `aws eks update-kubeconfig` writes.

use std::fs;

use crate::fixture::{Fixture, REGION, ROLE};
use crate::peer;

#[test]
fn context_of_aws_cli_is_imported_used_and_restored() {
    let Some(python) = peer::python() else { return };
    let Some(fixture) = Fixture::new() else { return };
    fixture.api.add_pod("default", "web-7d4b9");
    for (alias, options) in [("by-role", &["--role-arn", ROLE][..]), ("by-arn", &[])] {
        let mut command = fixture.sandbox.command(&python);
        command.args(["-m", "awscli", "eks", "update-kubeconfig", "--name", "prod", "--region", REGION]);
        command.args(["--profile", "work"]).args(options);
        if alias == "by-role" {
            command.args(["--alias", alias, "--user-alias", alias]);
        }
        fixture.sandbox.run(&mut command).assert_ok();
    }
    let before = fs::read(fixture.sandbox.kubeconfig()).unwrap();
    let said = fixture.rolecall(&["import", "--yes", "-o", "json"]);
    said.assert_ok();
    let rows = said.json();
    let becomes = |context: &str| {
        let rows = rows.as_array().unwrap();
        rows.iter().find(|row| row["context"] == context).unwrap()["becomes"].clone()
    };
    // `rolecall add` made an equal profile.
    assert_eq!((&becomes("by-role")["profile"], &becomes("by-role")["is_new"]), (&"prod".into(), &false.into()));
    let arn = format!("arn:aws:eks:{REGION}:111122223333:cluster/prod");
    assert_eq!(becomes(&arn)["role_arn"], serde_json::Value::Null);
    let said = fixture.kubectl(&["--context", "by-role", "get", "pods"]);
    assert!(said.assert_ok().stdout.contains("web-7d4b9"), "{said}");
    assert_eq!(fixture.assume_role_calls(), 1, "the session of the profile prod");
    fixture.rolecall(&["import", "--undo"]).assert_ok();
    assert_eq!(fs::read(fixture.sandbox.kubeconfig()).unwrap(), before);
}
