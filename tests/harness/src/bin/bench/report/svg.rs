//! The chart for the README: the time of one token on a logarithmic axis, and each row beside its bar.

use std::fmt::Write as _;

use super::{Bar, Report, Row, number};

const WIDTH: f64 = 940.0;
const MARGIN: f64 = 16.0;
/// Where the bars begin, and their greatest length.
const LEFT: f64 = 400.0;
const LENGTH: f64 = 240.0;
const LINE: f64 = 24.0;
const BAR_HEIGHT: f64 = 14.0;
const TITLE: f64 = 36.0;
/// Longest bar of the second panel, as a multiple of the limit.
const MAX_SHARE: f64 = 2.0;

/// Characters in one line below the bars.
const FOOTER_CHARS: usize = 125;

/// Colours follow the reader's colour scheme.
const STYLE: &str = "\
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328; }
.title { font-weight: 600; font-size: 15px; }
.label { text-anchor: end; }
.quiet { fill: #59636e; }
.ground { fill: #ffffff; }
.ours, .met { fill: #1a7f37; }
.other { fill: #8c959f; }
.missed { fill: #bc4c00; }
.line { stroke: #1f2328; stroke-width: 1; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .quiet { fill: #9198a1; }
  .ground { fill: #0d1117; }
  .ours, .met { fill: #3fb950; }
  .other { fill: #656c76; }
  .missed { fill: #f0883e; }
  .line { stroke: #f0f6fc; }
  .grid { stroke: #3d444d; }
}";

/// A drawing that grows downwards.
struct Canvas {
    text: String,
    y: f64,
}

impl Report {
    pub(crate) fn svg(&self) -> String {
        let mut canvas = Canvas { text: String::new(), y: MARGIN };
        canvas.times(&self.rows);
        canvas.bars(&self.rows);
        canvas.y += MARGIN / 2.0;
        for line in [wrapped(&self.machine.hardware()), wrapped(&self.machine.software())].concat() {
            canvas.y += LINE;
            canvas.write(MARGIN, "quiet", &line);
        }
        let height = canvas.y + MARGIN;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             role=\"img\" aria-label=\"Numbers of Rolecall\">\n<style>\n{STYLE}\n</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n{}</svg>\n",
            canvas.text
        )
    }
}

impl Canvas {
    /// Draws the rows of the chart of times, each axis mark ten times the one before.
    fn times(&mut self, rows: &[Row]) {
        let mut times: Vec<(&str, f64)> =
            rows.iter().filter_map(|row| Some((row.chart.as_deref()?, row.value))).collect();
        times.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let (Some((_, shortest)), Some((_, longest))) = (times.first(), times.last()) else { return };
        let (first, last) = (shortest.log10().floor(), longest.log10().ceil());
        let position = |micros: f64| (micros.log10() - first) / (last - first).max(1.0) * LENGTH;
        self.title("Time for one token, logarithmic scale");
        let top = self.y + LINE - BAR_HEIGHT;
        for (name, micros) in &times {
            let class = if name.contains("rolecall") { "ours" } else { "other" };
            self.row(name, position(*micros), class, &duration(*micros));
        }
        let mut mark = first;
        while mark <= last {
            let (x, micros) = (LEFT + position(10_f64.powf(mark)), 10_f64.powf(mark));
            self.vertical(x, top, "grid");
            self.centred(x, self.y + LINE, &duration(micros));
            mark += 1.0;
        }
        self.y += LINE + MARGIN;
    }

    /// Draws how much of its limit each row with a bar uses.
    fn bars(&mut self, rows: &[Row]) {
        self.title("Measured, as a share of the limit");
        let (top, limit) = (self.y + LINE - BAR_HEIGHT, LEFT + LENGTH / MAX_SHARE);
        self.centred(limit, self.y + 6.0, "limit");
        for row in rows {
            let Some(share) = share_of_limit(row) else { continue };
            let class = if row.miss().is_some_and(|miss| miss > 0.0) { "missed" } else { "met" };
            let beyond = if share > MAX_SHARE { "▸ " } else { "" };
            let value = format!("{beyond}{}, limit {}", row.measured_text(), row.bar_text());
            self.row(&row.what, share.min(MAX_SHARE) / MAX_SHARE * LENGTH, class, &value);
        }
        self.vertical(limit, top, "line");
    }

    fn title(&mut self, title: &str) {
        self.y += TITLE - LINE;
        self.write(MARGIN, "title", title);
        self.y += LINE / 2.0;
    }

    /// Draws a bar with its label before it and its value in a column behind all bars.
    fn row(&mut self, label: &str, length: f64, class: &str, value: &str) {
        self.y += LINE;
        let top = self.y - BAR_HEIGHT + 2.0;
        self.add(&format!(
            "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\"/>\
             <text class=\"quiet\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 8.0,
            self.y,
            escaped(label),
            length.max(1.0),
            LEFT + LENGTH + 12.0,
            self.y,
            escaped(value)
        ));
    }

    /// Draws a line from `top` to the last row.
    fn vertical(&mut self, x: f64, top: f64, class: &str) {
        self.add(&format!(
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{:.1}\"/>",
            self.y + 6.0
        ));
    }

    fn centred(&mut self, x: f64, y: f64, text: &str) {
        self.add(&format!("<text class=\"quiet\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"));
    }

    fn write(&mut self, x: f64, class: &str, text: &str) {
        self.add(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{:.1}\">{}</text>", self.y, escaped(text)));
    }

    fn add(&mut self, element: &str) {
        let _ = writeln!(self.text, "{element}"); // a String accepts every write
    }
}

/// Returns how much of its limit a row uses: 1 is the bar itself, more misses it.
fn share_of_limit(row: &Row) -> Option<f64> {
    let share = match row.bar? {
        Bar::AtMost(bar) => row.value / bar,
        Bar::AtLeast(bar) => bar / row.value,
    };
    Some(share.max(0.0))
}

/// Returns a time with its unit: `870 µs`, `1.3 ms`, `2 s`.
fn duration(micros: f64) -> String {
    match micros {
        micros if micros < 1e3 => format!("{} µs", number::text(micros)),
        micros if micros < 1e6 => format!("{} ms", number::text(micros / 1e3)),
        micros => format!("{} s", number::text(micros / 1e6)),
    }
}

/// Returns the lines of a list, each with items for [`FOOTER_CHARS`] at most.
fn wrapped(list: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in list.split(", ") {
        match lines.last_mut() {
            Some(line) if line.chars().count() + item.chars().count() < FOOTER_CHARS => {
                line.push_str(", ");
                line.push_str(item);
            }
            _ => lines.push(item.to_owned()),
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    #[test]
    fn chart_has_both_panels() {
        let mut report = Report::new(Machine::default());
        report.add(Row::new("client", "rolecall token, median", 1300.0, "µs").in_chart("rolecall token"));
        report.add(Row::new("peers", "aws", 650_000.0, "µs").in_chart("aws eks <get-token>"));
        report.add(Row::new("client", "time", 1.46, "× /bin/true").at_most(0.9));
        report.add(Row::new("daemon", "rate", 1.6, "×").at_least(0.8));
        let svg = report.svg();
        assert!(svg.contains("650 ms") && svg.contains("aws eks &lt;get-token&gt;") && svg.contains("10 ms"));
        assert!(svg.contains("class=\"missed\"") && svg.contains("class=\"met\" x=\"400\""));
        assert!(svg.contains("width=\"60.0\""), "half of the limit is a quarter of the axis");
        assert!(svg.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn versions_are_wrapped() {
        let versions = ["rolecall 0.1.0"; 20].join(", ");
        let lines = wrapped(&versions);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= FOOTER_CHARS), "{lines:?}");
        assert_eq!(lines.join(", "), versions);
    }

    #[test]
    fn chart_of_times_is_left_out_without_times() {
        let mut report = Report::new(Machine::default());
        report.add(Row::new("client", "time", 1.46, "× /bin/true").at_most(0.9));
        assert!(!report.svg().contains("logarithmic"));
    }
}
