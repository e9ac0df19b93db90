//! Offers a login on the terminal when kubectl needs one.
//!
//! This code runs only after the daemon has responded that a login is needed. It asks on the terminal itself: standard
//! input may be a manifest that kubectl applies, and kubectl parses standard output. If it is not clear that a user can
//! answer, there is no question, and the error names the command to run.

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use rolecall_protocol::{
    Endpoint, ErrorBody, ErrorCode, ExecInfo, LoginFlow, ProfileName, ProfileStatus, SourceName, location,
};
use rustix::fs::OFlags;

use crate::clock::{self, Deadline};
use crate::daemon::http::Response;
use crate::daemon::{CALL_TIMEOUT, CallError, Daemon};
use crate::environment::Environment;
use crate::error::CliError;
use crate::files::marker_file;
use crate::format_time;
use crate::login::browser;
use crate::login::flow::{self, LoginOptions};
use crate::login::prompter::{CodeInput, Prompter};
use crate::terminal::status_line::Sink;
use crate::terminal::tty::Tty;

/// How long a no counts. kubectl runs its plugin up to six times before it fails.
const DECLINED_TTL: SignedDuration = SignedDuration::from_mins(1);
/// How long the plugin waits for the name of the profile's source.
const PROFILE_TIMEOUT: Duration = Duration::from_secs(2);

/// Offers a login and returns the token after it, from `call_token`. Errors with the daemon's refusal if there is no user to ask, or the
/// user declines.
pub(super) fn offer_login(
    daemon: &Daemon,
    name: &ProfileName,
    info: &[u8],
    call_token: impl Fn(Deadline) -> Result<Response, CallError>,
    refusal: ErrorBody,
    read_environment: fn() -> Environment,
) -> Result<Response, CliError> {
    let Some(tty) = interactive_tty(info) else { return Err(refusal.into()) };
    let token = || call_token(Deadline::after(CALL_TIMEOUT));
    let profile = Endpoint::Profile(name.clone());
    let Ok(profile) = daemon.call_json_within::<ProfileStatus>(&profile, b"", Deadline::after(PROFILE_TIMEOUT)) else {
        return Err(refusal.into());
    };
    let Some(mut prompt_lock) = PromptLock::acquire(daemon.socket(), &profile.source) else {
        return Err(refusal.into());
    };
    // The process that held the lock before may have logged in.
    let refusal = match token() {
        Err(CallError::Rejected(body)) if body.code == ErrorCode::LoginNeeded => body,
        other => return other.map_err(|error| error.with_subject(name)),
    };
    let environment = read_environment();
    // The browser's launcher obeys variables (PATH, BROWSER), which a kubeconfig can set. On macOS it has a fixed path.
    let is_safe = cfg!(target_os = "macos") || !environment.has_additions_of_kubeconfig();
    let (sink, has_browser) = (Sink::Terminal(tty), is_safe && browser::is_available(&environment));
    let about = name.to_string();
    let mut prompter = Prompter::new(about, &profile.source, &environment, sink, CodeInput::Terminal, has_browser)?;
    prompt_lock.mark_asked();
    if !prompter.confirm_login(&refusal) {
        return Err(refusal.into());
    }
    prompter.limit_prompt_time();
    let flow = if has_browser { LoginFlow::Browser } else { LoginFlow::Device };
    let done = flow::log_in(daemon, &profile.source, LoginOptions { flow, renew: false, draft: None }, &mut prompter)?;
    prompt_lock.clear_declined();
    prompter.print(&done.text(clock::now(), &format_time::local_zone()));
    token().map_err(|error| error.with_subject(name))
}

/// The terminal, if the user can be asked: kubectl is interactive, standard error is a terminal, and no other program
/// uses the terminal.
fn interactive_tty(info: &[u8]) -> Option<Tty> {
    let is_wanted = !location::no_prompt() && ExecInfo::parse(info).is_ok_and(|info| info.interactive);
    if !is_wanted || !std::io::stderr().is_terminal() {
        return None;
    }
    Tty::open().filter(Tty::is_available)
}

