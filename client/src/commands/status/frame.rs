//! The frame that `status --watch` draws: pure functions of the status, the time and the terminal's size.

use anstream::adapter::strip_str;
use jiff::{Timestamp, tz::TimeZone};
use owo_colors::OwoColorize;
use rolecall_protocol::Status;

use super::render::{blocks, is_empty};
use crate::daemon::config_status;
use crate::format_time;
use crate::problem_text::has_problem;
use crate::terminal::style::Screen;
use crate::terminal::table::Hidden;

/// Switches to the alternate screen and hides the cursor. The main screen keeps its text.
pub(super) const ENTER_ALTERNATE_SCREEN: &str = "\x1b[?1049h\x1b[?25l";
/// Shows the cursor and switches back to the main screen.
pub(super) const LEAVE_ALTERNATE_SCREEN: &str = "\x1b[?25h\x1b[?1049l";

/// The minimum number of terminal rows with which a footer is shown.
const MIN_ROWS_FOR_FOOTER: usize = 10;

/// What a frame shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture<'a> {
    /// The last status.
    pub(super) status: Option<&'a Status>,
    /// The time from which durations are counted: now, or [`Self::as_of`] during an outage.
    pub(super) now: Timestamp,
    /// When the daemon last sent something.
    pub(super) as_of: Timestamp,
    /// Why the daemon is unreachable.
    pub(super) outage: Option<&'a str>,
    /// The key that ends the watch; `None` for the last frame.
    pub(super) exit_key: Option<&'a str>,
}

/// The frame as lines that fit into `rows`, except for one row for the cursor.
pub(super) fn compose(picture: &Picture<'_>, zone: &TimeZone, screen: Screen, rows: Option<usize>) -> String {
    let mut above = String::new();
    if let Some(outage) = picture.outage {
        push(&mut above, &screen.paragraph(&format!("{} ", screen.warning()), outage, ""));
    }
    let (mut profiles, mut sources, mut hidden) = (Vec::new(), String::new(), Hidden::default());
    if let Some(status) = picture.status {
        let is_old = picture.outage.is_some();
        let blocks = blocks(status, picture.now, zone, screen);
        above.push_str(&faded_if(is_old, blocks.top, screen));
        profiles = blocks.profiles.into_iter().map(|block| faded_if(is_old, block, screen)).collect();
        hidden = blocks.hidden;
        // Sources that need no login are left out if all sources would fill more than a third of the rows.
        let is_tall = rows.is_some_and(|rows| height(&blocks.sources, screen) > rows / 3);
        sources = faded_if(is_old, if is_tall { blocks.urgent } else { blocks.sources }, screen);
        if is_empty(status) {
            push(&mut above, &screen.paragraph("  ", &config_status::no_profiles_error().to_string(), ""));
        }
    }
    let (hint, footer) = (hidden.hint(screen), footer(picture, zone, rows));
    let whole = || [above.as_str(), &profiles.concat(), &sources, &hint, &footer].concat();
    let Some(rows) = rows else { return whole() };
    let usable = rows.saturating_sub(1);
    if height(&whole(), screen) <= usable {
        return whole();
    }
    let fixed: usize = [&above, &sources, &footer].into_iter().map(|text| height(text, screen)).sum();
    let room = usable.saturating_sub(fixed);
    // The line about all profiles is at least as long as the line about some of them.
    let (profiles, shown) = fitting(&profiles, room, height(&more(picture.status, 0, screen), screen), screen);
    let rest = more(picture.status, shown, screen);
    let text = above + &profiles + &rest + &sources + &footer;
    cut(&text, usable, screen)
}

/// The escape sequences that draw a frame over the last one. Each row is cleared before it is written, and the rows
/// below the frame at the end, which avoids flicker.
pub(super) fn paint(text: &str, screen: Screen) -> String {
    let mut out = "\x1b[H".to_owned();
    for line in text.lines() {
        // Clearing one row is not enough for a line that wraps.
        out.push_str(if rows_of(line, screen) > 1 { "\x1b[J" } else { "\x1b[K" });
        out.push_str(line);
        out.push_str("\r\n");
    }
    out + "\x1b[J"
}

