//! GetRole and GetUser: whether a principal exists, its ARN with the path, and the trust policy of a role.

use std::borrow::Cow;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_xml::decode::{Document, try_data};
use percent_encoding::percent_decode_str;
use rolecall_core::config::home_region;
use rolecall_protocol::Region;

use super::{IamError, request, target};
use crate::error::{AwsError, AwsErrorKind};
use crate::retry;
use crate::retry::CallError;

/// The largest trust policy, in bytes of its percent-encoding. IAM's limit is 4,096 characters.
const MAX_TRUST_POLICY: usize = 64 * 1024;

/// The roles that are listed for a suggestion. Each has its trust policy in the response, which has a limit.
const LISTED_ROLES: &str = "200";

/// Looks up the roles and users of the account of one session.
#[derive(Debug)]
pub struct IamClient {
    config: SdkConfig,
    /// The home region of the partition.
    home: Region,
}

/// The outcome of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The role or user exists.
    Found(IamPrincipal),
    /// The account has no role or user of that name.
    NotFound,
    /// The caller may not ask.
    Denied {
        /// The denied action: `iam:GetRole` or `iam:GetUser`.
        action: &'static str,
    },
}

/// A role or user of IAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IamPrincipal {
    /// The ARN, with the path.
    pub arn: String,
    /// The unique id, such as `AROA…`. A role that is deleted and created again has another one.
    pub id: String,
    /// The trust policy of a role, in JSON; `None` for a user, or if it is too large.
    pub trust_policy: Option<String>,
}

impl IamClient {
    /// Returns a client with the credentials of `config`, which is for the partition of `region`.
    #[must_use]
    pub fn new(config: SdkConfig, region: &Region) -> Self {
        Self { config, home: home_region(region) }
    }

    /// GetRole, and again while IAM throttles it. `name` is without the path.
    pub async fn get_role(&self, name: &str) -> Result<Lookup, IamError> {
        self.look_up("GetRole", "iam:GetRole", ("RoleName", name), role).await
    }

    /// ListRoles: the names of the first roles of the account, in one attempt.
    pub async fn list_role_names(&self) -> Result<Vec<String>, IamError> {
        let request = request("ListRoles", &[("MaxItems", LISTED_ROLES)]);
        let listed = retry::send_once(&self.config, target(&self.config, &self.home), request, role_names).await;
        listed.map_err(|CallError { error, code }| IamError { error, code })
    }

    /// GetUser, and again while IAM throttles it. `name` is without the path.
    pub async fn get_user(&self, name: &str) -> Result<Lookup, IamError> {
        self.look_up("GetUser", "iam:GetUser", ("UserName", name), user).await
    }

    async fn look_up(
        &self,
        operation: &'static str,
        action: &'static str,
        name: (&str, &str),
        read: fn(&[u8]) -> Result<Option<IamPrincipal>, BoxError>,
    ) -> Result<Lookup, IamError> {
        let (target, request) = (target(&self.config, &self.home), request(operation, &[name]));
        match retry::send_with_retries(&self.config, target, request, read).await {
            Ok(Some(found)) => Ok(Lookup::Found(found)),
            Ok(None) => {
                let error = AwsError::invalid_response("the response of IAM has no ARN");
                Err(IamError { error, code: None })
            }
            Err(CallError { error, code }) => {
                let failed = IamError { error, code };
                match failed.error.kind {
                    _ if failed.is_not_found() => Ok(Lookup::NotFound),
                    AwsErrorKind::Denied => Ok(Lookup::Denied { action }),
                    _ => Err(failed),
                }
            }
        }
    }
}

fn role(body: &[u8]) -> Result<Option<IamPrincipal>, BoxError> {
    principal(body, "GetRoleResponse", "RoleId")
}

fn user(body: &[u8]) -> Result<Option<IamPrincipal>, BoxError> {
    principal(body, "GetUserResponse", "UserId")
}

