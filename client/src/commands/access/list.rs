//! `rolecall access list PROFILE`.

use rolecall_protocol::{AccessList, AccessListRequest, Endpoint};

use super::account::Account;
use super::{findings, rows};
use crate::cli::AccessList as Wanted;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::terminal::style::Screen;

/// Prints who may enter. Errors if neither access entries nor aws-auth could be read.
pub(super) fn run(wanted: &Wanted, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    let request = AccessListRequest { api_server: super::api_server(&wanted.profile) };
    let list: AccessList = super::call(&daemon, &Endpoint::AccessList(wanted.profile.clone()), &request)?;
    findings::print_unread(&list.unread);
    if list.rows.is_empty() && !list.unread.is_empty() {
        return Err(CliError::silent(Exit::Failed as u8));
    }
    if let Some(format) = wanted.output.data() {
        return output::print_data(format, &list);
    }
    let account = Account::find(&daemon, &wanted.profile);
    output::print(&render(&list, account.as_ref(), context.screen.widened(wanted.output.is_wide())))
}

fn render(list: &AccessList, account: Option<&Account>, screen: Screen) -> String {
    let mut text = screen.paragraph("", &rows::mode_text(&list.cluster, list.mode), "").join("\n") + "\n";
    if list.rows.is_empty() {
        text.push_str("it knows no principal\n");
    } else {
        text.push_str(&rows::table(&list.rows, list.mode, account, screen));
    }
    text + &findings::render(&findings::all(&list.rows, &list.findings), account, screen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::access::rows::tests::{account, assert_fits, rows, screen};

    fn list() -> AccessList {
        let mut list: AccessList = serde_json::from_value(serde_json::json!({"cluster": "prod", "rows": [],
            "mode": "API_AND_CONFIG_MAP", "findings": [
                {"severity": "note", "code": "creator", "message": "the creator of the cluster has an entry"}]}))
        .unwrap();
        list.rows = rows();
        list
    }

    #[test]
    fn render_has_mode_table_and_findings() {
        let shown = |width| anstream::adapter::strip_str(&render(&list(), Some(&account()), screen(width))).to_string();
        let text = shown(Some(200));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "cluster prod uses access entries, and aws-auth for principals without one (API_AND_CONFIG_MAP)"
        );
        assert!(lines[1].starts_with("  PRINCIPAL "), "{text}");
        assert_eq!(
            lines[lines.len() - 2..],
            [
                "✗ mapRoles line 4: role/platform/admin: the ARN has a path. Remove /platform",
                "- the creator of the cluster has an entry"
            ]
        );
        for width in [40, 80] {
            assert_fits(&shown(Some(width)), width);
        }
    }

    #[test]
    fn render_without_rows_or_mode() {
        let list: AccessList = serde_json::from_value(serde_json::json!({"cluster": "prod", "rows": []})).unwrap();
        let text = render(&list, None, screen(Some(80)));
        assert_eq!(text, "the authentication mode of cluster prod is not known\nit knows no principal\n");
    }
}