fn footer(picture: &Picture<'_>, zone: &TimeZone, rows: Option<usize>) -> String {
    if picture.status.is_none() || rows.is_some_and(|rows| rows < MIN_ROWS_FOR_FOOTER) {
        return String::new();
    }
    let how_to_exit = picture.exit_key.map(|key| format!(" {key} to exit.")).unwrap_or_default();
    let text = format!("As of {}.{how_to_exit}", format_time::time_of_day(picture.as_of, zone));
    format!("\n{}\n", text.dimmed())
}

/// The profiles that fit into `room` rows, and how many they are: first their rows, then the problems for which there is
/// room. If not all rows fit, `more` rows are reserved for the line about the others.
fn fitting(profiles: &[String], room: usize, more: usize, screen: Screen) -> (String, usize) {
    let row = |profile: &String| profile.split_inclusive('\n').next().unwrap_or_default().to_owned();
    let rows: Vec<String> = profiles.iter().map(row).collect();
    let all = height(&rows.concat(), screen);
    if all > room {
        let mut left = room.saturating_sub(more);
        let fits = |row: &&String| {
            let fitted = left.checked_sub(height(row, screen));
            left = fitted.unwrap_or_default();
            fitted.is_some()
        };
        let shown: Vec<String> = rows.iter().take_while(fits).cloned().collect();
        return (shown.concat(), shown.len());
    }
    let mut left = room - all;
    let shown = profiles.iter().zip(rows).map(|(profile, row)| {
        let details = height(profile, screen) - height(&row, screen);
        match left.checked_sub(details) {
            Some(rest) => {
                left = rest;
                profile.clone()
            }
            None => row,
        }
    });
    (shown.collect(), profiles.len())
}

/// The line about profiles that do not fit: how many they are, and how many of them have a problem.
fn more(status: Option<&Status>, shown: usize, screen: Screen) -> String {
    let hidden = status.and_then(|status| status.profiles.get(shown..)).unwrap_or_default();
    if hidden.is_empty() {
        return String::new();
    }
    let dots = if screen.unicode { "…" } else { "..." };
    let with_problem = match hidden.iter().filter(|profile| has_problem(profile)).count() {
        0 => String::new(),
        count => format!(", {count} with a problem"),
    };
    format!("  {}\n", format!("{dots} and {} more{with_problem}", hidden.len()).dimmed())
}

/// The first lines of a text that fit into `rows`.
fn cut(text: &str, rows: usize, screen: Screen) -> String {
    let mut used = 0;
    let fits = |line: &&str| {
        used += rows_of(line, screen);
        used <= rows
    };
    text.lines().take_while(fits).flat_map(|line| [line, "\n"]).collect()
}

/// The number of rows that a text fills.
fn height(text: &str, screen: Screen) -> usize {
    text.lines().map(|line| rows_of(line, screen)).sum()
}

/// The number of rows that a line fills. A line that is longer than the terminal is wide wraps.
fn rows_of(line: &str, screen: Screen) -> usize {
    match screen.width {
        Some(width) => strip_str(line).to_string().chars().count().div_ceil(width).max(1),
        None => 1,
    }
}

fn push(text: &mut String, lines: &[String]) {
    text.extend(lines.iter().flat_map(|line| [line.as_str(), "\n"]));
}

/// Dims whole lines, removes other colours, and replaces the mark of a valid session if `is_old`, since an old status may
/// no longer be true.
fn faded_if(is_old: bool, text: String, screen: Screen) -> String {
    if !is_old {
        return text;
    }
    let faded = |line| strip_str(line).to_string().replacen(screen.full(), "?", 1).dimmed().to_string() + "\n";
    text.lines().map(faded).collect()
}

#[cfg(test)]
mod tests;
