//! Runs the commands in AWS's own files: `credential_process` and `mfa_process` (E3).
//!
//! A command runs in its own process group, with the environment that the configuration gives it. The group is killed at the
//! timeout, and after the command has ended, so that no child stays. The end of its standard error is part of the message of a
//! failure, without words that look like secrets; it is never logged.

mod stderr;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rolecall_protocol::{SOURCE_PROCESS_VARIABLE, Secret};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use stderr::StderrTail;

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a command may take to end after SIGTERM.
const TERM_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the output is read after the end of the command: a process outside the group may hold it open forever.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest output of a command, in bytes.
const MAX_OUTPUT: u64 = 64 * 1024;

/// Why a command returned nothing. The messages do not quote its output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessError {
    /// The command did not start.
    #[error("the command cannot be started: {}", match .0 {
        io::ErrorKind::NotFound => "its program is not on the agent's PATH".to_owned(),
        other => other.to_string(),
    })]
    Start(io::ErrorKind),
    /// The command exceeded its timeout and was killed.
    #[error("the command exceeded {} s and was killed", COMMAND_TIMEOUT.as_secs())]
    TimedOut {
        /// What it printed on standard error, for the user only.
        printed: String,
    },
    /// The command ended with a failure.
    #[error("the command failed ({status})")]
    Failed {
        /// How it ended.
        status: String,
        /// What it printed on standard error, for the user only.
        printed: String,
    },
    /// The output is too large.
    #[error("the command wrote more than {} KiB", MAX_OUTPUT / 1024)]
    OutputTooLarge,
    /// The output has another form.
    #[error("the command did not write {0}")]
    Malformed(&'static str),
}

impl ProcessError {
    /// The message for the user, with what the command printed. It is not for the log.
    #[must_use]
    pub fn with_printed(&self) -> String {
        match self {
            Self::TimedOut { printed } | Self::Failed { printed, .. } if !printed.is_empty() => {
                format!("{self}; it printed: {printed}")
            }
            _ => self.to_string(),
        }
    }
}

/// Runs a command line with `sh -c` in this environment and returns its output. Errors after 30 s, for a failed command, and for
/// an output over 64 KiB.
pub async fn run(line: &str, environment: &[(OsString, OsString)]) -> Result<Secret<Vec<u8>>, ProcessError> {
    run_within(shell(line), b"", environment, COMMAND_TIMEOUT).await
}

/// Runs a program, without a shell, with this standard input (of at most 4 KiB) and returns its output. Errors after `limit`, if it
/// fails, and for an output over 64 KiB.
pub async fn run_program(
    program: &Path,
    arguments: &[String],
    input: &[u8],
    environment: &[(OsString, OsString)],
    limit: Duration,
) -> Result<Vec<u8>, ProcessError> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/");
    let output = run_within(command, input, environment, limit).await?;
    Ok(output.expose().clone())
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]);
    command
}

async fn run_within(
    command: Command,
    input: &[u8],
    environment: &[(OsString, OsString)],
    limit: Duration,
) -> Result<Secret<Vec<u8>>, ProcessError> {
    let mut child = start(command, !input.is_empty(), environment)?;
    let mut group = ProcessGroup::of(&child);
    // It stays open until the program has ended: some programs end with their standard input.
    let mut stdin = child.stdin.take();
    if let Some(stdin) = &mut stdin {
        // A pipe holds it, so this waits for nothing. A program that has closed its input gives its own error.
        drop(stdin.write_all(input).await);
    }
    let (output, errors) = (child.stdout.take(), StderrTail::of(child.stderr.take()));
    let outcome = tokio::time::timeout(limit, finish(&mut child, &mut group, output)).await;
    let Ok(outcome) = outcome else {
        group.kill(&mut child).await;
        return Err(ProcessError::TimedOut { printed: errors.text().await });
    };
    match outcome {
        Err(ProcessError::Failed { status, .. }) => Err(ProcessError::Failed { status, printed: errors.text().await }),
        outcome => outcome,
    }
}

