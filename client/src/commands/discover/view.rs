//! How the found clusters are shown, and the choice among them.

use owo_colors::{OwoColorize as _, Style};
use rolecall_protocol::{
    ClusterAccess, DescribedCluster, DiscoveredCluster, DiscoveredIdentity, join_sentences, sanitize_for_terminal,
};

use super::plan::{NewCluster, Plan};
use crate::context::Context;
use crate::error::CliError;
use crate::terminal::pick::{Choice, pick_many};
use crate::terminal::style::Screen;
use crate::terminal::table::{Cell, Column, Row, render as render_table};

/// The longest list of names in one line of a summary.
const MAX_NAMES: usize = 12;

/// The new clusters as a table, and a line each about the known ones, those that are gone, and what could not be searched.
pub(super) fn render(plan: &Plan, screen: Screen) -> String {
    let mut text = match plan.new.as_slice() {
        [] => "No new clusters.\n".to_owned(),
        new => table(new, screen),
    };
    let mut add = |mark: &str, line: &str, hint: Option<&str>| {
        let lines = screen.paragraph(&format!("{mark} "), &join_sentences(line, hint), "");
        text.extend(lines.into_iter().flat_map(|line| [line, "\n".to_owned()]));
    };
    if !plan.known.is_empty() {
        let profiles: Vec<&str> = plan.known.iter().flat_map(|known| &known.profiles).map(String::as_str).collect();
        add("-", &format!("clusters that have a profile: {} ({})", plan.known.len(), names(&profiles)), None);
    }
    if !plan.gone.is_empty() {
        let gone: Vec<&str> = plan.gone.iter().map(String::as_str).collect();
        let line = format!("the cluster of {} was not found", names(&gone));
        add(&screen.warning(), &line, Some(&format!("Remove it with: rolecall remove {}", gone.join(" "))));
    }
    for skipped in &plan.skipped {
        let line = format!("{} was not searched: {}", sanitize_for_terminal(&skipped.what), skipped.error.message);
        let hint = skipped.error.hint.as_ref().map(ToString::to_string);
        add(&screen.warning(), &line, hint.as_deref());
    }
    text
}

fn table(new: &[NewCluster], screen: Screen) -> String {
    let columns = [
        Column::fixed(""),
        Column::fixed("PROFILE"),
        Column::optional("CLUSTER", 3),
        Column::fixed("REGION"),
        Column::optional("ACCOUNT", 2),
        Column::optional("BY", 1),
        Column::fixed("ACCESS"),
    ];
    let rows: Vec<Row> = new.iter().map(|new| Row::from(cells(new, screen))).collect();
    render_table(&columns, &rows, screen)
}

fn cells(new: &NewCluster, screen: Screen) -> Vec<Cell> {
    let (mark, access) = access(&new.found, screen);
    let account = new.found.account.as_deref().unwrap_or("-");
    let texts = [&new.profile, new.found.name.as_str(), new.found.region.as_str(), account];
    let mut cells = vec![mark];
    cells.extend(texts.map(|text| Cell::from(sanitize_for_terminal(text))));
    cells.push(identity(&new.found.identity).into());
    cells.push(access.into());
    cells
}

/// Returns the mark of a cluster, and whether its API server can be reached and accepts the identity.
fn access(found: &DiscoveredCluster, screen: Screen) -> (Cell, String) {
    let mark = |text, style: Style| Cell::styled(text, style);
    let (tick, cross) = if screen.unicode { ("✓", "✗") } else { ("+", "x") };
    match (&found.access, &found.described) {
        (Some(ClusterAccess::Mapped { username: Some(user), .. }), _) => {
            (mark(tick, Style::new().green()), format!("as {}", sanitize_for_terminal(user)))
        }
        (Some(ClusterAccess::Mapped { username: None, .. }), _) => {
            (mark(tick, Style::new().green()), "accepted".to_owned())
        }
        (Some(ClusterAccess::NotMapped), _) => (mark(cross, Style::new().red()), "not mapped (401)".to_owned()),
        (Some(ClusterAccess::Unreachable { reason }), _) => {
            (mark("!", Style::new().yellow()), format!("not reachable: {}", sanitize_for_terminal(reason)))
        }
        (_, DescribedCluster::ClusterProblem(problem)) => {
            (mark("!", Style::new().yellow()), sanitize_for_terminal(&problem.message))
        }
        _ => (mark("!", Style::new().yellow()), "not known".to_owned()),
    }
}

