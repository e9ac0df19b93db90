//! The times at which a profile may be used: `Mo-Fr 08:00-19:00`.

use std::fmt;

/// The names of the days, Monday first, as RFC 5545 and crontab abbreviate them.
const DAYS: [&str; 7] = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];
const DAY_MINUTES: u16 = 24 * 60;

/// The times of a week at which a profile may be used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AllowedHours {
    windows: Vec<Window>,
    /// The periods as the configuration has them.
    text: String,
}

/// A time of the week, in the machine's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// The day, from 0 for Monday to 6 for Sunday.
    pub weekday: u8,
    /// The minute of the day.
    pub minute: u16,
}

/// The same period on some days.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Window {
    days: [bool; 7],
    /// The first minute.
    from: u16,
    /// The minute after the last. If it is not after `from`, it is on the next day.
    to: u16,
}

impl AllowedHours {
    /// Parses periods such as `Mo-Fr 08:00-19:00`, `Sa,Su 10:00-12:00` and `22:00-06:00`, which begins on every day. Returns
    /// `None` if one of them is none.
    #[must_use]
    pub fn parse(periods: &[impl AsRef<str>]) -> Option<Self> {
        let windows = periods.iter().map(|period| Window::parse(period.as_ref())).collect::<Option<Vec<_>>>()?;
        let text = periods.iter().map(|period| period.as_ref().trim()).collect::<Vec<_>>().join(" and ");
        (!windows.is_empty()).then_some(Self { windows, text })
    }

    /// Whether the profile may be used at that time.
    #[must_use]
    pub fn include(&self, time: LocalTime) -> bool {
        self.windows.iter().any(|window| window.includes(time))
    }
}

impl fmt::Display for AllowedHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Window {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, hours) = match words.as_slice() {
            [days, hours] => (parse_days(days)?, hours),
            [hours] => ([true; 7], hours),
            _ => return None,
        };
        let (from, to) = hours.split_once('-')?;
        let (from, to) = (minute(from)?, minute(to)?);
        (from != to && from < DAY_MINUTES).then_some(Self { days, from, to })
    }

    fn includes(&self, LocalTime { weekday, minute }: LocalTime) -> bool {
        let begins_on = |day: u8| self.days.get(usize::from(day)).copied().unwrap_or_default();
        let yesterday = if weekday == 0 { 6 } else { weekday.saturating_sub(1) };
        if self.from < self.to {
            return begins_on(weekday) && (self.from..self.to).contains(&minute);
        }
        (begins_on(weekday) && minute >= self.from) || (begins_on(yesterday) && minute < self.to)
    }
}

/// Parses `Mo`, `Mo-Fr`, `Fr-Mo` or a list of these, separated by commas.
fn parse_days(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (day_of(first)?, day_of(last)?);
        loop {
            *days.get_mut(day)? = true;
            if day == last {
                break;
            }
            day = (day + 1) % DAYS.len();
        }
    }
    Some(days)
}

fn day_of(name: &str) -> Option<usize> {
    DAYS.iter().position(|day| day.eq_ignore_ascii_case(name))
}

/// Parses `08:00` to `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| match text.as_bytes() {
        [b'0'..=b'9', b'0'..=b'9'] => text.parse::<u16>().ok(),
        _ => None,
    };
    let minutes = number(minutes).filter(|minutes| *minutes < 60)?;
    let minute = number(hours)? * 60 + minutes;
    (minute <= DAY_MINUTES).then_some(minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn includes(periods: &[&str], weekday: u8, hour: u16, minute: u16) -> bool {
        AllowedHours::parse(periods).unwrap().include(LocalTime { weekday, minute: hour * 60 + minute })
    }

    #[test]
    fn period_includes_its_first_minute_and_not_its_end() {
        let work = ["Mo-Fr 08:00-19:00"];
        for (weekday, hour, minute, expected) in
            [(0, 8, 0, true), (4, 18, 59, true), (0, 7, 59, false), (4, 19, 0, false), (5, 12, 0, false)]
        {
            assert_eq!(includes(&work, weekday, hour, minute), expected, "{weekday} {hour}:{minute}");
        }
        assert!(includes(&["00:00-24:00"], 6, 23, 59) && includes(&["00:00-24:00"], 0, 0, 0));
    }

    #[test]
    fn period_over_midnight_belongs_to_its_first_day() {
        let night = ["Su 22:00-06:00"];
        for (weekday, hour, expected) in [(6, 22, true), (0, 5, true), (0, 6, false), (6, 5, false), (0, 22, false)] {
            assert_eq!(includes(&night, weekday, hour, 0), expected, "{weekday} {hour}");
        }
    }

    #[test]
    fn lists_and_ranges_of_days_add_up() {
        let days = |text: &str| {
            let days = parse_days(text).unwrap();
            DAYS.iter().zip(days).filter(|(_, is_in)| *is_in).map(|(day, _)| *day).collect::<String>()
        };
        assert_eq!((days("Mo,we-FR").as_str(), days("Sa-Mo").as_str()), ("MoWeThFr", "MoSaSu"));
        assert!(includes(&["Mo 08:00-09:00", "Tu 10:00-11:00"], 1, 10, 30));
        assert_eq!(
            AllowedHours::parse(&["Mo 08:00-09:00 ", "Tu 10:00-11:00"]).unwrap().to_string(),
            "Mo 08:00-09:00 and Tu 10:00-11:00"
        );
    }

    #[test]
    fn malformed_periods_are_rejected() {
        for text in [
            "",
            "Mo",
            "Mo-Fr",
            "08:00",
            "8:00-9:00",
            "08:00-08:00",
            "24:00-08:00",
            "08:60-09:00",
            "08:00-25:00",
            "+8:00-09:00",
            "Xx 08:00-09:00",
            "Mo- 08:00-09:00",
            "Mo 08:00 - 09:00",
            "Mo 08:00-09:00 x",
            "Mo 08:00-09:00, Tu 08:00-09:00",
        ] {
            assert_eq!(AllowedHours::parse(&[text]), None, "{text}");
        }
        assert_eq!(AllowedHours::parse(&[] as &[&str]), None);
    }
}
