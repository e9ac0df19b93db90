//! `rolecall prompt`: the profile of the current context and the time left of its session, for the prompt of a shell.
//!
//! A shell waits for it before each line, so it calls no daemon and parses no kubeconfig unless one has changed: it reads the
//! file that the daemon writes when a session changes ([`rolecall_protocol::PromptState`]), and its own [`cache`]. It never
//! fails: without a context of Rolecall, or if a file cannot be read, it prints less.

mod cache;

use std::io::Read;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rolecall_protocol::{ProfileName, ProfileState, PromptState, location};
use rustix::process::{Pid, test_kill_process};

use self::cache::CurrentProfile;
use crate::cli::{Prompt, PromptFormat};
use crate::context::Context;
use crate::error::CliError;
use crate::{clock, output};

/// The size limit of the daemon's file, in bytes.
const MAX_STATE_BYTES: u64 = 4 * 1024 * 1024;
/// From this time on, what is left of a session is yellow.
const SHORT: SignedDuration = SignedDuration::from_mins(5);
const RED: &str = "31";
const YELLOW: &str = "33";

/// Prints one line, or nothing.
pub(crate) fn run(wanted: &Prompt, context: &Context) -> Result<(), CliError> {
    let Some(current) = cache::current_profile() else { return Ok(()) };
    let state = location::socket().ok().and_then(|socket| read_state(&location::prompt_state(&socket)));
    let shown = Shown::new(&current, state.as_ref(), clock::now());
    let is_colored = context.environment.get("NO_COLOR").is_none();
    output::stdout_bytes(format!("{}\n", shown.text(wanted.format, is_colored)).as_bytes())
}

/// Reads the file of the running daemon.
fn read_state(path: &Path) -> Option<PromptState> {
    let mut bytes = Vec::new();
    // A pipe could block.
    std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    std::fs::File::open(path).ok()?.take(MAX_STATE_BYTES).read_to_end(&mut bytes).ok()?;
    let state: PromptState = serde_json::from_slice(&bytes).ok()?;
    let pid = Pid::from_raw(i32::try_from(state.pid).ok()?)?;
    test_kill_process(pid).is_ok().then_some(state)
}

/// What the prompt shows.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    profile: ProfileName,
    is_protected: bool,
    session: Session,
}

/// The state of the session.
#[derive(Debug, PartialEq, Eq)]
enum Session {
    /// None yet: kubectl gets one when it needs it.
    None,
    /// Valid for this long; `None` if it does not expire.
    Valid(Option<SignedDuration>),
    LoginNeeded,
    Failed,
    Locked,
}

impl Shown {
    fn new(current: &CurrentProfile, state: Option<&PromptState>, now: Timestamp) -> Self {
        let profile = state.and_then(|state| state.profiles.get(&current.profile));
        let session = match (state, profile) {
            (Some(state), _) if state.locked => Session::Locked,
            (_, Some(profile)) => match profile.state {
                ProfileState::Ready => match profile.expires.map(|end| end.duration_since(now)) {
                    Some(left) if left <= SignedDuration::ZERO => Session::None,
                    left => Session::Valid(left),
                },
                ProfileState::LoginNeeded => Session::LoginNeeded,
                ProfileState::Failed => Session::Failed,
                _ => Session::None,
            },
            _ => Session::None,
        };
        Self { profile: current.profile.clone(), is_protected: current.is_protected, session }
    }

    fn text(&self, format: PromptFormat, is_colored: bool) -> String {
        if format == PromptFormat::Json {
            return self.json();
        }
        let paint = |text: &str, color: &str| if is_colored { painted(format, text, color) } else { text.to_owned() };
        // A name has no character that a shell expands.
        let name = self.profile.as_str();
        let name = if self.is_protected { paint(name, RED) } else { name.to_owned() };
        let session = match self.session {
            Session::None | Session::Valid(None) => return name,
            Session::Valid(Some(left)) if left < SHORT => paint(&short_duration(left), YELLOW),
            Session::Valid(Some(left)) => short_duration(left),
            Session::LoginNeeded => paint("login", YELLOW),
            Session::Failed => paint("failing", YELLOW),
            Session::Locked => paint("locked", YELLOW),
        };
        format!("{name} {session}")
    }

