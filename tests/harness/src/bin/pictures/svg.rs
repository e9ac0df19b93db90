//! The drawing of a terminal's screen as SVG. Its colours follow the reader's colour scheme.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

/// The size of a character, of the font in [`STYLE`].
const ADVANCE: f64 = 8.4;
const LINE: f64 = 20.0;
/// From the top of a line to the base of its characters.
const BASE: f64 = 15.0;
const MARGIN: f64 = 18.0;

const STYLE: &str = "\
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2328; }
.ground { fill: #f6f8fa; stroke: #d1d9e0; }
.text { fill: #1f2328; }
.quiet { fill: #59636e; }
.red { fill: #cf222e; }
.green { fill: #1a7f37; }
.yellow { fill: #8a5c00; }
.blue { fill: #0969da; }
.magenta { fill: #8250df; }
.cyan { fill: #176f75; }
.inverse { fill: #f6f8fa; }
.bold { font-weight: 700; }
.line { text-decoration: underline; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .ground { fill: #0d1117; stroke: #3d444d; }
  .text { fill: #f0f6fc; }
  .quiet { fill: #9198a1; }
  .red { fill: #ff7b72; }
  .green { fill: #3fb950; }
  .yellow { fill: #d29922; }
  .blue { fill: #58a6ff; }
  .magenta { fill: #bc8cff; }
  .cyan { fill: #39c5cf; }
  .inverse { fill: #0d1117; }
}";

/// Characters of one row with one look. No two spaces are adjacent, and none is at an end.
struct Piece {
    column: u16,
    text: String,
    look: Look,
}

/// How a character is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    color: &'static str,
    is_bold: bool,
    is_underlined: bool,
    is_inverse: bool,
}

/// Draws the rows of the screen down to the last one with text. `commands` are the typed lines, for readers that get no
/// picture and for the test that parses them.
pub(crate) fn draw(screen: &Screen, title: &str, commands: &[String]) -> String {
    let columns = screen.size().1.get();
    let mut body = String::new();
    let mut rows = 0;
    for (row, text) in (0..).zip(screen.rows(0, columns)) {
        if text.trim().is_empty() {
            continue;
        }
        rows = row + 1;
        let top = MARGIN + f64::from(row) * LINE;
        for piece in pieces(screen, row, columns) {
            piece.draw(top, &mut body);
        }
    }
    let (width, height) = (2.0 * MARGIN + f64::from(columns) * ADVANCE, 2.0 * MARGIN + f64::from(rows) * LINE);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">\n<desc>{}</desc>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"ground\" x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"8\"/>\n{body}</svg>\n",
        escape(title),
        escape(&commands.join("\n")),
        width - 1.0,
        height - 1.0,
    )
}

/// Splits a row where the look changes, at two spaces, and around each character that may be wider in a reader's font.
fn pieces(screen: &Screen, row: u16, columns: u16) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut is_gap = true;
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else { break };
        let (text, look) = (cell.contents(), Look::of(cell));
        let is_space = text.trim().is_empty();
        if is_space && !look.is_inverse {
            is_gap = is_gap || pieces.last().is_none_or(|last| last.text.ends_with(' ') || last.look != look);
            if !is_gap && let Some(last) = pieces.last_mut() {
                last.text.push(' ');
            }
            continue;
        }
        let text = if is_space { "\u{a0}" } else { text };
        let joins = |last: &Piece| last.look == look && last.text.is_ascii() == text.is_ascii();
        let is_bar = |last: &Piece| text.is_ascii() || last.text.starts_with(text);
        match pieces.last_mut() {
            Some(last) if !is_gap && joins(last) && is_bar(last) => last.text.push_str(text),
            _ => pieces.push(Piece { column, text: text.to_owned(), look }),
        }
        is_gap = false;
    }
    for piece in &mut pieces {
        piece.text.truncate(piece.text.trim_end_matches(' ').len());
    }
    pieces
}

impl Piece {
    fn draw(&self, top: f64, body: &mut String) {
        let (x, length) = (MARGIN + f64::from(self.column) * ADVANCE, self.length());
        let color = self.look.color;
        if let Some(opacity) = opacity(&self.text) {
            let (y, height) = (top + 3.0, LINE - 6.0);
            let _ = writeln!(
                body,
                "<rect class=\"{color}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{height:.1}\"{opacity}/>"
            );
            return;
        }
        if self.look.is_inverse {
            let _ = writeln!(
                body,
                "<rect class=\"{color}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{LINE:.1}\"/>"
            );
        }
        // The length keeps the columns where the reader's font is narrower or wider.
        let length = if self.text.is_ascii() && self.text.len() > 1 {
            format!(" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\"")
        } else {
            String::new()
        };
        let (y, classes, text) = (top + BASE, self.look.classes(), escape(&self.text));
        let _ = writeln!(body, "<text{classes} x=\"{x:.1}\" y=\"{y:.1}\"{length}>{text}</text>");
    }

    fn length(&self) -> f64 {
        self.text.chars().map(|_| ADVANCE).sum()
    }
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let color = match cell.fgcolor() {
            _ if cell.dim() => "quiet",
            Color::Default | Color::Idx(7 | 15) => "text",
            Color::Idx(0 | 8) => "quiet",
            Color::Idx(1 | 9) => "red",
            Color::Idx(2 | 10) => "green",
            Color::Idx(3 | 11) => "yellow",
            Color::Idx(4 | 12) => "blue",
            Color::Idx(5 | 13) => "magenta",
            Color::Idx(6 | 14) => "cyan",
            other => panic!("the pictures have no colour for {other:?}"),
        };
        Self { color, is_bold: cell.bold(), is_underlined: cell.underline(), is_inverse: cell.inverse() }
    }

    fn classes(self) -> String {
        let color = if self.is_inverse { "inverse" } else { self.color };
        let classes = [(color != "text", color), (self.is_bold, "bold"), (self.is_underlined, "line")];
        let classes: Vec<&str> = classes.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect();
        if classes.is_empty() { String::new() } else { format!(" class=\"{}\"", classes.join(" ")) }
    }
}

/// Returns the opacity attribute of a rectangle for text that is a bar. Fonts leave gaps between these characters.
fn opacity(text: &str) -> Option<&'static str> {
    match text.chars().next()? {
        '█' => Some(""),
        '░' => Some(" opacity=\"0.25\""),
        _ => None,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
