//! GetRole and GetUser: whether a principal exists, and its ARN with the path.

use aws_config::SdkConfig;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_xml::decode::{Document, try_data};
use rolecall_core::config::home_region;
use rolecall_protocol::Region;

use super::{IamError, request, target};
use crate::error::{AwsError, AwsErrorKind};
use crate::retry;
use crate::retry::CallError;

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

/// Reads the first `Arn` and the first id. Later ones belong to parts of the principal, such as its permissions boundary.
fn principal(body: &[u8], document_name: &str, id_name: &str) -> Result<Option<IamPrincipal>, BoxError> {
    let mut document = Document::try_from(body)?;
    let root = document.next_start_element().ok_or("no XML")?;
    if root.local() != document_name {
        return Err("another document".into());
    }
    let (mut arn, mut id) = (None, None);
    while let Some(element) = document.next_start_element() {
        let part = match element.local() {
            "Arn" => &mut arn,
            name if name == id_name => &mut id,
            _ => continue,
        };
        let text = try_data(&mut document.scoped_to(element))?;
        part.get_or_insert(text.into_owned());
    }
    let (Some(arn), Some(id)) = (arn, id) else { return Ok(None) };
    let is_arn = arn.starts_with("arn:");
    Ok(is_arn.then_some(IamPrincipal { arn, id }))
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
        assert_eq!((found.arn.as_str(), found.id.as_str()), (arn, "AROAX"));
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
