//! Sends records to the system's log daemon: journald, rsyslog and syslog-ng read the same socket.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use jiff::tz::TimeZone;
use rolecall_protocol::{AuditDecision, AuditRecord};

/// The socket of the system's log daemon: of Linux, and of macOS.
const SOCKETS: [&str; 2] = ["/dev/log", "/var/run/syslog"];
/// The facility of security messages that are not for everybody (LOG_AUTHPRIV, RFC 3164 4.1.1).
const FACILITY: u8 = 10;
const WARNING: u8 = 4;
const INFO: u8 = 6;

/// A connection to the log daemon, made with the first message and again after an error.
#[derive(Default)]
pub(super) struct Syslog(Option<UnixDatagram>);

impl Syslog {
    /// Sends a record. Drops it if the log daemon is absent or does not read: the file has it.
    pub(super) fn send(&mut self, record: &AuditRecord, line: &str) {
        self.send_to(&SOCKETS.map(Path::new), &message(record, line, &TimeZone::system()));
    }

    fn send_to(&mut self, sockets: &[&Path], message: &str) {
        for _ in 0..2 {
            if self.0.is_none() {
                self.0 = sockets.iter().find_map(|path| connect(path).ok());
            }
            match &self.0 {
                Some(socket) if socket.send(message.as_bytes()).is_ok() => return,
                // The log daemon may have been restarted.
                _ => self.0 = None,
            }
        }
    }
}

fn connect(path: &Path) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

/// Returns a message in the form in which the C library sends it: priority, local time, program and text.
fn message(record: &AuditRecord, line: &str, zone: &TimeZone) -> String {
    let severity = if record.decision == AuditDecision::Allowed { INFO } else { WARNING };
    let (priority, pid) = (FACILITY * 8 + severity, std::process::id());
    let time = record.time.to_zoned(zone.clone());
    format!("<{priority}>{} rolecalld[{pid}]: {line}", time.strftime("%b %e %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit_log::tests::entry;

    #[test]
    fn message_has_priority_time_and_program() {
        let mut record = entry("token").record;
        let pid = std::process::id();
        assert_eq!(message(&record, "{}", &TimeZone::UTC), format!("<86>Jan  2 03:04:05 rolecalld[{pid}]: {{}}"));
        record.decision = AuditDecision::Refused;
        assert!(message(&record, "{}", &TimeZone::UTC).starts_with("<84>"));
    }

    #[test]
    fn message_is_sent_again_after_the_log_daemon_restarted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut syslog = Syslog::default();
        let receive = |daemon: &UnixDatagram| {
            let mut buffer = [0; 64];
            let length = daemon.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        syslog.send_to(&[&path], "lost");
        for message in ["one", "two"] {
            let daemon = UnixDatagram::bind(&path).unwrap();
            syslog.send_to(&[Path::new("/nonexistent"), &path], message);
            assert_eq!(receive(&daemon), message);
            drop(daemon);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
