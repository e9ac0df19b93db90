//! The browser on this machine.

use rolecall_protocol::HttpUrl;

use crate::environment::Environment;

/// Whether there is a browser that the user can see: not over SSH, and only with a display except on macOS.
pub(crate) fn is_available(environment: &Environment) -> bool {
    let has = |name| environment.get(name).is_some();
    !has("SSH_CONNECTION") && (cfg!(target_os = "macos") || has("DISPLAY") || has("WAYLAND_DISPLAY"))
}

/// Whether a browser may open the address: an https page, or an http page of this machine.
pub(crate) fn is_web_page(url: &str) -> bool {
    HttpUrl::parse(url).is_ok_and(|url| url.is_secure())
}

/// Opens an address in a new process without output. False if that fails.
pub(crate) fn open(url: &str) -> bool {
    is_web_page(url) && open::that_detached(url).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_available_needs_display_and_no_ssh() {
        let is_available = |pairs: &[(&str, &str)]| {
            is_available(&pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
        };
        assert!(is_available(&[("DISPLAY", ":0")]));
        assert!(is_available(&[("WAYLAND_DISPLAY", "wayland-0")]));
        assert!(!is_available(&[("DISPLAY", ":10"), ("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")]));
        assert_eq!(is_available(&[("DISPLAY", "")]), cfg!(target_os = "macos"));
    }

    #[test]
    fn is_web_page_other_urls_are_refused() {
        for page in [
            "https://device.sso.eu-west-1.amazonaws.com/?user_code=ABCD-EFGH",
            "https://x.awsapps.com/start/#/device?user_code=A",
            "http://127.0.0.1:8080/start",
            "http://localhost/x",
            "http://[::1]:80/x",
        ] {
            assert!(is_web_page(page), "{page}");
        }
        for other in [
            "",
            "https://",
            "https:///x",
            "http://example.com/",
            "http://127.0.0.1@example.com/",
            "http://127.0.0.1:80@example.com/",
            "http://localhost.example.com/",
            "file:///etc/passwd",
            "vnc://127.0.0.1",
            "-h",
            "https://x/\u{1b}[2J",
            "https://x/a b",
            &format!("https://x/{}", "a".repeat(8 * 1024)),
        ] {
            assert!(!is_web_page(other) && !open(other), "{other}");
        }
    }
}
