//! The pictures of the README: each exists, is XML, and shows command lines that this client parses.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use xmlparser::{ElementEnd, Token, Tokenizer};

use super::*;

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Returns the names and texts of the files in `.github/pictures`.
fn pictures() -> Vec<(String, String)> {
    let files = fs::read_dir(repository().join(".github/pictures")).unwrap();
    let read =
        |path: &Path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap());
    files.map(|file| read(&file.unwrap().path())).collect()
}

/// Asserts that the elements are nested, and returns the text of `<desc>`.
fn described(name: &str, svg: &str) -> String {
    let (mut open, mut description) = (Vec::new(), String::new());
    for token in Tokenizer::from(svg) {
        match token.unwrap_or_else(|error| panic!("{name}: {error}")) {
            Token::ElementStart { local, .. } => open.push(local.as_str()),
            Token::ElementEnd { end: ElementEnd::Empty, .. } => assert!(open.pop().is_some(), "{name}"),
            Token::ElementEnd { end: ElementEnd::Close(_, local), .. } => {
                assert_eq!(open.pop(), Some(local.as_str()), "{name}");
            }
            Token::Text { text } if open.last() == Some(&"desc") => description.push_str(&text),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{name}: {open:?} is not closed");
    description
}

#[test]
fn readme_shows_each_picture_with_a_description() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let mut shown = BTreeSet::new();
    for image in readme.split("![").skip(1) {
        let (description, rest) = image.split_once("](").unwrap();
        let (file, _) = rest.split_once(')').unwrap();
        assert!(repository().join(file).is_file(), "{file}");
        assert!(description.len() > 20, "{file} has no description");
        shown.extend(file.strip_prefix(".github/pictures/").map(str::to_owned));
    }
    let stored: BTreeSet<String> = pictures().into_iter().map(|(name, _)| name).collect();
    assert_eq!(shown, stored);
}

#[test]
fn pictures_are_xml_and_their_commands_parse() {
    let mut commands = 0;
    for (name, svg) in pictures() {
        for line in described(&name, &svg).lines().filter(|line| line.starts_with("rolecall ")) {
            Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{name}: {error}"));
            commands += 1;
        }
    }
    assert!(commands >= 6, "the recorded pictures have a command line each");
}
