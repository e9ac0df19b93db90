//! The trust policy document of a role, as GetRole returns it.

use serde_json::{Map, Value, json};

use super::role::Role;
use super::web_identity::{AUDIENCE, PROVIDER};

impl Role {
    /// Returns the document: what the role trusts, with its conditions, and what it denies.
    pub(crate) fn trust_document(&self) -> Value {
        let mut statements = Vec::new();
        if !self.trusted.is_empty() {
            let mut actions = vec!["sts:AssumeRole"];
            actions.extend(self.may_tag.then_some("sts:TagSession"));
            actions.extend(self.may_set_source_identity.then_some("sts:SetSourceIdentity"));
            let mut statement = json!({ "Effect": "Allow", "Principal": { "AWS": one_or_all(&self.trusted) } });
            statement["Action"] = one_or_all(&actions);
            let conditions = self.condition_element();
            if conditions.as_object().is_some_and(|conditions| !conditions.is_empty()) {
                statement["Condition"] = conditions;
            }
            statements.push(statement);
        }
        if !self.subjects.is_empty() {
            let account = self.arn.split(':').nth(4).unwrap_or_default();
            let provider = PROVIDER.trim_start_matches("https://");
            statements.push(json!({
                "Effect": "Allow",
                "Principal": { "Federated": format!("arn:aws:iam::{account}:oidc-provider/{provider}") },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": { format!("{provider}:aud"): AUDIENCE },
                    "StringLike": { format!("{provider}:sub"): one_or_all(&self.subjects) },
                },
            }));
        }
        if !self.distrusted.is_empty() {
            statements.push(json!({
                "Sid": "Distrusted", "Effect": "Deny", "Principal": { "AWS": one_or_all(&self.distrusted) },
                "Action": "sts:AssumeRole",
            }));
        }
        json!({ "Version": "2012-10-17", "Statement": statements })
    }

    fn condition_element(&self) -> Value {
        let conditions = &self.conditions;
        let mut equals = Map::new();
        let mut operators = Map::new();
        if let Some(id) = &conditions.external_id {
            equals.insert("sts:ExternalId".to_owned(), json!(id));
        }
        if let Some(identity) = &conditions.source_identity {
            equals.insert("sts:SourceIdentity".to_owned(), json!(identity));
        }
        for (key, value) in &conditions.request_tags {
            equals.insert(format!("aws:RequestTag/{key}"), json!(value));
        }
        for (key, value) in &conditions.principal_tags {
            equals.insert(format!("aws:PrincipalTag/{key}"), json!(value));
        }
        if !equals.is_empty() {
            operators.insert("StringEquals".to_owned(), Value::Object(equals));
        }
        if conditions.mfa {
            operators.insert("Bool".to_owned(), json!({ "aws:MultiFactorAuthPresent": "true" }));
        }
        if let Some(age) = conditions.mfa_within {
            operators
                .insert("NumericLessThan".to_owned(), json!({ "aws:MultiFactorAuthAge": age.as_secs().to_string() }));
        }
        if let Some(pattern) = &conditions.session_name {
            operators.insert("StringLike".to_owned(), json!({ "sts:RoleSessionName": pattern }));
        }
        if let Some(network) = &conditions.source_ip {
            operators.insert("IpAddress".to_owned(), json!({ "aws:SourceIp": network }));
        }
        Value::Object(operators)
    }
}

/// Returns a text, or a list of several.
fn one_or_all<T: AsRef<str>>(texts: &[T]) -> Value {
    match texts {
        [only] => json!(only.as_ref()),
        all => all.iter().map(AsRef::as_ref).collect(),
    }
}
