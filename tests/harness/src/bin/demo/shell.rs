//! `cargo demo --shell`: a shell of a user who has kubeconfig entries of the AWS CLI.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rolecall_harness::{ApiServer, Sandbox};

use crate::{ACCOUNT, CLUSTERS, ROLE, Step, World, say};

const INTRODUCTION: &str = "   \
   ~/.kube/config  contexts prod and staging, as `aws eks update-kubeconfig`
                   writes them, and kind
   ~/.aws/config   AWS profiles work, which the contexts use, and corp, of IAM
                   Identity Center; each login is confirmed at once

   rolecall import                      Rolecall becomes the plugin
   kubectl --context prod get pods
   rolecall use staging                 chooses the current context
   rolecall doctor staging
   rolecall add corp --cluster prod --region eu-west-1 --aws-profile corp
   exit                                 ends the demo
";

/// Opens the shell, and returns when the user leaves it.
pub(crate) fn open(sandbox: &Sandbox) -> Step {
    let world = World::start(sandbox);
    let center = world.aws.sso();
    center.interval(Duration::from_secs(1));
    center.approve_all();
    let assigned = center.assign("dev", ACCOUNT, "developers");
    for (name, region) in CLUSTERS {
        world.aws.grant(name, region, &assigned, "dev:{{SessionName}}", &["system:masters"]);
    }
    sandbox.write_sso_profile("corp", Some("corp"), &center, ACCOUNT, "developers");
    sandbox.write("home/.kube/config", &kubeconfig(&world.servers));
    // Debian's shells read it after /etc/bash.bashrc, which sets another prompt.
    sandbox.write("home/.bashrc", "PS1='demo:\\w\\$ '\n");

    say("A shell with its own HOME");
    println!("{INTRODUCTION}");
    let mut shell = sandbox.command("bash");
    shell.env_remove("ROLECALL_LOG_LEVEL");
    let program = shell.get_program().to_owned();
    shell.env("SHELL", program);
    inherit(&mut shell);
    shell.status().map_err(|error| format!("bash cannot be started: {error}"))?;
    Ok(())
}

/// Passes what the user's terminal and programs need: the kubectl and the AWS CLI of the user are on `PATH`.
#[allow(clippy::disallowed_methods)] // the shell belongs to the caller's terminal
fn inherit(shell: &mut Command) {
    for name in ["TERM", "COLORTERM", "NO_COLOR"] {
        if let Some(value) = env::var_os(name) {
            shell.env(name, value);
        }
    }
    let built = env::current_exe().ok().and_then(|path| path.parent().map(PathBuf::from));
    let own = env::var_os("PATH").unwrap_or_default();
    if let Ok(path) = env::join_paths(built.into_iter().chain(env::split_paths(&own))) {
        shell.env("PATH", path);
    }
}

/// Returns the kubeconfig of the user.
fn kubeconfig(servers: &[ApiServer]) -> String {
    let (mut clusters, mut contexts, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for ((name, region), server) in CLUSTERS.iter().zip(servers) {
        let arn = format!("arn:aws:eks:{region}:{ACCOUNT}:cluster/{name}");
        let (url, ca) = (server.url(), server.ca_base64());
        clusters.push(format!("- cluster:\n    certificate-authority-data: {ca}\n    server: {url}\n  name: {arn}\n"));
        contexts.push(format!("- context:\n    cluster: {arn}\n    user: {arn}\n  name: {name}\n"));
        users.push(format!(
            "- name: {arn}\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      args:\n      \
             - --region\n      - {region}\n      - eks\n      - get-token\n      - --cluster-name\n      - {name}\n      \
             - --output\n      - json\n      - --role-arn\n      - {ROLE}\n      command: aws\n      env:\n      \
             - name: AWS_PROFILE\n        value: work\n"
        ));
    }
    let [clusters, contexts, users] = [clusters, contexts, users].map(|entries: Vec<String>| entries.concat());
    format!(
        "apiVersion: v1\nkind: Config\npreferences: {{}}\ncurrent-context: prod\nclusters:\n{clusters}\
         - cluster:\n    server: https://127.0.0.1:1\n  name: kind # a cluster on this computer\n\
         contexts:\n{contexts}- context:\n    cluster: kind\n    user: kind\n  name: kind\n\
         users:\n{users}- name: kind\n  user:\n    username: admin\n"
    )
}
