//! The lines of the audit log. The daemon appends them to [`location::audit_log`](crate::location::audit_log), and
//! `rolecall audit` reads them.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A line of the audit log: one decision about a secret, in one JSON object.
///
/// ```json
/// {"time": "2026-01-02T03:04:05.123Z", "operation": "token", "decision": "allowed", "uid": 1000, "pid": 4712,
///  "started": 881234, "command": "rolecall",
///  "parents": [{"pid": 4711, "started": 881230, "command": "kubectl", "executable": "/usr/local/bin/kubectl"}],
///  "profile": "prod", "cluster": "prod", "role": "arn:aws:iam::111122223333:role/developers", "cached": true,
///  "key_id": "WXYZ", "latency_us": 214}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When the daemon decided, by this machine's clock, in milliseconds.
    pub time: Timestamp,
    /// What was requested: `token`, `refresh`, `probe`, `cluster`, `cluster_access`, `login`, `logout`, `lock`, `unlock`,
    /// `put_key`, `rotate_key`, `forget_key`, `restart`, `stop`, or `connect` for a connection of another user.
    pub operation: String,
    /// Whether the request was served.
    pub decision: AuditDecision,
    /// Why: the [`ErrorCode`](crate::ErrorCode) of a refused request, `other_user` for a refused connection, `idle` or
    /// `max` for an automatic lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The user at the other end of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The process at the other end: the client. Absent for an automatic lock.
    #[serde(flatten)]
    pub process: Option<AuditProcess>,
    /// The parent of the process, its parent, and so on, three at most. Shorter if one of them had ended before the daemon
    /// looked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<AuditProcess>,
    /// The name of the profile, as the request has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The name of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The name of the access key in the OS keyring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The profile's cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The profile's last role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Whether the session was in the cache before the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<bool>,
    /// The last four characters of the access key id that signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The time from the whole request to the decision, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u64>,
    /// How many decisions before this one are missing, because they could not be written in time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
}

/// A process in the audit log. All of it except the id and the start comes from the process itself, which can lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditProcess {
    /// The process id.
    pub pid: u32,
    /// When it started, in the kernel's clock ticks since boot (field 22 of proc_pid_stat(5)). Absent if the system does not
    /// say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The name of the command, 15 bytes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The path of the program. Absent if the system does not say: it hides that of a process that forbids debugging, such as
    /// `rolecall`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
}

/// Whether a request was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditDecision {
    /// It was served.
    Allowed,
    /// It was refused, or failed.
    Refused,
    /// A decision that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The state of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// The path of the file.
    pub file: String,
    /// How many decisions are not in the log, since the start of the process.
    #[serde(default)]
    pub lost: u64,
    /// How many decisions are not written yet.
    #[serde(default)]
    pub waiting: u64,
    /// Why the file cannot be opened or written now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Serde passes a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl AuditRecord {
    /// Returns the record as one line of JSON in ASCII, so that a program's name cannot forge a line or move a cursor.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = Vec::with_capacity(512);
        // Fails only where a map has keys that are no texts.
        let mut serializer = serde_json::Serializer::with_formatter(&mut line, Ascii);
        if self.serialize(&mut serializer).is_err() {
            line.clear();
        }
        line.push(b'\n');
        String::from_utf8(line).unwrap_or_default()
    }
}

/// Writes characters outside of ASCII, and DEL, as escapes.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            if c.is_ascii() && c != '\u{7f}' {
                writer.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AuditRecord {
        let process = AuditProcess { pid: 7, started: Some(9), command: Some("rolecall".to_owned()), executable: None };
        AuditRecord {
            time: "2026-01-02T03:04:05.123Z".parse().unwrap(),
            operation: "token".to_owned(),
            decision: AuditDecision::Refused,
            reason: Some("pin_mismatch".to_owned()),
            uid: Some(1000),
            process: Some(process.clone()),
            parents: vec![AuditProcess { executable: Some("/bin/kube\nctl".to_owned()), ..process }],
            profile: Some("prod".to_owned()),
            source: None,
            key: None,
            cluster: None,
            role: None,
            cached: None,
            key_id: None,
            latency_us: Some(214),
            lost: 0,
        }
    }

    #[test]
    fn record_is_one_flat_object() {
        let line = record().to_line();
        assert_eq!(
            line,
            "{\"time\":\"2026-01-02T03:04:05.123Z\",\"operation\":\"token\",\"decision\":\"refused\",\
             \"reason\":\"pin_mismatch\",\"uid\":1000,\"pid\":7,\"started\":9,\"command\":\"rolecall\",\
             \"parents\":[{\"pid\":7,\"started\":9,\"command\":\"rolecall\",\"executable\":\"/bin/kube\\nctl\"}],\
             \"profile\":\"prod\",\"latency_us\":214}\n"
        );
        assert_eq!(serde_json::from_str::<AuditRecord>(&line).unwrap(), record());
    }

    #[test]
    fn record_without_a_process_and_from_a_newer_daemon_is_read() {
        let line =
            r#"{"time":"2026-01-02T03:04:05Z","operation":"lock","decision":"postponed","reason":"idle","new":1}"#;
        let read: AuditRecord = serde_json::from_str(line).unwrap();
        assert_eq!((read.process, read.decision, read.lost), (None, AuditDecision::Unknown, 0));
    }

    /// Fault matrix row 108.
    #[test]
    fn hostile_program_name_stays_in_one_ascii_line() {
        let hostile = "k\n{\"decision\":\"allowed\"}\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{1f980}\"";
        let mut record = record();
        record.parents[0].executable = Some(hostile.to_owned());
        let line = record.to_line();
        assert!(line.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        assert_eq!(line.lines().count(), 1);
        let read: AuditRecord = serde_json::from_str(&line).unwrap();
        assert_eq!(read.parents[0].executable.as_deref(), Some(hostile));
    }
}
