//! `cargo measure`: what a kubectl pays for us, as ratios within one run, so that the machine's speed cancels out.
//!
//! Builds the client as it is shipped (static where the platform can) and the daemon in release, warms one profile against the
//! embedded AWS, and starts each program a thousand times, in turn. Prints a table and writes `target/measure.json`.
//! It measures and judges nothing; the bars are in the design.

// A measurement talks to a person, stops with a reason when it cannot be made, and is about the real clock.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::disallowed_methods)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rolecall_harness::{ApiServer, Aws, Clock, Role, Sandbox};

const ROUNDS: usize = 1000;
const ROLE: &str = "arn:aws:iam::111122223333:role/developers";

/// One program and how long each of its runs took.
struct Measured {
    name: &'static str,
    command: Command,
    runs: Vec<Duration>,
}

fn main() {
    println!("building the client as it is shipped, and the daemon in release");
    let client = build_client();
    let daemon = build(&["--release", "--package", "rolecalld"]).join("release/rolecalld");

    let clock = Clock::system();
    let aws = Aws::start(clock.clone());
    let user = aws.add_user("111122223333", "dev");
    aws.add_role(Role::new(ROLE).trusts(&user.arn));
    let api = ApiServer::start(clock, &aws, "prod", "eu-west-1");
    aws.add_cluster(api.cluster());
    let sandbox = Sandbox::new();
    sandbox.write_aws_profile("work", &user, &aws.endpoint());
    sandbox.write(
        "home/.config/rolecall/config.toml",
        &format!(
            "[sources.work]\naws_profile = \"work\"\n[profiles.prod]\ncluster = \"prod\"\nregion = \"eu-west-1\"\n\
             source = \"work\"\nrole_arn = \"{ROLE}\"\n"
        ),
    );
    let running = sandbox.spawn_daemon(&mut sandbox.command(&daemon));
    running.wait_ready(Duration::from_secs(20));

    let mut token = sandbox.command(&client);
    token.args(["token", "prod"]).env(
        "KUBERNETES_EXEC_INFO",
        r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#,
    );
    sandbox.run(&mut token).assert_ok();
    let mut programs = [
        Measured { name: "/bin/true", command: sandbox.command("/bin/true"), runs: Vec::new() },
        Measured { name: "rolecall token", command: token, runs: Vec::new() },
    ];
    for _ in 0..ROUNDS {
        for program in &mut programs {
            let run = once(&mut program.command);
            program.runs.push(run);
        }
    }
    report(&mut programs);
}

/// A whole process, from before it is started to after it has ended.
fn once(command: &mut Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status().expect("it can be run");
    let took = begin.elapsed();
    assert!(status.success(), "{status}");
    took
}

fn report(programs: &mut [Measured]) {
    println!("\n{:<16} {:>10} {:>10} {:>12}", "program", "median µs", "p99 µs", "× /bin/true");
    let mut rows = Vec::new();
    let mut base = 0.0;
    for program in programs {
        program.runs.sort_unstable();
        let at = |share: usize| program.runs[(program.runs.len() - 1) * share / 100].as_secs_f64() * 1e6;
        let (median, p99) = (at(50), at(99));
        if base == 0.0 {
            base = median;
        }
        println!("{:<16} {median:>10.0} {p99:>10.0} {:>12.2}", program.name, median / base);
        rows.push(serde_json::json!({
            "program": program.name, "rounds": ROUNDS, "median_us": median, "p99_us": p99, "ratio": median / base,
        }));
    }
    let path = workspace().join("target/measure.json");
    fs::write(&path, serde_json::Value::from(rows).to_string()).expect("target can be written");
    println!("\nwritten to target/measure.json");
}

/// As `install/install.sh` builds it: statically linked where the C library can be.
fn build_client() -> PathBuf {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return build(&["--profile", "client", "--package", "rolecall"]).join("client/rolecall");
    }
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut cargo = cargo(&["--profile", "client", "--package", "rolecall", "--target", &host]);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    run(&mut cargo).join(host).join("client/rolecall")
}

fn build(arguments: &[&str]) -> PathBuf {
    run(&mut cargo(arguments))
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked"]).args(arguments).current_dir(workspace());
    cargo
}

/// Builds, and returns the target folder.
fn run(cargo: &mut Command) -> PathBuf {
    assert!(cargo.status().expect("cargo can be run").success(), "the build failed");
    workspace().join("target")
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
