//! Tables that fit the terminal.

use std::fmt::Write as _;

use owo_colors::OwoColorize;

use super::style::Screen;

/// A text and its style. The style does not count for the width.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    /// The text for a narrow table, if it differs.
    short: Option<String>,
    style: Option<owo_colors::Style>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), short: None, style: None }
    }
}

impl Cell {
    /// A text with a style.
    pub(crate) fn styled(text: impl Into<String>, style: owo_colors::Style) -> Self {
        Self { text: text.into(), short: None, style: Some(style) }
    }

    /// Sets the text for a narrow table.
    #[must_use]
    pub(crate) fn shortened(self, short: impl Into<String>) -> Self {
        Self { short: Some(short.into()), ..self }
    }

    fn text(&self, is_short: bool) -> &str {
        self.short.as_deref().filter(|_| is_short).unwrap_or(&self.text)
    }

    /// Every character counts as one column, which is true for names, ARNs and bars.
    fn width(&self, is_short: bool) -> usize {
        self.text(is_short).chars().count()
    }

    /// The text, cut to the width of the column, and filled up to it with `fill`.
    fn render(&self, out: &mut String, column: &ShownColumn, fill: bool) {
        let text = self.text(column.is_short);
        let cut: String = if text.chars().count() > column.width {
            text.chars().take(column.width.saturating_sub(1)).chain(std::iter::once('…')).collect()
        } else {
            text.to_owned()
        };
        let missing = column.width.saturating_sub(cut.chars().count());
        // Writing to a String cannot fail.
        let _ = match self.style {
            Some(style) => write!(out, "{}", style.style(&cut)),
            None => write!(out, "{cut}"),
        };
        if fill {
            out.extend(std::iter::repeat_n(' ', missing));
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    drop_priority: u8,
    short_priority: u8,
}

impl Column {
    /// A column that every table has.
    pub(crate) const fn fixed(title: &'static str) -> Self {
        Self::optional(title, 0)
    }

    /// A column that is dropped if the table is too wide. The column with the highest priority is dropped first; zero
    /// is never dropped.
    pub(crate) const fn optional(title: &'static str, drop_priority: u8) -> Self {
        Self { title, drop_priority, short_priority: 0 }
    }

    /// Uses the short texts of the cells if the table is too wide, before a column of a lower priority is dropped.
    pub(crate) const fn short_at(self, short_priority: u8) -> Self {
        Self { short_priority, ..self }
    }
}

/// A row and the lines that belong under it.
pub(crate) struct Row {
    /// One cell for each column.
    pub(crate) cells: Vec<Cell>,
    /// Whole lines, printed as they are.
    pub(crate) detail_lines: Vec<String>,
}

impl From<Vec<Cell>> for Row {
    fn from(cells: Vec<Cell>) -> Self {
        Self { cells, detail_lines: Vec::new() }
    }
}

/// A rendered table.
pub(crate) struct Rendered {
    /// The headings; empty if no column has a title.
    pub(crate) headings: String,
    /// Each row with its detail lines.
    pub(crate) rows: Vec<String>,
    /// What does not fit.
    pub(crate) hidden: Hidden,
}

/// What a table does not show because it would be too wide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hidden {
    columns: Vec<&'static str>,
    is_cut: bool,
}

impl Hidden {
    /// What two tables do not show.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.columns.extend(other.columns);
        Self { is_cut: self.is_cut || other.is_cut, ..self }
    }

    /// The line that names the hidden columns and the option that shows them; empty if nothing is hidden.
    pub(crate) fn hint(&self, screen: Screen) -> String {
        let text = match (self.columns.as_slice(), self.is_cut) {
            ([], false) => return String::new(),
            ([], true) => "some text is cut; --wide shows it".to_owned(),
            (columns, _) => format!("hidden: {}; --wide shows all", columns.join(", ")),
        };
        let lines = screen.paragraph("  ", &text, "");
        lines.iter().map(|line| format!("{}\n", line.dimmed())).collect()
    }
}

/// The gap between two columns.
const GAP: usize = 2;
/// The width below which no column is cut.
const MIN_CUT_WIDTH: usize = 8;

