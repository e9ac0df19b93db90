//! Times as text: pure functions of the current time, and the time zone in which they are shown.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rolecall_protocol::{ClockStatus, SessionStatus};

/// The clock difference below which the clocks count as equal: AWS sends whole seconds, and its response takes time.
const MAX_UNREPORTED_SKEW: SignedDuration = SignedDuration::from_secs(2);

/// The largest file of a time zone. Those of the IANA database have less than 4 KiB.
const MAX_ZONE_BYTES: u64 = 1024 * 1024;

/// Returns the local time zone: that of `TZ`, else that of the computer. UTC if `TZ` names a device, a pipe or a large file, which jiff
/// would read to its end.
pub(crate) fn local_zone() -> TimeZone {
    #[allow(clippy::disallowed_methods)] // jiff reads the variable too
    let is_unusable = std::env::var_os("TZ").is_some_and(|name| leads_to_no_zone(&name));
    if is_unusable { TimeZone::UTC } else { TimeZone::system() }
}

fn leads_to_no_zone(name: &OsStr) -> bool {
    let name = name.as_bytes().strip_prefix(b":").unwrap_or(name.as_bytes());
    let is_unusable = Path::new(OsStr::from_bytes(name))
        .metadata()
        .is_ok_and(|found| !found.is_file() || found.len() > MAX_ZONE_BYTES);
    // jiff looks for a name before it reads a file.
    is_unusable && !std::str::from_utf8(name).is_ok_and(|name| TimeZone::get(name).is_ok())
}

/// A duration in at most two units: `45 s`, `47 min`, `1 h`, `1 h 30 min`, `3 d`.
pub(crate) fn duration(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match () {
        () if seconds < 60 => format!("{seconds} s"),
        () if minutes < 60 => format!("{minutes} min"),
        () if hours < 48 && minutes % 60 == 0 => format!("{hours} h"),
        () if hours < 12 => format!("{hours} h {} min", minutes % 60),
        () if hours < 48 => format!("{hours} h"),
        () => format!("{} d", hours / 24),
    }
}

/// The time until `end`: `47 min left`, or `expired`.
pub(crate) fn time_left(now: Timestamp, end: Timestamp) -> String {
    match end.duration_since(now) {
        past if past.as_secs() <= 0 => "expired".to_owned(),
        rest => format!("{} left", duration(rest)),
    }
}

/// The time since `then`: `3 min ago`. A time in the future (a clock was set) is `just now`.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    match now.duration_since(then) {
        recent if recent.as_secs() < 1 => "just now".to_owned(),
        past => format!("{} ago", duration(past)),
    }
}

/// The time until `then`: `in 17 min`. A time in the past is `now`.
pub(crate) fn from_now(now: Timestamp, then: Timestamp) -> String {
    match then.duration_since(now) {
        due if due.as_secs() < 1 => "now".to_owned(),
        rest => format!("in {}", duration(rest)),
    }
}

/// The time of day, with the date if that is not today.
pub(crate) fn short_time(now: Timestamp, then: Timestamp, zone: &TimeZone) -> String {
    let (today, local) = (now.to_zoned(zone.clone()), then.to_zoned(zone.clone()));
    let shape = if today.date() == local.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    local.strftime(shape).to_string()
}

/// A date and time with seconds.
pub(crate) fn date_time(then: Timestamp, zone: &TimeZone) -> String {
    then.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time of day with seconds.
pub(crate) fn time_of_day(then: Timestamp, zone: &TimeZone) -> String {
    then.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
}

/// A time and the duration until then, with an optional `aside`: `15:42 (1 h; aside)`. Adds 5 s before it rounds down,
/// so that a new session of one hour reads `1 h`.
pub(crate) fn until(now: Timestamp, end: Timestamp, zone: &TimeZone, aside: Option<&str>) -> String {
    let rest = end.duration_since(now).saturating_add(SignedDuration::from_secs(5));
    let aside = aside.map(|aside| format!("; {aside}")).unwrap_or_default();
    format!("{} ({}{aside})", short_time(now, end, zone), duration(rest))
}

/// The duration of a session that AWS made more than 1 min shorter than requested.
pub(crate) fn granted_if_shorter(session: &SessionStatus, asked: SignedDuration) -> Option<SignedDuration> {
    let granted = session.expires?.duration_since(session.issued);
    (asked.saturating_sub(granted) > SignedDuration::from_mins(1)).then_some(granted)
}

/// The state of a profile without a session and without a problem.
pub(crate) const fn unused_session(last_used: Option<Timestamp>, needs_login: bool) -> &'static str {
    match (last_used, needs_login) {
        (Some(_), true) => "no session; needs a login",
        (Some(_), false) => "no session; assumed on next use",
        (None, true) => "not used yet; needs a login",
        (None, false) => "not used yet",
    }
}

/// The state of a profile whose session has expired, without a problem.
pub(crate) const fn expired_session(needs_login: bool) -> &'static str {
    if needs_login { "expired; needs a login" } else { "expired, renewed on use" }
}

/// This machine's clock compared with AWS's, and when it was measured: `in step with AWS's (measured 5 min ago)`.
pub(crate) fn clock_status(clock: Option<&ClockStatus>, now: Timestamp) -> String {
    let Some(clock) = clock else { return "not compared with AWS's yet".to_owned() };
    let corrected = if clock.corrected { ", corrected" } else { "" };
    let measured = ago(now, clock.measured);
    format!("{}{corrected} (measured {measured})", clock_skew(clock).unwrap_or_else(|| "in step with AWS's".to_owned()))
}

