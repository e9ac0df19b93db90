//! Text that came from elsewhere, made safe for a terminal.

/// The longest piece of foreign text that is shown, in characters.
pub(crate) const MAX_SHOWN: usize = 512;

/// Makes foreign text fit for a terminal: one line, at most 512 characters, nothing that moves the cursor,
/// rings, recolours, or reorders what is read.
///
/// kubectl hands a plugin's stderr to the terminal as it is, so text from AWS, from configuration and from peers goes
/// through here before it becomes part of a message (the class of CVE-2021-25743). Control and format characters are
/// shown as escapes rather than dropped, so that an attempt is visible; line breaks become spaces.
#[must_use]
pub fn sanitize_for_terminal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_SHOWN));
    let mut count = 0;
    let mut last_was_space = false;
    for c in text.chars() {
        if count >= MAX_SHOWN {
            shown.push('…');
            break;
        }
        let c = if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c };
        if c == ' ' && last_was_space {
            continue;
        }
        last_was_space = c == ' ';
        if is_unsafe(c) {
            let escape = c.escape_unicode().to_string();
            count += escape.len();
            shown.push_str(&escape);
        } else {
            count += 1;
            shown.push(c);
        }
    }
    shown.trim().to_owned()
}

/// Control characters (C0, DEL, C1), and the format characters that reorder or hide text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_39_hostile_text_is_one_visible_line() {
        let hostile = "a\u{1b}]0;title\u{7}b\r\nc\u{202e}d\u{9b}31m\u{0}";
        let shown = sanitize_for_terminal(hostile);
        assert_eq!(shown, "a\\u{1b}]0;title\\u{7}b c\\u{202e}d\\u{9b}31m\\u{0}");
        assert!(!shown.chars().any(char::is_control));
    }

    #[test]
    fn long_text_is_cut() {
        let shown = sanitize_for_terminal(&"x".repeat(1 << 20));
        assert_eq!(shown.chars().count(), MAX_SHOWN + 1);
        assert!(sanitize_for_terminal(&"\u{1b}".repeat(1 << 20)).len() < MAX_SHOWN + 16);
    }

    #[test]
    fn plain_text_stays() {
        assert_eq!(sanitize_for_terminal("prod – Zürich ✓"), "prod – Zürich ✓");
    }
}
