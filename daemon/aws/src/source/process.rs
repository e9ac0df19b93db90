//! Running what AWS's own files name: `credential_process` and `mfa_process` (E3).
//!
//! The command runs in a process group of its own, which is killed as a whole when its time is up or when it has left
//! somebody behind who holds its output. What it writes to standard error may hold anything, secrets too, and is dropped.

use std::io;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rolecall_protocol::Secret;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it has to go by itself after SIGTERM.
const TERM_TIMEOUT: Duration = Duration::from_secs(1);
/// How long its output may stay open after its end: somebody whom it left behind may hold it for ever.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// The most that is read of its output, in bytes.
const MAX_OUTPUT: u64 = 64 * 1024;

/// Why a command gave nothing. None of this repeats what it wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("the command cannot be started: {0}")]
    Start(io::ErrorKind),
    /// It took too long, and was killed.
    #[error("the command did not end within {} s, and was killed", COMMAND_TIMEOUT.as_secs())]
    TimedOut,
    /// It said that it failed.
    #[error("the command failed ({0})")]
    Failed(String),
    /// It wrote too much.
    #[error("the command wrote more than {} KiB", MAX_OUTPUT / 1024)]
    OutputTooLarge,
    /// What it wrote is not what was asked for.
    #[error("the command did not write {0}")]
    Malformed(&'static str),
}

/// Runs a command line with `sh -c` and returns what it writes.
pub async fn run(line: &str) -> Result<Secret<Vec<u8>>, ProcessError> {
    run_within(line, COMMAND_TIMEOUT).await
}

async fn run_within(line: &str, patience: Duration) -> Result<Secret<Vec<u8>>, ProcessError> {
    let mut child = start(line)?;
    let mut group = ProcessGroup::of(&child);
    let output = child.stdout.take();
    let outcome = tokio::time::timeout(patience, finish(&mut child, &mut group, output)).await;
    let Ok(outcome) = outcome else {
        group.kill(&mut child).await;
        return Err(ProcessError::TimedOut);
    };
    outcome
}

fn start(line: &str) -> Result<Child, ProcessError> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.process_group(0).kill_on_drop(true);
    command.spawn().map_err(|error| ProcessError::Start(error.kind()))
}

/// Reads until the command has ended and its output is closed, or a moment longer. Once it has ended so has its group.
async fn finish(
    child: &mut Child,
    group: &mut ProcessGroup,
    output: Option<impl AsyncRead + Unpin>,
) -> Result<Secret<Vec<u8>>, ProcessError> {
    let mut said = Secret::new(Vec::with_capacity(usize::try_from(MAX_OUTPUT + 1).unwrap_or_default()));
    let Some(output) = output else { return Err(ProcessError::Malformed("anything")) };
    let mut output = output.take(MAX_OUTPUT + 1);
    let status = {
        let reading = async { output.read_to_end(said.expose_mut()).await };
        tokio::pin!(reading);
        tokio::select! {
            read = &mut reading => {
                read.map_err(|error| ProcessError::Start(error.kind()))?;
                if said.expose().len() as u64 > MAX_OUTPUT {
                    return Err(ProcessError::OutputTooLarge);
                }
                let status = child.wait().await;
                group.end();
                status
            }
            status = child.wait() => {
                group.end();
                // What is in the pipe is read; who has left the group and holds it open is not waited for.
                let _ = tokio::time::timeout(OUTPUT_TIMEOUT, &mut reading).await;
                status
            }
        }
    };
    let status = status.map_err(|error| ProcessError::Start(error.kind()))?;
    match (status.success(), said.expose().len() as u64 > MAX_OUTPUT) {
        (false, _) => Err(ProcessError::Failed(status.to_string())),
        (true, true) => Err(ProcessError::OutputTooLarge),
        (true, false) => Ok(said),
    }
}

/// The command with everything that it has started; nothing once it was killed. When its leader was waited for and nobody
/// else is left in it, its id may be given to others: it is killed at once then, and only once.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Gone already is as good.
            let _ = killpg(group, signal);
        }
    }

    /// Whoever is left of it is of no use to anybody.
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
    /// It was not waited for to its end: nobody reads what it says any more.
    fn drop(&mut self) {
        self.end();
    }
}

