//! MFA codes: typed by the user, or printed by a command that the configuration names.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rolecall_protocol::{ErrorBody, ErrorClass, ErrorCode, Hint, MfaSerial, Secret, SourceName};

use rolecall_aws::source::PROGRAM_HINT;
use rolecall_aws::source::process;
use rolecall_aws::source::process::ProcessError;
use rolecall_core::clock::time_until;
use rolecall_core::config::Mfa;
use rolecall_core::role_chain::RoleChain;

/// How long a typed code waits for its call. The device has shown another one by then.
const TYPED_CODE_TTL: Duration = Duration::from_mins(1);
/// How long a used code is remembered. AWS accepts each code once, and those of the windows before and after the current one.
const USED_CODE_TTL: Duration = Duration::from_mins(2);
/// How often a device shows another code (RFC 6238, 4.1).
const CODE_INTERVAL: Duration = Duration::from_secs(30);

/// How much later the next code is read: the clocks of device and machine differ a little.
pub(super) const NEXT_CODE_MARGIN: Duration = Duration::from_secs(1);

/// Why there is no MFA code, or why AWS refused it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MfaError {
    /// The user has to type one.
    #[error("an MFA code of {} is needed", .serial)]
    Needed {
        /// The device.
        serial: MfaSerial,
        /// The chain whose session it is for.
        chain: RoleChain,
    },
    /// AWS refused the code.
    #[error("the MFA code of {serial} was refused: {said}")]
    Refused {
        /// The device.
        serial: MfaSerial,
        /// The chain whose session it is for.
        chain: RoleChain,
        /// The reason.
        said: String,
    },
    /// The command printed no code.
    #[error("mfa_process: {0}")]
    Process(ProcessError),
    /// AWS refused two codes of the command in a row.
    #[error("mfa_process: AWS refuses its codes")]
    CommandRefused,
    /// The source gives temporary credentials, for which AWS accepts no MFA code.
    #[error("mfa needs a long-lived access key, and the source gives temporary credentials")]
    Temporary,
}

/// Typed codes that wait for their call, and codes that were used.
#[derive(Debug, Default)]
pub(super) struct MfaCodes(Mutex<Codes>);

#[derive(Debug, Default)]
struct Codes {
    /// Typed codes and when they were typed, by the chain whose session they are for.
    typed: HashMap<RoleChain, (Secret<String>, SystemTime)>,
    /// The last used code and when it was sent, by device.
    used: HashMap<MfaSerial, (Secret<String>, SystemTime)>,
}

impl MfaCodes {
    /// Drops every code.
    pub(super) fn clear(&self) {
        *self.codes() = Codes::default();
    }

    /// Keeps a typed code for the next call for this chain.
    pub(super) fn offer(&self, chain: &RoleChain, code: Secret<String>, now: SystemTime) {
        let mut codes = self.codes();
        codes.typed.retain(|_, (_, at)| time_until(*at, now) < TYPED_CODE_TTL);
        codes.typed.insert(chain.clone(), (code, now));
    }

    /// Returns the typed code of a chain, once. Errors if there is none, or if it was used already.
    pub(super) fn take(
        &self,
        chain: &RoleChain,
        serial: &MfaSerial,
        now: SystemTime,
    ) -> Result<Secret<String>, MfaError> {
        let typed = self.codes().typed.remove(chain);
        match typed.filter(|(_, at)| time_until(*at, now) < TYPED_CODE_TTL) {
            Some((code, _)) if self.is_used(serial, &code, now) => Err(MfaError::Refused {
                serial: serial.clone(),
                chain: chain.clone(),
                said: "it was used already".to_owned(),
            }),
            Some((code, _)) => Ok(code),
            None => Err(MfaError::Needed { serial: serial.clone(), chain: chain.clone() }),
        }
    }

    /// Records that a code was sent to AWS, which accepts each code once.
    pub(super) fn record_used(&self, serial: &MfaSerial, code: Secret<String>, now: SystemTime) {
        let mut codes = self.codes();
        codes.used.retain(|_, (_, at)| time_until(*at, now) < USED_CODE_TTL);
        codes.used.insert(serial.clone(), (code, now));
    }

    /// Whether a code was sent already.
    pub(super) fn is_used(&self, serial: &MfaSerial, code: &Secret<String>, now: SystemTime) -> bool {
        let codes = self.codes();
        codes
            .used
            .get(serial)
            .is_some_and(|(used, at)| used.expose() == code.expose() && time_until(*at, now) < USED_CODE_TTL)
    }