    fn json(&self) -> String {
        let (state, left) = match self.session {
            Session::None => ("none", None),
            Session::Valid(left) => ("valid", left),
            Session::LoginNeeded => ("login_needed", None),
            Session::Failed => ("failing", None),
            Session::Locked => ("locked", None),
        };
        serde_json::json!({
            "profile": self.profile,
            "protected": self.is_protected,
            "session": state,
            "seconds_left": left.map(|left| left.as_secs()),
        })
        .to_string()
    }
}

/// A text in a colour, written so that the shell knows which characters have no width.
fn painted(format: PromptFormat, text: &str, color: &str) -> String {
    match format {
        // bash reads \[ and \] before it runs a command in PS1; readline reads these two characters.
        PromptFormat::Bash => format!("\x01\x1b[{color}m\x02{text}\x01\x1b[0m\x02"),
        PromptFormat::Zsh => format!("%{{\x1b[{color}m%}}{text}%{{\x1b[0m%}}"),
        PromptFormat::Fish | PromptFormat::Starship => format!("\x1b[{color}m{text}\x1b[0m"),
        PromptFormat::Sh | PromptFormat::Json => text.to_owned(),
    }
}

/// A duration in its largest unit, rounded down: `47m`, `3h`, `20s`.
fn short_duration(left: SignedDuration) -> String {
    match left.as_secs() {
        seconds if seconds < 60 => format!("{seconds}s"),
        seconds if seconds < 3600 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::PromptProfile;

    use super::*;

    fn shown(state: ProfileState, seconds: Option<i64>, is_protected: bool) -> Shown {
        let (now, profile) = (Timestamp::UNIX_EPOCH, "prod".parse::<ProfileName>().unwrap());
        let expires = seconds.map(|seconds| now + SignedDuration::from_secs(seconds));
        let profiles = [(profile.clone(), PromptProfile { state, expires })].into();
        let state = PromptState { pid: 1, locked: false, profiles };
        Shown::new(&CurrentProfile { profile, is_protected }, Some(&state), now)
    }

    #[test]
    fn text_of_each_state() {
        let text = |state, seconds| shown(state, seconds, false).text(PromptFormat::Sh, true);
        assert_eq!(text(ProfileState::Ready, Some(47 * 60 + 59)), "prod 47m");
        assert_eq!(text(ProfileState::Ready, Some(3 * 3600)), "prod 3h");
        assert_eq!(text(ProfileState::Ready, Some(20)), "prod 20s");
        assert_eq!(text(ProfileState::Ready, Some(0)), "prod");
        assert_eq!(text(ProfileState::Ready, None), "prod");
        assert_eq!(text(ProfileState::Unused, None), "prod");
        assert_eq!(text(ProfileState::LoginNeeded, None), "prod login");
        assert_eq!(text(ProfileState::Failed, None), "prod failing");
        let mut locked = shown(ProfileState::Ready, Some(600), false);
        locked.session = Session::Locked;
        assert_eq!(locked.text(PromptFormat::Sh, true), "prod locked");
    }

    #[test]
    fn text_colors_of_each_shell() {
        let text = |format, is_colored| shown(ProfileState::Ready, Some(60), true).text(format, is_colored);
        assert_eq!(text(PromptFormat::Sh, true), "prod 1m");
        assert_eq!(
            text(PromptFormat::Bash, true),
            "\x01\x1b[31m\x02prod\x01\x1b[0m\x02 \x01\x1b[33m\x021m\x01\x1b[0m\x02"
        );
        assert_eq!(text(PromptFormat::Zsh, true), "%{\x1b[31m%}prod%{\x1b[0m%} %{\x1b[33m%}1m%{\x1b[0m%}");
        assert_eq!(text(PromptFormat::Fish, true), "\x1b[31mprod\x1b[0m \x1b[33m1m\x1b[0m");
        for format in [PromptFormat::Bash, PromptFormat::Zsh, PromptFormat::Fish, PromptFormat::Starship] {
            assert_eq!(text(format, false), "prod 1m");
        }
        assert_eq!(
            text(PromptFormat::Json, true),
            r#"{"profile":"prod","protected":true,"seconds_left":60,"session":"valid"}"#
        );
    }
}
