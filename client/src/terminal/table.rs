//! Tables that fit the terminal.

use std::fmt::Write as _;

use owo_colors::OwoColorize;

/// A text and its style. The style does not count for the width.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Option<owo_colors::Style>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: None }
    }
}

impl Cell {
    /// A text with a style.
    pub(crate) fn styled(text: impl Into<String>, style: owo_colors::Style) -> Self {
        Self { text: text.into(), style: Some(style) }
    }

    /// Every character counts as one column, which is true for names, ARNs and bars.
    fn width(&self) -> usize {
        self.text.chars().count()
    }

    /// The text, cut to `width` and filled up to it.
    fn render(&self, out: &mut String, width: usize, fill: bool) {
        let cut: String = if self.width() > width {
            self.text.chars().take(width.saturating_sub(1)).chain(std::iter::once('…')).collect()
        } else {
            self.text.clone()
        };
        let missing = width.saturating_sub(cut.chars().count());
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
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// The column with the highest priority is dropped first if the table is too wide. Zero is never dropped.
    pub(crate) drop_priority: u8,
}

/// A row and the lines that belong under it.
pub(crate) struct Row {
    /// One cell for each column.
    pub(crate) cells: Vec<Cell>,
    /// Whole lines, printed as they are.
    pub(crate) detail_lines: Vec<String>,
}

/// The gap between two columns.
const GAP: usize = 2;

/// Renders a table. If it is wider than `width`, columns are dropped by priority, then the widest column is cut. Empty
/// columns are left out.
pub(crate) fn render(columns: &[Column], rows: &[Row], width: Option<usize>) -> String {
    let (headings, blocks) = blocks(columns, rows, width);
    headings + &blocks.concat()
}

/// As [`render`], in parts: the headings, and each row with its detail lines.
pub(crate) fn blocks(columns: &[Column], rows: &[Row], width: Option<usize>) -> (String, Vec<String>) {
    let widest = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.cells.get(index)).map(Cell::width).max().unwrap_or(0);
        if cells == 0 { 0 } else { cells.max(columns.get(index).map_or(0, |column| column.title.chars().count())) }
    };
    let mut shown: Vec<(usize, usize)> =
        (0..columns.len()).map(|index| (index, widest(index))).filter(|(_, width)| *width > 0).collect();
    if let Some(width) = width {
        fit(columns, &mut shown, width);
    }
    let headings: Vec<Cell> =
        columns.iter().map(|column| Cell::styled(column.title, owo_colors::Style::new().dimmed())).collect();
    let mut top = String::new();
    if columns.iter().any(|column| !column.title.is_empty()) {
        line(&mut top, &headings, &shown);
    }
    let block = |row: &Row| {
        let mut out = String::new();
        line(&mut out, &row.cells, &shown);
        for detail_lines in &row.detail_lines {
            out.push_str(detail_lines);
            out.push('\n');
        }
        out
    };
    (top, rows.iter().map(block).collect())
}

/// Renders pairs of a dimmed key and a value, one on each line.
pub(crate) fn key_values(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let line = |(key, value): &(&str, String)| format!("  {}  {value}\n", format!("{key:<width$}").dimmed());
    pairs.iter().map(line).collect()
}

fn line(out: &mut String, cells: &[Cell], shown: &[(usize, usize)]) {
    let filled = |(index, _): &(usize, usize)| cells.get(*index).is_some_and(|cell| cell.width() > 0);
    let last = shown.iter().rposition(filled).unwrap_or(0);
    for (position, (index, width)) in shown.iter().enumerate().take(last + 1) {
        if position > 0 {
            // The mark before a row has a smaller gap.
            let after_mark = shown.first().is_some_and(|(_, width)| position == 1 && *width == 1);
            out.extend(std::iter::repeat_n(' ', if after_mark { 1 } else { GAP }));
        }
        if let Some(cell) = cells.get(*index) {
            cell.render(out, *width, position < last);
        }
    }
    out.push('\n');
}

fn fit(columns: &[Column], shown: &mut Vec<(usize, usize)>, width: usize) {
    let total =
        |shown: &[(usize, usize)]| shown.iter().map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP);
    while total(shown) > width {
        let drop_priority = |(index, _): &(usize, usize)| columns.get(*index).map_or(0, |column| column.drop_priority);
        match shown.iter().map(drop_priority).max() {
            Some(most) if most > 0 => shown.retain(|column| drop_priority(column) != most),
            _ => break,
        }
    }
    while total(shown) > width {
        match shown.iter_mut().max_by_key(|(_, width)| *width) {
            Some((_, widest)) if *widest > 8 => *widest -= 1,
            _ => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(width: Option<usize>) -> String {
        let columns = [
            Column { title: "", drop_priority: 0 },
            Column { title: "NAME", drop_priority: 0 },
            Column { title: "CLUSTER", drop_priority: 1 },
            Column { title: "EMPTY", drop_priority: 0 },
            Column { title: "USED", drop_priority: 2 },
        ];
        let row = |cells: [&str; 5], detail_lines: &[&str]| Row {
            cells: cells.into_iter().map(Cell::from).collect(),
            detail_lines: detail_lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        let rows = [
            row(["●", "prod", "prod-cluster-of-europe", "", "12 s ago"], &[]),
            row(["!", "partner", "edge", "", ""], &["  login needed"]),
        ];
        anstream::adapter::strip_str(&render(&columns, &rows, width)).to_string()
    }

    #[test]
    fn render_columns_line_up() {
        assert_eq!(
            sample(None),
            "  NAME     CLUSTER                 USED
● prod     prod-cluster-of-europe  12 s ago
! partner  edge
  login needed
"
        );
    }

    #[test]
    fn render_narrow_drops_columns_then_cuts() {
        assert_eq!(
            sample(Some(40)),
            "  NAME     CLUSTER
● prod     prod-cluster-of-europe
! partner  edge
  login needed
"
        );
        assert_eq!(sample(Some(12)), "  NAME\n● prod\n! partner\n  login needed\n");
    }
}
