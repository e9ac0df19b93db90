//! API errors, and how each service writes them.

use super::denied_by::DeniedBy;
use super::reply::Reply;
use super::request::{ParsedRequest, Service};
use crate::aws::sigv4::AuthError;
use crate::random::request_id;

/// An error response of AWS.
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

    /// A 400 of STS for an invalid parameter.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationError", message)
    }

    /// A denied action, in the text that all services share.
    pub(crate) fn denied(service: Service, caller: &str, action: &str, resource: &str) -> Self {
        let message = format!("User: {caller} is not authorized to perform: {action} on resource: {resource}");
        match service {
            Service::Sts | Service::Iam => Self::new(403, "AccessDenied", message),
            Service::Eks | Service::Signin | Service::Sso => Self::new(403, "AccessDeniedException", message),
        }
    }

    /// Adds the policy that denies the action to the message.
    pub(crate) fn by(mut self, by: Option<DeniedBy>, action: &str) -> Self {
        if let Some(by) = by {
            self.message.push_str(&by.text(action));
        }
        self
    }

    /// A rate limit error. STS uses status 400.
    pub(crate) fn throttled(service: Service) -> Self {
        match service {
            Service::Sts | Service::Iam => Self::new(400, "Throttling", "Rate exceeded"),
            Service::Eks => Self::new(429, "ThrottlingException", "Rate exceeded"),
            Service::Signin => Self::new(429, "TooManyRequestsError", "Rate exceeded"),
            Service::Sso => Self::new(429, "TooManyRequestsException", "HTTP 429 Unknown Code"),
        }
    }

    /// A signature error. Query protocols and REST protocols have different codes.
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

    /// Writes the error in the protocol of the service that was called.
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

    /// Returns `Sender` for an error of the caller, `Receiver` for one of AWS.
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

    /// OIDC puts an RFC 6749 error code into the body, the portal a message; both repeat their own code in a header.
    fn sso_json(&self) -> Reply {
        let oauth_code = match self.code.as_str() {
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
        let body = if oauth_code.is_empty() {
            serde_json::json!({ "message": self.message })
        } else {
            serde_json::json!({ "error": oauth_code, "error_description": self.message })
        };
        let mut reply = Reply::json(self.status, &request_id(), &body);
        reply.headers.push(("x-amzn-errortype", self.code.clone()));
        reply
    }
}

/// Escapes markup. Control characters stay, since hostile text must arrive unchanged.
pub(crate) fn xml_escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
