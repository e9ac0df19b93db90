//! The check of a response of STS before its fields are used.
//!
//! The SDK's reader uses the last of several elements of one name, ignores what follows the fields that it wants, and reads
//! control characters as text. A response with one of these does not come from STS as it is.

use std::collections::BTreeSet;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use xmlparser::{ElementEnd, Token, Tokenizer};

/// Elements that may occur once in a response, whatever their prefix and attributes.
const UNIQUE_ELEMENTS: [&str; 5] = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "Arn"];

/// The limit of elements in each other. A response of AssumeRole has five.
const MAX_DEPTH: usize = 32;

/// Rejects a response that is not one complete XML document with each field once (fault matrix row 64).
#[derive(Debug)]
pub(super) struct CheckResponse;

impl Intercept for CheckResponse {
    fn name(&self) -> &'static str {
        "CheckResponse"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // The code and the text of an error are checked where they are used.
        if response.status().is_success() { Ok(check(response.body().bytes().unwrap_or_default())?) } else { Ok(()) }
    }
}

/// Checks a whole response.
fn check(body: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "the response is not UTF-8")?;
    if text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()) {
        return Err("the response has a control character");
    }
    let (mut open, mut seen, mut has_root) = (Vec::new(), BTreeSet::new(), false);
    for token in Tokenizer::from(text) {
        match token.map_err(|_| "the response is not XML")? {
            Token::ElementStart { prefix, local, .. } => {
                if open.is_empty() && has_root {
                    return Err("the response has two root elements");
                }
                has_root = true;
                if UNIQUE_ELEMENTS.contains(&local.as_str()) && !seen.insert(local.as_str()) {
                    return Err("the response has a field twice");
                }
                if open.len() == MAX_DEPTH {
                    return Err("the response has too many elements in each other");
                }
                open.push((prefix.as_str(), local.as_str()));
            }
            Token::ElementEnd { end: ElementEnd::Empty, .. } => drop(open.pop()),
            Token::ElementEnd { end: ElementEnd::Close(prefix, local), .. }
                if open.pop() != Some((prefix.as_str(), local.as_str())) =>
            {
                return Err("the response has an end tag without its start tag");
            }
            Token::Text { text } if is_control_reference(text.as_str()) => {
                return Err("the response has a control character");
            }
            Token::DtdStart { .. } | Token::EmptyDtd { .. } | Token::EntityDeclaration { .. } => {
                return Err("the response has a document type");
            }
            _ => {}
        }
    }
    if has_root && open.is_empty() { Ok(()) } else { Err("the response is cut off") }
}

/// Whether a text has a reference to a control character, such as `&#10;` or `&#x1B;`.
fn is_control_reference(text: &str) -> bool {
    text.split("&#").skip(1).any(|rest| {
        let digits = rest.split(';').next().unwrap_or_default();
        let code = match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        code.ok().and_then(char::from_u32).is_none_or(char::is_control)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                          <SessionToken>t&amp;u</SessionToken><Expiration>2026-01-02T03:04:05Z</Expiration></Credentials>";

    fn response(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleResult>\n  {inside}<AssumedRoleUser><Arn>arn</Arn></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>\n"
        )
    }

    /// Fault matrix row 64.
    #[test]
    fn check_complete_response_passes() {
        for whole in [response(FIELDS), response(&format!("{FIELDS}<New/>")), response("<!-- none -->")] {
            assert_eq!(check(whole.as_bytes()), Ok(()), "{whole}");
        }
    }

    /// Fault matrix row 64.
    #[test]
    fn check_field_twice_is_rejected() {
        for twice in ["<SessionToken>x</SessionToken>", "<SessionToken a=\"b\">x</SessionToken>", "<SessionToken/>"] {
            assert_eq!(check(response(&format!("{FIELDS}{twice}")).as_bytes()), Err("the response has a field twice"));
        }
        let prefixed = response(&format!("{FIELDS}<x:SessionToken xmlns:x=\"y\">x</x:SessionToken >"));
        assert_eq!(check(prefixed.as_bytes()), Err("the response has a field twice"));
    }

    /// Fault matrix row 64.
    #[test]
    fn check_response_cut_anywhere_is_rejected() {
        let whole = response(FIELDS);
        for length in 0..whole.trim_end().len() {
            assert!(check(&whole.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    /// Fault matrix row 64.
    #[test]
    fn check_control_characters_and_odd_documents_are_rejected() {
        for odd in [
            "<a>\u{1b}[31m</a>",
            "<a>\u{9b}</a>",
            "<a>&#27;</a>",
            "<a>&#x1B;</a>",
            "<a>x&#10;</a>",
            "<a>&#xD800;</a>",
            "<a>&#;</a>",
            "<a></a><b></b>",
            "<a></b>",
            "<a><b></a></b>",
            "</a>",
            "<!DOCTYPE a><a></a>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<a",
            "text",
            "",
            "{}",
        ] {
            assert!(check(odd.as_bytes()).is_err(), "{odd}");
        }
        assert!(check(b"<a>\xff</a>").is_err());
        assert_eq!(check("<a>&#252;&#x20AC;&lt;</a>".as_bytes()), Ok(()));
    }
}
