//! Requests to administrators, with the statement to add and the command that adds it.

use rolecall_core::trust_policy::{
    Caller, CallerKind, PermissionNeeds, identity_policy, identity_statement, trust_statement,
};
use rolecall_protocol::{AdministratorRequest, RoleArn};

/// A request without a statement.
pub(super) fn new(account: &str, request: impl Into<String>) -> AdministratorRequest {
    of(format!("an administrator of the AWS account {account}"), request)
}

/// A request to another administrator.
pub(super) fn of(to: impl Into<String>, request: impl Into<String>) -> AdministratorRequest {
    AdministratorRequest { to: to.into(), request: request.into(), commands: Vec::new(), statement: None }
}

/// The request to name the caller in the trust policy of a role. It has no command: the AWS CLI replaces a trust policy as a
/// whole.
pub(super) fn trust(role: &RoleArn, caller: &Caller, needs: PermissionNeeds) -> AdministratorRequest {
    let request = format!("Add this statement to the trust policy of {role}.");
    AdministratorRequest { statement: Some(trust_statement(caller, needs)), ..new(role.account(), request) }
}

/// The request to allow the call in a policy of the caller.
pub(super) fn identity(role: &RoleArn, caller: &Caller, needs: PermissionNeeds) -> AdministratorRequest {
    let statement = identity_statement(role, needs);
    let policy = identity_policy(&statement);
    let name = format!("assume-{}", role.role_name());
    let (to, request, commands) = match (caller.kind(), caller.permission_set()) {
        (_, Some(set)) => (
            "an administrator of IAM Identity Center".to_owned(),
            format!("Add this statement to the inline policy of the permission set {set}."),
            Vec::new(),
        ),
        (CallerKind::User { name: user }, None) => (
            account(caller),
            format!("Add this statement to a policy of the user {user}."),
            vec![format!(
                "aws iam put-user-policy --user-name {user} --policy-name {name} --policy-document '{policy}'"
            )],
        ),
        (CallerKind::RoleSession { role, .. }, None) => (
            account(caller),
            format!("Add this statement to a policy of the role {role}."),
            vec![format!(
                "aws iam put-role-policy --role-name {role} --policy-name {name} --policy-document '{policy}'"
            )],
        ),
        (CallerKind::Root | CallerKind::FederatedUser, None) => {
            (account(caller), format!("Add this statement to a policy of {}.", caller.policy_arn()), Vec::new())
        }
    };
    AdministratorRequest { to, request, commands, statement: Some(statement) }
}

fn account(caller: &Caller) -> String {
    format!("an administrator of the AWS account {}", caller.account())
}
