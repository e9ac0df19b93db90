//! MfaCodes of MFA devices: given by a person, or by a command that the configuration names.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::{ErrorBody, ErrorClass, ErrorCode, MfaSerial, Secret, SourceName};

use rolecall_aws::source::process;
use rolecall_aws::source::process::ProcessError;
use rolecall_core::clock::time_until;
use rolecall_core::config::Mfa;
use rolecall_core::role_chain::RoleChain;

/// How long a code may wait for the call that it is for: by then it is over anyway.
const KEPT: Duration = Duration::from_mins(1);
/// How long a code that was used is remembered: AWS takes none twice, and the windows around now are three.
const USED: Duration = Duration::from_mins(2);
/// How often a device shows another code (RFC 6238, 4.1).
const WINDOW: Duration = Duration::from_secs(30);

/// How long after that it surely shows it: clocks differ a little.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

/// Why there is no code, or why it did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MfaError {
    /// A person has to give one.
    #[error("a code of the MFA device {} is needed", .serial)]
    Needed {
        /// The device.
        serial: MfaSerial,
        /// What it is for.
        chain: RoleChain,
    },
    /// The code was not taken.
    #[error("the code of the MFA device {serial} was refused: {said}")]
    Refused {
        /// The device.
        serial: MfaSerial,
        /// What it is for.
        chain: RoleChain,
        /// What AWS says, or we.
        said: String,
    },
    /// The command gave none.
    #[error("MFA codes by command: {0}")]
    Process(ProcessError),
    /// The command gave codes that were not taken, one after the other.
    #[error("MFA codes by command: AWS takes none of them")]
    CommandRefused,
    /// Its source is not one that MFA can be added to.
    #[error("mfa needs long-lived keys, and what the source gives is temporary already")]
    Temporary,
}

/// MfaCodes on their way, and those that have gone it.
#[derive(Debug, Default)]
pub(super) struct MfaCodes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Given for which session, and when.
    given: HashMap<RoleChain, (Secret<String>, SystemTime)>,
    /// Used last, and when, by device.
    used: HashMap<MfaSerial, (Secret<String>, SystemTime)>,
}

impl MfaCodes {
    /// Forgets every code.
    pub(super) fn clear(&self) {
        *self.known() = Known::default();
    }

    /// Takes in what a person says for a session. The next call for that takes it.
    pub(super) fn give(&self, chain: &RoleChain, code: Secret<String>, now: SystemTime) {
        let mut known = self.known();
        known.given.retain(|_, (_, at)| time_until(*at, now) < KEPT);
        known.given.insert(chain.clone(), (code, now));
    }

    /// The code that somebody gave, once; refused here already where it is the one that was used last.
    pub(super) fn take(
        &self,
        chain: &RoleChain,
        serial: &MfaSerial,
        now: SystemTime,
    ) -> Result<Secret<String>, MfaError> {
        let given = self.known().given.remove(chain);
        match given.filter(|(_, at)| time_until(*at, now) < KEPT) {
            Some((code, _)) if self.is_used(serial, &code, now) => Err(MfaError::Refused {
                serial: serial.clone(),
                chain: chain.clone(),
                said: "it was used already".to_owned(),
            }),
            Some((code, _)) => Ok(code),
            None => Err(MfaError::Needed { serial: serial.clone(), chain: chain.clone() }),
        }
    }

    /// Notes that a code has been sent to AWS, which takes none twice.
    pub(super) fn used(&self, serial: &MfaSerial, code: Secret<String>, now: SystemTime) {
        let mut known = self.known();
        known.used.retain(|_, (_, at)| time_until(*at, now) < USED);
        known.used.insert(serial.clone(), (code, now));
    }

