//! `install/man/rolecall.1` is written by hand, because it explains more than the help does. It has each command and each
//! option of the command line, and no other.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};

use super::Cli;

const PAGE: &str = include_str!("../../../../install/man/rolecall.1");
/// Options that many commands have. The section OPTIONS explains them once.
const COMMON: [&str; 7] = ["--output", "--json", "--wide", "--verbose", "--help", "--version", "-o"];

/// The part of the page for one command, or for several with one text.
#[derive(Default)]
struct Block {
    /// The synopses.
    headings: Vec<String>,
    /// The headings of options.
    options: Vec<String>,
    text: String,
}

/// Returns a line of roff as plain text.
fn plain(line: &str) -> String {
    let (macro_name, rest) = match line.strip_prefix('.').map(|line| line.split_once(' ').unwrap_or((line, ""))) {
        Some((name, rest)) => (name, rest),
        None => ("", line),
    };
    let mut text = String::new();
    let (mut quoted, mut chars) = (false, rest.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' if !macro_name.is_empty() => quoted = !quoted,
            // Alternating fonts join their arguments.
            ' ' if !quoted && macro_name.len() == 2 => {}
            '\\' => match chars.next() {
                Some('f') => drop(chars.next()),
                Some('(') => drop((chars.next(), chars.next())),
                Some('-') => text.push('-'),
                _ => {}
            },
            c => text.push(c),
        }
    }
    text
}

fn blocks() -> Vec<Block> {
    let (_, page) = PAGE.split_once(".SH COMMANDS\n").unwrap();
    let (page, _) = page.split_once("\n.SH ").unwrap();
    let (mut blocks, mut previous) = (Vec::<Block>::new(), "");
    for line in page.lines() {
        let text = plain(line);
        match previous {
            ".TP" if text.starts_with("rolecall ") => {
                blocks.push(Block { headings: vec![text.clone()], ..Block::default() });
            }
            ".TQ" if text.starts_with("rolecall ") => blocks.last_mut().unwrap().headings.push(text.clone()),
            ".TP" if text.starts_with('-') => blocks.last_mut().unwrap().options.push(text.clone()),
            _ => {}
        }
        if line.starts_with(".SS") {
            blocks.push(Block::default());
        } else if let Some(block) = blocks.last_mut() {
            block.text.extend([&text, "\n"]);
        }
        previous = line;
    }
    blocks.retain(|block| !block.headings.is_empty());
    blocks
}

/// Returns the options that a text names.
fn options_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words = text.split(|c: char| !is_part(c)).filter(|word| word.starts_with('-'));
    words.filter(|word| !word.trim_start_matches('-').is_empty()).map(str::to_owned).collect()
}

/// Returns the commands that have no subcommands, with their paths.
fn leaves(command: &Command, path: &str) -> Vec<(String, Command)> {
    if !command.has_subcommands() {
        return vec![(path.to_owned(), command.clone())];
    }
    command.get_subcommands().flat_map(|child| leaves(child, &format!("{path} {}", child.get_name()))).collect()
}

/// Returns the long and the short form of each option, one or both.
fn options_of(command: &Command) -> Vec<Vec<String>> {
    let visible = command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional());
    let forms = visible.map(|arg| {
        let long = arg.get_long().map(|long| format!("--{long}"));
        long.into_iter().chain(arg.get_short().map(|short| format!("-{short}"))).collect::<Vec<_>>()
    });
    forms.filter(|forms| !forms.iter().any(|form| COMMON.contains(&form.as_str()))).collect()
}

/// Whether a heading is that of a command, and not of one whose name begins with this one's.
fn is_heading_of(heading: &str, path: &str) -> bool {
    heading.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

#[test]
fn man_page_has_each_command_and_option() {
    let (blocks, mut missing) = (blocks(), Vec::new());
    for (path, command) in leaves(&Cli::command(), "rolecall") {
        let Some(block) = blocks.iter().find(|block| block.headings.iter().any(|it| is_heading_of(it, &path))) else {
            missing.push(path);
            continue;
        };
        let named = options_in(&format!("{}\n{}", block.headings.join("\n"), block.text));
        for forms in options_of(&command) {
            if !forms.iter().any(|form| named.contains(form)) {
                missing.push(format!("{path} {}", forms.join(", ")));
            }
        }
        let prefix = path.rsplit_once(' ').unwrap().0;
        for alias in command.get_visible_aliases().map(|alias| format!("{prefix} {alias}")) {
            if !block.text.contains(&alias) {
                missing.push(alias);
            }
        }
    }
    assert!(missing.is_empty(), "install/man/rolecall.1 lacks:\n{}", missing.join("\n"));
}

#[test]
fn man_page_has_no_other_command_or_option() {
    let leaves = leaves(&Cli::command(), "rolecall");
    let mut unknown = Vec::new();
    for block in blocks() {
        let commands: Vec<&Command> = leaves
            .iter()
            .filter(|(path, _)| block.headings.iter().any(|heading| is_heading_of(heading, path)))
            .map(|(_, command)| command)
            .collect();
        let known: BTreeSet<String> = commands
            .iter()
            .flat_map(|command| options_of(command))
            .flatten()
            .chain(COMMON.map(str::to_owned))
            .collect();
        if commands.is_empty() {
            unknown.push(block.headings.join(", "));
        }
        let shown = options_in(
            &block.headings.iter().chain(&block.options).map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        );
        let others = shown.difference(&known).map(|option| format!("{}: {option}", block.headings[0]));
        unknown.extend(others);
    }
    assert!(unknown.is_empty(), "install/man/rolecall.1 has:\n{}", unknown.join("\n"));
}
