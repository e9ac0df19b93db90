//! `cargo demo`: access to two clusters with `kubectl`, on a machine without an AWS account. `cargo demo` builds this
//! program and the programs that it starts (tests/demo).
//!
//! Starts an embedded AWS and the API servers of two clusters on loopback. Then it runs the commands of a user: it
//! adds two profiles with the real client and daemon, and lists pods with the real kubectl. With `--shell`, it opens a
//! shell instead. All files are in a temporary folder, which is deleted at the end and on Ctrl-C.

// The demo prints to the terminal, and stops with a reason when a step fails.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used)]

mod get;
mod shell;

use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Parser;
use rolecall_harness::{ApiServer, Aws, Clock, Role, Sandbox};
use tokio::signal::unix::{SignalKind, signal};

const ACCOUNT: &str = "111122223333";
const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
/// Cluster and region of each profile.
const CLUSTERS: [(&str, &str); 2] = [("prod", "eu-west-1"), ("staging", "us-east-1")];

/// The reason why a step failed.
type Step = Result<(), String>;

/// Shows Rolecall on this computer without an AWS account: a simulated AWS, two clusters, and your kubectl.
#[derive(Debug, Parser)]
#[command(name = "cargo demo", bin_name = "cargo demo")]
struct Cli {
    /// Opens a shell in which you try the commands yourself. It has its own HOME, with AWS profiles and a kubeconfig
    #[arg(long)]
    shell: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let sandbox = Arc::new(Sandbox::new());
    let interrupted = Arc::new(AtomicBool::new(false));
    let demo = {
        let (sandbox, interrupted) = (Arc::clone(&sandbox), Arc::clone(&interrupted));
        thread::spawn(move || if cli.shell { shell::open(&sandbox) } else { demonstrate(&sandbox, &interrupted) })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let finished = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).expect("signals");
        let mut terminate = signal(SignalKind::terminate()).expect("signals");
        let done = tokio::task::spawn_blocking(move || demo.join());
        tokio::select! {
            done = done => Some(done.ok().and_then(Result::ok).unwrap_or_else(|| Err("the demo panicked".to_owned()))),
            // A shell handles Ctrl-C itself.
            _ = interrupt.recv(), if !cli.shell => None,
            _ = terminate.recv() => None,
        }
    });
    interrupted.store(true, Ordering::SeqCst);
    clean_up(&sandbox);
    match finished {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(reason)) => {
            eprintln!("\ndemo: {reason}");
            ExitCode::FAILURE
        }
        // Exiting ends the remaining threads.
        None => std::process::exit(130),
    }
}

/// The embedded AWS and the API servers.
struct World {
    aws: Aws,
    servers: Vec<ApiServer>,
}

impl World {
    /// Starts both, and writes the AWS profile `work` of a user that may assume [`ROLE`].
    fn start(sandbox: &Sandbox) -> Self {
        say("Starting a simulated AWS and the API servers of two clusters on 127.0.0.1");
        println!("   (all files are in {}, which is deleted at the end)", sandbox.root().display());
        let clock = Clock::system();
        let aws = Aws::start(clock.clone());
        let user = aws.add_user(ACCOUNT, "dev");
        aws.add_role(Role::new(ROLE).trusts(&user.arn));
        let servers = CLUSTERS.map(|(name, region)| {
            let server = ApiServer::start(clock.clone(), &aws, name, region);
            aws.add_cluster(server.cluster());
            aws.grant(name, region, ROLE, "developer:{{SessionName}}", &["system:masters"]);
            server
        });
        sandbox.write_aws_profile("work", &user, &aws.endpoint());
        Self { aws, servers: servers.into() }
    }
}

fn demonstrate(sandbox: &Sandbox, interrupted: &AtomicBool) -> Step {
    let world = World::start(sandbox);

    say("Adding a profile for each cluster: assume the role, look up the cluster, write the kubeconfig");
    for (name, region) in CLUSTERS {
        let arguments = ["add", name, "--region", region, "--role-arn", ROLE, "--aws-profile", "work"];
        step(sandbox, interrupted, "rolecall", &arguments)?;
    }

    say("Listing pods: kubectl gets its token from the daemon, in about a millisecond");
    for ((name, _), server) in CLUSTERS.iter().zip(&world.servers) {
        list_pods(sandbox, interrupted, name, server)?;
    }

    say("The status of the daemon");
    step(sandbox, interrupted, "rolecall", &["status"])?;
    let calls = world.aws.log().iter().filter(|call| call.role_arn.is_some()).count();
    say(&format!("{calls} AssumeRole calls in total. Each session lasts an hour, and every kubectl uses it."));
    say("Try it yourself: cargo demo --shell");
    Ok(())
}

fn list_pods(sandbox: &Sandbox, interrupted: &AtomicBool, name: &str, server: &ApiServer) -> Step {
    if sandbox.kubectl().is_some() {
        return step(sandbox, interrupted, "kubectl", &["--context", name, "get", "pods"]);
    }
    say("(kubectl is not on PATH; the demo sends the same request itself)");
    step_output(sandbox, interrupted, "rolecall", &["token", name]).and_then(|credential| {
        let credential: serde_json::Value = serde_json::from_slice(&credential).map_err(|error| error.to_string())?;
        let token = credential["status"]["token"].as_str().unwrap_or_default();
        println!("{}", get::pods(server, token).map_err(|error| error.to_string())?);
        Ok(())
    })
}

/// Prints a command, runs it and shows its output.
fn step(sandbox: &Sandbox, interrupted: &AtomicBool, program: &str, arguments: &[&str]) -> Step {
    println!("$ {program} {}", arguments.join(" "));
    let status = command(sandbox, interrupted, program)?.args(arguments).stdin(Stdio::null()).status();
    let status = status.map_err(|error| format!("{program} cannot be started: {error}"))?;
    println!();
    if status.success() { Ok(()) } else { Err(format!("{program} {} failed: {status}", arguments[0])) }
}

/// Runs a command and returns its stdout.
fn step_output(
    sandbox: &Sandbox,
    interrupted: &AtomicBool,
    program: &str,
    arguments: &[&str],
) -> Result<Vec<u8>, String> {
    let mut command = command(sandbox, interrupted, program)?;
    sandbox.pass_entry_key(&mut command, arguments[1]);
    let output = command.args(arguments).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{program} cannot be started: {error}"))?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{program} failed: {}", output.status)) }
}

fn command(sandbox: &Sandbox, interrupted: &AtomicBool, program: &str) -> Result<Command, String> {
    if interrupted.load(Ordering::SeqCst) {
        return Err("interrupted".to_owned());
    }
    match program {
        "kubectl" => sandbox.kubectl().ok_or_else(|| "kubectl is not on PATH".to_owned()),
        program => Ok(sandbox.command(program)),
    }
}

/// Kills the daemon that the client started, and deletes the folder.
fn clean_up(sandbox: &Sandbox) {
    while !sandbox.kill_leftovers().is_empty() {}
    fs::remove_dir_all(sandbox.root()).ok();
}

fn say(line: &str) {
    println!("\n── {line}");
}