/// How far this machine's clock is from AWS's: `7 min behind AWS's`; `None` if the clocks agree.
pub(crate) fn clock_skew(clock: &ClockStatus) -> Option<String> {
    // The value can be negated without overflow.
    let skew = SignedDuration::from_secs(clock.skew_seconds.max(-i64::MAX));
    let direction = if skew.is_negative() { "ahead of" } else { "behind" };
    (skew.abs() > MAX_UNREPORTED_SKEW).then(|| format!("{} {direction} AWS's", duration(skew.abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fault matrix row 112.
    #[test]
    fn leads_to_no_zone_is_true_for_pipe_device_and_large_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let pipe = path("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        std::fs::File::create(path("large")).unwrap().set_len(MAX_ZONE_BYTES + 1).unwrap();
        std::fs::write(path("small"), "TZif").unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        for name in [text(&pipe), format!(":{}", text(&pipe)), text(&path("large")), ":/dev/zero".into(), "/".into()] {
            assert!(leads_to_no_zone(OsStr::new(&name)), "{name}");
        }
        for name in [text(&path("small")), text(&path("missing")), String::new(), "UTC".into(), "CET-1CEST".into()] {
            assert!(!leads_to_no_zone(OsStr::new(&name)), "{name}");
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn duration_two_units_at_most() {
        for (seconds, words) in [
            (-5, "0 s"),
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (119, "1 min"),
            (47 * 60 + 59, "47 min"),
            (3600, "1 h"),
            (3600 + 90, "1 h 1 min"),
            (5400, "1 h 30 min"),
            (12 * 3600, "12 h"),
            (12 * 3600 + 300, "12 h"),
            (47 * 3600, "47 h"),
            (48 * 3600, "2 d"),
            (400 * 86400, "400 d"),
        ] {
            assert_eq!(duration(SignedDuration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn relative_times_past_and_future() {
        let now = at("2026-01-02T12:00:00Z");
        assert_eq!(time_left(now, at("2026-01-02T12:47:30Z")), "47 min left");
        assert_eq!(time_left(now, at("2026-01-02T12:00:00Z")), "expired");
        assert_eq!(time_left(now, at("2026-01-01T12:00:00Z")), "expired");
        assert_eq!(ago(now, at("2026-01-02T11:59:48Z")), "12 s ago");
        assert_eq!(ago(now, at("2026-01-02T11:57:00Z")), "3 min ago");
        assert_eq!(ago(now, at("2026-01-02T11:59:59.5Z")), "just now");
        assert_eq!(ago(now, at("2026-01-02T13:00:00Z")), "just now");
        assert_eq!(from_now(now, at("2026-01-02T12:17:59Z")), "in 17 min");
        assert_eq!(from_now(now, at("2026-01-02T12:00:00.5Z")), "now");
        assert_eq!(from_now(now, at("2026-01-02T11:00:00Z")), "now");
    }

    #[test]
    fn granted_if_shorter_within_a_minute_is_none() {
        let cut = |seconds: i64, asked| {
            let issued = at("2026-01-02T12:00:00Z");
            let session = SessionStatus {
                arn: None,
                key_id_suffix: "WXYZ".to_owned(),
                issued,
                expires: Some(issued + SignedDuration::from_secs(seconds)),
                temporary: true,
            };
            granted_if_shorter(&session, SignedDuration::from_hours(asked)).map(|granted| granted.as_secs())
        };
        assert_eq!(cut(3600, 12), Some(3600));
        assert_eq!(cut(3600 - 60, 1), None);
        assert_eq!(cut(3600 - 61, 1), Some(3539));
        assert_eq!(cut(3600 + 5, 1), None);
    }

    #[test]
    fn clock_status_skew_is_named() {
        let result_text = |skew_seconds, measured, corrected| {
            let status = ClockStatus { skew_seconds, measured: at(measured), corrected };
            clock_status(Some(&status), at("2026-01-02T12:00:00Z"))
        };
        assert_eq!(result_text(0, "2026-01-02T11:55:00Z", false), "in step with AWS's (measured 5 min ago)");
        assert_eq!(result_text(-2, "2026-01-02T12:00:00Z", false), "in step with AWS's (measured just now)");
        assert_eq!(result_text(3, "2026-01-02T12:00:00Z", false), "3 s behind AWS's (measured just now)");
        assert_eq!(
            result_text(420, "2026-01-02T11:55:00Z", true),
            "7 min behind AWS's, corrected (measured 5 min ago)"
        );
        assert_eq!(
            result_text(-7200, "2026-01-02T11:59:00Z", true),
            "2 h ahead of AWS's, corrected (measured 1 min ago)"
        );
        assert_eq!(clock_status(None, at("2026-01-02T12:00:00Z")), "not compared with AWS's yet");
        // Extreme values do not overflow.
        assert!(result_text(i64::MIN, "2026-01-02T12:00:00Z", true).contains(" ahead of AWS's, corrected"));
        assert!(result_text(i64::MAX, "2026-01-02T12:00:00Z", true).contains(" behind AWS's, corrected"));
    }

    #[test]
    fn absolute_times_are_local() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let now = at("2026-01-02T13:42:01Z");
        assert_eq!(until(now, at("2026-01-02T14:42:00Z"), &zone, None), "15:42 (1 h)");
        assert_eq!(until(now, at("2026-01-02T14:42:00Z"), &zone, Some("no more")), "15:42 (1 h; no more)");
        assert_eq!(until(now, at("2026-01-03T01:42:00Z"), &zone, None), "2026-01-03 02:42 (12 h)");
        assert_eq!(date_time(now, &zone), "2026-01-02 14:42:01");
    }
}
