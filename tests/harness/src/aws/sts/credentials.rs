//! Returns the element `Credentials`; a fault may change its expiration.

use std::time::SystemTime;

use super::super::fault_plan::{Expiration, Overrides};
use super::xml::element;
use crate::aws::access_key::AccessKey;
use crate::time::rfc3339;

/// Returns the element `Credentials`; a fault may change its expiration.
pub(crate) fn write(key: &AccessKey, expires: SystemTime, overrides: &Overrides) -> String {
    let expiration = match &overrides.expiration {
        Expiration::Correct => Some(rfc3339(expires)),
        Expiration::Text(text) => Some(text.clone()),
        Expiration::Absent => None,
    };
    let inside = [
        element("AccessKeyId", &key.id),
        element("SecretAccessKey", &key.secret),
        element("SessionToken", key.session_token.as_deref().unwrap_or_default()),
        expiration.map(|text| element("Expiration", &text)).unwrap_or_default(),
    ];
    format!("    <Credentials>\n{}    </Credentials>\n", inside.concat())
}
