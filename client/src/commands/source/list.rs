//! `rolecall source list`.

use rolecall_protocol::{Endpoint, Status, sanitize_for_terminal};

use crate::cli::Output;
use crate::context::Context;
use crate::daemon::config_status;
use crate::error::CliError;
use crate::terminal::table::{Column, Row, render};
use crate::{clock, output};

/// Prints the sources.
pub(super) fn run(format: &Output, context: &Context) -> Result<(), CliError> {
    let status: Status = context.daemon()?.call_json(&Endpoint::Status, b"")?;
    let now = clock::now();
    if let Some(broken) = config_status::invalid_config_error(&status, now, &context.zone) {
        // Without a configuration in force, an empty list would be wrong.
        if status.config.loaded.is_none() {
            return Err(broken);
        }
        output::print_note(&broken.to_string());
    }
    let profiles = super::profiles_by_source(&status);
    let profiles_of = |name| profiles.get(name).map(Vec::as_slice).unwrap_or_default();
    if let Some(format) = format.data() {
        let sources: Vec<_> =
            status.sources.iter().map(|source| super::data(source, profiles_of(&source.name))).collect();
        return output::print_data(format, &sources);
    }
    if status.sources.is_empty() {
        output::print_note("there are no sources yet. Add a profile with one: rolecall add --help");
        return Ok(());
    }
    let columns = [
        Column::fixed("SOURCE"),
        Column::optional("KIND", 1),
        Column::optional("LOGIN", 2),
        Column::optional("PROFILES", 3).short_at(4),
    ];
    let rows: Vec<Row> = status
        .sources
        .iter()
        .map(|source| {
            let names: Vec<&str> = profiles_of(&source.name).iter().map(|name| name.as_str()).collect();
            let text = if names.is_empty() { "-".to_owned() } else { names.join(", ") };
            Row::from(vec![
                source.name.as_str().into(),
                sanitize_for_terminal(&source.kind).into(),
                super::login_text(source, &status, now, &context.zone).into(),
                crate::terminal::table::Cell::from(text).shortened(names.len().to_string()),
            ])
        })
        .collect();
    output::print(&render(&columns, &rows, context.screen.widened(format.is_wide())))
}
