//! The template of a session's name: what CloudTrail shows.

use rolecall_protocol::{InvalidName, SessionName};

/// Fills in a template of a session's name. `{user}` and `{host}` are made to fit STS's alphabet; what the template
/// itself says has to fit as it is. The result is cut at STS's 64 characters.
pub fn session_name(template: &str, user: &str, host: &str) -> Result<SessionName, InvalidName> {
    let filled = template.replace("{user}", &fitting(user)).replace("{host}", &fitting(host));
    filled.chars().take(64).collect::<String>().parse()
}

/// Replaces what STS does not take by `-`.
fn fitting(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
    match text.chars().map(fit).collect::<String>() {
        empty if empty.is_empty() => "unknown".to_owned(),
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_fit_whoever_it_is() {
        let name =
            |template: &str, user: &str, host: &str| session_name(template, user, host).map(|name| name.to_string());
        assert_eq!(name("{user}@{host}", "dev", "laptop").unwrap(), "dev@laptop");
        assert_eq!(name("{user}@{host}", "Jörg Ü", "").unwrap(), "J-rg--@unknown");
        assert_eq!(name("{user}", &"x".repeat(99), "").unwrap().len(), 64);
        assert!(name("a b", "", "").is_err());
        assert!(name("{profile}", "", "").is_err());
    }
}
