//! The end of a command's standard error, as text for the user.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rolecall_protocol::sanitize_for_terminal;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

/// How much of the end is kept, in bytes (E3).
const MAX_KEPT: usize = 4 * 1024;
/// The longest text, in characters, and its longest number of lines.
const MAX_SHOWN: usize = 240;
const MAX_LINES: usize = 3;
/// How long the end is waited for after the command has ended: a process outside the group may hold it open forever.
const END_TIMEOUT: Duration = Duration::from_millis(200);
/// A word of this length with a digit and a letter may be a key, a token or a code.
const MIN_SECRET: usize = 16;
/// A longer path with digits and letters is hidden too.
const MAX_PATH: usize = 40;
/// What is shown in the place of such a word.
const HIDDEN: &str = "(hidden)";

/// Reads standard error to its end, so that the command is never blocked, and keeps the last bytes.
pub(super) struct StderrTail {
    kept: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl StderrTail {
    pub(super) fn of(stderr: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let tail = Arc::clone(&kept);
        let task = tokio::spawn(async move {
            let Some(mut stderr) = stderr else { return };
            let mut chunk = vec![0; MAX_KEPT];
            while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend_from_slice(chunk.get(..count).unwrap_or_default());
                let surplus = tail.len().saturating_sub(MAX_KEPT);
                tail.drain(..surplus);
            }
        });
        Self { kept, task }
    }

    /// Returns the last lines as one line that is safe for a terminal, without words that look like secrets.
    pub(super) async fn text(mut self) -> String {
        let _ = tokio::time::timeout(END_TIMEOUT, &mut self.task).await;
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        shown(&String::from_utf8_lossy(&kept))
    }
}

impl Drop for StderrTail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn shown(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    for line in plain.lines().rev().map(|line| sanitize_for_terminal(&redacted(line))).filter(|line| !line.is_empty()) {
        length += line.chars().count();
        if lines.len() == MAX_LINES || length > MAX_SHOWN && !lines.is_empty() {
            break;
        }
        lines.push(line.chars().take(MAX_SHOWN).collect());
    }
    lines.reverse();
    lines.join("; ")
}

/// Hides the rest of a line after a name such as `password=`, and every word that looks like a secret.
fn redacted(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let is_word = |c: char| c.is_ascii_alphanumeric() || "+/_-.~%".contains(c);
    let (mut name, mut rest) = (String::new(), line);
    while !rest.is_empty() {
        let (gap, after) = rest.split_at(rest.find(is_word).unwrap_or(rest.len()));
        text.push_str(gap);
        if introduces_secret(&name, gap) && !after.is_empty() {
            return text + HIDDEN;
        }
        let (word, after) = after.split_at(after.find(|c| !is_word(c)).unwrap_or(after.len()));
        text.push_str(if looks_secret(word) { HIDDEN } else { word });
        name = word.to_ascii_lowercase();
        rest = after;
    }
    text
}

/// Whether a secret follows a word and what stands behind it, as in `api_key: `, `--password ` and `Bearer `.
fn introduces_secret(name: &str, gap: &str) -> bool {
    const NAMES: [&str; 9] =
        ["secret", "token", "password", "passphrase", "passwd", "credential", "key", "bearer", "code"];
    let names_secret = NAMES.iter().any(|word| name.contains(word)) || ["pin", "otp", "pw"].contains(&name);
    let is_assigned = gap.contains(['=', ':', '>']);
    names_secret && (is_assigned || !gap.is_empty() && (name.starts_with("--") || name == "bearer"))
}

fn looks_secret(word: &str) -> bool {
    let has = |is: fn(&char) -> bool| word.chars().any(|c| is(&c));
    let has_both_cases = has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    let is_mixed = has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
    // Of a path or a host name, the cases tell: `~/.aws/cli/cache.json`, `i-0abc.eu-west-1.amazonaws.com`.
    let is_path = word.starts_with(['/', '~', '.']) || word.contains('.') && !has_both_cases;
    let is_code = (6..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    is_code || is_mixed && word.len() >= MIN_SECRET && !(is_path && word.len() < MAX_PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 99.
    #[test]
    fn shown_text_is_short_safe_and_without_secrets() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        for (text, expected) in [
            ("no backend\n", "no backend"),
            ("a\n\nb\nc\nd\n", "b; c; d"),
            ("\u{1b}[31merror:\u{1b}[0m \u{202e}x\u{7}\r\n", "error: \\u{202e}x"),
            ("error: no file /home/dev/.aws/cli/cache.json", "error: no file /home/dev/.aws/cli/cache.json"),
            (
                "role arn:aws:iam::111122223333:role/developers denied",
                "role arn:aws:iam::111122223333:role/developers denied",
            ),
            (
                "the security token included in the request is expired",
                "the security token included in the request is expired",
            ),
            (r#"{"AccessKeyId":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"short"}"#, r#"{"AccessKeyId":"(hidden)"#),
            ("AWS_SECRET_ACCESS_KEY=abc password: hunter2", "AWS_SECRET_ACCESS_KEY=(hidden)"),
            ("password: 'correct horse battery staple'", "password: '(hidden)"),
            ("login failed, passphrase = x:y:zsecret", "login failed, passphrase = (hidden)"),
            ("run with --password hunter2secret", "run with --password (hidden)"),
            ("<Password>hunter2secret</Password>", "<Password>(hidden)"),
            ("client_secret_value=a, api_key=b", "client_secret_value=(hidden)"),
            ("MFA code 123456 rejected", "MFA code (hidden) rejected"),
            ("Authorization: Bearer abc", "Authorization: Bearer (hidden)"),
            ("using s.5ciL2kdqLBqj4PYjAXqIVYQM", "using (hidden)"),
            ("rXUtnFEMI/K7MDENG+bPx", "(hidden)"),
            ("error: no token in keyring", "error: no token in keyring"),
            (secret, "(hidden)"),
            ("Token=IQoJb3JpZ2luX2VjEXAMPLE12", "Token=(hidden)"),
        ] {
            assert_eq!(shown(text), expected);
        }
        let long = shown(&"x ".repeat(5000));
        assert!(long.chars().count() <= MAX_SHOWN, "{long}");
    }
}
