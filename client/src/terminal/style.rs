//! What the terminal can show, and the few shapes that everything is drawn with.

use std::io::IsTerminal;

use owo_colors::OwoColorize;

use crate::environment::Environment;

/// Cells of the bar that shows what is left of a session.
const BAR_CELLS: i64 = 16;

/// The terminal, as far as it matters to what is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Whether it can show more than ASCII.
    pub(crate) unicode: bool,
    /// How wide it is; `None` where standard output is no terminal and lines may be as long as they like.
    pub(crate) width: Option<usize>,
}

impl Screen {
    /// Looks at the locale and at standard output. A locale that is not set at all counts as UTF-8: most are.
    pub(crate) fn detect(environment: &Environment) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| environment.get(name));
        let unicode = locale.is_none_or(|locale| {
            let locale = locale.to_string_lossy().to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Self { unicode, width: size().0 }
    }

    /// The same terminal as it is now, and its rows, after a resize.
    pub(crate) fn resized(self) -> (Self, Option<usize>) {
        let (width, rows) = size();
        (Self { width, ..self }, rows)
    }

    /// The mark of something done.
    pub(crate) fn tick(self) -> String {
        (if self.unicode { "✓" } else { "+" }).green().to_string()
    }

    /// The mark of something that needs a look.
    #[allow(clippy::unused_self)] // a mark like the others, though it is the same everywhere
    pub(crate) fn warning(self) -> String {
        "!".yellow().bold().to_string()
    }

    /// The mark of a profile with a session.
    pub(crate) const fn full(self) -> &'static str {
        if self.unicode { "●" } else { "*" }
    }

    /// The mark of a profile without one.
    pub(crate) const fn empty(self) -> &'static str {
        if self.unicode { "○" } else { "-" }
    }

    /// A text and what is added to it in a dimmer tone, as lines that fit: cut between words, every line after the first
    /// indented by two. `lead` is what the first begins with, and takes two columns. A word that is too long for a line
    /// (a path) is left whole, so that it can be copied.
    pub(crate) fn paragraph(self, lead: &str, text: &str, aside: &str) -> Vec<String> {
        const INDENT: &str = "  ";
        let aside = (!aside.is_empty()).then(|| (aside.dimmed().to_string(), aside.chars().count()));
        let words = text.split(' ').map(|word| (word.to_owned(), word.chars().count())).chain(aside);
        let mut lines = vec![lead.to_owned()];
        let mut column = INDENT.len();
        for (word, width) in words {
            let is_first = column == INDENT.len();
            let fits = self.width.is_none_or(|limit| column + usize::from(!is_first) + width <= limit);
            if !is_first && !fits {
                lines.push(INDENT.to_owned());
                column = INDENT.len();
            }
            if let Some(line) = lines.last_mut() {
                if column > INDENT.len() {
                    line.push(' ');
                    column += 1;
                }
                line.push_str(&word);
                column += width;
            }
        }
        lines
    }

    /// A bar of 16 cells, filled by how much of `whole` is left. What is left at all shows.
    pub(crate) fn bar(self, left: jiff::SignedDuration, whole: jiff::SignedDuration) -> String {
        let (left, whole) = (left.as_secs().max(0), whole.as_secs().max(1));
        let filled = (left.saturating_mul(BAR_CELLS) + whole - 1) / whole;
        let filled = usize::try_from(filled.clamp(0, BAR_CELLS)).unwrap_or_default();
        let (done, rest) = if self.unicode { ("█", "░") } else { ("#", ".") };
        let cells = usize::try_from(BAR_CELLS).unwrap_or_default();
        done.repeat(filled) + &rest.repeat(cells - filled)
    }
}

/// The columns and rows of standard output; `None` for what it has not, or does not tell.
fn size() -> (Option<usize>, Option<usize>) {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let nonzero = |count: u16| Some(usize::from(count)).filter(|count| *count > 0);
    (size.and_then(|size| nonzero(size.ws_col)), size.and_then(|size| nonzero(size.ws_row)))
}

/// Whether standard output is a terminal on which what was drawn can be drawn over.
pub(crate) fn stdout_can_redraw(environment: &Environment) -> bool {
    std::io::stdout().is_terminal() && supports_cursor_moves(environment)
}

/// Whether a terminal, where there is one, is of a kind on which what was drawn can be drawn over.
pub(crate) fn supports_cursor_moves(environment: &Environment) -> bool {
    environment.get("TERM").is_some_and(|kind| kind != "dumb")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn bar_one_second_left_shows_a_cell() {
        let screen = Screen { unicode: false, width: None };
        let bar = |left, whole| screen.bar(SignedDuration::from_secs(left), SignedDuration::from_secs(whole));
        assert_eq!(bar(3600, 3600), "################");
        assert_eq!(bar(47 * 60, 3600), "#############...");
        assert_eq!(bar(1, 3600), "#...............");
        assert_eq!(bar(0, 3600), "................");
        assert_eq!(bar(-5, 3600), "................");
        assert_eq!(bar(9999, 3600), "################");
        assert_eq!(bar(5, 0), "################");
        assert_eq!(
            Screen { unicode: true, width: None }.bar(SignedDuration::from_secs(8), SignedDuration::from_secs(16)),
            "████████░░░░░░░░"
        );
    }

    #[test]
    fn paragraph_wraps_between_words() {
        let shown = |width, text: &str| {
            let lines = Screen { unicode: true, width }.paragraph("! ", text, "(2 h ago)");
            lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(shown(None, "one two three"), ["! one two three (2 h ago)"]);
        assert_eq!(shown(Some(25), "one two three"), ["! one two three (2 h ago)"]);
        assert_eq!(shown(Some(24), "one two three"), ["! one two three", "  (2 h ago)"]);
        assert_eq!(shown(Some(9), "one two three"), ["! one two", "  three", "  (2 h ago)"]);
        assert_eq!(shown(Some(8), "é /a/very/long/path b"), ["! é", "  /a/very/long/path", "  b", "  (2 h ago)"]);
        assert_eq!(shown(Some(1), "a"), ["! a", "  (2 h ago)"]);
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
