//! `rolecall access explain PROFILE`.

use std::fmt::Write as _;

use owo_colors::{OwoColorize, Style};
use rolecall_protocol::{
    AccessAnswer, AccessBinding, AccessExplainRequest, AccessExplained, Endpoint, GivenPrincipal, PrincipalKind,
    escape_controls,
};

use super::account::{Account, short_arn};
use super::{findings, principals, rows};
use crate::cli::AccessExplain as Wanted;
use crate::context::Context;
use crate::error::CliError;
use crate::output;
use crate::terminal::style::Screen;
use crate::terminal::table::{Cell, Column, Row, render as render_table};

/// Prints why the principal can or cannot enter, and what it may do.
pub(super) fn run(wanted: &Wanted, context: &Context) -> Result<(), CliError> {
    let request = AccessExplainRequest {
        api_server: super::api_server(&wanted.profile),
        principal: principal(wanted)?,
        namespace: wanted.namespace.clone(),
    };
    let daemon = context.daemon()?;
    let explained: AccessExplained = super::call(&daemon, &Endpoint::AccessExplain(wanted.profile.clone()), &request)?;
    findings::print_unread(&explained.unread);
    if let Some(format) = wanted.output.data() {
        return output::print_data(format, &explained);
    }
    let account = Account::find(&daemon, &wanted.profile);
    output::print(&render(&explained, account.as_ref(), context.screen.widened(wanted.output.is_wide())))
}

fn principal(wanted: &Wanted) -> Result<Option<GivenPrincipal>, CliError> {
    let role = wanted.role.as_deref().map(|text| principals::parse_option(text, PrincipalKind::Role));
    let user = wanted.user.as_deref().map(|text| principals::parse_option(text, PrincipalKind::User));
    role.or(user).transpose()
}

/// The verdict and its reasons, the lines of access entries and aws-auth, the role bindings, and the answers of RBAC.
fn render(explained: &AccessExplained, account: Option<&Account>, screen: Screen) -> String {
    let (mark, verdict) = match explained.can_enter {
        Some(true) => (screen.tick(), "can enter the cluster"),
        Some(false) => (screen.cross(), "cannot enter the cluster"),
        None => (screen.warning(), "may or may not enter the cluster: not everything could be read"),
    };
    let principal = short_arn(&explained.principal, account.filter(|_| !screen.is_wide));
    let mut lines = screen.paragraph(&format!("{mark} "), &format!("{principal} {verdict}"), "");
    lines.extend(explained.reasons.iter().flat_map(|reason| {
        let paragraph = findings::paragraph(reason, None, screen.indented(2));
        paragraph.into_iter().map(|line| format!("  {line}"))
    }));
    let mut text = lines.join("\n") + "\n";
    let mut section = |title: &str, table: String| {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}\n{table}", title.bold());
    };
    if !explained.rows.is_empty() {
        section("Access entries and aws-auth", rows::table(&explained.rows, explained.mode, account, screen));
    }
    if !explained.bindings.is_empty() {
        section("Role bindings", bindings(&explained.bindings, screen));
    }
    if !explained.answers.is_empty() {
        section("What it may do", answers(&explained.answers, screen));
    }
    let found = findings::all(&explained.rows, &[]);
    text + &findings::render(&found, account, screen)
}

fn bindings(bindings: &[AccessBinding], screen: Screen) -> String {
    let columns =
        [Column::fixed("ROLE"), Column::fixed("TO"), Column::optional("NAMESPACE", 1), Column::optional("BINDING", 2)];
    let row = |binding: &AccessBinding| {
        let namespace = binding.namespace.as_deref().unwrap_or("all");
        let cells = [&binding.role, &binding.subject, namespace, &binding.name];
        Row::from(cells.map(|text| Cell::from(escape_controls(text))).to_vec())
    };
    let rows: Vec<Row> = bindings.iter().map(row).collect();
    render_table(&columns, &rows, screen)
}

fn answers(answers: &[AccessAnswer], screen: Screen) -> String {
    let columns = [
        Column::fixed(""),
        Column::fixed("VERB"),
        Column::fixed("RESOURCE"),
        Column::optional("NAMESPACE", 1),
        Column::fixed("ALLOWED"),
    ];
    let row = |answer: &AccessAnswer| {
        let (mark, allowed) = match answer.allowed {
            Some(true) => (Cell::styled(if screen.unicode { "✓" } else { "+" }, Style::new().green()), "yes"),
            Some(false) => (Cell::from("-"), "no"),
            None => (Cell::styled("!", Style::new().yellow()), "not known"),
        };
        let namespace = answer.namespace.as_deref().unwrap_or("all");
        let mut cells = vec![mark];
        cells.extend([&answer.verb, &answer.resource, namespace].map(|text| Cell::from(escape_controls(text))));
        cells.push(allowed.into());
        Row::from(cells)
    };
    let rows: Vec<Row> = answers.iter().map(row).collect();
    render_table(&columns, &rows, screen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::access::rows::tests::{account, assert_fits, rows, screen};

    fn explained(can_enter: Option<bool>) -> AccessExplained {
        let mut explained: AccessExplained = serde_json::from_value(serde_json::json!({
            "principal": "arn:aws:iam::111122223333:role/developers", "can_enter": can_enter, "rows": [],
            "mode": "API_AND_CONFIG_MAP", "reasons": [
                {"severity": "note", "code": "entry", "message": "an access entry names it, so aws-auth is not asked"}],
            "bindings": [{"name": "dev-view", "namespace": "web", "role": "ClusterRole/view", "subject": "Group/dev"}],
            "answers": [{"verb": "list", "resource": "pods", "namespace": "web", "allowed": true},
                {"verb": "get", "resource": "secrets", "allowed": false}, {"verb": "get", "resource": "pods/log"}]}))
        .unwrap();
        explained.rows = rows().into_iter().take(1).collect();
        explained
    }

    fn shown(explained: &AccessExplained, screen: Screen) -> String {
        anstream::adapter::strip_str(&render(explained, Some(&account()), screen)).to_string()
    }

    #[test]
    fn render_has_verdict_reasons_and_sections() {
        let text = shown(&explained(Some(true)), screen(Some(200)));
        assert!(
            text.starts_with(
                "✓ role/developers can enter the cluster\n  - an access entry names it, so aws-auth is not asked\n\n\
                 Access entries and aws-auth\nPRINCIPAL "
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "\nRole bindings\nROLE              TO         NAMESPACE  BINDING\n\
                 ClusterRole/view  Group/dev  web        dev-view\n"
            ),
            "{text}"
        );
        assert!(
            text.ends_with(
                "\nWhat it may do\n  VERB  RESOURCE  NAMESPACE  ALLOWED\n✓ list  pods      web        yes\n\
                 - get   secrets   all        no\n! get   pods/log  all        not known\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn render_fits_and_states_each_verdict() {
        for (can_enter, verdict) in
            [(Some(false), "✗ role/developers cannot"), (None, "! role/developers may or may not")]
        {
            for width in [40, 80] {
                let text = shown(&explained(can_enter), screen(Some(width)));
                assert_fits(&text, width);
                assert!(text.starts_with(verdict), "{text}");
            }
        }
        let wide = shown(&explained(None), screen(Some(40)).widened(true));
        assert!(wide.starts_with("! arn:aws:iam::111122223333:role/developers"), "{wide}");
    }
}