/// A lock for the question: one process asks at a time, and not again within a minute after a no.
#[derive(Debug)]
struct PromptLock {
    declined_marker: PathBuf,
    /// Whether the user was asked and has not logged in yet.
    is_asking: bool,
    /// Holds the lock until it is closed.
    _lock: File,
}

impl PromptLock {
    /// Takes the lock; `None` if another process has it, or the user declined for this source within the last minute.
    /// The socket's folder was checked to be private when the client connected.
    fn acquire(socket: &Path, source: &SourceName) -> Option<Self> {
        let lock = lock(&socket.with_extension("prompt")).ok()?;
        let declined_marker = socket.with_extension(format!("declined-{source}"));
        let is_free = !marker_file::is_fresh(&declined_marker, DECLINED_TTL, clock::now());
        is_free.then_some(Self { declined_marker, is_asking: false, _lock: lock })
    }

    /// Records the question. It counts as declined until the login succeeds: Ctrl-C is a no.
    fn mark_asked(&mut self) {
        self.is_asking = true;
        // Ignores an error: without the marker, the next run asks again.
        let _ = marker_file::touch(&self.declined_marker);
    }

    /// Removes the record after a login, so that the next missing login is offered again.
    fn clear_declined(&mut self) {
        self.is_asking = false;
        let _ = std::fs::remove_file(&self.declined_marker);
    }
}

impl Drop for PromptLock {
    fn drop(&mut self) {
        if self.is_asking {
            let _ = marker_file::touch(&self.declined_marker);
        }
    }
}

/// Opens and locks a file; an error if another process has locked it.
fn lock(path: &Path) -> std::io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    file.try_lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf, [SourceName; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        (folder, socket, ["work".parse().unwrap(), "part.ner".parse().unwrap()])
    }

    /// Takes the lock once it is free. A program that another test starts has a copy of its descriptor until it is executed.
    fn acquire_free(socket: &Path, source: &SourceName) -> Option<PromptLock> {
        rolecall_harness::within(Duration::from_mins(1), || PromptLock::acquire(socket, source))
    }

    #[test]
    fn prompt_lock_is_exclusive() {
        let (_folder, socket, [work, partner]) = place();
        let prompt_lock = PromptLock::acquire(&socket, &work).unwrap();
        assert!(PromptLock::acquire(&socket, &work).is_none() && PromptLock::acquire(&socket, &partner).is_none());
        drop(prompt_lock);
        assert!(acquire_free(&socket, &work).is_some(), "the user was not asked");
        assert!(acquire_free(&socket, &partner).is_some());
    }

    #[test]
    fn prompt_lock_declined_source_waits_a_minute() {
        let (folder, socket, [work, partner]) = place();
        let declined_marker = folder.path().join("agent.declined-work");
        let mut prompt_lock = PromptLock::acquire(&socket, &work).unwrap();
        prompt_lock.mark_asked();
        assert!(declined_marker.exists(), "a killed prompt counts as a no");
        drop(prompt_lock);
        assert!(acquire_free(&socket, &partner).is_some());
        assert!(PromptLock::acquire(&socket, &work).is_none());
        let old = std::time::SystemTime::from(clock::now()) - Duration::from_mins(1);
        File::options().write(true).open(&declined_marker).unwrap().set_modified(old).unwrap();
        let mut prompt_lock = acquire_free(&socket, &work).unwrap();
        prompt_lock.mark_asked();
        prompt_lock.clear_declined();
        drop(prompt_lock);
        assert!(!declined_marker.exists(), "a yes takes it away");
        assert!(acquire_free(&socket, &work).is_some());
    }

    #[test]
    fn prompt_lock_link_is_refused() {
        let (folder, socket, [work, _]) = place();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("agent.prompt")).unwrap();
        assert!(PromptLock::acquire(&socket, &work).is_none());
    }

    #[test]
    fn interactive_tty_needs_an_interactive_kubectl() {
        // Tests have no terminal. The process tests use a pseudo-terminal.
        for info in ["", "{", r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{}}"#] {
            assert!(interactive_tty(info.as_bytes()).is_none(), "{info}");
        }
    }
}
