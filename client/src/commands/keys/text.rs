//! Access keys and sources in messages.

use rolecall_protocol::{KeyStatus, sanitize_for_terminal};

/// An access key and its user: `access key …WXYZ of arn:aws:iam::111122223333:user/dev`.
pub(super) fn key_text(key: &KeyStatus) -> String {
    let whose = key.arn.as_deref().map(|arn| format!(" of {}", sanitize_for_terminal(arn))).unwrap_or_default();
    format!("access key …{}{whose}", sanitize_for_terminal(&key.key_id_suffix))
}

/// Names, separated by commas.
pub(super) fn name_list(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| sanitize_for_terminal(name.as_ref())).collect::<Vec<_>>().join(", ")
}
