//! `rolecall list`: the configured profiles.

use std::path::Path;

use owo_colors::Style;
use rolecall_protocol::{Endpoint, ProfileStatus, RoleArn, Status, sanitize_for_terminal};

use crate::cli::List;
use crate::context::Context;
use crate::daemon::config_status;
use crate::error::CliError;
use crate::files::path_text::display_path;
use crate::kubeconfig;
use crate::kubeconfig::context_entry::files;
use crate::protected::name_cell;
use crate::terminal::style::Screen;
use crate::terminal::table::{Cell, Column, Row, render};
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
    if wanted.quiet {
        let names = status.profiles.iter().flat_map(|profile| [profile.name.as_str(), "\n"]);
        return output::print(&names.collect::<String>());
    }
    let current = current_profile();
    let is_current = |profile: &ProfileStatus| current.as_deref() == Some(profile.name.as_str());
    if let Some(format) = wanted.output.data() {
        let configured = |profile| configured(profile, is_current(profile));
        return output::print_data(format, &status.profiles.iter().map(configured).collect::<Vec<_>>());
    }
    if status.profiles.is_empty() {
        if status.config.problem.is_none() {
            output::print_note(&config_status::no_profiles_error().to_string());
        }
        return Ok(());
    }
    output::print(&table(&status.profiles, is_current, context.screen.widened(wanted.output.is_wide())))
}

/// The profile of kubectl's current context. `None` if the context belongs to another tool, or the kubeconfig cannot be
/// read.
fn current_profile() -> Option<String> {
    let contexts = kubeconfig::contexts(&files(None).ok()?).ok()?;
    contexts.into_iter().find(|context| context.is_current)?.profile
}

/// The configuration of a profile, without its state.
fn configured(profile: &ProfileStatus, is_current: bool) -> serde_json::Value {
    serde_json::json!({
        "name": profile.name,
        "cluster": profile.cluster,
        "region": profile.region,
        "role_arn": profile.role_arn,
        "source": profile.source,
        "included_from": profile.included_from,
        "current": is_current,
        "protected": profile.protected,
    })
}

/// The profiles; the mark `*` is at the profile of the current context, as `kubectl config get-contexts` shows it.
fn table(profiles: &[ProfileStatus], is_current: impl Fn(&ProfileStatus) -> bool, screen: Screen) -> String {
    let has_included = profiles.iter().any(|profile| profile.included_from.is_some());
    let mut columns = vec![
        Column::fixed(""),
        Column::fixed("PROFILE"),
        Column::optional("CLUSTER", 1),
        Column::optional("REGION", 2),
        Column::optional("ROLE", 4).short_at(5),
        Column::optional("SOURCE", 3),
    ];
    if has_included {
        columns.push(Column::optional("FROM", 6).short_at(7));
    }
    let rows: Vec<Row> = profiles
        .iter()
        .map(|profile| {
            let mark = if is_current(profile) { "*" } else { " " };
            let role = profile.role_arn.as_ref();
            let mut cells = vec![
                Cell::styled(mark, Style::new().green()),
                name_cell(profile),
                profile.cluster.as_str().into(),
                profile.region.as_str().into(),
                Cell::from(role.map_or("-", RoleArn::as_str)).shortened(role.map_or("-", RoleArn::role_name)),
                profile.source.as_str().into(),
            ];
            if has_included {
                cells.push(from(profile));
            }
            Row::from(cells)
        })
        .collect();
    render(&columns, &rows, screen)
}

/// The included file that has a profile; in a narrow table only its name.
fn from(profile: &ProfileStatus) -> Cell {
    let Some(path) = profile.included_from.as_deref().map(Path::new) else { return Cell::from("-") };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Cell::from(sanitize_for_terminal(&display_path(path))).shortened(sanitize_for_terminal(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: Option<usize>) -> String {
        let profile = |name: &str, role: Option<&str>| -> ProfileStatus {
            let role = role.map(|role| format!("arn:aws:iam::111122223333:role/team/{role}"));
            serde_json::from_value(serde_json::json!({"name": name, "cluster": "europe", "region": "eu-west-1",
                "source": "work", "role_arn": role, "state": "unused"}))
            .unwrap()
        };
        let profiles = [profile("prod", Some("developers")), profile("staging", None)];
        let screen = Screen { unicode: true, width, is_wide: false };
        let text = table(&profiles, |profile| profile.name.as_str() == "staging", screen);
        anstream::adapter::strip_str(&text).to_string()
    }

    const WHOLE: &str = "  PROFILE  CLUSTER  REGION     ROLE                                            SOURCE
  prod     europe   eu-west-1  arn:aws:iam::111122223333:role/team/developers  work
* staging  europe   eu-west-1  -                                               work
";

    #[test]
    fn table_has_origin_if_a_profile_is_included() {
        let profile = |name: &str, from: Option<&str>| -> ProfileStatus {
            serde_json::from_value(serde_json::json!({"name": name, "cluster": "europe", "region": "eu-west-1",
                "source": "work", "state": "unused", "included_from": from}))
            .unwrap()
        };
        let profiles = [profile("mine", None), profile("prod", Some("/opt/team/platform.toml"))];
        let shown = |width| {
            let screen = Screen { unicode: true, width, is_wide: false };
            anstream::adapter::strip_str(&table(&profiles, |_| false, screen)).to_string()
        };
        assert_eq!(
            shown(None),
            "  PROFILE  CLUSTER  REGION     ROLE  SOURCE  FROM
  mine     europe   eu-west-1  -     work    -
  prod     europe   eu-west-1  -     work    /opt/team/platform.toml
"
        );
        assert!(shown(Some(60)).contains("  work    platform.toml\n"), "{}", shown(Some(60)));
    }

    #[test]
    fn table_marks_current_and_fits() {
        assert_eq!(shown(None), WHOLE);
        assert_eq!(shown(Some(200)), WHOLE);
        assert_eq!(
            shown(Some(80)),
            "  PROFILE  CLUSTER  REGION     ROLE        SOURCE
  prod     europe   eu-west-1  developers  work
* staging  europe   eu-west-1  -           work
"
        );
        assert_eq!(
            shown(Some(40)),
            "  PROFILE  CLUSTER  REGION     SOURCE
  prod     europe   eu-west-1  work
* staging  europe   eu-west-1  work
  hidden: ROLE; --wide shows all
"
        );
    }
}
