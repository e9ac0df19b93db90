//! The answer to one call, before it is checked.

use std::time::Duration;

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// An ExecCredential.
    Credential(Value),
    /// A proper error.
    Error(String),
    /// An answer that no state of AWS or the network explains.
    Broken(String),
}

/// How a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A request over the socket.
    Socket,
    /// A `rolecall token` process.
    Process,
}

/// An answer and how it came.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) way: Way,
    pub(super) took: Duration,
    /// Connections that closed before the first byte of a response. Every client repeats the request then.
    pub(super) lost: usize,
}

/// Error codes of a daemon that cannot reach AWS, or waits for it.
const EXPECTED_CODES: [&str; 5] = ["throttled", "aws_unavailable", "timeout", "clock_skewed", "unavailable"];

impl Answer {
    /// Reads a response of the daemon.
    pub(super) fn of_response(status: u16, body: &[u8]) -> Self {
        let Ok(json) = serde_json::from_slice::<Value>(body) else {
            return Self::Broken(format!("status {status} with a body that is not JSON"));
        };
        if status == 200 {
            return Self::Credential(json);
        }
        let error = &json["error"];
        let text = format!("{status} {}: {}", error["code"], error["message"]);
        if error["code"].as_str().is_some_and(|code| EXPECTED_CODES.contains(&code)) {
            Self::Error(text)
        } else {
            Self::Broken(text)
        }
    }

    /// Reads the output of `rolecall token`.
    pub(super) fn of_process(code: Option<i32>, stdout: &str, stderr: &str) -> Self {
        let text = format!("exit {code:?}: {}", stderr.trim_end());
        match code {
            Some(0) => serde_json::from_str(stdout).map_or_else(|_| Self::Broken(text), Self::Credential),
            // 1 is an error of AWS, 3 a daemon that does not answer; 70 would be a bug, 5 a login that none is needed for.
            Some(1 | 3) if stdout.is_empty() && stderr.starts_with("rolecall: ") => Self::Error(text),
            _ => Self::Broken(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_outside_the_expected_is_broken() {
        let of_response = |status, body: &str| Answer::of_response(status, body.as_bytes());
        assert!(matches!(of_response(200, "{}"), Answer::Credential(_)));
        assert!(matches!(of_response(502, r#"{"error":{"code":"aws_unavailable"}}"#), Answer::Error(_)));
        assert!(matches!(of_response(500, r#"{"error":{"code":"internal"}}"#), Answer::Broken(_)));
        assert!(matches!(of_response(403, r#"{"error":{"code":"access_denied"}}"#), Answer::Broken(_)));
        assert!(matches!(of_response(200, "{"), Answer::Broken(_)));
        assert!(matches!(Answer::of_process(Some(0), "{}", ""), Answer::Credential(_)));
        assert!(matches!(Answer::of_process(Some(1), "", "rolecall: prod: x\n"), Answer::Error(_)));
        for (code, stdout, stderr) in [
            (Some(0), "", ""),
            (Some(1), "{}", "rolecall: x"),
            (Some(1), "", "panicked"),
            (Some(70), "", "rolecall: x"),
            (None, "", "rolecall: x"),
        ] {
            assert!(matches!(Answer::of_process(code, stdout, stderr), Answer::Broken(_)), "{code:?} {stderr}");
        }
    }
}
