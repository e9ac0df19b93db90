//! The daemon proper, from the first file to the last connection.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rolecall_protocol::{location, sanitize_for_terminal};
use rolecalld::agent::{About, Agent};
use rolecalld::aws::{Aws, AwsFiles};
use rolecalld::clock::Clock;
use rolecalld::config::watch::ConfigStore;
use rolecalld::log;
use rolecalld::profile::Person;
use rolecalld::server::guard::guard;
use rolecalld::server::serve;
use rolecalld::server::socket::{self, Bound, SocketError};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Args;

/// More would only wait for each other: signing is microseconds, and the rest is waiting for AWS.
const WORKERS: usize = 2;

/// Runs until it is told to stop.
pub(crate) fn run(args: &Args) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if matches!(error.downcast_ref(), Some(SocketError::AlreadyRunning)) => {
            announce("already running");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(args, &format!("{error:#}")),
    }
}

/// Tells whoever started us, in the one line it reads, why there is no daemon.
pub(crate) fn refuse(args: &Args, error: &str) -> ExitCode {
    let error = sanitize_for_terminal(error);
    if args.detached {
        announce(&format!("error: {error}"));
    } else {
        complain(&format!("rolecalld: {error}"));
    }
    ExitCode::FAILURE
}

/// The agent, its configuration read.
pub(crate) fn agent(args: &Args, about: About) -> anyhow::Result<Arc<Agent>> {
    let path = match &args.config {
        Some(path) => std::path::absolute(path)?,
        None => location::config()?,
    };
    let (config, credentials) = location::aws_files()?;
    let clock = Clock::machine();
    let aws = Aws::new(AwsFiles { config, credentials, logins: location::aws_logins()? }, clock.clone());
    Ok(Agent::new(ConfigStore::open(path, clock), aws, person(), about))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn start(args: &Args) -> anyhow::Result<()> {
    if args.detached {
        // Fails only where we lead a session already, which is as good.
        let _ = rustix::process::setsid();
    }
    let bound = match (socket::activated()?, &args.socket) {
        (Some(bound), _) => bound,
        (None, Some(path)) => socket::bind(&std::path::absolute(path)?)?,
        (None, None) => socket::bind(&location::socket()?)?,
    };
    // Only the one that serves logs, so that the file has one writer. Without a log there are still tokens (F4).
    let log = args.log_file.as_deref().filter(|path| log::start(args.log_level, Some(path)).is_ok());
    if log.is_none() {
        log::start(args.log_level, None)?;
    }
    let agent = agent(args, About { socket: shown(&bound.path), log: log.map(shown) })?;
    make_config_folder(agent.config_path().parent().map(Into::into));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(live(bound, agent))?;
    // Whoever still waits for AWS has been answered; nothing that runs now matters.
    runtime.shutdown_background();
    Ok(())
}

async fn live(bound: Bound, agent: Arc<Agent>) -> anyhow::Result<()> {
    let Bound { listener, claim, .. } = bound;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    agent.keep_warm(stop.clone());
    let following = {
        let (agent, stop) = (Arc::clone(&agent), stop.clone());
        tokio::spawn(async move { agent.follow(stop).await })
    };
    if let Some(name) = claim.name() {
        tokio::spawn(guard(name, stop.clone()));
    }
    announce("ready");
    drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, pid = std::process::id(), "Serving");
    serve(listener, agent, stop).await;
    drop(claim); // the name goes before the lock
    following.await?;
    tracing::info!("Stopped");
    Ok(())
}

fn stop_on_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        let (mut signals, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(())
}

/// The folder has to exist for the watch; it is the client that fills it.
fn make_config_folder(folder: Option<PathBuf>) {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(folder) = folder
        && let Err(error) = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder)
    {
        tracing::warn!(folder = %folder.display(), %error, "The configuration folder cannot be made");
    }
}

/// Who runs this, for the names of sessions: as the system knows them, whatever a shell's `USER` says.
fn person() -> Person {
    let uid = nix::unistd::Uid::effective();
    let user = match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid-{uid}"),
    };
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    Person { user, host: host.split('.').next().unwrap_or_default().to_owned() }
}

/// One line to whoever started us. Nobody may be there any more, and that is fine.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// One line for a person.
pub(crate) fn complain(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
