//! The daemon's life: start, serve, restart or stop.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rolecall_aws::client::{Aws, AwsFiles};
use rolecall_core::clock::{Clock, start_ticks};
use rolecall_core::profile::LocalUser;
use rolecall_protocol::{Secret, StartupLine, location, sanitize_for_terminal};
use rolecalld::agent::Agent;
use rolecalld::desktop_notifications::Notifier;
use rolecalld::handover::{self, FdArgs, HandoverState, Program, StateError};
use rolecalld::harden::{self, Hardened};
use rolecalld::log::{self, Level};
use rolecalld::memory;
use rolecalld::prompt_state;
use rolecalld::server::socket::{self, BoundSocket, SocketClaim, SocketError};
use rolecalld::server::socket_watch::socket_watch;
use rolecalld::server::{self, Context, RESTART_TIMEOUT, Restart, Server, ServerEnd};
use rolecalld::services::access::AccessSettings;
use rolecalld::services::status::About;
use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Args;

/// How long a thread for blocking work waits for more of it. After that, it ends and wipes its stack.
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_millis(200);
/// How long a stop or a restart waits for the audit log.
pub(crate) const AUDIT_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the daemon until it stops.
pub(crate) fn run(args: &Args, hardened: Hardened) -> ExitCode {
    match start(args, hardened) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if matches!(error.downcast_ref(), Some(SocketError::AlreadyRunning)) => {
            announce(&StartupLine::AlreadyRunning);
            ExitCode::SUCCESS
        }
        Err(error) if args.detached && matches!(error.downcast_ref(), Some(SocketError::Io { .. })) => {
            announce(&StartupLine::NoSocket(sanitize_for_terminal(&format!("{error:#}"))));
            ExitCode::FAILURE
        }
        Err(error) => fail_start(args, &format!("{error:#}")),
    }
}

/// Reports why the daemon does not start, in the one line that its parent reads.
pub(crate) fn fail_start(args: &Args, error: &str) -> ExitCode {
    let error = sanitize_for_terminal(error);
    if args.detached {
        announce(&StartupLine::Failed(error));
    } else {
        print_error(&format!("rolecalld: {error}"));
    }
    ExitCode::FAILURE
}

/// Creates the agent with the configuration of the command line.
pub(crate) fn create_agent(args: &Args, about: About) -> anyhow::Result<Arc<Agent>> {
    let path = match &args.config {
        Some(path) => std::path::absolute(path)?,
        None => location::config()?,
    };
    let (config, credentials) = location::aws_files()?;
    let clock = Clock::machine();
    let aws = Aws::new(AwsFiles { config, credentials, logins: location::aws_folder()? }, clock);
    Ok(Agent::new(path, aws, local_user(), about))
}

