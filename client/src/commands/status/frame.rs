//! The picture that `status --watch` draws over and over: as pure functions of what is known, the time, and the
//! terminal's size.

use anstream::adapter::strip_str;
use jiff::{Timestamp, tz::TimeZone};
use owo_colors::OwoColorize;
use rolecall_protocol::Status;

use super::render::{blocks, is_empty};
use crate::daemon::config_status;
use crate::format_time;
use crate::terminal::style::Screen;

/// Switches to the terminal's other screen, so that what was there before stays as it was, and hides the cursor.
pub(super) const ENTER_ALTERNATE_SCREEN: &str = "\x1b[?1049h\x1b[?25l";
/// Undoes both.
pub(super) const LEAVE_ALTERNATE_SCREEN: &str = "\x1b[?25h\x1b[?1049l";

/// The least rows of a terminal that has some to spare for a footer.
const MIN_ROWS_FOR_FOOTER: usize = 10;

/// What there is to draw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture<'a> {
    /// The last status.
    pub(super) status: Option<&'a Status>,
    /// The time it is shown for: now, or when the daemon was last heard of where it is away.
    pub(super) now: Timestamp,
    /// When the daemon was last heard of.
    pub(super) as_of: Timestamp,
    /// Why there is nothing newer.
    pub(super) away: Option<&'a str>,
    /// Whether it will be drawn again.
    pub(super) is_live: bool,
}

/// The picture as lines that fit into `rows`, leaving one for the cursor.
pub(super) fn compose(picture: &Picture<'_>, zone: &TimeZone, screen: Screen, rows: Option<usize>) -> String {
    let mut above = String::new();
    if let Some(away) = picture.away {
        push(&mut above, &screen.paragraph(&format!("{} ", screen.warning()), away, ""));
    }
    let (mut profiles, mut sources) = (Vec::new(), String::new());
    if let Some(status) = picture.status {
        let is_old = picture.away.is_some();
        let blocks = blocks(status, picture.now, zone, screen);
        above.push_str(&dimmed_if(is_old, blocks.top));
        profiles = blocks.profiles.into_iter().map(|block| dimmed_if(is_old, block)).collect();
        // With little room, sources that need no login are left out.
        let is_tall = rows.is_some_and(|rows| height(&blocks.sources, screen) > rows / 3);
        sources = dimmed_if(is_old, if is_tall { blocks.urgent } else { blocks.sources });
        if is_empty(status) {
            push(&mut above, &screen.paragraph("  ", &config_status::no_profiles_error().to_string(), ""));
        }
    }
    let footer = footer(picture, zone, rows);
    let Some(rows) = rows else { return above + &profiles.concat() + &sources + &footer };
    let usable = rows.saturating_sub(1);
    let taken: usize = [&above, &sources, &footer].into_iter().map(|text| height(text, screen)).sum();
    let room = usable.saturating_sub(taken);
    // Said of all of them it is at least as long as of some.
    let shown = fitting(&profiles, room, height(&more(picture.status, 0, screen), screen), screen);
    let rest = more(picture.status, shown, screen);
    let text = above + &profiles.get(..shown).unwrap_or_default().concat() + &rest + &sources + &footer;
    cut(&text, usable, screen)
}

/// The sequences that draw a picture over the last one: every row is cleared before it is written, and what is below is
/// cleared last, so that nothing flickers.
pub(super) fn paint(text: &str, screen: Screen) -> String {
    let mut out = "\x1b[H".to_owned();
    for line in text.lines() {
        // A line that goes on in the next row would leave the end of that row as it was.
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
    let how_to_leave = if picture.is_live { " Ctrl-C to exit." } else { "" };
    let text = format!("As of {}.{how_to_leave}", format_time::time_of_day(picture.as_of, zone));
    format!("\n{}\n", text.dimmed())
}

/// How many of the profiles fit into `room` rows: all, or so many that `more` rows are left to speak of the others.
fn fitting(profiles: &[String], room: usize, more: usize, screen: Screen) -> usize {
    let heights: Vec<usize> = profiles.iter().map(|profile| height(profile, screen)).collect();
    if heights.iter().sum::<usize>() <= room {
        return profiles.len();
    }
    let room = room.saturating_sub(more);
    let ends = heights.iter().scan(0, |end, height| {
        *end += height;
        Some(*end)
    });
    ends.take_while(|end| *end <= room).count()
}

/// The line about profiles that do not fit, with the number of those that have a problem.
fn more(status: Option<&Status>, shown: usize, screen: Screen) -> String {
    let hidden = status.and_then(|status| status.profiles.get(shown..)).unwrap_or_default();
    if hidden.is_empty() {
        return String::new();
    }
    let dots = if screen.unicode { "…" } else { "..." };
    let with_problem = match hidden.iter().filter(|profile| profile.problem.is_some()).count() {
        0 => String::new(),
        count => format!(", {count} with a problem"),
    };
    format!("  {}\n", format!("{dots} and {} more{with_problem}", hidden.len()).dimmed())
}

/// The first lines, as far as they fit into so many rows.
fn cut(text: &str, rows: usize, screen: Screen) -> String {
    let mut taken = 0;
    let fits = |line: &&str| {
        taken += rows_of(line, screen);
        taken <= rows
    };
    text.lines().take_while(fits).flat_map(|line| [line, "\n"]).collect()
}

/// The rows that a text of whole lines takes.
fn height(text: &str, screen: Screen) -> usize {
    text.lines().map(|line| rows_of(line, screen)).sum()
}

/// The rows that a line takes: one that is longer than the terminal is wide goes on in the next.
fn rows_of(line: &str, screen: Screen) -> usize {
    match screen.width {
        Some(width) => strip_str(line).to_string().chars().count().div_ceil(width).max(1),
        None => 1,
    }
}

fn push(text: &mut String, lines: &[String]) {
    text.extend(lines.iter().flat_map(|line| [line.as_str(), "\n"]));
}

/// Whole lines in a dimmer tone and no other colour: what they say may be over by now.
fn dimmed_if(is_old: bool, text: String) -> String {
    if !is_old {
        return text;
    }
    let dimmed = |line| strip_str(line).to_string().dimmed().to_string() + "\n";
    text.lines().map(dimmed).collect()
}

#[cfg(test)]
mod tests;
