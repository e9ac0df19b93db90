//! Asks the user to confirm: through pinentry, or a program with the interface of ssh-askpass.
//!
//! The question never reaches a terminal: pinentry gets no terminal, and both programs run without standard input and show a window.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rolecall_aws::source::process::{self, ProcessError};
use rolecall_core::constraints::{CONFIRM_TIMEOUT, ConstraintError};
use rolecall_protocol::sanitize_for_terminal;

/// The programs that are tried if the configuration names none.
const PROGRAMS: [&str; 7] = [
    "/usr/bin/pinentry",
    "/usr/local/bin/pinentry",
    "/opt/homebrew/bin/pinentry-mac",
    "/usr/bin/ssh-askpass",
    "/usr/lib/ssh/ssh-askpass",
    "/usr/libexec/ssh-askpass",
    "/usr/libexec/openssh/ssh-askpass",
];
/// The part of an Assuan error code that names the error; the rest names the program (libgpg-error).
const CODE_MASK: u32 = 0xffff;
/// GPG_ERR_TIMEOUT, GPG_ERR_CANCELED, GPG_ERR_NOT_CONFIRMED, GPG_ERR_FULLY_CANCELED.
const NO_ANSWER: u32 = 62;
const REFUSALS: [u32; 3] = [99, 114, 198];

/// Asks the question, whose lines have to be one line of text each, and returns after a yes.
pub async fn ask(
    program: Option<&Path>,
    lines: &[String],
    environment: &[(OsString, OsString)],
) -> Result<(), ConstraintError> {
    let Some(program) = program.map(PathBuf::from).or_else(find_program) else {
        return Err(ConstraintError::NoPrompt("neither pinentry nor ssh-askpass is installed".to_owned()));
    };
    // A user who can change the program can answer instead.
    rolecall_trusted_file::check(&program).map_err(|error| {
        ConstraintError::NoPrompt(sanitize_for_terminal(&format!("{}: {error}", program.display())))
    })?;
    let lines: Vec<String> = lines.iter().map(|line| sanitize_for_terminal(line)).collect();
    if is_pinentry(&program) {
        let output =
            run(&program, &[], &commands(&lines), environment).await.map_err(|error| failed(&program, &error))?;
        return answer(&output);
    }
    let mut environment = environment.to_vec();
    // ssh-askpass then shows two buttons and no field (ssh-askpass(1), OpenSSH 8.4).
    environment.push(("SSH_ASKPASS_PROMPT".into(), "confirm".into()));
    match run(&program, &[lines.join("\n")], "", &environment).await {
        Ok(_) => Ok(()),
        Err(ProcessError::Failed { .. }) => Err(ConstraintError::Denied),
        Err(error) => Err(failed(&program, &error)),
    }
}

async fn run(
    program: &Path,
    arguments: &[String],
    input: &str,
    environment: &[(OsString, OsString)],
) -> Result<String, ProcessError> {
    let output = process::run_program(program, arguments, input.as_bytes(), environment, CONFIRM_TIMEOUT).await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

fn failed(program: &Path, error: &ProcessError) -> ConstraintError {
    match error {
        ProcessError::TimedOut { .. } => ConstraintError::NoAnswer,
        error => ConstraintError::NoPrompt(sanitize_for_terminal(&format!("{}: {error}", program.display()))),
    }
}

fn find_program() -> Option<PathBuf> {
    PROGRAMS.into_iter().map(PathBuf::from).find(|path| path.is_file())
}

/// pinentry has several names: `pinentry-gnome3`, `pinentry-mac`.
fn is_pinentry(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"pinentry"))
}

/// Returns the commands for pinentry, one a line (the Assuan protocol).
fn commands(lines: &[String]) -> String {
    let text = lines.iter().map(|line| line.replace('%', "%25")).collect::<Vec<_>>().join("%0A");
    let timeout = CONFIRM_TIMEOUT.as_secs();
    format!("SETTITLE Rolecall\nSETDESC {text}\nSETOK Allow\nSETCANCEL Deny\nSETTIMEOUT {timeout}\nCONFIRM\nBYE\n")
}

