//! Splits a line into words as Python's `shlex.split` does. The AWS CLI reads section names and `credential_process` this
//! way. The crate `shlex` has other rules: for comments, and for a backslash between double quotes.

/// Returns the words of a line; `None` if a quotation is not closed or the line ends with a backslash.
#[must_use]
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    // The word under way; `Some("")` after a pair of quotes.
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(characters.next()?),
            quote @ ('\'' | '"') => quoted(&mut characters, quote, word.get_or_insert_default())?,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// Appends the text up to the closing quote. Between double quotes, a backslash quotes a double quote or a backslash.
fn quoted(characters: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Option<()> {
    loop {
        match characters.next()? {
            end if end == quote => return Some(()),
            '\\' if quote == '"' => match characters.next()? {
                escaped @ ('"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_follows_pythons_shlex() {
        for (line, expected) in [
            ("profile work", Some(vec!["profile", "work"])),
            ("profile 'My Corp'", Some(vec!["profile", "My Corp"])),
            ("profile \"Mike Dev.Admin\"", Some(vec!["profile", "Mike Dev.Admin"])),
            ("profile a\\ b\t c", Some(vec!["profile", "a b", "c"])),
            (r#"profile "a\"b\\c\d""#, Some(vec!["profile", r#"a"b\c\d"#])),
            (r"profile 'a\b'", Some(vec!["profile", r"a\b"])),
            ("profile a'b'\"c\"", Some(vec!["profile", "abc"])),
            ("profile ''", Some(vec!["profile", ""])),
            ("profile #x", Some(vec!["profile", "#x"])),
            ("profile\u{a0}x", Some(vec!["profile\u{a0}x"])),
            ("", Some(vec![])),
            ("profile 'a", None),
            ("profile a\\", None),
        ] {
            assert_eq!(split(line), expected.map(|words| words.into_iter().map(str::to_owned).collect()), "{line}");
        }
    }
}
