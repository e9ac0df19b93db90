mod kubectl;
mod rules;

use std::time::Duration;

use super::*;
use crate::aws::{Aws, Fault, Op, Role};
use crate::keys::AccessKey;
use crate::sigv4::TokenSpec;

const REGION: &str = "eu-west-1";
const DEVELOPERS: &str = "arn:aws:iam::111122223333:role/team/developers";

/// An AWS, the cluster `prod`, and a session of `team/developers` as `dev@laptop`.
fn world() -> (Aws, ApiServer, AccessKey) {
    let aws = Aws::start(Clock::system());
    aws.add_role(Role::new(DEVELOPERS));
    let api = ApiServer::start(aws.clock().clone(), &aws, "prod", REGION);
    aws.add_cluster(api.cluster());
    let session = aws.session(DEVELOPERS, "dev@laptop", Duration::from_hours(1));
    (aws, api, session)
}

fn token(api: &ApiServer, key: &AccessKey) -> TokenSpec {
    TokenSpec::new(key, REGION, "prod", api.inside.clock.now())
}

/// What the authenticator makes of a token, on a runtime of its own.
fn authenticate(api: &ApiServer, token: &str) -> Result<webhook::User, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(api.inside.webhook.authenticate(token))
}