fn start(mut command: Command, has_input: bool, environment: &[(OsString, OsString)]) -> Result<Child, ProcessError> {
    command.stdin(if has_input { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.process_group(0).kill_on_drop(true);
    command.spawn().map_err(|error| ProcessError::Start(error.kind()))
}

/// Reads the output until it is closed, or until shortly after the command has ended. Kills the group after the command.
async fn finish(
    child: &mut Child,
    group: &mut ProcessGroup,
    output: Option<impl AsyncRead + Unpin>,
) -> Result<Secret<Vec<u8>>, ProcessError> {
    let mut written = Secret::new(Vec::with_capacity(usize::try_from(MAX_OUTPUT + 1).unwrap_or_default()));
    let Some(output) = output else { return Err(ProcessError::Malformed("anything")) };
    let mut output = output.take(MAX_OUTPUT + 1);
    let status = {
        let reading = async { output.read_to_end(written.expose_mut()).await };
        tokio::pin!(reading);
        tokio::select! {
            read = &mut reading => {
                read.map_err(|error| ProcessError::Start(error.kind()))?;
                if written.expose().len() as u64 > MAX_OUTPUT {
                    return Err(ProcessError::OutputTooLarge);
                }
                let status = child.wait().await;
                group.end();
                status
            }
            status = child.wait() => {
                group.end();
                // Reads what is in the pipe, but does not wait for a process that left the group and holds it open.
                let _ = tokio::time::timeout(OUTPUT_TIMEOUT, &mut reading).await;
                status
            }
        }
    };
    let status = status.map_err(|error| ProcessError::Start(error.kind()))?;
    match (status.success(), written.expose().len() as u64 > MAX_OUTPUT) {
        (false, _) => Err(ProcessError::Failed { status: status.to_string(), printed: String::new() }),
        (true, true) => Err(ProcessError::OutputTooLarge),
        (true, false) => Ok(written),
    }
}

/// The process group of a command; `None` after it was killed. Once its leader is reaped and the group is empty, the kernel
/// may give its id to another group, so it is killed exactly once, right after the leader has ended.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The group may have ended already.
            let _ = killpg(group, signal);
        }
    }

    /// Kills the rest of the group.
    fn end(&mut self) {
        self.signal(Signal::SIGKILL);
        self.0 = None;
    }

    async fn kill(&mut self, child: &mut Child) {
        self.signal(Signal::SIGTERM);
        let _ = tokio::time::timeout(TERM_TIMEOUT, child.wait()).await;
        self.end();
        let _ = tokio::time::timeout(TERM_TIMEOUT, child.wait()).await;
    }
}

impl Drop for ProcessGroup {
    /// Kills the group of a command that was not waited for.
    fn drop(&mut self) {
        self.end();
    }
}

/// The output of a `credential_process` (AWS SDKs and Tools Reference, "Process credential provider").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialProcessOutput {
    version: u32,
    access_key_id: Secret<String>,
    secret_access_key: Secret<String>,
    session_token: Option<Secret<String>>,
    expiration: Option<String>,
}

/// Runs a `credential_process`: a program with its arguments, without a shell, as the AWS CLI does.
pub(super) async fn credentials(
    words: &[String],
    environment: &[(OsString, OsString)],
) -> Result<Credentials, ProcessError> {
    let mut words = words.iter();
    let mut command = Command::new(words.next().ok_or(ProcessError::Start(io::ErrorKind::NotFound))?);
    command.args(words);
    let marker = (SOURCE_PROCESS_VARIABLE.into(), "1".into());
    let environment: Vec<_> = environment.iter().cloned().chain([marker]).collect();
    parse(run_within(command, b"", &environment, COMMAND_TIMEOUT).await?.expose())
}

fn parse(output: &[u8]) -> Result<Credentials, ProcessError> {
    const WANTED: &str = "credentials (JSON with Version 1, AccessKeyId, SecretAccessKey)";
    let malformed = || ProcessError::Malformed(WANTED);
    let written: CredentialProcessOutput = serde_json::from_slice(output).map_err(|_| malformed())?;
    if written.version != 1 {
        return Err(malformed());
    }
    let expiry = written.expiration.as_deref().map(parse_expiration).transpose()?;
    Ok(Credentials::new(
        written.access_key_id.expose().as_str(),
        written.secret_access_key.expose().as_str(),
        written.session_token.as_ref().map(|token| token.expose().clone()).filter(|token| !token.is_empty()),
        expiry,
        "credential_process",
    ))
}