/// Opens the files that keep the lock, the decisions and the backups.
pub(crate) fn open_state(agent: &Agent) {
    match location::state_folder() {
        Ok(folder) => {
            agent.lock.open(folder.join("lock.json"));
            agent
                .access
                .configure(AccessSettings { backups: Some(folder.join("aws-auth")), ..AccessSettings::default() });
        }
        Err(error) => tracing::warn!(%error, "no state folder, lock is not kept over a stop"),
    }
    match location::audit_log() {
        Ok(path) => agent.audit.log().open(path),
        Err(error) => tracing::warn!(%error, "no state folder, decisions are not recorded"),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What a restart of the process needs.
struct RestartInfo {
    program: Option<Arc<Program>>,
    restarts: u32,
}

fn start(args: &Args, hardened: Hardened) -> anyhow::Result<()> {
    server::check_file_limit()?;
    // Before the agent, so that no other descriptor takes these numbers and none is inherited by a child.
    let (bound, snapshot, restarts) = match args.handover.as_ref().map(FdArgs::take).transpose()? {
        Some(state) => inherit(args, state)?,
        None => (bind(args)?, None, 0),
    };
    let program = Program::of_this_process(args.program.as_deref()).map(Arc::new);
    if args.detached {
        // Fails only if this process leads a session already.
        let _ = rustix::process::setsid();
    }
    // Only the daemon that serves writes the log, so that the file has one writer. Tokens work without a log (F4).
    let named_level = location::log_level().filter(|_| args.log_level.is_none());
    let level = args.log_level.or_else(|| named_level.as_deref().and_then(Level::of_name)).unwrap_or(Level::Info);
    let log = args.log_file.as_deref().filter(|path| log::start(level, Some(path)).is_ok());
    if log.is_none() {
        log::start(level, None)?;
    }
    if hardened.was_dumpable && snapshot.is_some() {
        tracing::warn!("memory was open to other processes of the user at the start of this program");
    }
    if let Some(name) = named_level.filter(|name| Level::of_name(name).is_none()) {
        let name = sanitize_for_terminal(&name);
        tracing::warn!(name, "ROLECALL_LOG_LEVEL ignored: it is not error, warn, info, debug or trace");
    }
    let agent = create_agent(args, About { socket: shown(&bound.path), log: log.map(shown), restarts })?;
    open_state(&agent);
    create_config_folder(agent.config.path().parent().map(Into::into));
    // One thread serves: an answer takes microseconds, and a second thread would wake up for it too. What takes longer, such as
    // reading a configuration, runs in blocking threads. They are not parked: they end soon after their work, and wipe their
    // stack then.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().thread_keep_alive(BLOCKING_KEEP_ALIVE);
    runtime.on_thread_park(harden::wipe_stack).on_thread_stop(harden::wipe_stack);
    start_ticks();
    let runtime = runtime.build()?;
    runtime.block_on(run_daemon(bound, agent, snapshot, RestartInfo { program, restarts }))?;
    // All requests are done, so tasks that still wait for AWS have no client.
    runtime.shutdown_background();
    Ok(())
}

fn bind(args: &Args) -> anyhow::Result<BoundSocket> {
    match socket::activated()? {
        Some(bound) => Ok(bound),
        None => Ok(socket::bind(&own_socket(args)?)?),
    }
}

/// The snapshot of the process before.
type Inherited = Result<Secret<Vec<u8>>, StateError>;

/// Continues where the process before the restart was. Its descriptors are checked as untrusted input.
fn inherit(args: &Args, state: HandoverState<OwnedFd>) -> anyhow::Result<(BoundSocket, Option<Inherited>, u32)> {
    let HandoverState { restarts, listener, lock, snapshot, name } = state;
    // Before there are other threads, through which processes of the user could open the descriptor, see `handover`.
    let snapshot = handover::unseal(snapshot);
    let bound = match name {
        Some(identity) => socket::inherited(listener, lock, Some((&own_socket(args)?, identity)))?,
        None => socket::inherited(listener, lock, None)?,
    };
    Ok((bound, Some(snapshot), restarts))
}

/// Returns the path to listen at, unless a service manager listens.
fn own_socket(args: &Args) -> anyhow::Result<PathBuf> {
    Ok(match &args.socket {
        Some(path) => std::path::absolute(path)?,
        None => location::socket()?,
    })
}

async fn run_daemon(
    bound: BoundSocket,
    agent: Arc<Agent>,
    snapshot: Option<Inherited>,
    restart_info: RestartInfo,
) -> anyhow::Result<()> {
    let BoundSocket { listener, claim, path, .. } = bound;
    let listener = UnixListener::from_std(listener)?;
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    agent.renewer.start(stop.clone());
    if let Some(snapshot) = snapshot {
        restore_snapshot(&agent, snapshot);
    }
    let following = {
        let (agent, stop) = (Arc::clone(&agent), stop.clone());
        tokio::spawn(async move { agent.follow(stop).await })
    };
    {
        let (agent, stop, notifier) = (Arc::clone(&agent), stop.clone(), Notifier::default());
        tokio::spawn(async move { agent.notices.notify(stop, |notification| notifier.show(notification)).await });
    }
    let prompt = {
        let (agent, stop) = (Arc::clone(&agent), stop.clone());
        tokio::spawn(async move { prompt_state::follow(agent, &path, stop).await })
    };
    tokio::spawn(memory::follow(Arc::clone(&agent), stop.clone()));
    if let Some(name) = claim.name() {
        tokio::spawn(socket_watch(name, stop.clone()));
    }
    announce(&StartupLine::Ready);
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, pid = std::process::id(), restarts = restart_info.restarts, "daemon started");
    serve(listener, &claim, &agent, &stop, &restart_info).await;
    prompt.await?; // removes its file while no other daemon can run
    drop(claim); // removes the path before the lock is released
    following.await?;
    agent.audit.log().flush(AUDIT_FLUSH_TIMEOUT);
    tracing::info!("daemon stopped");
    Ok(())
}

/// Serves until `stop`. A restart replaces this process and returns only if it fails.
async fn serve(
    listener: UnixListener,
    claim: &SocketClaim,
    agent: &Arc<Agent>,
    stop: &CancellationToken,
    restart_info: &RestartInfo,
) {
    loop {
        notify_service_manager(NotifyState::Ready);
        let requested = CancellationToken::new();
        let restart = restart_info.program.clone().map(|program| Restart { program, name: claim.name(), requested });
        let server = Server::new(Context::new(Arc::clone(agent), stop.clone(), restart));
        if server.accept(&listener).await == ServerEnd::Stop {
            drop(listener);
            return server.stop().await;
        }
        tracing::info!("daemon restarting");
        notify_service_manager(NotifyState::Reloading);
        server.finish(RESTART_TIMEOUT).await;
        if !stop.is_cancelled()
            && let Some(program) = &restart_info.program
        {
            let error = hand_over(program, &listener, claim, agent, restart_info.restarts);
            tracing::error!(program = %program.path().display(), %error, "restart failed, serving again");
        }
    }
}

/// Replaces this process by the program. Returns only if that fails.
fn hand_over(
    program: &Program,
    listener: &UnixListener,
    claim: &SocketClaim,
    agent: &Agent,
    restarts: u32,
) -> anyhow::Error {
    let Some(checked) = program.take_next() else { return anyhow::anyhow!("the program was not checked") };
    let state = || -> anyhow::Result<_> {
        if let Some(name) = agent.keys.key_in_change() {
            anyhow::bail!("access key \"{name}\" is being changed");
        }
        agent.access.check_settled().map_err(|error| anyhow::anyhow!("{error}"))?;
        let (lock, name) = claim.leave()?;
        let listener = listener.as_fd().try_clone_to_owned()?;
        let snapshot = agent.snapshot.take(checked.scope());
        Ok(HandoverState { restarts: restarts.saturating_add(1), listener, lock, snapshot, name })
    };
    match state() {
        Ok(state) => {
            agent.audit.log().flush(AUDIT_FLUSH_TIMEOUT);
            program.replace_this(&checked, &state).into()
        }
        Err(error) => error,
    }
}

/// Restores the sessions of the process before. If that fails, they are loaded again.
fn restore_snapshot(agent: &Agent, snapshot: Inherited) {
    let snapshot = snapshot.map_err(anyhow::Error::from);
    let restored = snapshot.and_then(|snapshot| Ok(agent.snapshot.restore(snapshot.expose())?));
    if let Err(error) = restored {
        tracing::warn!(%error, "snapshot dropped, sessions are loaded again");
    }
}

/// Reports a state to the service manager, if there is one.
fn notify_service_manager(state: NotifyState<'_>) {
    let mut states = vec![state];
    if matches!(states.as_slice(), [NotifyState::Reloading]) {
        states.extend(NotifyState::monotonic_usec_now()); // sd_notify(3) requires the time
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

/// Creates the configuration folder, which the watch needs. The client writes its files.
fn create_config_folder(folder: Option<PathBuf>) {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(folder) = folder
        && let Err(error) = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder)
    {
        tracing::warn!(folder = %folder.display(), %error, "cannot create the configuration folder");
    }
}

/// Returns the user and the host for session names, from the system and not from the shell's `USER`.
fn local_user() -> LocalUser {
    let uid = nix::unistd::Uid::effective();
    let user = match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid-{uid}"),
    };
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    LocalUser { user, host: host.split('.').next().unwrap_or_default().to_owned() }
}

/// Prints one line for the process that started the daemon, which may have ended.
fn announce(line: &StartupLine) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// Prints a text on standard output.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("rolecalld: cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints one line on standard error.
pub(crate) fn print_error(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
