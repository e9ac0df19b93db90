//! The context of an operation.

use super::fault_plan::Overrides;
use super::principal::Principal;
use super::request::ParsedRequest;
use super::state::SharedAws;

/// A request with a verified signature.
pub(crate) struct SignedCall<'a> {
    pub(crate) shared: &'a SharedAws,
    pub(crate) request: &'a ParsedRequest,
    pub(crate) caller: Principal,
    /// Region of the credential scope.
    pub(crate) region: String,
    pub(crate) overrides: Overrides,
}

/// A request of an unsigned operation.
pub(crate) struct UnsignedCall<'a> {
    pub(crate) shared: &'a SharedAws,
    pub(crate) request: &'a ParsedRequest,
    pub(crate) overrides: Overrides,
}