    fn codes(&self) -> MutexGuard<'_, Codes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the command that prints a code, and returns the code.
pub(super) async fn run_command(
    mfa: &Mfa,
    command: &str,
    environment: &[(OsString, OsString)],
) -> Result<Secret<String>, MfaError> {
    let printed = process::run(command, environment).await.map_err(MfaError::Process)?;
    let code = std::str::from_utf8(printed.expose()).unwrap_or_default().trim();
    // `ykman oath accounts code` prints the account's name before it.
    let code = code.rsplit(char::is_whitespace).next().unwrap_or_default();
    if is_code(code) {
        tracing::debug!(serial = %mfa.serial, "MFA code read from mfa_process");
        return Ok(Secret::new(code.to_owned()));
    }
    Err(MfaError::Process(ProcessError::Malformed("a code of six digits")))
}

/// Six digits (STS API, TokenCode).
pub(super) fn is_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns how long the device shows its current code.
pub(super) fn until_next_code(now: SystemTime) -> Duration {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let into = Duration::from_millis(u64::try_from(since.as_millis() % CODE_INTERVAL.as_millis()).unwrap_or_default());
    CODE_INTERVAL.saturating_sub(into)
}

impl MfaError {
    /// Returns what ends the error.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Needed { .. } | Self::Refused { .. } => ErrorClass::Login,
            Self::Process(_) => ErrorClass::Retry,
            Self::CommandRefused | Self::Temporary => ErrorClass::Change,
        }
    }

    /// Returns the error as the client gets it.
    #[must_use]
    pub fn body(&self, source: &SourceName) -> ErrorBody {
        let run = Hint::command(format!("rolecall login {source}"));
        match self {
            Self::Needed { serial, .. } => {
                let message = format!("source \"{source}\" needs an MFA code of {serial}");
                ErrorBody::new(ErrorCode::LoginNeeded, message).hint(run)
            }
            Self::Refused { .. } => {
                ErrorBody::new(ErrorCode::LoginNeeded, format!("source \"{source}\": {self}")).hint(run)
            }
            Self::Process(error) => {
                let message = format!("source \"{source}\": mfa_process: {}", error.with_printed());
                ErrorBody::new(ErrorCode::SourceUnavailable, message).hint(PROGRAM_HINT)
            }
            Self::CommandRefused => {
                ErrorBody::new(ErrorCode::SourceUnavailable, format!("source \"{source}\": {self}"))
                    .hint("Check the device and its clock.")
            }
            Self::Temporary => ErrorBody::new(ErrorCode::ConfigInvalid, format!("source \"{source}\": {self}"))
                .hint("Set mfa on a source with a long-lived access key, and assume the role from that source."),
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
    fn typed_code_used_once_before_its_ttl() {
        let (codes, serial) = (MfaCodes::default(), "arn:aws:iam::111122223333:mfa/dev".parse().unwrap());
        let source = SourceConfig::plain(SourceKind::AwsProfile("work".to_owned()));
        let chain = RoleChain::new(source, "us-east-1".parse().unwrap(), Vec::new());
        let needed = MfaError::Needed { serial: MfaSerial::clone(&serial), chain: chain.clone() };
        assert_eq!(codes.take(&chain, &serial, T0).unwrap_err(), needed);
        codes.offer(&chain, code("123456"), T0);
        let taken = codes.take(&chain, &serial, T0).unwrap();
        codes.record_used(&serial, taken, T0);
        assert_eq!(codes.take(&chain, &serial, T0).unwrap_err(), needed);
        // A user who is faster than the device types the same code again.
        codes.offer(&chain, code("123456"), T0 + SECOND);
        assert!(codes.take(&chain, &serial, T0 + SECOND).unwrap_err().to_string().contains("it was used already"));
        codes.offer(&chain, code("654321"), T0 + SECOND);
        assert_eq!(codes.take(&chain, &serial, T0 + TYPED_CODE_TTL + SECOND * 2).unwrap_err(), needed);
    }

    #[test]
    fn until_next_code_counts_from_half_minutes() {
        assert_eq!(until_next_code(T0), CODE_INTERVAL);
        assert_eq!(until_next_code(T0 + SECOND * 59), SECOND);
    }

    #[tokio::test]
    async fn command_output_last_word_is_the_code() {
        let serial = "arn:aws:iam::111122223333:mfa/dev".parse().unwrap();
        let mfa = Mfa { serial, session: TYPED_CODE_TTL, process: None };
        assert_eq!(run_command(&mfa, "echo 'AWS:dev   123456'", &[]).await.unwrap().expose(), "123456");
        for bad in ["echo 12345", "echo 1234567", "echo abcdef", "true"] {
            assert!(
                run_command(&mfa, bad, &[]).await.unwrap_err().to_string().contains("a code of six digits"),
                "{bad}"
            );
        }
        assert!(!run_command(&mfa, "echo hunter2; exit 1", &[]).await.unwrap_err().to_string().contains("hunter2"));
    }
}
