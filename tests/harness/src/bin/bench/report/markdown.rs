//! The table as Markdown, for the README.

use std::fmt::Write as _;

use super::Report;

impl Report {
    /// Returns the rows with a bar as a table, below a line with date, machine and versions.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "Measured on {}.\n\n| what | bar | measured | spread | verdict |\n|---|---|---|---|---|\n",
            self.machine
        );
        for row in self.rows.iter().filter(|row| row.bar.is_some()) {
            let (bar, measured, spread, verdict) =
                (row.bar_text(), row.measured_text(), row.spread_text(), row.verdict());
            let what = &row.what;
            let _ = writeln!(text, "| {what} | {bar} | {measured} | {spread} | {verdict} |"); // a String accepts every write
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;
    use crate::machine::Machine;
    use crate::sample::Spread;

    #[test]
    fn table_has_the_rows_with_a_bar() {
        let mut report = Report::new(Machine::default());
        report.add(Row::new("client", "time", 1.5, "× /bin/true").at_most(0.9).spread(Spread { low: 1.4, high: 1.6 }));
        report.add(Row::new("client", "calls", 30.0, "").at_most(30.0));
        report.add(Row::new("client", "information", 1.0, "µs"));
        let rows: Vec<_> = report.markdown().lines().skip(4).map(str::to_owned).collect();
        assert_eq!(
            rows,
            ["| time | ≤ 0.9 | 1.5 × /bin/true | 1.4–1.6 | missed by 66.7 % |", "| calls | ≤ 30 | 30 |  | met |"]
        );
    }
}
