//! `rolecall source show NAME`.

use rolecall_protocol::{Endpoint, Hint, ProfileName, SourceName, Status, sanitize_for_terminal};

use crate::cli::Output;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::error::CliError;
use crate::login::source;
use crate::terminal::table::key_values;
use crate::{clock, format_time, output};

/// Prints a source.
pub(super) fn run(name: &SourceName, format: &Output, context: &Context) -> Result<(), CliError> {
    let status: Status = context.daemon()?.call_json(&Endpoint::Status, b"")?;
    let name = source::find(name, &status)?;
    let Some(found) = status.sources.iter().find(|source| source.name == name) else {
        return Err(CliError::failed(
            format!("the agent is older than this client and says nothing about source \"{name}\""),
            Hint::command("rolecall agent restart"),
        ));
    };
    let profiles = super::profiles_by_source(&status);
    let profiles = profiles.get(&name).map(Vec::as_slice).unwrap_or_default();
    if let Some(format) = format.data() {
        return output::print_data(format, &super::data(found, profiles));
    }
    let now = clock::now();
    let mut pairs = vec![
        ("source", name.to_string()),
        ("kind", sanitize_for_terminal(&found.kind)),
        ("login", super::login_text(found, &status, now, &context.zone)),
    ];
    // Without a readable configuration, the device is not shown.
    let config = context.config_path().ok().and_then(|path| ConfigFile::load(&path).ok());
    if let Some(serial) = config.and_then(|config| config.mfa_serial(&name)) {
        pairs.push(("MFA device", sanitize_for_terminal(&serial)));
    }
    let names: Vec<&str> = profiles.iter().map(|name| ProfileName::as_str(name)).collect();
    pairs.push(("profiles", if names.is_empty() { "none".to_owned() } else { names.join(", ") }));
    if let Some(problem) = &found.problem {
        let since = format_time::ago(now, problem.since);
        pairs.push(("problem", sanitize_for_terminal(&format!("{} ({since})", problem.error))));
    }
    if let Some(warning) = &found.warning {
        pairs.push(("warning", sanitize_for_terminal(&warning.to_string())));
    }
    output::print(&key_values(&pairs, context.screen))
}
