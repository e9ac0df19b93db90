//! Makes text from other programs safe to print on a terminal.

/// The length limit of sanitized text, in characters.
const MAX_SHOWN: usize = 512;

/// Returns the text as one line of at most 512 characters without control or format characters, so that it cannot move
/// the cursor, ring, change colors or reorder text.
///
/// kubectl copies a plugin's stderr to the terminal unchanged (compare CVE-2021-25743). Therefore text from AWS, from
/// files and from other processes passes through here before it becomes part of a message. Control and format
/// characters become visible escapes; line breaks become spaces.
#[must_use]
pub fn sanitize_for_terminal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_SHOWN));
    let (mut count, mut last_was_space) = (0, false);
    // The end of the longest part that leaves a place for the ellipsis.
    let mut cut = 0;
    for c in text.chars() {
        let c = if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c };
        if c == ' ' && last_was_space {
            continue;
        }
        last_was_space = c == ' ';
        if is_unsafe_for_terminal(c) {
            let escape = c.escape_unicode();
            count += escape.len();
            shown.extend(escape);
        } else {
            count += 1;
            shown.push(c);
        }
        if count > MAX_SHOWN {
            shown.truncate(cut);
            shown.push('…');
            break;
        }
        if count < MAX_SHOWN {
            cut = shown.len();
        }
    }
    shown.trim().to_owned()
}

/// Returns the text as one line with visible escapes for control and format characters, at its whole length.
#[must_use]
pub fn escape_controls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            c if is_unsafe_for_terminal(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether a character is a control character (C0, DEL, C1) or a format character that reorders or hides text.
#[must_use]
pub fn is_unsafe_for_terminal(c: char) -> bool {
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

    /// Fault matrix row 39.
    #[test]
    fn sanitize_hostile_text_is_one_visible_line() {
        let hostile = "a\u{1b}]0;title\u{7}b\r\nc\u{202e}d\u{9b}31m\u{0}";
        let shown = sanitize_for_terminal(hostile);
        assert_eq!(shown, "a\\u{1b}]0;title\\u{7}b c\\u{202e}d\\u{9b}31m\\u{0}");
        assert!(!shown.chars().any(char::is_control));
    }

    #[test]
    fn sanitize_long_text_is_cut() {
        let count = |text: &str| sanitize_for_terminal(text).chars().count();
        assert_eq!(count(&"x".repeat(1 << 20)), MAX_SHOWN);
        assert_eq!(count(&"x".repeat(MAX_SHOWN)), MAX_SHOWN);
        assert_eq!(count(&"\u{1b}".repeat(1 << 20)), 85 * "\\u{1b}".len() + 1);
        assert!(!sanitize_for_terminal(&"x".repeat(MAX_SHOWN)).contains('…'));
    }

    #[test]
    fn sanitize_plain_text_is_unchanged() {
        assert_eq!(sanitize_for_terminal("prod – Zürich ✓"), "prod – Zürich ✓");
    }
}