fn identity(identity: &DiscoveredIdentity) -> String {
    match identity {
        DiscoveredIdentity::Source { source } => format!("source {source}"),
        DiscoveredIdentity::AwsProfile { aws_profile } => format!("AWS profile {}", sanitize_for_terminal(aws_profile)),
        DiscoveredIdentity::PermissionSet { account_name, role_name, .. } => {
            sanitize_for_terminal(&format!("{role_name} in {account_name}"))
        }
        _ => "-".to_owned(),
    }
}

fn names(names: &[&str]) -> String {
    let first = names.iter().take(MAX_NAMES).map(|name| sanitize_for_terminal(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Lets the user choose among the clusters whose API server is known. Those that accept the user are marked at first.
pub(super) fn choose<'a>(plan: &'a Plan, context: &Context) -> Result<Vec<&'a NewCluster>, CliError> {
    let offered: Vec<&NewCluster> = plan.new.iter().filter(|new| new.can_be_added()).collect();
    let choice = |new: &&NewCluster| Choice {
        name: new.profile.clone(),
        detail: format!(
            "{}, {}, {}",
            new.found.region,
            identity(&new.found.identity),
            access(&new.found, context.screen).1
        ),
        ..Choice::default()
    };
    let choices: Vec<Choice> = offered.iter().map(choice).collect();
    let marked: Vec<usize> =
        offered.iter().enumerate().filter(|(_, new)| new.is_proposed()).map(|(index, _)| index).collect();
    let chosen = pick_many("Add which clusters?", &choices, &marked, &context.environment)?;
    Ok(chosen.into_iter().filter_map(|index| offered.get(index).copied()).collect())
}

/// The line about an added cluster.
pub(super) fn added(new: &NewCluster, context: &Context) -> String {
    let detail = format!("({} in {}, {})", new.found.name, new.found.region, identity(&new.found.identity));
    format!("{} added {} {}\n", context.screen.tick(), new.profile, detail.dimmed())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{cluster, role_of, source};
    use super::super::search::Skipped;
    use super::*;
    use rolecall_protocol::{ErrorBody, ErrorCode, Hint};

    fn plan() -> Plan {
        let new = |profile: &str, found| NewCluster { profile: profile.to_owned(), found };
        let mut private = cluster("lab", "111122223333", &role_of("Admin", "111122223333"), None);
        private.access = Some(ClusterAccess::Unreachable { reason: "no response within 3 s".to_owned() });
        let error =
            ErrorBody::new(ErrorCode::LoginNeeded, "the login has expired").hint(Hint::command("aws sso login"));
        Plan {
            new: vec![
                new("edge", cluster("edge", "111122223333", &source(), Some("not_mapped"))),
                new("lab", private),
                new("shop", cluster("shop", "444455556666", &role_of("Admin", "444455556666"), Some("mapped"))),
            ],
            known: vec![super::super::plan::KnownCluster {
                cluster: "prod".to_owned(),
                region: "eu-west-1".to_owned(),
                profiles: vec!["prod".to_owned(), "audit".to_owned()],
            }],
            gone: vec!["old".to_owned()],
            skipped: vec![Skipped { what: "AWS profile partner".to_owned(), error }],
        }
    }

    fn shown(width: usize) -> String {
        let screen = Screen { unicode: true, width: Some(width), is_wide: false };
        anstream::adapter::strip_str(&render(&plan(), screen)).to_string()
    }

    #[test]
    fn render_has_table_and_summary() {
        assert_eq!(
            shown(200),
            "  PROFILE  CLUSTER  REGION     ACCOUNT       BY             ACCESS\n\
             ✗ edge     edge     eu-west-1  111122223333  source work    not mapped (401)\n\
             ! lab      lab      eu-west-1  111122223333  Admin in Shop  not reachable: no response within 3 s\n\
             ✓ shop     shop     eu-west-1  444455556666  Admin in Shop  accepted\n\
             - clusters that have a profile: 1 (prod, audit)\n\
             ! the cluster of old was not found. Remove it with: rolecall remove old\n\
             ! AWS profile partner was not searched: the login has expired. Run: aws sso login\n"
        );
    }

    #[test]
    fn render_fits_the_terminal() {
        for width in [40, 80] {
            let text = shown(width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
        let empty = Plan { new: vec![], known: vec![], gone: vec![], skipped: vec![] };
        assert_eq!(render(&empty, Screen { unicode: true, width: None, is_wide: false }), "No new clusters.\n");
    }
}