/// Reads the `RoleName` of each role.
fn role_names(body: &[u8]) -> Result<Vec<String>, BoxError> {
    let mut document = Document::try_from(body)?;
    if document.next_start_element().ok_or("no XML")?.local() != "ListRolesResponse" {
        return Err("another document".into());
    }
    let mut names = Vec::new();
    while let Some(element) = document.next_start_element() {
        if element.local() == "RoleName" {
            names.push(try_data(&mut document.scoped_to(element))?.into_owned());
        }
    }
    Ok(names)
}

/// Reads the first `Arn` and the first id. Later ones belong to parts of the principal, such as its permissions boundary.
fn principal(body: &[u8], document_name: &str, id_name: &str) -> Result<Option<IamPrincipal>, BoxError> {
    let mut document = Document::try_from(body)?;
    let root = document.next_start_element().ok_or("no XML")?;
    if root.local() != document_name {
        return Err("another document".into());
    }
    let (mut arn, mut id, mut trust_policy) = (None, None, None);
    while let Some(element) = document.next_start_element() {
        let part = match element.local() {
            "Arn" => &mut arn,
            "AssumeRolePolicyDocument" => &mut trust_policy,
            name if name == id_name => &mut id,
            _ => continue,
        };
        let text = try_data(&mut document.scoped_to(element))?;
        part.get_or_insert(text.into_owned());
    }
    let (Some(arn), Some(id)) = (arn, id) else { return Ok(None) };
    let is_arn = arn.starts_with("arn:");
    let trust_policy = trust_policy.filter(|text| text.len() <= MAX_TRUST_POLICY);
    let trust_policy = trust_policy.and_then(|text| percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned));
    Ok(is_arn.then_some(IamPrincipal { arn, id, trust_policy }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(parts: &str) -> String {
        format!(
            "<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetRoleResult><Role>{parts}</Role>\
             </GetRoleResult><ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></GetRoleResponse>"
        )
    }

    #[test]
    fn role_complete_response_is_read() {
        let arn = "arn:aws:iam::111122223333:role/team/dev";
        let body = response(&format!(
            "<Path>/team/</Path><Arn>{arn}</Arn><RoleName>dev</RoleName><RoleId>AROAX</RoleId>\
             <PermissionsBoundary><Arn>arn:aws:iam::aws:policy/X</Arn></PermissionsBoundary>"
        ));
        let found = role(body.as_bytes()).unwrap().unwrap();
        assert_eq!((found.arn.as_str(), found.id.as_str(), found.trust_policy), (arn, "AROAX", None));
    }

    #[test]
    fn role_trust_policy_is_decoded() {
        let of = |policy: &str| {
            let start = "<Arn>arn:aws:iam::111122223333:role/dev</Arn><RoleId>AROAX</RoleId>";
            let policy = format!("<AssumeRolePolicyDocument>{policy}</AssumeRolePolicyDocument>");
            role(response(&format!("{policy}{start}")).as_bytes()).unwrap().unwrap().trust_policy
        };
        assert_eq!(of("%7B%22Statement%22%3A%5B%5D%7D").as_deref(), Some("{\"Statement\":[]}"));
        assert_eq!(of(&"x".repeat(MAX_TRUST_POLICY + 1)), None);
        assert_eq!(of("%FF"), None);
    }

    #[test]
    fn role_other_response_is_none_or_an_error() {
        for parts in ["", "<Arn>arn:aws:iam::1:role/x</Arn>", "<Arn></Arn><RoleId>AROAX</RoleId>"] {
            assert_eq!(role(response(parts).as_bytes()).unwrap(), None, "{parts}");
        }
        for body in ["", "{}", "<html></html>"] {
            assert!(role(body.as_bytes()).is_err(), "{body}");
        }
        assert!(user(response("<Arn>arn:x</Arn>").as_bytes()).is_err());
    }
}
