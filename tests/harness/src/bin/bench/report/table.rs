//! The table on a terminal.

use std::fmt::Write as _;

use super::{Report, Row, peers};

/// Space between two columns.
const GAP: usize = 2;

impl Report {
    /// Returns the table, that of the other programs, then what is missing.
    pub(crate) fn table(&self) -> String {
        let header = ["part", "what", "bar", "measured", "spread", "verdict"].map(str::to_owned);
        let lines: Vec<_> = std::iter::once(header).chain(self.rows.iter().map(cells)).collect();
        let mut text = format!("{}\n\n{}", self.machine, aligned(&lines));
        if !self.peers.is_empty() {
            let _ = write!(text, "\n{}\n{}", aligned(&peers::lines(&self.peers)), peers::legend(&self.peers));
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

/// Pads the cells of each column to one width.
fn aligned<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0) + GAP);
    let mut text = String::new();
    for line in lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(padded.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

fn cells(row: &Row) -> [String; 6] {
    [row.part.clone(), row.what.clone(), row.bar_text(), row.measured_text(), row.spread_text(), row.verdict()]
}
