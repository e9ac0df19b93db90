//! Parses INI text as the AWS CLI does: by the rules of Python's `configparser.RawConfigParser`, with the nested settings of
//! botocore (`configloader.py`). A file that the AWS CLI refuses is an error here.
//!
//! A line that is indented more than the setting above it continues the value of that setting. Errors name the line and do
//! not quote it, because it may hold a secret.

use std::collections::BTreeMap;
use std::collections::HashMap;

/// The section whose settings every other section inherits.
const DEFAULT_SECTION: &str = "DEFAULT";
/// The mark at the start of a file that some editors write. Python reads it as a character.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// The settings of a text, inherited and nested ones included. 10,000 AWS profiles with eight settings each count as 130,000. A file
/// at the limit takes about 60 MB of memory.
const MAX_SETTINGS: usize = 200_000;
/// How many settings a section counts as, by its memory.
const SECTION_WEIGHT: usize = 5;

/// A section of a file.
#[derive(Clone)]
pub struct Section {
    /// The text between the brackets.
    pub name: String,
    /// The line of the header, from 1.
    pub line: usize,
    /// The settings by key, in lower case.
    pub settings: BTreeMap<String, Setting>,
}

/// A setting of a section.
#[derive(Clone)]
pub struct Setting {
    /// The line of the key, from 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// The value of a setting.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A text. It has several lines if the setting continues in indented lines.
    Text(String),
    /// The settings in the indented lines below a key without a value.
    Nested(BTreeMap<String, String>),
}

/// A line that the AWS CLI refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {problem}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The problem.
    pub problem: SyntaxProblem,
}

/// Why a line is refused: by the AWS CLI, or by the limit of this parser.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxProblem {
    /// The file starts with a byte order mark.
    #[error("starts with a byte order mark; save the file as UTF-8 without one")]
    ByteOrderMark,
    /// A setting before the first section.
    #[error("is outside of a section; a section starts with a line such as [default]")]
    NoSection,
    /// A section that is there already.
    #[error("repeats the section of line {0}; merge the two sections")]
    RepeatedSection(usize),
    /// A key that its section has already.
    #[error("repeats the key of line {0} in the same section; remove one of the two")]
    RepeatedKey(usize),
    /// The text has too many sections and settings.
    #[error("exceeds the limit of {MAX_SETTINGS} settings in a file, of which a section counts as {SECTION_WEIGHT}")]
    TooMany,
    /// Neither a section, a setting nor a comment.
    #[error("has neither a section in brackets nor a key with = or :")]
    NoDelimiter,
    /// A line that starts with the delimiter.
    #[error("has no key before its = or :")]
    NoKey,
    /// An indented line without `=` below a key without a value.
    #[error("is indented, so it is a nested setting, but it has no =")]
    NestedWithoutEquals,
}

/// Whether Python's `str.strip` and `\s` treat a character as space.
pub const fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

/// Parses the text of a file.
///
/// # Errors
/// The first line that the AWS CLI refuses.
pub fn parse(text: &str) -> Result<Vec<Section>, SyntaxError> {
    let mut parser = Parser::default();
    if text.starts_with(BYTE_ORDER_MARK) {
        return Err(SyntaxError { line: 1, problem: SyntaxProblem::ByteOrderMark });
    }
    for (index, line) in lines(text).enumerate() {
        let number = index + 1;
        parser.read(number, line).map_err(|problem| SyntaxError { line: number, problem })?;
    }
    parser.finish()
}

/// The lines of a text. A line ends with `\n`, `\r\n` or `\r`, as for Python.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// What has been read so far.
#[derive(Default)]
struct Parser {
    sections: Vec<OpenSection>,
    indexes: HashMap<String, usize>,
    /// The index of the section under way.
    section: Option<usize>,
    /// The key of the setting under way: lines that are indented more continue it.
    key: Option<String>,
    /// The indentation of the last section or key, in characters.
    indent: usize,
    /// How many settings there are, see [`MAX_SETTINGS`].
    count: usize,
}

struct OpenSection {
    name: String,
    line: usize,
    settings: BTreeMap<String, OpenSetting>,
}

/// A setting with the lines of its value so far, joined by `\n`.
struct OpenSetting {
    line: usize,
    value: String,
}

impl Parser {
    fn read(&mut self, number: usize, line: &str) -> Result<(), SyntaxProblem> {
        let text = line.trim_matches(is_space);
        if text.starts_with(['#', ';']) {
            return Ok(());
        }
        let indent = line.chars().take_while(|character| is_space(*character)).count();
        let is_continuation = text.is_empty() || indent > self.indent;
        if let Some(setting) = self.setting_under_way().filter(|_| is_continuation) {
            let nested = setting.continue_with(text)?;
            return self.add_to_count(nested);
        }
        if text.is_empty() {
            return Ok(());
        }
        self.indent = indent;
        match section_name(text) {
            Some(name) => {
                self.begin_section(name, number)?;
                self.add_to_count(SECTION_WEIGHT)
            }
            None => {
                self.begin_setting(text, number)?;
                self.add_to_count(1)
            }
        }
    }