/// What a `credential_process` writes (AWS SDKs and Tools Reference, "Process credential provider").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialProcessOutput {
    version: u32,
    access_key_id: Secret<String>,
    secret_access_key: Secret<String>,
    session_token: Option<Secret<String>>,
    expiration: Option<String>,
}

/// Runs a `credential_process`.
pub(super) async fn credentials(line: &str) -> Result<Credentials, ProcessError> {
    parse(run(line).await?.expose())
}

fn parse(said: &[u8]) -> Result<Credentials, ProcessError> {
    const WANTED: &str = "credentials (JSON with Version 1, AccessKeyId, SecretAccessKey)";
    let malformed = || ProcessError::Malformed(WANTED);
    let written: CredentialProcessOutput = serde_json::from_slice(said).map_err(|_| malformed())?;
    if written.version != 1
        || written.access_key_id.expose().is_empty()
        || written.secret_access_key.expose().is_empty()
    {
        return Err(malformed());
    }
    let expiry = match &written.expiration {
        Some(text) => {
            let end: jiff::Timestamp =
                text.parse().map_err(|_| ProcessError::Malformed("an Expiration as RFC 3339 has it"))?;
            Some(SystemTime::from(end))
        }
        None => None,
    };
    Ok(Credentials::new(
        written.access_key_id.expose().as_str(),
        written.secret_access_key.expose().as_str(),
        written.session_token.as_ref().map(|token| token.expose().clone()).filter(|token| !token.is_empty()),
        expiry,
        "credential_process",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(line: &str) -> Result<String, ProcessError> {
        run_within(line, Duration::from_secs(3)).await.map(|said| String::from_utf8_lossy(said.expose()).into_owned())
    }

    #[tokio::test]
    async fn row_99_a_command_is_bounded_whatever_it_does() {
        assert_eq!(said("echo hello").await.as_deref(), Ok("hello\n"));
        assert_eq!(said("echo secret >&2; exit 3").await, Err(ProcessError::Failed("exit status: 3".to_owned())));
        assert_eq!(said("yes").await, Err(ProcessError::OutputTooLarge));
        assert_eq!(said("/nowhere/at/all").await, Err(ProcessError::Failed("exit status: 127".to_owned())));
        assert_eq!(said("kill -9 $$").await, Err(ProcessError::Failed("signal: 9 (SIGKILL)".to_owned())));
    }

    #[tokio::test]
    async fn row_99_nobody_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let alive = |name: &str| {
            let id = std::fs::read_to_string(folder.path().join(name)).unwrap();
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
            // One that nobody has waited for yet is as dead.
            !stat.is_empty() && !stat.contains(") Z ")
        };
        let path = folder.path().display();
        // It has answered, and left somebody who holds its output.
        assert_eq!(said(&format!("sleep 600 & echo $! > {path}/kept; echo done")).await.as_deref(), Ok("done\n"));
        // It hangs, deaf to SIGTERM, and so does its child.
        let line = format!("trap '' TERM; sleep 600 & echo $! > {path}/hung; echo $$ > {path}/shell; wait; sleep 600");
        assert_eq!(run_within(&line, Duration::from_millis(500)).await.unwrap_err(), ProcessError::TimedOut);
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

    #[tokio::test]
    async fn row_99_a_group_is_not_killed_again_when_others_may_have_its_id() {
        // Its output ends before it does; it ends before its output; its output goes on, held by one who left the group.
        for line in ["echo done; exec 1>&-; exit 0", "sleep 600 & echo done", "setsid sleep 2 & echo done"] {
            let mut child = start(line).unwrap();
            let mut group = ProcessGroup::of(&child);
            assert!(group.0.is_some());
            let output = child.stdout.take();
            let said = finish(&mut child, &mut group, output).await.unwrap();
            assert_eq!((said.expose().as_slice(), group.0), (&b"done\n"[..], None), "{line}");
        }
    }

    #[test]
    fn credentials_are_read_whole_or_not_at_all() {
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
            br#"{"Version": 1, "AccessKeyId": "", "SecretAccessKey": "s"}"#,
            br#"{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "s", "Expiration": "tomorrow"}"#,
        ] {
            let said = parse(bad).unwrap_err().to_string();
            assert!(!said.contains("AKIA"), "{said}");
        }
    }
}
