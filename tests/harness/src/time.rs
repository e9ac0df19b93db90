//! Timestamp formats of AWS and Kubernetes, all UTC and in whole seconds.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Formats `20150830T123600Z`, the form of SigV4.
pub(crate) fn compact(at: SystemTime) -> String {
    write(at, "%Y%m%dT%H%M%SZ")
}

/// Formats `2015-08-30T12:36:00Z`, the form of STS and Kubernetes.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    write(at, "%Y-%m-%dT%H:%M:%SZ")
}

/// Formats `Sun, 30 Aug 2015 12:36:00 GMT`, the form of the HTTP `Date` header.
pub(crate) fn http_date(at: SystemTime) -> String {
    write(at, "%a, %d %b %Y %H:%M:%S GMT")
}

/// Returns the seconds since 1970. Panics if `at` is earlier.
pub(crate) fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).expect("tests use times after 1970").as_secs()
}

/// Parses `20150830T123600Z`. Returns `None` for every other form.
pub(crate) fn parse_compact(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 16
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 => *byte == b'T',
            15 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return None;
    }
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S", &text[..15]).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
}

fn write(at: SystemTime, format: &str) -> String {
    timestamp(at).to_zoned(TimeZone::UTC).strftime(format).to_string()
}

fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).expect("tests stay between the years -9999 and 9999")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_formatted_in_each_form_expected_text() {
        let at = parse_compact("20150830T123600Z").unwrap();
        assert_eq!(compact(at), "20150830T123600Z");
        assert_eq!(rfc3339(at), "2015-08-30T12:36:00Z");
        assert_eq!(http_date(at), "Sun, 30 Aug 2015 12:36:00 GMT");
    }

    #[test]
    fn compact_timestamp_other_form_rejected() {
        for bad in [
            "",
            "20150830",
            "20150830T123600",
            "20150830T123600+",
            "2015083OT123600Z",
            "20151330T123600Z",
            " 20150830T12360Z",
        ] {
            assert_eq!(parse_compact(bad), None, "{bad}");
        }
    }
}
