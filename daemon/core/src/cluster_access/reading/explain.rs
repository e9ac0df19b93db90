//! Why a principal can or cannot enter.

use rolecall_protocol::{AccessFinding, AccessRow, AccessSource, Severity};

use super::{Reading, finding};
use crate::cluster_access::aws_auth::{AwsAuth, Match, Subject};
use crate::cluster_access::principal::{IamKind, Principal};

/// Why a principal can or cannot enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Every line that names the principal or its account; the one that applies has `applies`.
    pub rows: Vec<AccessRow>,
    /// Whether the principal can enter. `None` if what was read does not say it.
    pub can_enter: Option<bool>,
    /// Why, in the order in which the cluster decides.
    pub reasons: Vec<AccessFinding>,
}

impl Reading {
    /// Explains whether a principal can enter. A row applies if the cluster uses it for this principal.
    #[must_use]
    pub fn explain(&self, principal: &Principal) -> Explanation {
        let mut reasons = Vec::new();
        let entry = self.explain_entries(principal, &mut reasons);
        let by_aws_auth = match entry {
            // The access entry wins, so aws-auth is not asked.
            Some(true) => Some(false),
            _ => self.explain_aws_auth(principal, &mut reasons),
        };
        let can_enter = match (entry, by_aws_auth) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        };
        if can_enter == Some(false) && self.uses_entries() == Some(false) {
            let message = "if this principal created the cluster, it can enter nevertheless, which no list shows";
            reasons.push(finding(Severity::Note, "invisible_creator", message));
        }
        Explanation { rows: self.rows_of(principal, can_enter), can_enter, reasons }
    }

    /// Returns whether an access entry lets the principal enter.
    fn explain_entries(&self, principal: &Principal, reasons: &mut Vec<AccessFinding>) -> Option<bool> {
        if self.uses_entries() == Some(false) {
            let message = "the authentication mode is CONFIG_MAP, so the cluster has no access entries";
            reasons.push(finding(Severity::Note, "no_access_entries", message));
            return Some(false);
        }
        self.entries.as_ref()?;
        let Some(entry) = self.entry_in_use(principal) else {
            let message = format!("no access entry names {principal}");
            reasons.push(finding(Severity::Note, "no_entry", message));
            return Some(false);
        };
        if self.missing.contains(&entry.principal) {
            let message = format!("the access entry {} is of a principal that IAM does not know", entry.principal);
            reasons.push(finding(Severity::Error, "principal_missing", message));
            return Some(false);
        }
        let message = format!("the access entry {} lets it enter", entry.principal);
        reasons.push(finding(Severity::Note, "entry_applies", message));
        Some(true)
    }

    /// Returns whether aws-auth lets the principal enter.
    fn explain_aws_auth(&self, principal: &Principal, reasons: &mut Vec<AccessFinding>) -> Option<bool> {
        if self.uses_aws_auth() == Some(false) {
            let message = "the authentication mode is API, so the cluster ignores aws-auth";
            reasons.push(finding(Severity::Note, "aws_auth_ignored", message));
            return Some(false);
        }
        let data = self.aws_auth_data()?;
        let read = AwsAuth::read(&data);
        match read.find(principal) {
            Some(Match::Mapping(mapping)) => {
                let message = format!("{} maps it at line {}", mapping.key, mapping.line);
                reasons.push(finding(Severity::Note, "mapping_applies", message));
                return Some(true);
            }
            Some(Match::Account(account)) => {
                let message =
                    format!("mapAccounts lets every principal of account {} enter, without groups", account.id);
                reasons.push(finding(Severity::Note, "account_applies", message));
                return Some(true);
            }
            None => {}
        }
        let message = format!("no mapping of aws-auth names {}", principal.canonical());
        reasons.push(finding(Severity::Note, "no_mapping", message));
        // What was meant for this principal, or drops its mapping.
        reasons.extend(self.findings().into_iter().filter(|found| found.severity == Severity::Error));
        reasons.extend(
            self.near_rows(principal).flat_map(|row| row.findings).filter(|found| found.severity == Severity::Error),
        );
        Some(false)
    }

    /// Returns a finding for each line that names a role or user of the same name in another account.
    #[must_use]
    pub fn of_other_accounts(&self, principal: &Principal) -> Vec<AccessFinding> {
        let is_other = |other: &Principal| {
            other.name().eq_ignore_ascii_case(principal.name())
                && other.kind() == principal.kind()
                && other.account() != principal.account()
        };
        let others = self.rows().into_iter().filter_map(|row| row.principal.parse::<Principal>().ok()).filter(is_other);
        let message = |other: Principal| format!("{other} is allowed, which is of account {}", other.account());
        others.map(|other| finding(Severity::Error, "other_account", message(other))).collect()
    }

    /// Returns the rows of aws-auth that name the role of this name in any way: with a path, or by a session.
    fn near_rows(&self, principal: &Principal) -> impl Iterator<Item = AccessRow> {
        let name = format!("/{}", principal.name().to_lowercase());
        let account = format!(":{}:", principal.account());
        self.rows().into_iter().filter(move |row| {
            let text = row.principal.to_lowercase();
            let is_named = text.ends_with(&name) || text.contains(&format!("{name}/"));
            row.source == AccessSource::AwsAuth && is_named && text.contains(&account)
        })
    }

    /// Returns the rows that name the principal, its permission set or its account.
    fn rows_of(&self, principal: &Principal, can_enter: Option<bool>) -> Vec<AccessRow> {
        let canonical = principal.canonical();
        let by_entry = self.uses_entries() != Some(false) && self.entry_in_use(principal).is_some();
        let data = self.aws_auth_data().unwrap_or_default();
        let read = AwsAuth::read(&data);
        let used = read.find(principal).map(|used| match used {
            Match::Mapping(mapping) => mapping.subject_text(),
            Match::Account(account) => account.id.clone(),
        });
        let names = |row: &AccessRow| {
            let is_arn = row.principal.parse::<Principal>().is_ok_and(|other| {
                let same = other.without_path().is_same(&canonical.without_path());
                same && (principal.kind() == IamKind::Role || other.is_same(principal))
            });
            let by_set = read.mappings().any(|mapping| {
                matches!(mapping.subject, Subject::PermissionSet { .. })
                    && mapping.subject_text() == row.principal
                    && mapping.matches(principal)
            });
            is_arn || by_set || row.principal == principal.account()
        };
        let mut rows: Vec<AccessRow> = self.rows().into_iter().filter(names).collect();
        for row in &mut rows {
            let is_used = match row.source {
                AccessSource::AccessEntry => by_entry,
                _ => !by_entry && used.as_ref().is_some_and(|used| *used == row.principal),
            };
            row.applies = row.applies && is_used && can_enter == Some(true);
        }
        rows
    }
}
