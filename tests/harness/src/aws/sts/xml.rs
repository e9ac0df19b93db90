//! The XML of STS responses.

use super::super::error::xml_escape;

/// Returns `<name>text</name>` on a line of its own.
pub(crate) fn element(name: &str, text: &str) -> String {
    format!("      <{name}>{}</{name}>\n", xml_escape(text))
}

/// Wraps a result in the envelope of an action.
pub(crate) fn envelope(action: &str, request_id: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <{action}Result>\n{result}  </{action}Result>\n  \
         <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n</{action}Response>\n"
    )
}
