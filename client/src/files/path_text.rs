//! Paths as text: for a message, and for a command that the user copies.

use std::path::Path;

use rolecall_protocol::location;

/// A path as people write it: `~/.kube/config`.
pub(crate) fn display_path(path: &Path) -> String {
    let home = location::home();
    match home.ok().as_deref().and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

/// A path as it is typed in a shell, in quotes if needed.
pub(crate) fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=@%,:".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_quoted_odd_characters_are_quoted() {
        assert_eq!(shell_quoted(Path::new("my kube")), "'my kube'");
        assert_eq!(shell_quoted(Path::new("it's")), r"'it'\''s'");
        assert_eq!(shell_quoted(Path::new("~x")), "'~x'");
    }

    #[test]
    fn display_path_in_home_is_shortened() {
        let Ok(home) = location::home() else { return };
        assert_eq!(display_path(&home.join(".kube/config")), "~/.kube/config");
        assert_eq!(display_path(Path::new("/etc/kube")), "/etc/kube");
    }
}
