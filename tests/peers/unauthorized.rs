//! The real kubectl when it is not let in: by AWS, which denies the role, or by the API server, which answers 401. It runs
//! the plugin several times for one command, and each run has to be cheap.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rolecall_harness::{ApiServer, Aws, Clock, Op, Output, Role, Sandbox};

use crate::peer;

const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
const REGION: &str = "eu-west-1";
/// What one kubectl may take that gets nothing.
const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    aws: Aws,
    api: ApiServer,
    sandbox: Sandbox,
    /// A line for each run of the plugin.
    runs: PathBuf,
}

impl World {
    /// A profile `prod`, added as a person would, whose plugin notes each of its runs; `None`, and said so, without
    /// kubectl.
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

    /// Puts a script in the plugin's place that notes the run and becomes the plugin, so that the plugin's process and
    /// its parent are what they would be.
    fn count_runs(&self) {
        let rolecall = self.sandbox.rolecall().get_program().to_str().unwrap().to_owned();
        let script = format!("#!/bin/sh\necho run >>'{}'\nexec '{rolecall}' \"$@\"\n", self.runs.display());
        let path = self.sandbox.root().join("plugin");
        // Written by a shell: what this process has open for writing could not be run while another thread starts
        // something.
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

#[test]
fn row_68_a_denied_role_is_one_call_for_all_runs_of_a_kubectl() {
    let Some(world) = World::new() else { return };
    // What add got is forgotten with the daemon that got it.
    world.sandbox.run(world.sandbox.rolecall().args(["agent", "stop"])).assert_ok();
    world.aws.remove_role(ROLE);
    let before = world.assume_role_calls();
    let said = world.get_pods();
    said.assert_code(1);
    assert!(said.elapsed < PATIENCE, "{said}");
    assert!(world.runs() > 1, "{said}");
    assert_eq!(world.assume_role_calls() - before, 1, "of {} runs: {said}", world.runs());
    let ours: Vec<_> = said.stderr.lines().filter(|line| line.starts_with("rolecall: ")).collect();
    assert!(ours.len() == world.runs() && ours.iter().all(|line| *line == ours[0]), "{said}");
    assert!(ours[0].starts_with("rolecall: prod: AWS denied AssumeRole") && ours[0].contains(ROLE), "{said}");
}

/// Runs one kubectl that is not let in, and returns how many runs of the plugin and how many new tokens that were.
fn not_let_in(world: &World) -> (usize, usize) {
    let (runs, tokens) = (world.runs(), world.api.tokens().len());
    let said = world.get_pods();
    said.assert_code(1);
    assert!(said.stderr.contains("Unauthorized") || said.stderr.contains("provide credentials"), "{said}");
    assert!(said.elapsed < PATIENCE, "{said}");
    (world.runs() - runs, world.api.tokens().len() - tokens)
}

#[test]
fn row_83_an_api_server_that_lets_nobody_in_costs_aws_one_call() {
    let Some(world) = World::new() else { return };
    world.get_pods().assert_ok();
    let before = world.assume_role_calls();
    world.api.reject_next(usize::MAX);
    let (runs, tokens) = not_let_in(&world);
    assert!(runs > 1, "kubectl asks again when it is refused");
    assert!(tokens <= runs, "{tokens} tokens in {runs} runs");
    assert!(tokens >= 1, "who was refused gets another signature, not the same again: {runs} runs");
    // Somebody tries again, and again.
    for _ in 0..2 {
        let (runs, tokens) = not_let_in(&world);
        assert!(tokens <= runs, "{tokens} tokens in {runs} runs");
    }
    // The runs of well under a minute.
    assert_eq!(world.assume_role_calls() - before, 1, "of {} runs", world.runs());
    world.api.reject_next(0);
    world.get_pods().assert_ok();
    assert_eq!(world.assume_role_calls() - before, 1);
}

#[test]
fn row_83_a_session_that_aws_has_ended_is_replaced() {
    let Some(world) = World::new() else { return };
    world.get_pods().assert_ok();
    let before = world.assume_role_calls();
    world.aws.expire_sessions(ROLE);
    // An API server keeps for two minutes what it has been told of a token.
    world.api.clear_token_cache();
    let said: Vec<Output> = (0..3).map(|_| world.get_pods()).collect();
    assert!(said.iter().any(|said| said.code() == Some(0)), "{said:#?}");
    world.get_pods().assert_ok();
    assert_eq!(world.assume_role_calls() - before, 1);
}
