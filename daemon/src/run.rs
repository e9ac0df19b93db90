//! The daemon proper, from the first file to the last connection.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use rolecall_aws::client::{Aws, AwsFiles};
use rolecall_core::clock::Clock;
use rolecall_core::profile::LocalUser;
use rolecall_protocol::{StartupLine, location, sanitize_for_terminal};
use rolecalld::agent::{About, Agent};
use rolecalld::desktop_notifications::Notifier;
use rolecalld::handover::{self, FdArgs, HandoverState, Program};
use rolecalld::log::{self, Level};
use rolecalld::server::socket::{self, Bound, Claim, SocketError};
use rolecalld::server::socket_watch::guard;
use rolecalld::server::{Context, Ending, LINGER, Restart, Server};
use sd_notify::NotifyState;
use tokio::net::UnixListener;
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
            announce(&StartupLine::AlreadyRunning);
            ExitCode::SUCCESS
        }
        Err(error) => refuse(args, &format!("{error:#}")),
    }
}

/// Tells whoever started us, in the one line it reads, why there is no daemon.
pub(crate) fn refuse(args: &Args, error: &str) -> ExitCode {
    let error = sanitize_for_terminal(error);
    if args.detached {
        announce(&StartupLine::Failed(error));
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
    let aws = Aws::new(AwsFiles { config, credentials, logins: location::aws_folder()? }, clock);
    let agent = Agent::new(path, aws, person(), about);
    match location::state_folder() {
        Ok(folder) => agent.keep_lock_in(folder.join("lock.json")),
        Err(error) => tracing::warn!(%error, "Whether the agent is locked does not outlast it"),
    }
    Ok(agent)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What it takes to run the program anew.
struct Again {
    program: Option<Arc<Program>>,
    restarts: u32,
}

fn start(args: &Args) -> anyhow::Result<()> {
    // First of all, so that nothing else is left open over another exec, or to a child.
    let (bound, state, restarts) = match args.handover.as_ref().map(FdArgs::take).transpose()? {
        Some(state) => inherit(args, state)?,
        None => (bind(args)?, None, 0),
    };
    let program = Program::of_this_process().map(Arc::new);
    if args.detached {
        // Fails only where we lead a session already, which is as good.
        let _ = rustix::process::setsid();
    }
    // Only the one that serves logs, so that the file has one writer. Without a log there are still tokens (F4).
    let level =
        args.log_level.or_else(|| location::log_level().as_deref().and_then(Level::of_name)).unwrap_or(Level::Info);
    let log = args.log_file.as_deref().filter(|path| log::start(level, Some(path)).is_ok());
    if log.is_none() {
        log::start(level, None)?;
    }
    let agent = agent(args, About { socket: shown(&bound.path), log: log.map(shown), restarts })?;
    make_config_folder(agent.config_path().parent().map(Into::into));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(live(bound, agent, state, Again { program, restarts }))?;
    // Whoever still waits for AWS has been answered; nothing that runs now matters.
    runtime.shutdown_background();
    Ok(())
}

fn bind(args: &Args) -> anyhow::Result<Bound> {
    match socket::activated()? {
        Some(bound) => Ok(bound),
        None => Ok(socket::bind(&own_socket(args)?)?),
    }
}

/// Goes on where the program before this one was. What it left is looked at as if a stranger had left it.
fn inherit(args: &Args, state: HandoverState) -> anyhow::Result<(Bound, Option<OwnedFd>, u32)> {
    let HandoverState { restarts, listener, lock, state, name } = state;
    let bound = match name {
        Some(identity) => socket::inherited(listener, lock, Some((&own_socket(args)?, identity)))?,
        None => socket::inherited(listener, lock, None)?,
    };
    Ok((bound, Some(state), restarts))
}

/// Where it listens unless a service manager does.
fn own_socket(args: &Args) -> anyhow::Result<PathBuf> {
    Ok(match &args.socket {
        Some(path) => std::path::absolute(path)?,
        None => location::socket()?,
    })
}

async fn live(bound: Bound, agent: Arc<Agent>, state: Option<OwnedFd>, again: Again) -> anyhow::Result<()> {
    let Bound { listener, claim, .. } = bound;
    let listener = UnixListener::from_std(listener)?;
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    agent.keep_warm(stop.clone());
    if let Some(state) = state {
        take_over(&agent, state);
    }
    let following = {
        let (agent, stop) = (Arc::clone(&agent), stop.clone());
        tokio::spawn(async move { agent.follow(stop).await })
    };
    {
        let (agent, stop, notifier) = (Arc::clone(&agent), stop.clone(), Notifier::default());
        tokio::spawn(async move { agent.warn(stop, |notification| notifier.show(notification)).await });
    }
    if let Some(name) = claim.name() {
        tokio::spawn(guard(name, stop.clone()));
    }
    announce(&StartupLine::Ready);
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, pid = std::process::id(), restarts = again.restarts, "Serving");
    serve(listener, &claim, &agent, &stop, &again).await;
    drop(claim); // the name goes before the lock
    following.await?;
    tracing::info!("Stopped");
    Ok(())
}

/// Serves until `stop`. A restart leaves from here and does not come back, unless it fails.
async fn serve(listener: UnixListener, claim: &Claim, agent: &Arc<Agent>, stop: &CancellationToken, again: &Again) {
    loop {
        tell(NotifyState::Ready);
        let asked = CancellationToken::new();
        let restart = again.program.clone().map(|program| Restart { program, name: claim.name(), asked });
        let server = Server::new(Context::new(Arc::clone(agent), stop.clone(), restart));
        if server.accept(&listener).await == Ending::Stop {
            drop(listener);
            return server.stop().await;
        }
        tracing::info!("Restarting");
        tell(NotifyState::Reloading);
        server.finish(LINGER).await;
        if !stop.is_cancelled()
            && let Some(program) = &again.program
        {
            let error = hand_over(program, &listener, claim, agent, again.restarts);
            tracing::error!(program = %program.path().display(), %error, "The restart failed; going on as before");
        }
    }
}

/// Becomes the program. Returns only if that fails.
fn hand_over(program: &Program, listener: &UnixListener, claim: &Claim, agent: &Agent, restarts: u32) -> anyhow::Error {
    let state = || -> anyhow::Result<HandoverState> {
        if let Some(name) = agent.key_in_change() {
            anyhow::bail!("the keys \"{name}\" are being changed");
        }
        let (lock, name) = claim.leave()?;
        let state = handover::seal(&agent.keep()).context("the sessions cannot be passed on")?;
        let listener = listener.as_fd().try_clone_to_owned()?;
        Ok(HandoverState { restarts: restarts.saturating_add(1), listener, lock, state, name })
    };
    match state() {
        Ok(state) => program.replace_this(&state).into(),
        Err(error) => error,
    }
}

/// Sessions that cannot be read are no reason not to serve: they are got anew.
fn take_over(agent: &Agent, state: OwnedFd) {
    let taken = handover::unseal(state).map_err(anyhow::Error::from);
    let taken = taken.and_then(|state| Ok(agent.take_over(state.expose())?));
    if let Err(error) = taken {
        tracing::warn!(%error, "What the program before kept is dropped; sessions are got anew");
    }
}

/// Tells the service manager, if there is one.
fn tell(state: NotifyState<'_>) {
    let mut states = vec![state];
    if matches!(states.as_slice(), [NotifyState::Reloading]) {
        states.extend(NotifyState::monotonic_usec_now()); // it wants to know since when
    }
    drop(sd_notify::notify(&states));
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
fn person() -> LocalUser {
    let uid = nix::unistd::Uid::effective();
    let user = match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid-{uid}"),
    };
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    LocalUser { user, host: host.split('.').next().unwrap_or_default().to_owned() }
}

/// One line to whoever started us. Nobody may be there any more, and that is fine.
fn announce(line: &StartupLine) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// One line for a person.
pub(crate) fn complain(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