    /// Whether a code was sent before.
    pub(super) fn is_used(&self, serial: &MfaSerial, code: &Secret<String>, now: SystemTime) -> bool {
        let known = self.known();
        known.used.get(serial).is_some_and(|(used, at)| used.expose() == code.expose() && time_until(*at, now) < USED)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the command that prints a code.
pub(super) async fn ask(mfa: &Mfa, command: &str) -> Result<Secret<String>, MfaError> {
    let said = process::run(command).await.map_err(MfaError::Process)?;
    let code = std::str::from_utf8(said.expose()).unwrap_or_default().trim();
    // `ykman oath accounts code` prints the account's name before it.
    let code = code.rsplit(char::is_whitespace).next().unwrap_or_default();
    if is_code(code) {
        tracing::debug!(serial = %mfa.serial, "mfa_process gave a code");
        return Ok(Secret::new(code.to_owned()));
    }
    Err(MfaError::Process(ProcessError::Malformed("a code of six digits")))
}

/// Six digits (STS API, TokenCode).
pub(super) fn is_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// How long until a device shows another code.
pub(super) fn next_window(now: SystemTime) -> Duration {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let into = Duration::from_millis(u64::try_from(since.as_millis() % WINDOW.as_millis()).unwrap_or_default());
    WINDOW.saturating_sub(into)
}

impl MfaError {
    /// What has to happen for it to end.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Needed { .. } | Self::Refused { .. } => ErrorClass::Login,
            Self::Process(_) => ErrorClass::Retry,
            Self::CommandRefused | Self::Temporary => ErrorClass::Change,
        }
    }

    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        let run = format!("Run: rolecall login {source}");
        match self {
            Self::Needed { serial, .. } => {
                let message = format!("source \"{source}\" needs a code of the MFA device {serial}");
                ErrorBody::new(ErrorCode::LoginNeeded, message).hint(run)
            }
            Self::Refused { .. } => {
                ErrorBody::new(ErrorCode::LoginNeeded, format!("source \"{source}\": {self}")).hint(run)
            }
            Self::Process(_) => ErrorBody::new(ErrorCode::SourceUnavailable, format!("source \"{source}\": {self}"))
                .hint("Run the command by hand to see what it says."),
            Self::CommandRefused => {
                ErrorBody::new(ErrorCode::SourceUnavailable, format!("source \"{source}\": {self}"))
                    .hint("Check its device, and the clock that it goes by.")
            }
            Self::Temporary => ErrorBody::new(ErrorCode::ConfigInvalid, format!("source \"{source}\": {self}"))
                .hint("Set mfa on a source of long-lived keys, and assume the role from that."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rolecall_core::config::SourceConfig;
    use rolecall_core::config::SourceKind;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;
    const SECOND: Duration = Duration::from_secs(1);

    fn code(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_code_is_taken_once_and_not_late() {
        let (codes, serial) = (MfaCodes::default(), "arn:aws:iam::111122223333:mfa/dev".parse().unwrap());
        let source = SourceConfig::plain(SourceKind::AwsProfile("work".to_owned()));
        let chain = RoleChain::new(source, "us-east-1".parse().unwrap(), Vec::new());
        let needed = MfaError::Needed { serial: MfaSerial::clone(&serial), chain: chain.clone() };
        assert_eq!(codes.take(&chain, &serial, T0).unwrap_err(), needed);
        codes.give(&chain, code("123456"), T0);
        let taken = codes.take(&chain, &serial, T0).unwrap();
        codes.used(&serial, taken, T0);
        assert_eq!(codes.take(&chain, &serial, T0).unwrap_err(), needed);
        // The same again is what a person does who is quicker than the device.
        codes.give(&chain, code("123456"), T0 + SECOND);
        assert!(codes.take(&chain, &serial, T0 + SECOND).unwrap_err().to_string().contains("it was used already"));
        codes.give(&chain, code("654321"), T0 + SECOND);
        assert_eq!(codes.take(&chain, &serial, T0 + KEPT + SECOND * 2).unwrap_err(), needed);
    }

    #[test]
    fn windows_begin_at_half_minutes() {
        assert_eq!(next_window(T0), WINDOW);
        assert_eq!(next_window(T0 + SECOND * 59), SECOND);
    }

    #[tokio::test]
    async fn a_command_may_say_more_than_the_code() {
        let serial = "arn:aws:iam::111122223333:mfa/dev".parse().unwrap();
        let mfa = Mfa { serial, session: KEPT, process: None };
        assert_eq!(ask(&mfa, "echo 'AWS:dev   123456'").await.unwrap().expose(), "123456");
        for bad in ["echo 12345", "echo 1234567", "echo abcdef", "true"] {
            assert!(ask(&mfa, bad).await.unwrap_err().to_string().contains("a code of six digits"), "{bad}");
        }
        assert!(!ask(&mfa, "echo hunter2; exit 1").await.unwrap_err().to_string().contains("hunter2"));
    }
}
