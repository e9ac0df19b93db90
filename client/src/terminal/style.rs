//! What the terminal can show, and the marks, bars and paragraphs of all output.

use std::io::IsTerminal;

use owo_colors::OwoColorize;

use super::tty;
use crate::environment::Environment;

/// Cells of the bar that shows what is left of a session.
const BAR_CELLS: i64 = 16;

/// What the terminal can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Whether it can show Unicode characters.
    pub(crate) unicode: bool,
    /// Its columns; `None` if standard output is not a terminal, so that lines are not wrapped.
    pub(crate) width: Option<usize>,
    /// Whether tables have every column, even if they are wider than the terminal.
    pub(crate) is_wide: bool,
}

impl Screen {
    /// Reads the locale and the size of standard output. Without a locale, UTF-8 is assumed.
    pub(crate) fn detect(environment: &Environment) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| environment.get(name));
        let unicode = locale.is_none_or(|locale| {
            let locale = locale.to_string_lossy().to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Self { unicode, width: tty::size(std::io::stdout()).0, is_wide: false }
    }

    /// The terminal with its current width, and its rows.
    pub(crate) fn resized(self) -> (Self, Option<usize>) {
        let (width, rows) = tty::size(std::io::stdout());
        (Self { width, ..self }, rows)
    }

    /// The mark of something done.
    pub(crate) fn tick(self) -> String {
        (if self.unicode { "✓" } else { "+" }).green().to_string()
    }

    /// The mark of something that does not work.
    pub(crate) fn cross(self) -> String {
        (if self.unicode { "✗" } else { "x" }).red().to_string()
    }

    /// The mark of a problem.
    #[allow(clippy::unused_self)] // a mark like the others
    pub(crate) fn warning(self) -> String {
        "!".yellow().bold().to_string()
    }

    /// The mark of a profile with a session.
    pub(crate) const fn full(self) -> &'static str {
        if self.unicode { "●" } else { "*" }
    }

    /// The mark of a profile without a session.
    pub(crate) const fn empty(self) -> &'static str {
        if self.unicode { "○" } else { "-" }
    }

    /// The same terminal, with tables of every column if `is_wide`.
    #[must_use]
    pub(crate) const fn widened(self, is_wide: bool) -> Self {
        Self { is_wide, ..self }
    }

    /// The terminal without its first `columns`, for lines that are indented afterwards.
    #[must_use]
    pub(crate) fn indented(self, columns: usize) -> Self {
        Self { width: self.width.map(|width| width.saturating_sub(columns)), ..self }
    }

    /// The columns that a table may fill; `None` if there is no limit.
    pub(crate) const fn table_width(self) -> Option<usize> {
        if self.is_wide { None } else { self.width }
    }

    /// Wraps a text and a dimmed `aside` between words. The first line begins with `lead`, which has two columns; the
    /// other lines are indented by two. A word that is too long for a line, such as a path, is not split, so that it
    /// can be copied.
    pub(crate) fn paragraph(self, lead: &str, text: &str, aside: &str) -> Vec<String> {
        self.wrap((lead, 2), 2, text, aside)
    }

    /// As [`Screen::paragraph`], with a lead and an indentation of these widths.
    pub(crate) fn wrap(self, (lead, lead_width): (&str, usize), indent: usize, text: &str, aside: &str) -> Vec<String> {
        // The aside stays on one line if it fits into one.
        let is_long = self.width.is_some_and(|limit| indent + aside.chars().count() > limit);
        let aside = aside.split(|c| is_long && c == ' ').filter(|part| !part.is_empty());
        let aside = aside.map(|part| (part.dimmed().to_string(), part.chars().count()));
        let words = text.split(' ').map(|word| (word.to_owned(), word.chars().count())).chain(aside);
        let mut lines = vec![lead.to_owned()];
        let (mut start, mut column) = (lead_width, lead_width);
        for (word, width) in words {
            let gap = usize::from(column > start);
            let fits = self.width.is_none_or(|limit| column + gap + width <= limit);
            if !fits && column > indent {
                lines.push(" ".repeat(indent));
                (start, column) = (indent, indent);
            }
            if let Some(line) = lines.last_mut() {
                if column > start {
                    line.push(' ');
                    column += 1;
                }
                line.push_str(&word);
                column += width;
            }
        }
        lines
    }

    /// A bar of 16 cells that shows which part of `whole` is left, rounded up.
    pub(crate) fn bar(self, left: jiff::SignedDuration, whole: jiff::SignedDuration) -> String {
        let (left, whole) = (left.as_secs().max(0), whole.as_secs().max(1));
        let filled = (left.saturating_mul(BAR_CELLS) + whole - 1) / whole;
        let filled = usize::try_from(filled.clamp(0, BAR_CELLS)).unwrap_or_default();
        let (done, rest) = if self.unicode { ("█", "░") } else { ("#", ".") };
        let cells = usize::try_from(BAR_CELLS).unwrap_or_default();
        done.repeat(filled) + &rest.repeat(cells - filled)
    }
}

