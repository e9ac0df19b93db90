//! `rolecall list`: the configured profiles.

use rolecall_protocol::{Endpoint, ProfileStatus, RoleArn, Status};

use crate::cli::List;
use crate::context::Context;
use crate::daemon::config_status;
use crate::error::CliError;
use crate::terminal::table::{Column, Row, render};
use crate::{clock, output};

/// Prints the profiles.
pub(crate) fn run(wanted: &List, context: &Context) -> Result<(), CliError> {
    let status: Status = context.daemon()?.call_json(&Endpoint::Status, b"")?;
    if let Some(broken) = config_status::invalid_config_error(&status, clock::now(), &context.zone) {
        // Without a configuration in force, an empty list would be wrong.
        if status.config.loaded.is_none() {
            return Err(broken);
        }
        output::print_note(&broken.to_string());
    }
    match () {
        () if wanted.json => output::print_json(&status.profiles.iter().map(configured).collect::<Vec<_>>()),
        () if wanted.quiet => {
            let names = status.profiles.iter().flat_map(|profile| [profile.name.as_str(), "\n"]);
            output::print(&names.collect::<String>())
        }
        () if status.profiles.is_empty() => {
            if status.config.problem.is_none() {
                output::print_note(&config_status::no_profiles_error().to_string());
            }
            Ok(())
        }
        () => output::print(&table(&status.profiles, context.screen.width)),
    }
}

/// The configuration of a profile, without its state.
fn configured(profile: &ProfileStatus) -> serde_json::Value {
    serde_json::json!({
        "name": profile.name,
        "cluster": profile.cluster,
        "region": profile.region,
        "role_arn": profile.role_arn,
        "source": profile.source,
    })
}

fn table(profiles: &[ProfileStatus], width: Option<usize>) -> String {
    let columns = [
        Column { title: "PROFILE", drop_priority: 0 },
        Column { title: "CLUSTER", drop_priority: 0 },
        Column { title: "REGION", drop_priority: 1 },
        Column { title: "ROLE", drop_priority: 2 },
        Column { title: "SOURCE", drop_priority: 3 },
    ];
    let rows: Vec<Row> = profiles
        .iter()
        .map(|profile| Row {
            cells: vec![
                profile.name.as_str().into(),
                profile.cluster.as_str().into(),
                profile.region.as_str().into(),
                profile.role_arn.as_ref().map_or("-", RoleArn::as_str).into(),
                profile.source.as_str().into(),
            ],
            detail_lines: Vec::new(),
        })
        .collect();
    render(&columns, &rows, width)
}
