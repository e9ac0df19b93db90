//! The constraints of a profile (K4): how long it is used, at which times, by which programs, and whether the user confirms.
//!
//! A constraint that cannot be checked refuses the request.

mod hours;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rolecall_protocol::{ErrorBody, ErrorCode, Hint, ProfileName};
use serde::Deserialize;

pub use hours::{AllowedHours, LocalTime};

/// How long a question to the user may stay without an answer.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// How long after a yes requests use it where each use is confirmed: those that came while the question was open.
const YES_TTL: Duration = Duration::from_secs(2);

/// The constraints of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Constraints {
    /// How long after `rolecall refresh` the profile is used.
    pub max_lifetime: Option<Duration>,
    /// When the user confirms the use.
    pub confirm: Confirm,
    /// The programs that may run the client. `None` allows every program.
    pub allowed_programs: Option<Vec<PathBuf>>,
    /// The times at which the profile is used.
    pub allowed_hours: Option<AllowedHours>,
}

/// When the user confirms the use of a profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// Never.
    #[default]
    Never,
    /// Before the first use since the start of the daemon, or since it was locked.
    First,
    /// Before each use.
    Always,
}

/// The device and inode of a program.
pub type ProgramFile = (u64, u64);

/// Why a constraint refuses a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// The time is not one of `allowed_hours`.
    #[error("it may be used {0} only")]
    Hours(String),
    /// `rolecall refresh` has not been run since the start of the daemon, or too long ago.
    #[error("it may be used for {} min after rolecall refresh", .0.as_secs() / 60)]
    Lifetime(Duration),
    /// The program is none of `allowed_programs`.
    #[error("{0} is none of its allowed_programs")]
    Program(String),
    /// The system does not say which program runs the client.
    #[error("it has allowed_programs, and the program that asks is unknown")]
    UnknownProgram,
    /// The user has not answered yet.
    #[error("it waits for your confirmation")]
    Pending,
    /// The user has answered no.
    #[error("its use was not confirmed")]
    Denied,
    /// The user has not answered in time.
    #[error("its use was not confirmed within {} s", CONFIRM_TIMEOUT.as_secs())]
    NoAnswer,
    /// The user cannot be asked.
    #[error("its use cannot be confirmed: {0}")]
    NoPrompt(String),
    /// The constraints need the daemon.
    #[error("it has constraints, which need the daemon")]
    NoDaemon,
}

impl Constraints {
    /// Checks everything but the confirmation. `opened` is when `rolecall refresh` was last run; `program` is the program that
    /// asks, `allowed` are the files of [`Self::allowed_programs`] that exist.
    pub fn check(
        &self,
        (now, local): (SystemTime, LocalTime),
        opened: Option<SystemTime>,
        program: Option<(ProgramFile, String)>,
        allowed: &[ProgramFile],
    ) -> Result<(), ConstraintError> {
        if let Some(hours) = self.allowed_hours.as_ref().filter(|hours| !hours.include(local)) {
            return Err(ConstraintError::Hours(hours.to_string()));
        }
        if let Some(limit) = self.max_lifetime {
            let age = opened.and_then(|opened| now.duration_since(opened).ok());
            if age.is_none_or(|age| age >= limit) {
                return Err(ConstraintError::Lifetime(limit));
            }
        }
        if self.allowed_programs.is_some() {
            let (file, name) = program.ok_or(ConstraintError::UnknownProgram)?;
            if !allowed.contains(&file) {
                return Err(ConstraintError::Program(name));
            }
        }
        Ok(())
    }
}

impl Confirm {
    /// Returns the value in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::First => "first",
            Self::Always => "always",
        }
    }

    /// Whether a yes at this time still counts.
    #[must_use]
    pub fn accepts(self, yes: SystemTime, now: SystemTime) -> bool {
        match self {
            Self::Never | Self::First => true,
            Self::Always => now.duration_since(yes).is_ok_and(|age| age < YES_TTL),
        }
    }
}

