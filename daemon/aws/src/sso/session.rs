//! A session of IAM Identity Center, as AWS's configuration files define it.

use rolecall_protocol::Region;

/// The scope of a login whose `[sso-session]` names none: list accounts and roles, and refresh the token.
pub(crate) const DEFAULT_SCOPE: &str = "sso:account:access";

/// A login to IAM Identity Center that AWS profiles share: `[sso-session NAME]`, or the legacy keys in a profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SsoSession {
    /// The AWS profile whose endpoint settings (`services`: `sso`, `sso_oidc`) apply.
    pub profile: String,
    /// The name of the `[sso-session]`; `None` for the legacy keys.
    pub name: Option<String>,
    /// `sso_start_url`
    pub start_url: String,
    /// `sso_region`
    pub region: Region,
    /// `sso_registration_scopes`
    pub scopes: Vec<String>,
}

impl SsoSession {
    /// Whether its tokens are refreshed. Tokens of the legacy keys are not, as in the AWS CLI.
    pub(super) const fn refreshes(&self) -> bool {
        self.name.is_some()
    }

    /// The scopes that a client registers for.
    pub(super) fn registration_scopes(&self) -> Vec<String> {
        if self.scopes.is_empty() && self.refreshes() { vec![DEFAULT_SCOPE.to_owned()] } else { self.scopes.clone() }
    }
}
