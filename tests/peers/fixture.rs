//! An embedded AWS, an API server, and a sandbox with kubectl and the profile `prod`.

use rolecall_harness::{ApiServer, Aws, Clock, Op, Output, Role, Sandbox};

use crate::peer;

pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
pub(crate) const REGION: &str = "eu-west-1";

pub(crate) struct Fixture {
    pub(crate) aws: Aws,
    pub(crate) api: ApiServer,
    pub(crate) sandbox: Sandbox,
}

impl Fixture {
    /// Adds the profile `prod` with `rolecall add`. Returns `None`, and reports the test as skipped, without kubectl.
    pub(crate) fn new() -> Option<Self> {
        let sandbox = Sandbox::new();
        if sandbox.kubectl().is_none() {
            peer::skipped("kubectl: not found");
            return None;
        }
        let clock = Clock::system();
        let aws = Aws::start(clock.clone());
        let user = aws.add_user("111122223333", "dev");
        aws.add_role(Role::new(ROLE).trusts(&user.arn));
        let api = ApiServer::start(clock, &aws, "prod", REGION);
        aws.add_cluster(api.cluster());
        aws.grant("prod", REGION, ROLE, "developer:{{SessionName}}", &["system:masters"]);
        sandbox.write_aws_profile("work", &user, &aws.endpoint());
        let fixture = Self { aws, api, sandbox };
        fixture.rolecall(&["add", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "work"]).assert_ok();
        Some(fixture)
    }

    pub(crate) fn rolecall(&self, arguments: &[&str]) -> Output {
        self.sandbox.run(self.sandbox.rolecall().args(arguments))
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        self.sandbox.run(self.sandbox.kubectl().unwrap().args(arguments))
    }

    pub(crate) fn assume_role_calls(&self) -> usize {
        self.aws.calls(Op::AssumeRole)
    }
}
