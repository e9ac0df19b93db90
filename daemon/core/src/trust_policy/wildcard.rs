//! The wildcards of policies: `*` is any text, `?` one character.

/// Returns whether a text matches a pattern. Takes time proportional to the product of both lengths at most.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut read) = (0, 0);
    // The place after the last `*`, and how much of the text that `*` matches so far.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                star = Some((at, read));
            }
            Some(wanted) if *wanted == '?' || *wanted == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after, matched)) = star else { return false };
                star = Some((after, matched + 1));
                (at, read) = (after, matched + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// Returns whether an ARN matches a pattern, part by part: a `*` does not match across a colon of the first five.
pub(super) fn arn_matches(pattern: &str, arn: &str) -> bool {
    let (pattern, arn): (Vec<&str>, Vec<&str>) = (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern.len() == arn.len() && pattern.iter().zip(&arn).all(|(pattern, part)| matches(pattern, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_any_text_and_one_character() {
        for (pattern, text, expected) in [
            ("sts:*", "sts:AssumeRole", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("?b", "äb", true),
            ("?b", "b", false),
            ("", "", true),
            ("", "a", false),
            ("a", "A", false),
            ("***", "abc", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(200), &"b".repeat(2000)));
    }

    #[test]
    fn arn_wildcard_stays_in_its_part() {
        let arn = "arn:aws:iam::111122223333:role/team/dev";
        assert!(arn_matches("arn:aws:iam::111122223333:role/*", arn));
        assert!(arn_matches("arn:*:iam::*:role/team/dev", arn));
        assert!(!arn_matches("arn:aws:iam::1111*:user/*", arn));
        assert!(!arn_matches("*", arn) && !arn_matches("arn:aws:*", arn));
    }
}
