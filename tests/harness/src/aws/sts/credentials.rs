//! Credentials as STS writes them.

use std::time::SystemTime;

use super::super::error::xml_escape;
use super::super::plan::{Expiration, Twist};
use crate::keys::AccessKey;
use crate::time::rfc3339;

/// `<name>text</name>`, on a line of its own.
pub(crate) fn element(name: &str, text: &str) -> String {
    format!("      <{name}>{}</{name}>\n", xml_escape(text))
}

/// The element `Credentials`; what it says of the end may be scripted.
pub(crate) fn write(key: &AccessKey, expires: SystemTime, twist: &Twist) -> String {
    let expiration = match &twist.expiration {
        Expiration::True => Some(rfc3339(expires)),
        Expiration::Text(text) => Some(text.clone()),
        Expiration::LeftOut => None,
    };
    let inside = [
        element("AccessKeyId", &key.id),
        element("SecretAccessKey", &key.secret),
        element("SessionToken", key.session_token.as_deref().unwrap_or_default()),
        expiration.map(|text| element("Expiration", &text)).unwrap_or_default(),
    ];
    format!("    <Credentials>\n{}    </Credentials>\n", inside.concat())
}
