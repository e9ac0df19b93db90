//! The plan as a table and as data.

use rolecall_protocol::{RoleArn, sanitize_for_terminal};
use serde_json::json;

use super::plan::{Becomes, Plan, PlannedProfile};
use crate::terminal::style::Screen;
use crate::terminal::table::{self, Cell, Column};

/// Returns the plan as a table, with the reasons below the contexts that stay as they are.
pub(super) fn table(plan: &Plan, screen: Screen) -> String {
    let columns = [
        Column::fixed(""),
        Column::fixed("CONTEXT").short_at(4),
        Column::optional("CLUSTER", 2),
        Column::optional("TODAY", 1),
        Column::fixed("BECOMES").short_at(3),
    ];
    let rows: Vec<table::Row> = plan.rows.iter().map(|row| self::row(row, plan, screen)).collect();
    table::render(&columns, &rows, screen)
}

fn row(row: &super::plan::Row, plan: &Plan, screen: Screen) -> table::Row {
    let becomes = match &row.becomes {
        Becomes::Profile(index) => {
            let profile = &plan.profiles[*index];
            Cell::from(becomes(profile)).shortened(format!("profile {}", profile.name))
        }
        Becomes::Unchanged | Becomes::Refused(_) => Cell::from("unchanged"),
    };
    let detail_lines = match &row.becomes {
        Becomes::Refused(why) => screen.wrap(("    ", 4), 4, &sanitize_for_terminal(why), ""),
        _ => Vec::new(),
    };
    let mark = if detail_lines.is_empty() { " ".to_owned() } else { "!".to_owned() };
    let context = sanitize_for_terminal(&row.context);
    // Of an ARN, the name of the cluster.
    let short = context.rsplit('/').next().filter(|_| context.starts_with("arn:")).map(|name| format!("…/{name}"));
    let cluster = if row.cluster.is_empty() { "-".to_owned() } else { row.cluster.clone() };
    table::Row {
        cells: vec![
            Cell::styled(mark, owo_colors::Style::new().yellow().bold()),
            Cell::from(context.clone()).shortened(short.unwrap_or(context)),
            cluster.into(),
            sanitize_for_terminal(&row.today).into(),
            becomes,
        ],
        detail_lines,
    }
}

/// Describes a profile: `profile prod (role developers, AWS profile work)`.
fn becomes(profile: &PlannedProfile) -> String {
    let target = &profile.target;
    let role = target.role_arn.as_ref().map(|role| format!("role {}, ", role.role_name())).unwrap_or_default();
    format!("profile {} ({role}AWS profile {})", profile.name, sanitize_for_terminal(&target.aws_profile))
}

/// Returns the plan as data.
pub(super) fn data(plan: &Plan) -> serde_json::Value {
    let rows = plan.rows.iter().map(|row| {
        let (becomes, why) = match &row.becomes {
            Becomes::Profile(index) => (profile_data(&plan.profiles[*index]), None),
            Becomes::Unchanged => (serde_json::Value::Null, None),
            Becomes::Refused(why) => (serde_json::Value::Null, Some(why)),
        };
        json!({ "context": row.context, "today": row.today, "becomes": becomes, "reason": why })
    });
    rows.collect()
}

fn profile_data(profile: &PlannedProfile) -> serde_json::Value {
    let target = &profile.target;
    json!({
        "profile": profile.name,
        "is_new": profile.is_new,
        "cluster": target.cluster,
        "region": target.region,
        "role_arn": target.role_arn.as_ref().map(RoleArn::as_str),
        "aws_profile": target.aws_profile,
        "server": target.server.url,
        "ca_sha256": target.server.ca_sha256,
    })
}
