//! `rolecall access plan` with the real daemon: it is filled in for the profile, and calls neither AWS nor the cluster.

use crate::fixture::{Fixture, error_line};

#[test]
fn plan_is_filled_in_without_a_call_of_aws() {
    let fixture = Fixture::configured();
    let plan = fixture.rolecall(&["access", "plan", "prod", "--user", "alice"]);
    plan.assert_ok();
    assert!(plan.stdout.contains("aws iam create-role --role-name developers"), "{plan}");
    assert!(
        plan.stdout.contains("--cluster-name prod --principal-arn arn:aws:iam::111122223333:role/developers"),
        "{plan}"
    );
    for format in ["cloudformation", "terraform"] {
        let users = fixture.sandbox.write("users.txt", "alice\nbob\n");
        let arguments = ["access", "plan", "prod", "--as", "users", "--format", format, "--from"];
        let plan = fixture.rolecall(&[&arguments[..], &[users.to_str().unwrap()]].concat());
        plan.assert_ok();
        assert!(plan.stdout.contains("arn:aws:iam::111122223333:user/bob"), "{plan}");
    }
    let misspelled = fixture.rolecall(&["access", "plan", "prod", "--policy", "AmazonEKSVeiwPolicy"]);
    misspelled.assert_ok();
    assert!(misspelled.stderr.ends_with("Did you mean AmazonEKSViewPolicy?\n"), "{misspelled}");
    let line = error_line(&fixture.rolecall(&["access", "plan", "prod", "--account", "999988887777"]), 2);
    assert!(line.contains("prod has its role or session in the account 111122223333"), "{line}");
    assert_eq!(fixture.assume_role_calls(), 0);
    let line = error_line(&fixture.rolecall(&["access", "plan", "prod", "--as", "user"]), 2);
    assert!(line.ends_with("Give it with --user NAME"), "{line}");
    let line = error_line(&fixture.rolecall(&["access", "plan", "nope"]), 1);
    assert!(line.contains("nope"), "{line}");
}
