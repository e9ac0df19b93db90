//! The statements that allow a call: one for the trust policy of the role, one for a policy of the caller.

use rolecall_protocol::RoleArn;
use serde_json::{Value, json};

use super::{ASSUME_ROLE, AssumeRoleFacts, Caller, SET_SOURCE_IDENTITY, TAG_SESSION};

/// The actions that a call needs beside `sts:AssumeRole`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PermissionNeeds {
    /// The call has session tags.
    pub tags: bool,
    /// The call has a source identity.
    pub source_identity: bool,
}

impl PermissionNeeds {
    /// The needs of a call.
    #[must_use]
    pub fn of(facts: &AssumeRoleFacts<'_>) -> Self {
        Self { tags: !facts.tags.is_empty(), source_identity: facts.source_identity.is_some() }
    }

    fn actions(self) -> Value {
        let tags = self.tags.then_some(TAG_SESSION);
        let source_identity = self.source_identity.then_some(SET_SOURCE_IDENTITY);
        let all: Vec<&str> = [Some(ASSUME_ROLE), tags, source_identity].into_iter().flatten().collect();
        if let [only] = all.as_slice() { json!(only) } else { json!(all) }
    }
}

/// Returns the statement to add to the trust policy of the role.
///
/// IAM rejects a trust policy that names a role with a wrong path, and the path of a permission set's role is unknown. Such
/// a role is therefore named by its account and a condition on its ARN.
#[must_use]
pub fn trust_statement(caller: &Caller, needs: PermissionNeeds) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": { "AWS": caller.policy_arn() },
        "Action": needs.actions(),
    });
    if let Some(set) = caller.permission_set().filter(|_| caller.has_unknown_path()) {
        let role = format!(
            "arn:{}:iam::{}:role/aws-reserved/sso.amazonaws.com*/AWSReservedSSO_{set}_*",
            caller.partition(),
            caller.account()
        );
        statement["Principal"] = json!({ "AWS": caller.account_arn() });
        statement["Condition"] = json!({ "ArnLike": { "aws:PrincipalArn": role } });
    }
    statement
}

/// Returns the statement to add to a policy of the caller.
#[must_use]
pub fn identity_statement(role: &RoleArn, needs: PermissionNeeds) -> Value {
    json!({ "Effect": "Allow", "Action": needs.actions(), "Resource": role.as_str() })
}

/// Returns a whole policy with one statement, as the AWS CLI takes it.
#[must_use]
pub fn identity_policy(statement: &Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}