    const fn add_to_count(&mut self, settings: usize) -> Result<(), SyntaxProblem> {
        self.count += settings;
        if self.count > MAX_SETTINGS { Err(SyntaxProblem::TooMany) } else { Ok(()) }
    }

    fn setting_under_way(&mut self) -> Option<&mut OpenSetting> {
        let section = self.sections.get_mut(self.section?)?;
        section.settings.get_mut(self.key.as_ref()?)
    }

    fn begin_section(&mut self, name: &str, line: usize) -> Result<(), SyntaxProblem> {
        self.key = None;
        match self.indexes.get(name) {
            // Python merges sections of this name.
            Some(index) if name == DEFAULT_SECTION => self.section = Some(*index),
            Some(index) => {
                return Err(SyntaxProblem::RepeatedSection(self.sections.get(*index).map_or(0, |first| first.line)));
            }
            None => {
                self.section = Some(self.sections.len());
                self.indexes.insert(name.to_owned(), self.sections.len());
                self.sections.push(OpenSection { name: name.to_owned(), line, settings: BTreeMap::new() });
            }
        }
        Ok(())
    }

    fn begin_setting(&mut self, text: &str, line: usize) -> Result<(), SyntaxProblem> {
        let Some(section) = self.section.and_then(|index| self.sections.get_mut(index)) else {
            return Err(SyntaxProblem::NoSection);
        };
        let Some((key, value)) = text.split_once(['=', ':']) else { return Err(SyntaxProblem::NoDelimiter) };
        let key = key.trim_end_matches(is_space).to_lowercase();
        if key.is_empty() {
            return Err(SyntaxProblem::NoKey);
        }
        if let Some(first) = section.settings.get(&key) {
            return Err(SyntaxProblem::RepeatedKey(first.line));
        }
        let value = value.trim_matches(is_space).to_owned();
        section.settings.insert(key.clone(), OpenSetting { line, value });
        self.key = Some(key);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Section>, SyntaxError> {
        let inherited = self.sections.iter().find(|section| section.name == DEFAULT_SECTION);
        let inherited = inherited.map_or(0, |defaults| defaults.settings.len());
        for index in 0..self.sections.len() {
            let line = self.sections.get(index).map_or(0, |section| section.line);
            self.add_to_count(inherited).map_err(|problem| SyntaxError { line, problem })?;
        }
        let closed = |section: OpenSection| Section {
            name: section.name,
            line: section.line,
            settings: section.settings.into_iter().map(|(key, setting)| (key, setting.close())).collect(),
        };
        let (defaults, mut sections): (Vec<_>, Vec<_>) =
            self.sections.into_iter().map(closed).partition(|section| section.name == DEFAULT_SECTION);
        for (key, setting) in defaults.iter().flat_map(|defaults| &defaults.settings) {
            for section in &mut sections {
                section.settings.entry(key.clone()).or_insert_with(|| setting.clone());
            }
        }
        Ok(sections)
    }
}

impl OpenSetting {
    /// Adds a line to the value. Returns how many nested settings the line has.
    fn continue_with(&mut self, text: &str) -> Result<usize, SyntaxProblem> {
        // The first line of a nested value is empty.
        let is_nested = self.value.is_empty() || self.value.starts_with('\n');
        if is_nested && nested_lines(text).any(|line| !line.contains('=')) {
            return Err(SyntaxProblem::NestedWithoutEquals);
        }
        self.value.push('\n');
        self.value.push_str(text);
        Ok(if is_nested { nested_lines(text).count() } else { 0 })
    }

    fn close(self) -> Setting {
        let text = self.value.trim_end_matches(is_space);
        let value = if text.starts_with('\n') {
            let settings = nested_lines(text).filter_map(|line| line.split_once('='));
            let trimmed = |text: &str| text.trim_matches(is_space).to_owned();
            Value::Nested(settings.map(|(key, value)| (trimmed(key), trimmed(value))).collect())
        } else {
            Value::Text(text.to_owned())
        };
        Setting { line: self.line, value }
    }
}

/// The lines of a nested value that are not empty. They end where those of Python's `str.splitlines` do.
fn nested_lines(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |character| {
        matches!(character, '\n' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    text.split(is_end).map(|line| line.trim_matches(is_space)).filter(|line| !line.is_empty())
}

/// The name of a section if the line is a header: the text from the first bracket to the last closing one. What follows is
/// ignored, such as a comment.
fn section_name(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('[')?;
    let name = rest.get(..rest.rfind(']')?)?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests;