/// Parses a time in RFC 3339, up to the year 9999: some programs write its last day for credentials without an end. The range
/// of `jiff` ends a day before.
fn parse_expiration(text: &str) -> Result<SystemTime, ProcessError> {
    let end = DateTime::from_str(text.trim(), Format::DateTimeWithOffset).ok();
    end.and_then(|end| SystemTime::try_from(end).ok()).ok_or(ProcessError::Malformed("an Expiration in RFC 3339"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Vec<(OsString, OsString)> {
        [("PATH", "/usr/bin:/bin"), ("GIVEN", "x")].map(|(name, value)| (name.into(), value.into())).to_vec()
    }

    async fn output_of(line: &str) -> Result<String, ProcessError> {
        run_within(shell(line), b"", &environment(), Duration::from_secs(3))
            .await
            .map(|output| String::from_utf8_lossy(output.expose()).into_owned())
    }

    /// Fault matrix row 99.
    #[tokio::test]
    async fn run_output_and_failure_are_bounded() {
        assert_eq!(output_of("echo hello").await.as_deref(), Ok("hello\n"));
        assert_eq!(output_of("yes").await, Err(ProcessError::OutputTooLarge));
        assert_eq!(output_of("yes >&2 & echo done").await.as_deref(), Ok("done\n"));
        for (line, expected) in [
            ("exit 3", "the command failed (exit status: 3)"),
            ("echo No backend >&2; exit 3", "the command failed (exit status: 3); it printed: No backend"),
            ("kill -9 $$", "the command failed (signal: 9 (SIGKILL))"),
            ("echo waiting >&2; sleep 60", "the command exceeded 30 s and was killed; it printed: waiting"),
            ("yes 'a b' | head -n 999999 >&2; echo the end >&2; exit 1", "it printed: a b; a b; the end"),
        ] {
            let error = output_of(line).await.unwrap_err();
            assert!(error.with_printed().ends_with(expected), "{}", error.with_printed());
            assert!(!error.to_string().contains("printed"), "{error}");
        }
        let missing = output_of("/nowhere/at/all").await.unwrap_err();
        assert!(missing.with_printed().contains("/nowhere/at/all: not found"), "{}", missing.with_printed());
    }

    /// Fault matrix row 52.
    #[tokio::test]
    async fn run_gives_the_environment_and_no_open_file() {
        let variables =
            output_of("env | grep -v '^_=' | grep -v ^PWD= | grep -v ^SHLVL= | grep -v ^OLDPWD= | sort").await;
        assert_eq!(variables.as_deref(), Ok("GIVEN=x\nPATH=/usr/bin:/bin\n"));
        if cfg!(not(target_os = "linux")) {
            return; // only /proc lists the open files of a process
        }
        let open = tempfile::NamedTempFile::new().unwrap();
        let own = format!("/proc/{}/fd", std::process::id());
        let is_open = |folder: &str| format!("ls -l {folder} | grep -c {}; true", open.path().display());
        assert_eq!(output_of(&is_open(&own)).await.as_deref(), Ok("1\n"));
        assert_eq!(output_of(&is_open("/proc/$$/fd")).await.as_deref(), Ok("0\n"));
    }

    /// Fault matrix row 99.
    #[tokio::test]
    async fn run_leaves_no_child_process() {
        let folder = tempfile::tempdir().unwrap();
        let alive = |name: &str| {
            let id = std::fs::read_to_string(folder.path().join(name)).unwrap();
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
            // A zombie counts as ended.
            !stat.is_empty() && !stat.contains(") Z ")
        };
        let path = folder.path().display();
        // It has ended, and its child holds the output.
        assert_eq!(output_of(&format!("sleep 600 & echo $! > {path}/kept; echo done")).await.as_deref(), Ok("done\n"));
        // It and its child ignore SIGTERM and hang.
        let timed_out = ProcessError::TimedOut { printed: String::new() };
        let line = format!("trap '' TERM; sleep 600 & echo $! > {path}/hung; echo $$ > {path}/shell; wait; sleep 600");
        assert_eq!(
            run_within(shell(&line), b"", &environment(), Duration::from_millis(500)).await.unwrap_err(),
            timed_out
        );
        for name in ["kept", "hung", "shell"] {
            for _ in 0..200 {
                if !alive(name) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(!alive(name), "{name}");
        }
    }

    /// Fault matrix row 99.
    #[tokio::test]
    async fn finish_kills_the_group_once() {
        // The output ends first; the command ends first; a process outside the group holds the output.
        for line in ["echo done; exec 1>&-; exit 0", "sleep 600 & echo done", "setsid sleep 2 & echo done"] {
            let mut child = start(shell(line), false, &environment()).unwrap();
            let mut group = ProcessGroup::of(&child);
            assert!(group.0.is_some());
            let stdout = child.stdout.take();
            let output = finish(&mut child, &mut group, stdout).await.unwrap();
            assert_eq!((output.expose().as_slice(), group.0), (&b"done\n"[..], None), "{line}");
        }
    }

    #[test]
    fn parse_incomplete_credentials_rejected() {
        let whole = br#"{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "s", "SessionToken": "t",
            "Expiration": "2026-01-02T03:04:05Z", "AccountId": "111122223333"}"#;
        let got = parse(whole).unwrap();
        assert_eq!((got.access_key_id(), got.session_token()), ("AKIA", Some("t")));
        assert_eq!(got.expiry().map(jiff::Timestamp::try_from).unwrap().unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert!(parse(br#"{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "s"}"#).unwrap().expiry().is_none());
        for bad in [
            &b""[..],
            b"\xff\xfe",
            b"{}",
            br#"{"Version": 2, "AccessKeyId": "AKIA", "SecretAccessKey": "s"}"#,
            br#"{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "s", "Expiration": "tomorrow"}"#,
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(!error.contains("AKIA"), "{error}");
        }
    }

    /// Fault matrix row 65.
    #[test]
    fn parse_expiration_any_form_up_to_year_9999() {
        let seconds =
            |text: &str| parse_expiration(text).unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds("9999-12-31T23:59:59Z"), 253_402_300_799);
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.250Z",
            "2026-01-02T04:04:05+01:00",
            " 2026-01-02T03:04:05+00:00\n",
        ] {
            assert_eq!(seconds(text), 1_767_323_045, "{text}");
        }
        for text in ["", "tomorrow", "1767323045", "2026-13-02T03:04:05Z"] {
            assert!(parse_expiration(text).is_err(), "{text}");
        }
    }
}
