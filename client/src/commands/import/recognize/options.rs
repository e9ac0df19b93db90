//! Splits the words of a command line into options and other words, by the rules of the program's own parser.

use super::tables::{Effect, OptionSpec};

/// The rules of a parser of options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Python's argparse: a long option may be cut to a unique start.
    Argparse,
    /// Go's pflag and kingpin: no cut options; a short option may have its value in the same word.
    Pflag,
}

/// A command line.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) options: Vec<(Effect, String)>,
    pub(super) positionals: Vec<String>,
    /// The words after `--`, if there is one.
    pub(super) rest: Option<Vec<String>>,
}

/// Parses words with these options. Words after `--` are not parsed.
///
/// # Errors
/// The option that the table does not have, or that has no value.
pub(super) fn parse(words: &[String], specs: &[OptionSpec], style: Style) -> Result<Parsed, String> {
    parse_until(words, specs, style, usize::MAX)
}

/// Like [`parse`], and the words from the `max_positionals + 1`st positional on are not parsed either.
pub(super) fn parse_until(
    words: &[String],
    specs: &[OptionSpec],
    style: Style,
    max_positionals: usize,
) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.rest = Some(words.cloned().collect());
            break;
        }
        if !word.starts_with('-') || word == "-" {
            if parsed.positionals.len() == max_positionals {
                parsed.rest = Some(std::iter::once(word).chain(words).cloned().collect());
                break;
            }
            parsed.positionals.push(word.clone());
            continue;
        }
        let (spec, attached) = find(word, specs, style)?;
        let value = match (spec.has_value, attached) {
            (false, None) => String::new(),
            (false, Some(value)) if value == "true" => String::new(),
            (false, Some(value)) if value == "false" => continue,
            (false, Some(_)) => return Err(format!("its option {} takes no value", spec.long)),
            (true, Some(value)) => value,
            (true, None) => words.next().cloned().ok_or_else(|| format!("its option {} has no value", spec.long))?,
        };
        parsed.options.push((spec.effect, value));
    }
    Ok(parsed)
}

/// Returns the option of a word, and the value in the same word.
fn find<'a>(word: &str, specs: &'a [OptionSpec], style: Style) -> Result<(&'a OptionSpec, Option<String>), String> {
    let (name, attached) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let unknown = || format!("Rolecall does not know its option {name}");
    if !name.starts_with("--") {
        let mut characters = word.chars();
        characters.next();
        let letter = characters.next();
        let spec = specs.iter().find(|spec| spec.short.is_some() && spec.short == letter).ok_or_else(unknown)?;
        let rest = characters.as_str();
        let attached = Some(rest.strip_prefix('=').unwrap_or(rest)).filter(|_| !rest.is_empty());
        return Ok((spec, attached.map(str::to_owned)));
    }
    if let Some(spec) = specs.iter().find(|spec| spec.long == name) {
        return Ok((spec, attached));
    }
    let mut starts = specs.iter().filter(|spec| style == Style::Argparse && spec.long.starts_with(name));
    match (starts.next(), starts.next()) {
        (Some(spec), None) => Ok((spec, attached)),
        _ => Err(unknown()),
    }
}
