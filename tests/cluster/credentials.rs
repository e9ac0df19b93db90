//! A program with the AWS SDK for Go, as Terraform has it, with the endpoint of `rolecall exec --server`.

use std::time::Duration;

use rolecall_harness::{ApiServer, Aws, Clock, Fault, Op, Role, Sandbox};

use crate::programs::Programs;

const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
const REGION: &str = "eu-west-1";

/// Fault matrix row 103.
#[test]
fn go_sdk_outlives_its_sessions() {
    let Some(programs) = Programs::find() else { return };
    let (clock, sandbox) = (Clock::system(), Sandbox::new());
    let aws = Aws::start(clock.clone());
    let user = aws.add_user("111122223333", "dev");
    aws.add_role(Role::new(ROLE).trusts(&user.arn));
    let api = ApiServer::start(clock, &aws, "prod", REGION);
    aws.add_cluster(api.cluster());
    aws.grant("prod", REGION, ROLE, "developer", &["system:masters"]);
    sandbox.write_aws_profile("work", &user, &aws.endpoint());
    let rolecall = |arguments: &[&str]| sandbox.run(sandbox.rolecall().args(arguments)).assert_ok().stdout.clone();
    rolecall(&["add", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "work"]);
    aws.fault(Op::AssumeRole, Fault::ExpiresIn(Duration::from_secs(14)).forever());
    rolecall(&["refresh", "prod"]);
    let mut command = sandbox.rolecall();
    command.args(["exec", "prod", "--server", "--"]).arg(programs.path("sts-sessions"));
    command.args([aws.endpoint().as_str(), "3", "200ms"]).env("AWS_EC2_METADATA_DISABLED", "true");
    let said = sandbox.run(&mut command);
    said.assert_ok();
    assert!(said.stdout.trim().parse::<u32>().unwrap() >= 3, "{said}");
}