/// Whether standard output is a terminal that can redraw.
pub(crate) fn stdout_can_redraw(environment: &Environment) -> bool {
    std::io::stdout().is_terminal() && supports_cursor_moves(environment)
}

/// Whether the type of the terminal can move the cursor.
pub(crate) fn supports_cursor_moves(environment: &Environment) -> bool {
    environment.get("TERM").is_some_and(|kind| kind != "dumb")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn bar_one_second_left_shows_a_cell() {
        let screen = Screen { unicode: false, width: None, is_wide: false };
        let bar = |left, whole| screen.bar(SignedDuration::from_secs(left), SignedDuration::from_secs(whole));
        assert_eq!(bar(3600, 3600), "################");
        assert_eq!(bar(47 * 60, 3600), "#############...");
        assert_eq!(bar(1, 3600), "#...............");
        assert_eq!(bar(0, 3600), "................");
        assert_eq!(bar(-5, 3600), "................");
        assert_eq!(bar(9999, 3600), "################");
        assert_eq!(bar(5, 0), "################");
        assert_eq!(
            Screen { unicode: true, width: None, is_wide: false }
                .bar(SignedDuration::from_secs(8), SignedDuration::from_secs(16)),
            "████████░░░░░░░░"
        );
    }

    #[test]
    fn paragraph_wraps_between_words() {
        let shown = |width, text: &str| {
            let lines = Screen { unicode: true, width, is_wide: false }.paragraph("! ", text, "(2 h ago)");
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(shown(None, "one two three"), ["! one two three (2 h ago)"]);
        assert_eq!(shown(Some(25), "one two three"), ["! one two three (2 h ago)"]);
        assert_eq!(shown(Some(24), "one two three"), ["! one two three", "  (2 h ago)"]);
        assert_eq!(shown(Some(9), "one two three"), ["! one two", "  three", "  (2 h", "  ago)"]);
        assert_eq!(shown(Some(11), "one two three"), ["! one two", "  three", "  (2 h ago)"]);
        assert_eq!(shown(Some(8), "é /a/very/long/path b"), ["! é", "  /a/very/long/path", "  b (2 h", "  ago)"]);
        assert_eq!(shown(Some(1), "a"), ["! a", "  (2", "  h", "  ago)"]);
    }

    #[test]
    fn detect_locale_selects_unicode() {
        let screen = |pairs: &[(&str, &str)]| {
            Screen::detect(&pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
        };
        assert!(screen(&[]).unicode);
        assert!(screen(&[("LANG", "de_DE.UTF-8")]).unicode);
        assert!(screen(&[("LANG", "C.utf8")]).unicode);
        assert!(!screen(&[("LANG", "C")]).unicode);
        assert!(!screen(&[("LC_ALL", "POSIX"), ("LANG", "de_DE.UTF-8")]).unicode);
    }
}
