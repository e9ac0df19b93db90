//! The ConfigMap kube-system/aws-auth, as aws-iam-authenticator reads it. Roughly: `tests/cluster` has the real one.

use serde_json::Value;

use crate::arn::Arn;
use crate::aws::Grantee;

/// Finds the user of a canonical ARN (a role's ARN without its path). `data` is the data of the ConfigMap.
///
/// Each value is read on its own: text that is not YAML removes the mappings of that value only. The last line of an ARN
/// applies. An ARN with a path never matches, because a canonical ARN has none.
pub(crate) fn find(data: &Value, canonical: &str) -> Option<Grantee> {
    let list = |name: &str| -> Vec<Value> {
        let text = data[name].as_str().unwrap_or_default();
        let parsed: Option<Value> = serde_saphyr::from_str(text).ok();
        parsed.and_then(|value| value.as_array().cloned()).unwrap_or_default()
    };
    let (roles, users) = (list("mapRoles"), list("mapUsers"));
    let by_role = || roles.iter().rev().find(|line| is_role(line, canonical));
    let by_user = || users.iter().rev().find(|line| is_arn(field(line, "userarn"), canonical));
    if let Some(line) = by_role().or_else(by_user) {
        let username = field(line, "username").and_then(Value::as_str).unwrap_or_default().to_owned();
        let groups = field(line, "groups").and_then(Value::as_array);
        let groups = groups.into_iter().flatten().filter_map(|group| group.as_str().map(str::to_owned)).collect();
        return Some(Grantee { username, groups, ..Grantee::default() });
    }
    let account = Arn::parse(canonical)?.account;
    let is_mapped = list("mapAccounts").iter().any(|known| known.as_str() == Some(&account));
    is_mapped.then(|| Grantee { username: canonical.to_owned(), ..Grantee::default() })
}

/// Returns a field, whose name matches without case as in Go.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn is_arn(value: Option<&Value>, canonical: &str) -> bool {
    value.and_then(Value::as_str).is_some_and(|arn| arn.eq_ignore_ascii_case(canonical))
}

/// Returns whether a line of mapRoles names the role, or the permission set of IAM Identity Center that the role is of.
fn is_role(line: &Value, canonical: &str) -> bool {
    let Some(sso) = field(line, "sso") else { return is_arn(field(line, "rolearn"), canonical) };
    let text = |name: &str| field(sso, name).and_then(Value::as_str);
    let (Some(set), Some(account), Some(arn)) = (text("permissionsetname"), text("accountid"), Arn::parse(canonical))
    else {
        return false;
    };
    let is_set = arn.name().to_lowercase().starts_with(&format!("awsreservedsso_{set}_").to_lowercase());
    field(line, "rolearn").is_none() && arn.account == account && arn.kind() == "role" && is_set
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DEV: &str = "arn:aws:iam::111122223333:role/dev";

    fn username(data: &Value, canonical: &str) -> Option<String> {
        find(data, canonical).map(|grantee| grantee.username)
    }

    #[test]
    fn mappings_match_without_case_and_never_with_a_path() {
        let roles = "- rolearn: arn:aws:iam::111122223333:role/team/dev\n  username: never\n\
                     - ROLEARN: arn:aws:iam::111122223333:role/DEV\n  username: first\n  groups: [a]\n\
                     - rolearn: arn:aws:iam::111122223333:role/dev\n  username: last\n  groups: text\n\
                     - sso: {permissionSetName: Admin, accountID: \"111122223333\"}\n  username: sso\n";
        let users = "- userarn: arn:aws:iam::111122223333:user/ann\n  username: ann\n  groups:\n  - b\n";
        let data = json!({ "mapRoles": roles, "mapUsers": users, "mapAccounts": "- \"444455556666\"\n" });
        assert_eq!(find(&data, DEV).map(|found| (found.username, found.groups)), Some(("last".to_owned(), vec![])));
        let ann = find(&data, "arn:aws:iam::111122223333:user/ann").unwrap();
        assert_eq!((ann.username.as_str(), ann.groups), ("ann", vec!["b".to_owned()]));
        let sso = "arn:aws:iam::111122223333:role/AWSReservedSSO_Admin_0123456789abcdef";
        assert_eq!(username(&data, sso).as_deref(), Some("sso"));
        let other = "arn:aws:iam::444455556666:user/x";
        assert_eq!(username(&data, other).as_deref(), Some(other));
        assert_eq!(username(&data, "arn:aws:iam::111122223333:role/none"), None);
    }

    #[test]
    fn invalid_yaml_removes_the_mappings_of_its_value_only() {
        let users = format!("- userarn: {DEV}\n  username: by-users\n");
        let data = json!({ "mapRoles": "- rolearn: [", "mapUsers": users });
        assert_eq!(username(&data, DEV).as_deref(), Some("by-users"));
        assert_eq!(username(&json!(null), DEV), None);
    }
}
