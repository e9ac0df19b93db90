//! `rolecall access policies PROFILE`.

use rolecall_protocol::{AccessPolicies, AccessPolicy, Endpoint, escape_controls, sanitize_for_terminal};

use crate::cli::AccessPolicies as Wanted;
use crate::context::Context;
use crate::error::CliError;
use crate::output;
use crate::terminal::style::Screen;
use crate::terminal::table::{Column, Row, key_values, render as render_table};

/// Prints the access policies.
pub(super) fn run(wanted: &Wanted, context: &Context) -> Result<(), CliError> {
    let endpoint = Endpoint::AccessPolicies(wanted.profile.clone());
    let list: AccessPolicies =
        context.daemon()?.call_json_within(&endpoint, b"", crate::daemon::patient_deadline(&endpoint))?;
    match wanted.output.data() {
        Some(format) => output::print_data(format, &list.policies),
        None => output::print(&render(&list.policies, context.screen.widened(wanted.output.is_wide()))),
    }
}

/// A policy and what it allows on each line; the wide form has the ARNs too.
fn render(policies: &[AccessPolicy], screen: Screen) -> String {
    let names: Vec<String> = policies.iter().map(|policy| escape_controls(&policy.name)).collect();
    let allows = |policy: &AccessPolicy| {
        policy
            .allows
            .as_deref()
            .map_or_else(|| "not known to this version of rolecall".to_owned(), sanitize_for_terminal)
    };
    if screen.is_wide {
        let columns = [Column::fixed("POLICY"), Column::fixed("ALLOWS"), Column::fixed("ARN")];
        let row = |(name, policy): (&String, &AccessPolicy)| {
            Row::from(vec![name.as_str().into(), allows(policy).into(), escape_controls(&policy.arn).into()])
        };
        let rows: Vec<Row> = names.iter().zip(policies).map(row).collect();
        return render_table(&columns, &rows, screen);
    }
    let pairs: Vec<(&str, String)> =
        names.iter().zip(policies).map(|(name, policy)| (name.as_str(), allows(policy))).collect();
    key_values(&pairs, screen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::access::rows::tests::{assert_fits, screen};

    #[test]
    fn render_wraps_what_a_policy_allows() {
        let policies: Vec<AccessPolicy> = serde_json::from_value(serde_json::json!([
            {"name": "AmazonEKSViewPolicy", "arn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
             "allows": "reads most objects of Kubernetes, but no Secrets"},
            {"name": "AmazonEKSMoonPolicy", "arn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSMoonPolicy"}]))
        .unwrap();
        let shown = |screen| anstream::adapter::strip_str(&render(&policies, screen)).to_string();
        assert_eq!(
            shown(screen(None)),
            "  AmazonEKSViewPolicy  reads most objects of Kubernetes, but no Secrets\n  \
               AmazonEKSMoonPolicy  not known to this version of rolecall\n"
        );
        for width in [40, 80] {
            assert_fits(&shown(screen(Some(width))), width);
        }
        let wide = shown(screen(Some(40)).widened(true));
        assert!(wide.contains("cluster-access-policy/AmazonEKSViewPolicy") && wide.starts_with("POLICY"), "{wide}");
    }
}
