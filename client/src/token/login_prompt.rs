//! A login that is offered where kubectl needs one: to a person who is certainly there, and once.
//!
//! Nothing here runs before the daemon has said that a login is needed. Standard input is never read (it may be a manifest
//! that kubectl is about to apply) and standard output stays kubectl's: it is asked on the terminal itself. Where anything
//! is in doubt, nobody is asked, and the answer is the line that says what to run.

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, tz::TimeZone};
use rolecall_protocol::{
    Endpoint, ErrorBody, ErrorCode, ExecInfo, LoginFlow, ProfileName, ProfileStatus, SourceName, join_sentences,
    location,
};
use rustix::fs::OFlags;

use super::told;
use crate::clock::{self, Deadline};
use crate::daemon::http::Answer;
use crate::daemon::{Agent, CALL, CallError};
use crate::error::CliError;
use crate::files::marker_file;
use crate::login::flow::{self, Wish};
use crate::login::prompter::Desk;
use crate::terminal::tty::Tty;

/// How long somebody may take to say whether they want to log in.
const ANSWER: Duration = Duration::from_mins(1);
/// How long a no counts: kubectl runs its plugin up to six times before it gives up.
const NO: SignedDuration = SignedDuration::from_mins(1);
/// How long it is asked which source it is.
const ASIDE: Duration = Duration::from_secs(2);

/// The token after a login, where somebody is there for it and wants it; else the daemon's refusal.
pub(super) fn answer(agent: &Agent, name: &ProfileName, info: &[u8], refusal: ErrorBody) -> Result<Answer, CliError> {
    let Some(tty) = somebody(info) else { return Err(refusal.into()) };
    let token = || agent.call(&Endpoint::Token(name.clone()), info, Deadline::after(CALL));
    let profile = Endpoint::Profile(name.clone());
    let Ok(profile) = agent.call_json_within::<ProfileStatus>(&profile, b"", Deadline::after(ASIDE)) else {
        return Err(refusal.into());
    };
    let Some(mut turn) = Turn::take(agent.socket(), &profile.source) else { return Err(refusal.into()) };
    // Whoever had the turn before us may have logged in.
    let refusal = match token() {
        Err(CallError::Said(body)) if body.code == ErrorCode::LoginNeeded => body,
        other => return other.map_err(|error| told(error, name)),
    };
    let mut desk = Desk::of_plugin(name.as_str(), &profile.source, tty, crate::environment())?;
    let message = refusal.clone().sanitized().message;
    let question = format!("rolecall: {} ", join_sentences(&message, Some("Log in now? [Y/n]")));
    turn.asks();
    if desk.agrees(&question, ANSWER) != Some(true) {
        return Err(refusal.into());
    }
    desk.hurry();
    let flow = if desk.has_browser() { LoginFlow::Browser } else { LoginFlow::Device };
    let done = flow::hold(agent, &profile.source, Wish { flow, renew: false, draft: None }, &mut desk)?;
    turn.has_succeeded();
    desk.say(&crate::commands::login::told(&done, clock::now(), &TimeZone::system()));
    token().map_err(|error| told(error, name))
}

/// The terminal of a person who can be asked: kubectl says that one is there, sees what we say, and has not given the
/// terminal to anybody else.
fn somebody(info: &[u8]) -> Option<Tty> {
    let is_wanted = !location::no_prompt() && ExecInfo::parse(info).is_ok_and(|info| info.interactive);
    if !is_wanted || !std::io::stderr().is_terminal() {
        return None;
    }
    Tty::open().filter(Tty::is_free)
}

/// The right to ask, which one process has at a time. While it is held, and for a while after it was used in vain,
/// nobody else is asked.
#[derive(Debug)]
struct Turn {
    stamp: PathBuf,
    /// Whether somebody was asked, and has not logged in yet.
    is_open: bool,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Turn {
    /// Takes it; `None` where somebody else has it, or somebody said no for this source a short while ago. The socket's
    /// folder was found to be private by whoever connected.
    fn take(socket: &Path, source: &SourceName) -> Option<Self> {
        let lock = lock(&socket.with_extension("prompt")).ok()?;
        let stamp = socket.with_extension(format!("declined-{source}"));
        let is_free = !marker_file::is_fresh(&stamp, NO, clock::now());
        is_free.then_some(Self { stamp, is_open: false, _lock: lock })
    }

    /// Somebody is being asked. That counts as a no until it is a yes: whoever presses Ctrl-C has answered too.
    fn asks(&mut self) {
        self.is_open = true;
        // Where it cannot be left, the next run asks again; nothing is said of that.
        let _ = marker_file::touch(&self.stamp);
    }

    /// Somebody has logged in; when that is needed again, it is asked again.
    fn has_succeeded(&mut self) {
        self.is_open = false;
        let _ = std::fs::remove_file(&self.stamp);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_open {
            let _ = marker_file::touch(&self.stamp);
        }
    }
}

/// A file that is locked until it is closed; an error where somebody else has locked it.
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

    #[test]
    fn one_asks_at_a_time_whatever_the_source() {
        let (_folder, socket, [work, partner]) = place();
        let turn = Turn::take(&socket, &work).unwrap();
        assert!(Turn::take(&socket, &work).is_none() && Turn::take(&socket, &partner).is_none());
        drop(turn);
        assert!(Turn::take(&socket, &work).is_some(), "nobody was asked");
        assert!(Turn::take(&socket, &partner).is_some());
    }

    #[test]
    fn a_no_counts_for_a_minute_and_for_one_source() {
        let (folder, socket, [work, partner]) = place();
        let stamp = folder.path().join("agent.declined-work");
        let mut turn = Turn::take(&socket, &work).unwrap();
        turn.asks();
        assert!(stamp.exists(), "whoever is killed now has said no");
        drop(turn);
        assert!(Turn::take(&socket, &work).is_none());
        assert!(Turn::take(&socket, &partner).is_some());
        let old = std::time::SystemTime::from(clock::now()) - Duration::from_mins(1);
        File::options().write(true).open(&stamp).unwrap().set_modified(old).unwrap();
        let mut turn = Turn::take(&socket, &work).unwrap();
        turn.asks();
        turn.has_succeeded();
        drop(turn);
        assert!(!stamp.exists(), "a yes takes it away");
        assert!(Turn::take(&socket, &work).is_some());
    }

    #[test]
    fn what_is_no_file_of_ours_is_left_alone() {
        let (folder, socket, [work, _]) = place();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("agent.prompt")).unwrap();
        assert!(Turn::take(&socket, &work).is_none());
    }

    #[test]
    fn nobody_is_there_unless_kubectl_says_so() {
        // In a test there is no terminal either way; that there is one is for the tests with one.
        for info in ["", "{", r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{}}"#] {
            assert!(somebody(info.as_bytes()).is_none(), "{info}");
        }
    }
}
