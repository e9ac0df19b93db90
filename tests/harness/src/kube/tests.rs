mod access;
mod kubectl;
mod rules;

use std::time::Duration;

use super::*;
use crate::aws::{AccessKey, Aws, Fault, Op, Role, TokenSpec};
use crate::clock::Clock;

const REGION: &str = "eu-west-1";
const DEVELOPERS: &str = "arn:aws:iam::111122223333:role/team/developers";

/// Returns an AWS, the cluster `prod`, and a session of `team/developers` named `dev@laptop`.
fn fixture() -> (Aws, ApiServer, AccessKey) {
    let aws = Aws::start(Clock::system());
    aws.add_role(Role::new(DEVELOPERS));
    let api = ApiServer::start(aws.clock().clone(), &aws, "prod", REGION);
    aws.add_cluster(api.cluster());
    let session = aws.session(DEVELOPERS, "dev@laptop", Duration::from_hours(1));
    (aws, api, session)
}

fn token(api: &ApiServer, key: &AccessKey) -> TokenSpec {
    TokenSpec::new(key, REGION, "prod", api.shared.clock.now())
}

/// Authenticates a token on a new runtime.
fn authenticate(api: &ApiServer, token: &str) -> Result<authenticator::User, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(api.shared.authenticate(token))
}
