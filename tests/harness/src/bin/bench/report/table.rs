//! The table on a terminal.

use std::fmt::Write as _;

use super::{Report, Row};

/// Space between two columns.
const GAP: usize = 2;

impl Report {
    /// Returns the table, then what is missing.
    pub(crate) fn table(&self) -> String {
        let header = ["part", "what", "bar", "measured", "spread", "verdict"].map(str::to_owned);
        let lines: Vec<[String; 6]> = std::iter::once(header).chain(self.rows.iter().map(cells)).collect();
        let widths: [usize; 6] = std::array::from_fn(|column| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0) + GAP
        });
        let mut text = format!("{}\n\n", self.machine);
        for line in &lines {
            let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            text.push_str(padded.collect::<String>().trim_end());
            text.push('\n');
        }
        if !self.missing.is_empty() {
            text.push_str("\nnot measured:\n");
        }
        for missing in &self.missing {
            let _ = writeln!(text, "  {}: {}", missing.what, missing.reason); // a String accepts every write
        }
        text
    }
}

fn cells(row: &Row) -> [String; 6] {
    [row.part.clone(), row.what.clone(), row.bar_text(), row.measured_text(), row.spread_text(), row.verdict()]
}