/// Reads pinentry's answer to CONFIRM. Each command gets one line that begins with OK or ERR, after one for the start.
fn answer(output: &str) -> Result<(), ConstraintError> {
    let mut results = output.lines().filter(|line| line.starts_with("OK") || line.starts_with("ERR"));
    let line = results.nth(6).unwrap_or_default();
    let code = line.strip_prefix("ERR ").and_then(|error| error.split(' ').next()).and_then(|code| code.parse().ok());
    match code.map(|code: u32| code & CODE_MASK) {
        None if line.starts_with("OK") => Ok(()),
        None => Err(ConstraintError::NoPrompt("pinentry ended without an answer".to_owned())),
        Some(NO_ANSWER) => Err(ConstraintError::NoAnswer),
        Some(code) if REFUSALS.contains(&code) => Err(ConstraintError::Denied),
        Some(_) => {
            let text = line.splitn(3, ' ').nth(2).unwrap_or_default();
            Err(ConstraintError::NoPrompt(sanitize_for_terminal(&format!("pinentry: {text}"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a shell script as the program of this name.
    async fn asked(name: &str, script: &str, lines: &[&str]) -> Result<(), ConstraintError> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(name);
        // By a child: a file that this process has open for writing cannot be executed.
        let text = format!("#!/bin/sh\ncd '{}'\n{script}\n", folder.path().display());
        let mut write = std::process::Command::new("/bin/sh");
        write.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\""]).arg(&program).arg(text);
        assert!(write.status().unwrap().success());
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        ask(Some(&program), &lines, &[("PATH".into(), "/usr/bin:/bin".into())]).await
    }

    /// A pinentry that answers each command with OK, and CONFIRM with this.
    fn pinentry(confirm: &str) -> String {
        format!(
            "echo 'OK Pleased to meet you'; while read -r command; do case $command in CONFIRM) echo '{confirm}';; \
             BYE) echo OK; exit;; *) echo OK;; esac; done"
        )
    }

    #[tokio::test]
    async fn program_that_others_can_change_is_not_asked() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("askpass");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o777)).unwrap();
        let answer = ask(Some(&program), &[], &[]).await;
        assert!(matches!(&answer, Err(ConstraintError::NoPrompt(why)) if why.contains("askpass")), "{answer:?}");
    }

    /// Fault matrix row 105.
    #[tokio::test]
    async fn pinentry_answers() {
        let question = ["Allow kubectl?"];
        assert_eq!(asked("pinentry", &pinentry("OK"), &question).await, Ok(()));
        for (confirm, expected) in [
            ("ERR 83886194 not confirmed <Pinentry>", ConstraintError::Denied),
            ("ERR 83886179 Operation cancelled <Pinentry>", ConstraintError::Denied),
            ("ERR 83886142 Timeout <Pinentry>", ConstraintError::NoAnswer),
            (
                "ERR 83918950 Inappropriate ioctl for device <Pinentry>",
                ConstraintError::NoPrompt("pinentry: Inappropriate ioctl for device <Pinentry>".to_owned()),
            ),
        ] {
            assert_eq!(asked("pinentry-gnome3", &pinentry(confirm), &question).await, Err(expected), "{confirm}");
        }
        for script in ["exit 0", "exit 1", "echo OK; echo OK"] {
            let error = asked("pinentry", script, &question).await.unwrap_err();
            assert!(matches!(error, ConstraintError::NoPrompt(_)), "{script}: {error:?}");
        }
    }

    /// Fault matrix row 105.
    #[tokio::test]
    async fn askpass_answers_by_its_exit_code() {
        let script = "[ \"$SSH_ASKPASS_PROMPT\" = confirm ] && [ \"$1\" = 'Allow kubectl?\nRole: dev' ]";
        assert_eq!(asked("ssh-askpass", script, &["Allow kubectl?", "Role: dev"]).await, Ok(()));
        assert_eq!(asked("ssh-askpass", "exit 1", &["x"]).await, Err(ConstraintError::Denied));
        let missing = ask(Some(Path::new("/nonexistent/askpass")), &[], &[]).await;
        assert!(matches!(missing, Err(ConstraintError::NoPrompt(_))), "{missing:?}");
    }

    #[tokio::test]
    async fn hostile_text_adds_no_command_and_no_line() {
        let hostile = "k%0Actl\nSETOK evil\u{1b}[2J\r";
        let lines = [sanitize_for_terminal(hostile)];
        assert_eq!(commands(&lines).lines().nth(1), Some("SETDESC k%250Actl SETOK evil\\u{1b}[2J"));
        let script = "[ \"$1\" = 'k%0Actl SETOK evil\\u{1b}[2J' ]";
        assert_eq!(asked("askpass", script, &[hostile]).await, Ok(()));
    }
}