impl ConstraintError {
    /// Returns the error as the protocol sends it.
    #[must_use]
    pub fn body(&self, name: &ProfileName) -> ErrorBody {
        let (code, hint): (_, Hint) = match self {
            Self::Hours(_) => (ErrorCode::NotAllowed, "Wait, or change allowed_hours in config.toml.".into()),
            Self::Program(_) => {
                (ErrorCode::NotAllowed, "Use one of them, or change allowed_programs in config.toml.".into())
            }
            Self::Lifetime(_) => (ErrorCode::RefreshNeeded, Hint::command(format!("rolecall refresh {name}"))),
            Self::Pending => {
                (ErrorCode::ConfirmationPending, "Answer the question on your desktop, and try again.".into())
            }
            Self::Denied | Self::NoAnswer => {
                (ErrorCode::ConfirmationDenied, "To be asked again, run the command again in 10 s.".into())
            }
            Self::UnknownProgram => {
                (ErrorCode::ConstraintUnenforceable, "Run rolecall from one of these programs, on Linux.".into())
            }
            Self::NoPrompt(_) => {
                let hint = "Install pinentry for your desktop, or correct program in [confirm] of config.toml.";
                (ErrorCode::ConstraintUnenforceable, hint.into())
            }
            Self::NoDaemon => {
                let hint = "Set XDG_RUNTIME_DIR to a folder of your own with mode 700, in which the daemon can run.";
                (ErrorCode::ConstraintUnenforceable, hint.into())
            }
        };
        ErrorBody::new(code, self.to_string()).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;
    const NOON: LocalTime = LocalTime { weekday: 0, minute: 12 * 60 };
    const KUBECTL: ProgramFile = (1, 7);

    fn minutes(count: u64) -> SystemTime {
        T0 + Duration::from_mins(count)
    }

    #[test]
    fn profile_without_constraints_is_unlimited() {
        assert_eq!(Constraints::default().check((T0, NOON), None, None, &[]), Ok(()));
    }

    #[test]
    fn lifetime_begins_with_a_refresh() {
        let limit = Duration::from_hours(1);
        let constraints = Constraints { max_lifetime: Some(limit), ..Constraints::default() };
        let check = |now, opened| constraints.check((now, NOON), opened, None, &[]);
        assert_eq!(check(minutes(0), None), Err(ConstraintError::Lifetime(limit)));
        assert_eq!(check(minutes(59), Some(minutes(0))), Ok(()));
        assert_eq!(check(minutes(60), Some(minutes(0))), Err(ConstraintError::Lifetime(limit)));
        assert!(check(minutes(0), Some(minutes(1))).is_err(), "a refresh in the future");
    }

    #[test]
    fn unknown_program_is_refused() {
        let constraints = Constraints { allowed_programs: Some(vec!["/bin/kubectl".into()]), ..Constraints::default() };
        let check = |program: Option<ProgramFile>, allowed: &[ProgramFile]| {
            constraints.check((T0, NOON), None, program.map(|file| (file, "/bin/x".to_owned())), allowed)
        };
        assert_eq!(check(Some(KUBECTL), &[(1, 6), KUBECTL]), Ok(()));
        assert_eq!(check(Some(KUBECTL), &[(2, 7)]), Err(ConstraintError::Program("/bin/x".to_owned())));
        assert_eq!(check(Some(KUBECTL), &[]), Err(ConstraintError::Program("/bin/x".to_owned())));
        assert_eq!(check(None, &[KUBECTL]), Err(ConstraintError::UnknownProgram));
    }

    #[test]
    fn hours_are_checked_first() {
        let hours = AllowedHours::parse(&["Tu 08:00-19:00"]).unwrap();
        let constraints = Constraints {
            allowed_hours: Some(hours),
            max_lifetime: Some(Duration::from_hours(1)),
            ..Constraints::default()
        };
        let error = constraints.check((T0, NOON), None, None, &[]).unwrap_err();
        assert_eq!(error.to_string(), "it may be used Tu 08:00-19:00 only");
        let tuesday = LocalTime { weekday: 1, ..NOON };
        assert_eq!(constraints.check((T0, tuesday), Some(T0), None, &[]), Ok(()));
    }

    #[test]
    fn yes_counts_until_a_lock_or_for_two_seconds() {
        assert!(Confirm::First.accepts(T0, minutes(1000)));
        assert!(Confirm::Always.accepts(T0, T0 + Duration::from_secs(1)));
        assert!(!Confirm::Always.accepts(T0, T0 + YES_TTL) && !Confirm::Always.accepts(minutes(1), T0));
    }

    #[test]
    fn refused_request_needs_the_user_or_fails() {
        let name = "prod".parse().unwrap();
        let exit = |error: ConstraintError| error.body(&name).code.exit_code();
        assert_eq!(exit(ConstraintError::Lifetime(YES_TTL)), 5);
        assert_eq!(exit(ConstraintError::Pending), 5);
        for error in [
            ConstraintError::Hours(String::new()),
            ConstraintError::Program(String::new()),
            ConstraintError::UnknownProgram,
            ConstraintError::Denied,
            ConstraintError::NoAnswer,
            ConstraintError::NoPrompt(String::new()),
            ConstraintError::NoDaemon,
        ] {
            assert_eq!(exit(error), 1);
        }
    }
}