/// Renders a table, and a line about hidden columns.
pub(crate) fn render(columns: &[Column], rows: &[Row], screen: Screen) -> String {
    let Rendered { headings, rows, hidden } = render_parts(columns, rows, screen);
    headings + &rows.concat() + &hidden.hint(screen)
}

/// Renders a table. If it is wider than the screen, columns are dropped and cells shortened by priority, then the
/// widest column is cut. Empty columns are left out.
pub(crate) fn render_parts(columns: &[Column], rows: &[Row], screen: Screen) -> Rendered {
    let (shown, hidden) = fit(columns, rows, screen.table_width());
    let mut headings = String::new();
    if columns.iter().any(|column| !column.title.is_empty()) {
        let titles = columns.iter().map(|column| Cell::styled(column.title, owo_colors::Style::new().dimmed()));
        render_line(&mut headings, &titles.collect::<Vec<_>>(), &shown);
    }
    let row = |row: &Row| {
        let mut out = String::new();
        render_line(&mut out, &row.cells, &shown);
        out.extend(row.detail_lines.iter().flat_map(|line| [line.as_str(), "\n"]));
        out
    };
    Rendered { headings, rows: rows.iter().map(row).collect(), hidden }
}

/// Renders pairs of a dimmed key and a value, one on each line. A long value is wrapped between words; one with a word
/// that is too long for its column begins below its key.
pub(crate) fn key_values(pairs: &[(&str, String)], screen: Screen) -> String {
    const BELOW_KEY: usize = 4;
    let key_width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let value_column = 2 + key_width + GAP;
    let lines = |(key, value): &(&str, String)| {
        let longest = value.split(' ').map(|word| word.chars().count()).max().unwrap_or_default();
        let is_too_long = screen.width.is_some_and(|width| value_column + longest > width);
        match screen.width.filter(|_| is_too_long) {
            // The key fills its line.
            Some(width) => screen.wrap((&format!("  {}", key.dimmed()), width), BELOW_KEY, value, ""),
            None => {
                let lead = format!("  {}  ", format!("{key:<key_width$}").dimmed());
                screen.wrap((&lead, value_column), value_column, value, "")
            }
        }
    };
    pairs.iter().flat_map(lines).flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// A column as it is rendered.
struct ShownColumn {
    index: usize,
    width: usize,
    is_short: bool,
}

fn render_line(out: &mut String, cells: &[Cell], shown: &[ShownColumn]) {
    let is_filled = |column: &ShownColumn| cells.get(column.index).is_some_and(|cell| !cell.text.is_empty());
    let last = shown.iter().rposition(is_filled).unwrap_or(0);
    for (position, column) in shown.iter().enumerate().take(last + 1) {
        if position > 0 {
            // The mark before a row has a smaller gap.
            let after_mark = shown.first().is_some_and(|first| position == 1 && first.width == 1);
            out.extend(std::iter::repeat_n(' ', if after_mark { 1 } else { GAP }));
        }
        if let Some(cell) = cells.get(column.index) {
            cell.render(out, column, position < last);
        }
    }
    out.push('\n');
}

/// The columns that fit into `width`.
fn fit(columns: &[Column], rows: &[Row], width: Option<usize>) -> (Vec<ShownColumn>, Hidden) {
    let widest = |index: usize, title: &str, is_short: bool| {
        let cells = rows.iter().filter_map(|row| row.cells.get(index)).map(|cell| cell.width(is_short)).max();
        cells.filter(|cells| *cells > 0).map_or(0, |cells| cells.max(title.chars().count()))
    };
    // Every column above this priority is dropped, or has short cells.
    let at_priority = |limit: u8| -> Vec<ShownColumn> {
        let kept = columns.iter().enumerate().filter(|(_, column)| column.drop_priority <= limit);
        let shown = kept.map(|(index, column)| {
            let is_short = column.short_priority > limit;
            ShownColumn { index, width: widest(index, column.title, is_short), is_short }
        });
        shown.filter(|column| column.width > 0).collect()
    };
    let total = |shown: &[ShownColumn]| {
        let gaps = (shown.len().saturating_sub(1)) * GAP;
        let mark = usize::from(shown.len() > 1 && shown.first().is_some_and(|first| first.width == 1));
        shown.iter().map(|column| column.width).sum::<usize>() + gaps - mark
    };
    let all = at_priority(u8::MAX);
    let Some(width) = width else { return (all, Hidden::default()) };
    let mut priorities: Vec<u8> =
        columns.iter().flat_map(|column| [column.drop_priority, column.short_priority]).collect();
    priorities.sort_unstable();
    let limits = priorities.iter().rev().map(|priority| priority.saturating_sub(1));
    let mut shown = std::iter::once(u8::MAX)
        .chain(limits)
        .map(at_priority)
        .find(|shown| total(shown) <= width)
        .unwrap_or_else(|| at_priority(0));
    let mut hidden = Hidden::default();
    let is_shown = |index| shown.iter().any(|column| column.index == index);
    let dropped = all.iter().filter(|column| !is_shown(column.index));
    hidden.columns = dropped.filter_map(|column| columns.get(column.index)).map(|column| column.title).collect();
    while total(&shown) > width {
        match shown.iter_mut().max_by_key(|column| column.width) {
            Some(widest) if widest.width > MIN_CUT_WIDTH => widest.width -= 1,
            _ => break,
        }
        hidden.is_cut = true;
    }
    (shown, hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 6] = [
        Column::fixed(""),
        Column::fixed("NAME"),
        Column::optional("CLUSTER", 1),
        Column::fixed("EMPTY"),
        Column::fixed("LEFT").short_at(2),
        Column::optional("USED", 3),
    ];

    fn screen(width: Option<usize>) -> Screen {
        Screen { unicode: true, width, is_wide: false }
    }

    fn sample(screen: Screen) -> String {
        let rows = [
            Row::from(vec![
                "●".into(),
                "prod".into(),
                "prod-of-europe".into(),
                "".into(),
                Cell::from("██░░ 47 min").shortened("47 min"),
                "12 s ago".into(),
            ]),
            Row {
                cells: ["!", "partner", "edge", "", "", ""].map(Cell::from).to_vec(),
                detail_lines: vec!["  login needed".to_owned()],
            },
        ];
        anstream::adapter::strip_str(&render(&COLUMNS, &rows, screen)).to_string()
    }

    const WHOLE: &str = "  NAME     CLUSTER         LEFT         USED
● prod     prod-of-europe  ██░░ 47 min  12 s ago
! partner  edge
  login needed
";

    #[test]
    fn render_columns_line_up() {
        assert_eq!(sample(screen(None)), WHOLE);
        assert_eq!(sample(screen(Some(48))), WHOLE, "it fits exactly");
        assert_eq!(sample(screen(Some(20)).widened(true)), WHOLE);
    }

    #[test]
    fn render_narrow_drops_by_priority_then_cuts() {
        assert_eq!(
            sample(screen(Some(47))),
            "  NAME     CLUSTER         LEFT
● prod     prod-of-europe  ██░░ 47 min
! partner  edge
  login needed
  hidden: USED; --wide shows all
"
        );
        assert!(
            sample(screen(Some(37))).contains("● prod     prod-of-europe  47 min\n"),
            "the bar goes before CLUSTER"
        );
        assert_eq!(
            sample(screen(Some(24))),
            "  NAME     LEFT
● prod     47 min
! partner
  login needed
  hidden: CLUSTER, USED;
  --wide shows all
"
        );
        let rows = [Row::from(vec!["".into(), "a-very-long-name".into()])];
        let cut = anstream::adapter::strip_str(&render(&COLUMNS[..2], &rows, screen(Some(12)))).to_string();
        assert_eq!(cut, "NAME\na-very-long…\n  some text\n  is cut;\n  --wide\n  shows it\n");
    }

    #[test]
    fn key_values_wrap_between_words() {
        let pairs = [("role", "arn:aws:iam::1:role/x".to_owned()), ("duration", "12 h, as AWS allows".to_owned())];
        let shown = |width| anstream::adapter::strip_str(&key_values(&pairs, screen(width))).to_string();
        assert_eq!(shown(None), "  role      arn:aws:iam::1:role/x\n  duration  12 h, as AWS allows\n");
        assert_eq!(
            shown(Some(26)),
            "  role\n    arn:aws:iam::1:role/x\n  duration  12 h, as AWS\n            allows\n"
        );
    }
}
