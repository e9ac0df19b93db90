//! `rolecall keys list`: the access keys in the OS keyring.

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{Endpoint, KeyList, KeyStatus, sanitize_for_terminal};

use crate::context::Context;
use crate::error::CliError;
use crate::format_time;
use crate::terminal::style::Screen;
use crate::terminal::table::{Column, Row, render};
use crate::{cli, clock, output};

/// Prints the access keys, without their secrets.
pub(super) fn run(format: &cli::Output, context: &Context) -> Result<(), CliError> {
    let KeyList { keys } = context.daemon()?.call_json(&Endpoint::Keys, b"")?;
    if let Some(format) = format.data() {
        return output::print_data(format, &keys);
    }
    if keys.is_empty() {
        output::print_note("there is no access key in the OS keyring. Put one there: rolecall keys put NAME");
        return Ok(());
    }
    output::print(&table(&keys, context.screen.widened(format.is_wide()), clock::now(), &context.zone))
}

fn table(keys: &[KeyStatus], screen: Screen, now: Timestamp, zone: &TimeZone) -> String {
    let columns = [
        Column::fixed("NAME"),
        Column::fixed("ACCESS KEY"),
        Column::optional("REGION", 2),
        Column::optional("STORED", 3),
        Column::optional("WHOSE", 1),
    ];
    let rows: Vec<Row> = keys
        .iter()
        .map(|key| {
            Row::from(vec![
                key.name.as_str().into(),
                format!("…{}", sanitize_for_terminal(&key.key_id_suffix)).into(),
                key.region.as_str().into(),
                format_time::short_time(now, key.stored, zone).into(),
                key.arn.as_deref().map_or_else(|| "-".to_owned(), sanitize_for_terminal).into(),
            ])
        })
        .collect();
    render(&columns, &rows, screen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_escapes_the_arn() {
        let key: KeyStatus = serde_json::from_value(serde_json::json!({
            "name": "work", "key_id_suffix": "WXYZ", "region": "us-east-1", "stored": "2026-01-02T12:00:00Z",
            "arn": "arn:aws:iam::111122223333:user/dev\u{1b}[2J",
        }))
        .unwrap();
        let screen = Screen { unicode: true, width: None, is_wide: false };
        let shown = table(&[key], screen, "2026-01-03T12:00:00Z".parse().unwrap(), &TimeZone::UTC);
        assert!(shown.contains("work") && shown.contains("…WXYZ") && shown.contains("2026-01-02 12:00"), "{shown}");
        assert!(!shown.contains('\u{1b}') || !shown.contains("\u{1b}[2J"), "{shown:?}");
    }
}
