//! Pages of lists: `maxResults` and `nextToken`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::context::SignedCall;
use super::super::error::ApiError;

/// Maximum of `maxResults`.
const MAX: usize = 100;

/// One page of keys, and the token of the next page.
pub(super) struct Page {
    pub(super) keys: Vec<String>,
    pub(super) next: Option<String>,
}

/// Returns the page of sorted `keys` that the request asks for.
pub(super) fn of(call: &SignedCall<'_>, mut keys: Vec<String>) -> Result<Page, ApiError> {
    let size = page_size(call)?.min(call.shared.state().page_size);
    let after = call.request.param("nextToken").map(read_token).transpose()?;
    keys.sort_unstable();
    keys.retain(|key| after.as_deref().is_none_or(|after| key.as_str() > after));
    let more = keys.len() > size;
    keys.truncate(size);
    let next = keys.last().filter(|_| more).map(|last| write_token(last));
    Ok(Page { keys, next })
}

fn page_size(call: &SignedCall<'_>) -> Result<usize, ApiError> {
    let Some(text) = call.request.param("maxResults") else { return Ok(MAX) };
    let size = text.parse().ok().filter(|size| (1..=MAX).contains(size));
    size.ok_or_else(|| {
        ApiError::new(400, "InvalidParameterException", format!("maxResults must be between 1 and {MAX}."))
    })
}

/// Returns a token with the last key of a page; callers treat it as opaque.
fn write_token(last: &str) -> String {
    // The real tokens are base64 with padding, which a query has to encode.
    format!("{}==", URL_SAFE_NO_PAD.encode(format!("after:{last}")))
}

fn read_token(token: &str) -> Result<String, ApiError> {
    let text = token.strip_suffix("==").and_then(|token| URL_SAFE_NO_PAD.decode(token).ok());
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    let after = text.and_then(|text| text.strip_prefix("after:").map(str::to_owned));
    after.ok_or_else(|| ApiError::new(400, "InvalidParameterException", "The specified nextToken is not valid."))
}
