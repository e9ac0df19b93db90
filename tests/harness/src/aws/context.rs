//! What an operation gets to answer a call.

use super::fault_plan::Overrides;
use super::principal::Principal;
use super::request::ParsedRequest;
use super::state::SharedAws;

/// A request that is believed.
pub(crate) struct SignedCall<'a> {
    pub(crate) shared: &'a SharedAws,
    pub(crate) request: &'a ParsedRequest,
    pub(crate) caller: Principal,
    /// Region of the credential scope.
    pub(crate) region: String,
    pub(crate) overrides: Overrides,
}

/// A request of an operation that nobody signs.
pub(crate) struct UnsignedCall<'a> {
    pub(crate) shared: &'a SharedAws,
    pub(crate) request: &'a ParsedRequest,
    pub(crate) overrides: Overrides,
}
