//! Errors of an API, and how each service's protocol writes them.

use super::reply::Reply;
use super::request::{ParsedRequest, Service};
use crate::aws::sigv4::AuthError;
use crate::random::request_id;

/// An error as AWS would answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// STS's 400 for a parameter that is not as it must be.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationError", message)
    }

    /// The text that every service has for an action that is not allowed.
    pub(crate) fn denied(service: Service, caller: &str, action: &str, resource: &str) -> Self {
        let message = format!("User: {caller} is not authorized to perform: {action} on resource: {resource}");
        match service {
            Service::Sts | Service::Iam => Self::new(403, "AccessDenied", message),
            Service::Eks | Service::Signin | Service::Sso => Self::new(403, "AccessDeniedException", message),
        }
    }

    /// Calls come too fast. STS says so with a 400.
    pub(crate) fn throttled(service: Service) -> Self {
        match service {
            Service::Sts | Service::Iam => Self::new(400, "Throttling", "Rate exceeded"),
            Service::Eks => Self::new(429, "ThrottlingException", "Rate exceeded"),
            Service::Signin => Self::new(429, "TooManyRequestsError", "Rate exceeded"),
            Service::Sso => Self::new(429, "TooManyRequestsException", "HTTP 429 Unknown Code"),
        }
    }

    /// The query protocol and the REST protocols have different codes for the same distrust.
    pub(crate) fn auth(service: Service, error: AuthError) -> Self {
        let sts = matches!(service, Service::Sts | Service::Iam);
        let (status, code, message) = match error {
            AuthError::Missing if sts => {
                (403, "MissingAuthenticationToken", "Request is missing Authentication Token".to_owned())
            }
            AuthError::Missing => {
                (403, "MissingAuthenticationTokenException", "Missing Authentication Token".to_owned())
            }
            AuthError::Incomplete(message) if sts => (400, "IncompleteSignature", message),
            AuthError::Incomplete(message) => (403, "IncompleteSignatureException", message),
            AuthError::UnknownKey => {
                let code = if sts { "InvalidClientTokenId" } else { "UnrecognizedClientException" };
                (403, code, "The security token included in the request is invalid.".to_owned())
            }
            AuthError::SessionExpired => {
                let code = if sts { "ExpiredToken" } else { "ExpiredTokenException" };
                (403, code, "The security token included in the request is expired".to_owned())
            }
            AuthError::Signature(message) => {
                (403, if sts { "SignatureDoesNotMatch" } else { "InvalidSignatureException" }, message)
            }
        };
        Self::new(status, code, message)
    }

    /// Written as the service that was called writes it.
    pub(crate) fn reply(&self, request: &ParsedRequest) -> Reply {
        let reply = match request.service {
            Service::Sts if request.wants_json() => self.query_json(),
            Service::Sts => self.query_xml("https://sts.amazonaws.com/doc/2011-06-15/"),
            Service::Iam => self.query_xml("https://iam.amazonaws.com/doc/2010-05-08/"),
            Service::Eks | Service::Signin => self.rest_json(),
            Service::Sso => self.sso_json(),
        };
        Reply { error_code: Some(self.code.clone()), ..reply }
    }

    /// `Sender` is the caller's fault, `Receiver` AWS's.
    fn fault_of(&self) -> &'static str {
        if self.status < 500 { "Sender" } else { "Receiver" }
    }

    fn query_xml(&self, namespace: &str) -> Reply {
        let id = request_id();
        let body = format!(
            "<ErrorResponse xmlns=\"{namespace}\">\n  <Error>\n    <Type>{}</Type>\n    \
             <Code>{}</Code>\n    <Message>{}</Message>\n  </Error>\n  <RequestId>{id}</RequestId>\n</ErrorResponse>\n",
            self.fault_of(),
            xml_escape(&self.code),
            xml_escape(&self.message)
        );
        Reply::xml(self.status, &id, body)
    }

    fn query_json(&self) -> Reply {
        let id = request_id();
        let error = serde_json::json!({ "Code": self.code, "Message": self.message, "Type": self.fault_of() });
        Reply::json(self.status, &id, &serde_json::json!({ "Error": error, "RequestId": id }))
    }

    fn rest_json(&self) -> Reply {
        let mut reply = Reply::json(self.status, &request_id(), &serde_json::json!({ "message": self.message }));
        reply.headers.push(("x-amzn-errortype", self.code.clone()));
        reply
    }

    /// OIDC has a word of RFC 6749 in the body, the portal a message; both have the code in a header.
    fn sso_json(&self) -> Reply {
        let word = match self.code.as_str() {
            "AuthorizationPendingException" => "authorization_pending",
            "SlowDownException" => "slow_down",
            "ExpiredTokenException" => "expired_token",
            "AccessDeniedException" => "access_denied",
            "InvalidGrantException" => "invalid_grant",
            "InvalidClientException" => "invalid_client",
            "InvalidScopeException" => "invalid_scope",
            "UnauthorizedClientException" => "unauthorized_client",
            "UnsupportedGrantTypeException" => "unsupported_grant_type",
            "InvalidRedirectUriException" => "invalid_redirect_uri",
            "InvalidRequestException" => "invalid_request",
            _ => "",
        };
        let body = if word.is_empty() {
            serde_json::json!({ "message": self.message })
        } else {
            serde_json::json!({ "error": word, "error_description": self.message })
        };
        let mut reply = Reply::json(self.status, &request_id(), &body);
        reply.headers.push(("x-amzn-errortype", self.code.clone()));
        reply
    }
}

/// Escapes what would end the text; control characters stay raw, since hostile text is to arrive as it was sent.
pub(crate) fn xml_escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
