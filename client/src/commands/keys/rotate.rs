//! `rolecall keys rotate NAME`: replaces an access key by a new one.

use rolecall_protocol::{Endpoint, KeyName, KeyRotated, sanitize_for_terminal};

use crate::context::Context;
use crate::daemon::patient_deadline;
use crate::error::CliError;
use crate::output;
use crate::terminal::style;

/// Rotates the access key. Takes until IAM has distributed the new one.
pub(super) fn run(name: &KeyName, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    if style::stdout_can_redraw(&context.environment) {
        output::print_note("creating a new access key; AWS may take half a minute to accept it");
    }
    let endpoint = Endpoint::RotateKey(name.clone());
    let rotated: KeyRotated = daemon.call_json_within(&endpoint, b"", patient_deadline(&endpoint))?;
    context.print_done(&rotation_text(name, &rotated))?;
    match rotated.old_stays {
        Some(problem) => Err(CliError::from(problem).with_subject(format_args!("access key \"{name}\""))),
        None => Ok(()),
    }
}

fn rotation_text(name: &KeyName, rotated: &KeyRotated) -> String {
    let old = sanitize_for_terminal(&rotated.old_suffix);
    let old = match rotated.old_stays {
        None => format!("the old one (…{old}) was deleted at AWS"),
        Some(_) => format!("the old one (…{old}) is still there at AWS"),
    };
    format!("{name}: the keyring has the new {}; {old}", super::text::key_text(&rotated.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_text_names_the_old_key() {
        let mut rotated: KeyRotated = serde_json::from_value(serde_json::json!({
            "key": {"name": "work", "key_id_suffix": "NEWS", "region": "us-east-1", "stored": "2026-01-02T12:00:00Z",
                    "arn": "arn:aws:iam::111122223333:user/dev"},
            "old_suffix": "OLDS",
        }))
        .unwrap();
        let name = "work".parse().unwrap();
        assert_eq!(
            rotation_text(&name, &rotated),
            "work: the keyring has the new access key …NEWS of arn:aws:iam::111122223333:user/dev; the old one (…OLDS) was \
             deleted at AWS"
        );
        rotated.old_stays = Some(rolecall_protocol::ErrorBody::new(rolecall_protocol::ErrorCode::AccessDenied, "no"));
        assert!(rotation_text(&name, &rotated).ends_with("the old one (…OLDS) is still there at AWS"));
    }
}
