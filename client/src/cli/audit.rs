//! `rolecall audit`.

use std::str::FromStr;

use clap::Args;
use jiff::{Timestamp, Zoned, civil, tz::TimeZone};
use rolecall_protocol::ProfileName;

use super::Output;

/// Show which program got a token, and what was refused
///
/// Reads the audit log; the agent does not have to run. Each line is one decision about a secret, with the programs that
/// asked: the program that runs rolecall, its parent, and so on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  What used the profile prod today:
    rolecall audit --profile prod --since 12h

  Every decision that is kept, for a program:
    rolecall audit --since 10y -o json")]
pub(crate) struct Audit {
    /// Decisions since then: a duration (30min, 2h, 7d), a date, or a time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Since>,
    /// Decisions about this profile
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<ProfileName>,
    /// Refused requests only
    #[arg(long)]
    pub(crate) refused: bool,
    /// At most the last N decisions [default: 50, or all with --since]
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) lines: Option<usize>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// The beginning of a period.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Since {
    /// This long ago.
    Ago(jiff::Span),
    /// The beginning of this day, in the local time zone.
    Date(civil::Date),
    /// This time.
    Time(Timestamp),
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = text.parse().map(Self::Time).ok();
        let date = || text.parse().map(Self::Date).ok();
        // `jiff` reads a duration with a sign too.
        let span = || text.parse::<jiff::Span>().ok().filter(|span| !span.is_negative()).map(Self::Ago);
        time.or_else(date)
            .or_else(span)
            .ok_or("write a duration such as 2h or 7d, a date, or a time such as 2026-01-02T15:04:05Z")
    }
}

impl Since {
    /// Returns the time; the earliest possible one if the duration leads before it.
    pub(crate) fn to_time(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        let time = match self {
            Self::Ago(span) => now.to_zoned(zone.clone()).checked_sub(span).ok(),
            Self::Date(date) => date.to_zoned(zone.clone()).ok(),
            Self::Time(time) => return time,
        };
        time.as_ref().map_or(Timestamp::MIN, Zoned::timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_duration_a_date_or_a_time() {
        let now = "2026-01-02T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let time = |text: &str| text.parse::<Since>().map(|since| since.to_time(now, &zone).to_string());
        for (text, expected) in [
            ("30min", "2026-01-02T11:30:00Z"),
            ("2h", "2026-01-02T10:00:00Z"),
            ("1d 1h", "2026-01-01T11:00:00Z"),
            ("2026-01-01", "2025-12-31T23:00:00Z"),
            ("2026-01-01T08:00:00+01:00", "2026-01-01T07:00:00Z"),
        ] {
            assert_eq!(time(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "yesterday", "-2h", "5", "2h ago"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
