//! Tokens that the API server rejects.

use std::time::Duration;

use rolecall_harness::{Op, TokenSpec};

use crate::control_plane::{CLUSTER, REGION, WHOAMI, user_of};
use crate::fixture::Fixture;

#[test]
fn token_is_valid_for_fifteen_minutes() {
    let Some(fixture) = Fixture::new("expiry") else { return };
    let control_plane = &fixture.control_plane;
    fixture.aws_auth.apply(&[("mapUsers", &format!("- userarn: {}\n  username: dev\n", fixture.user.arn))]);
    let now = control_plane.aws.clock().now();
    let minted = |ago: Duration| TokenSpec::new(&fixture.user, REGION, CLUSTER, now - ago);
    let tried = |token: &str| user_of(&control_plane.with_token(token, &WHOAMI));
    tried(&minted(Duration::from_mins(14)).mint()).unwrap();
    for token in [
        minted(Duration::from_mins(16)).mint(),
        TokenSpec::new(&fixture.user, REGION, "another-cluster", now).mint(),
        minted(Duration::ZERO).without_cluster().mint(),
        minted(Duration::ZERO).expires("901").mint(),
        minted(Duration::ZERO).host("sts.evil.example").mint(),
    ] {
        let message = tried(&token).unwrap_err();
        assert!(message.contains("Unauthorized"), "{message}");
    }
}

/// Fault matrix row 83.
#[test]
fn status_reports_a_role_that_the_cluster_stopped_mapping() {
    let Some(fixture) = Fixture::new("stopped") else { return };
    let aws = &fixture.control_plane.aws;
    let role = fixture.role("developers", &fixture.user.arn);
    let roles = format!("- rolearn: {role}\n  username: dev\n");
    fixture.aws_auth.apply(&[("mapRoles", &roles)]);
    fixture.add("dev", &["--role-arn", &role]);
    assert_eq!(fixture.whoami("dev")["username"], "dev");

    fixture.aws_auth.apply(&[]);
    // The API server has the present token in its cache, and asks about a new one.
    fixture.rolecall(&["refresh", "dev"]).assert_ok();
    let calls = || aws.log_of(Op::AssumeRole).iter().filter(|call| call.role_arn.as_deref() == Some(&role)).count();
    let before = calls();
    for _ in 0..3 {
        let said = fixture.kubectl("dev", &WHOAMI);
        said.assert_code(1);
        assert!(said.stderr.contains("Unauthorized"), "{said}");
    }
    assert!(calls() - before <= 1, "{} AssumeRole calls", calls() - before);
    let status = fixture.rolecall(&["status"]).stdout;
    assert!(
        status.contains("! dev") && status.contains("the cluster rejects this role (401): rolecall doctor "),
        "{status}"
    );

    fixture.aws_auth.apply(&[("mapRoles", &roles)]);
    for _ in 0..3 {
        assert_eq!(fixture.whoami("dev")["username"], "dev");
    }
    let status = fixture.rolecall(&["status"]).stdout;
    assert!(!status.contains("the cluster rejects"), "{status}");
}
