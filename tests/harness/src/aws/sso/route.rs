//! Which operation a request wants, and which of its parameters the log may show.

use serde_json::Value;

use super::super::op::Op;

/// Returns the operation of a request to OIDC, the pages or the portal.
pub(crate) fn operation(method: &str, path: &str) -> Option<Op> {
    match (method, path) {
        ("POST", "/client/register") => Some(Op::RegisterClient),
        ("POST", "/device_authorization") => Some(Op::StartDeviceAuthorization),
        ("POST", "/token") => Some(Op::CreateToken),
        ("GET", "/authorize" | "/device") => Some(Op::Authorize),
        ("GET", "/federation/credentials") => Some(Op::GetRoleCredentials),
        ("POST", "/logout") => Some(Op::Logout),
        ("GET", "/assignment/accounts") => Some(Op::ListAccounts),
        ("GET", "/assignment/roles") => Some(Op::ListAccountRoles),
        _ => None,
    }
}

/// Returns the parameters of a body that the log may show.
pub(crate) fn logged_parameters(body: &[u8]) -> Vec<(String, String)> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(|value| (name.to_owned(), value.to_owned()));
    let list = |name: &str| {
        let values = body.get(name)?.as_array()?;
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        Some((name.to_owned(), values.join(" ")))
    };
    ["grantType", "clientName", "startUrl"]
        .into_iter()
        .filter_map(text)
        .chain(["scopes", "grantTypes"].into_iter().filter_map(list))
        .collect()
}
