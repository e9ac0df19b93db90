//! A response before it is sent.

/// Status, headers and body. Sending adds `Date`.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The error code, for the log.
    pub(crate) error_code: Option<String>,
}

impl Reply {
    /// A response of the query protocol.
    pub(crate) fn xml(status: u16, request_id: &str, body: String) -> Self {
        let headers = vec![("content-type", "text/xml".to_owned()), ("x-amzn-requestid", request_id.to_owned())];
        Self { status, headers, body: body.into_bytes(), error_code: None }
    }

    /// A response of the REST JSON protocol.
    pub(crate) fn json(status: u16, request_id: &str, body: &serde_json::Value) -> Self {
        let headers =
            vec![("content-type", "application/json".to_owned()), ("x-amzn-requestid", request_id.to_owned())];
        Self { status, headers, body: body.to_string().into_bytes(), error_code: None }
    }

    /// A response that is not in a format of AWS.
    pub(crate) fn plain(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body: body.into(), error_code: None }
    }
}
