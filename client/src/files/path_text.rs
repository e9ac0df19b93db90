//! Paths as text for a message.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_path_in_home_is_shortened() {
        let Ok(home) = location::home() else { return };
        assert_eq!(display_path(&home.join(".kube/config")), "~/.kube/config");
        assert_eq!(display_path(Path::new("/etc/kube")), "/etc/kube");
    }
}
