//! Serves the embedded AWS and the cluster `prod`, to try other clients:
//! `cargo run -p rolecall-harness --example fixture`.
//!
//! Prints one line of JSON (endpoint, access key, role, API server, a static kubeconfig) and serves until stdin ends.
#![allow(clippy::print_stdout, reason = "the example prints to stdout")]

use std::io::Read as _;

use rolecall_harness::{ApiServer, Aws, Clock, Role, TokenSpec};

const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
const REGION: &str = "eu-west-1";

fn main() -> std::io::Result<()> {
    let clock = Clock::system();
    let aws = Aws::start(clock.clone());
    let dev = aws.add_user("111122223333", "dev");
    aws.add_role(Role::new(ROLE).trusts(&dev.arn).allows_tag_session());
    let api = ApiServer::start(clock.clone(), &aws, "prod", REGION);
    aws.add_cluster(api.cluster());
    aws.grant("prod", REGION, ROLE, "dev:{{SessionName}}", &["view"]);
    aws.grant("prod", REGION, &dev.arn, "dev", &["view"]);
    let token = TokenSpec::new(&dev, REGION, "prod", clock.now()).mint();
    let fixture = serde_json::json!({
        "endpoint": aws.endpoint(),
        "accessKeyId": dev.id,
        "secretAccessKey": dev.secret,
        "roleArn": ROLE,
        "cluster": "prod",
        "region": REGION,
        "server": api.url(),
        "ca": api.ca_base64(),
        "kubeconfig": api.kubeconfig(&token),
    });
    println!("{fixture}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
