//! Writes log events: one line each, without control characters, and not more of them than a disk bears.

use std::io::{self, Write};
use std::time::Duration;

use rolecall_protocol::escape_controls;
use tokio::time::Instant;

/// The limit of events in [`PERIOD`]. A cold start of 200 profiles at the most detailed level writes about 2,000.
const MAX_EVENTS: u32 = 5_000;
/// The period in which events are counted.
const PERIOD: Duration = Duration::from_secs(10);
/// A longer event is cut.
const MAX_EVENT_BYTES: usize = 8 * 1024;

/// Writes each buffer that it gets as one event: `tracing_subscriber` makes one call an event.
pub(super) struct EventWriter<W> {
    output: W,
    period_start: Instant,
    /// Events in this period, with those that were dropped.
    events: u32,
}

impl<W: Write> EventWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, period_start: Instant::now(), events: 0 }
    }

    /// Counts an event. Returns whether it is written.
    fn admit(&mut self) -> io::Result<bool> {
        let now = Instant::now();
        if now.duration_since(self.period_start) >= PERIOD {
            let dropped = self.events.saturating_sub(MAX_EVENTS);
            (self.period_start, self.events) = (now, 0);
            if dropped > 0 {
                let seconds = PERIOD.as_secs();
                writeln!(self.output, "log events dropped count={dropped} limit={MAX_EVENTS} seconds={seconds}")?;
            }
        }
        self.events = self.events.saturating_add(1);
        Ok(self.events <= MAX_EVENTS)
    }
}

impl<W: Write> Write for EventWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if self.admit()? {
            let shown = event.get(..MAX_EVENT_BYTES).unwrap_or(event);
            let text = String::from_utf8_lossy(shown);
            let mut line = escape_controls(text.strip_suffix('\n').unwrap_or(&text));
            if shown.len() < event.len() {
                line.push('…');
            }
            line.push('\n');
            // One write, so that lines of processes that share a file do not mix.
            self.output.write_all(line.as_bytes())?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(events: &[&str]) -> String {
        let mut writer = EventWriter::new(Vec::new());
        for event in events {
            assert_eq!(writer.write(event.as_bytes()).unwrap(), event.len());
        }
        String::from_utf8(writer.output).unwrap()
    }

    /// Fault matrix row 39.
    #[test]
    fn event_is_one_line_without_control_characters() {
        let forged = "INFO added profile=\"x\n2026-01-01 INFO agent unlocked\u{1b}[2J\u{202e}\"\n";
        let expected = "INFO added profile=\"x\\n2026-01-01 INFO agent unlocked\\u{1b}[2J\\u{202e}\"\n";
        assert_eq!(written(&[forged]), expected);
        assert_eq!(written(&["plain\ttext\n", "more"]), "plain\\ttext\nmore\n");
    }

    #[test]
    fn long_event_is_cut() {
        let line = written(&[&"x".repeat(1 << 20)]);
        assert_eq!(line.len(), MAX_EVENT_BYTES + "…\n".len());
    }

    #[tokio::test(start_paused = true)]
    async fn events_over_the_limit_are_counted() {
        let mut writer = EventWriter::new(Vec::new());
        for _ in 0..MAX_EVENTS + 7 {
            writer.write_all(b"x\n").unwrap();
        }
        assert_eq!(writer.output.len(), 2 * MAX_EVENTS as usize);
        writer.output.clear();
        tokio::time::advance(PERIOD).await;
        writer.write_all(b"y\n").unwrap();
        assert_eq!(String::from_utf8(writer.output).unwrap(), "log events dropped count=7 limit=5000 seconds=10\ny\n");
    }
}
