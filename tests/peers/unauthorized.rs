//! The real kubectl when AWS denies the role or the API server answers 401. kubectl runs the plugin several times for
//! one command, and each run has to be cheap.

use std::fs;
use std::path::PathBuf;

use rolecall_harness::{ApiServer, Aws, Clock, Op, Output, Role, Sandbox};

use crate::peer;

const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
const REGION: &str = "eu-west-1";

struct World {
    aws: Aws,
    api: ApiServer,
    sandbox: Sandbox,
    /// One line per run of the plugin.
    runs: PathBuf,
}

impl World {
    /// The profile `prod`, added with `rolecall add`, whose plugin counts its runs. Returns `None`, and reports the
    /// test as skipped, without kubectl.
    fn new() -> Option<Self> {
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
        let arguments = ["add", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "work"];
        sandbox.run(sandbox.rolecall().args(arguments)).assert_ok();
        let runs = sandbox.root().join("runs");
        let world = Self { aws, api, sandbox, runs };
        world.count_runs();
        Some(world)
    }

    /// Replaces the plugin by a script that counts the run and then executes the plugin, so that process and parent are
    /// the usual ones.
    fn count_runs(&self) {
        let rolecall = self.sandbox.rolecall().get_program().to_str().unwrap().to_owned();
        let script = format!("#!/bin/sh\necho run >>'{}'\nexec '{rolecall}' \"$@\"\n", self.runs.display());
        let path = self.sandbox.root().join("plugin");
        // A shell writes it: Linux cannot execute a file that another thread's child still has open for writing.
        let mut install = self.sandbox.command("sh");
        install.args(["-c", "cat >\"$1\" && chmod +x \"$1\"", "sh"]).arg(&path);
        self.sandbox.run_with_input(&mut install, script.as_bytes()).assert_ok();
        let kubeconfig = self.sandbox.kubeconfig();
        let text = fs::read_to_string(&kubeconfig).unwrap();
        assert!(text.contains(&rolecall), "{text}");
        fs::write(&kubeconfig, text.replace(&rolecall, path.to_str().unwrap())).unwrap();
    }

    fn runs(&self) -> usize {
        fs::read_to_string(&self.runs).unwrap_or_default().lines().count()
    }

    fn get_pods(&self) -> Output {
        self.sandbox.run(self.sandbox.kubectl().unwrap().args(["--context", "prod", "get", "pods"]))
    }

    fn assume_role_calls(&self) -> usize {
        self.aws.calls(Op::AssumeRole)
    }
}

/// Fault matrix row 68.
#[test]
fn kubectl_with_denied_role_makes_one_assume_role_call() {
    let Some(world) = World::new() else { return };
    // Stop the daemon, so that it forgets the session of `add`.
    world.sandbox.run(world.sandbox.rolecall().args(["agent", "stop"])).assert_ok();
    world.aws.remove_role(ROLE);
    let before = world.assume_role_calls();
    let said = world.get_pods();
    said.assert_code(1);
    assert!(world.runs() > 1, "{said}");
    assert_eq!(world.assume_role_calls() - before, 1, "of {} runs: {said}", world.runs());
    let ours: Vec<_> = said.stderr.lines().filter(|line| line.starts_with("rolecall: ")).collect();
    assert!(ours.len() == world.runs() && ours.iter().all(|line| *line == ours[0]), "{said}");
    assert!(
        ours[0].starts_with("rolecall: prod: AWS does not let source \"work\" assume") && ours[0].contains(ROLE),
        "{said}"
    );
}

/// Runs one rejected kubectl, and returns the number of plugin runs and of new tokens.
fn run_rejected_kubectl(world: &World) -> (usize, usize) {
    let (runs, tokens) = (world.runs(), world.api.tokens().len());
    let said = world.get_pods();
    said.assert_code(1);
    assert!(said.stderr.contains("Unauthorized") || said.stderr.contains("provide credentials"), "{said}");
    (world.runs() - runs, world.api.tokens().len() - tokens)
}

/// Fault matrix row 83.
#[test]
fn kubectl_always_401_causes_one_assume_role_call() {
    let Some(world) = World::new() else { return };
    world.get_pods().assert_ok();
    let before = world.assume_role_calls();
    world.api.reject_next(usize::MAX);
    let (runs, tokens) = run_rejected_kubectl(&world);
    assert!(runs > 1, "kubectl runs the plugin again after a 401");
    assert!(tokens <= runs, "{tokens} tokens in {runs} runs");
    assert!(tokens >= 1, "a rejected plugin gets a new token: {runs} runs");
    // The user runs kubectl again.
    for _ in 0..2 {
        let (runs, tokens) = run_rejected_kubectl(&world);
        assert!(tokens <= runs, "{tokens} tokens in {runs} runs");
    }
    // The daemon bypasses the cached session at most once in this time.
    assert_eq!(world.assume_role_calls() - before, 1, "of {} runs", world.runs());
    world.api.reject_next(0);
    world.get_pods().assert_ok();
    assert_eq!(world.assume_role_calls() - before, 1);
}

/// Fault matrix row 83.
#[test]
fn kubectl_replaces_session_revoked_by_aws() {
    let Some(world) = World::new() else { return };
    world.get_pods().assert_ok();
    let before = world.assume_role_calls();
    world.aws.end_sessions(ROLE);
    // An API server caches a token review for two minutes.
    world.api.forget_tokens();
    let said: Vec<Output> = (0..3).map(|_| world.get_pods()).collect();
    assert!(said.iter().any(|said| said.code() == Some(0)), "{said:#?}");
    world.get_pods().assert_ok();
    assert_eq!(world.assume_role_calls() - before, 1);
}
