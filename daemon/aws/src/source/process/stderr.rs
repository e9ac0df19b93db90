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

/// Replaces words that look like secrets: long ones of letters and digits, and what follows a name such as `password=`.
fn redacted(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut name = String::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || "+/_-.~%".contains(c);
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(is_word).unwrap_or(rest.len());
        let (gap, after) = rest.split_at(end);
        text.push_str(gap);
        let end = after.find(|c| !is_word(c)).unwrap_or(after.len());
        let (word, after) = after.split_at(end);
        let is_named = gap.contains([':', '=']) && names_a_secret(&name);
        text.push_str(if !word.is_empty() && (is_named || looks_secret(word)) { HIDDEN } else { word });
        name = word.to_ascii_lowercase();
        rest = after;
    }
    text
}

fn names_a_secret(name: &str) -> bool {
    ["secret", "token", "password", "passphrase", "passwd", "credential"].iter().any(|word| {
        name.ends_with(word)
            || name.ends_with(&format!("{word}accesskey"))
            || name.ends_with(&format!("{word}_access_key"))
    })
}

fn looks_secret(word: &str) -> bool {
    let has = |is: fn(&char) -> bool| word.chars().any(|c| is(&c));
    let is_mixed = has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
    let is_path = word.contains(['/', '.']);
    let is_long = word.len() >= 40 && has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    is_mixed && (is_long || word.len() >= MIN_SECRET && !is_path)
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
            (
                r#"{"AccessKeyId":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"short"}"#,
                r#"{"AccessKeyId":"(hidden)","SecretAccessKey":"(hidden)"}"#,
            ),
            ("AWS_SECRET_ACCESS_KEY=abc password: hunter2", "AWS_SECRET_ACCESS_KEY=(hidden) password: (hidden)"),
            (secret, "(hidden)"),
            ("Token=IQoJb3JpZ2luX2VjEXAMPLE12", "Token=(hidden)"),
        ] {
            assert_eq!(shown(text), expected);
        }
        let long = shown(&"x ".repeat(5000));
        assert!(long.chars().count() <= MAX_SHOWN, "{long}");
    }
}
