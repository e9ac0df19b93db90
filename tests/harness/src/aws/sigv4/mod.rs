//! AWS Signature Version 4, written from its specification with `hmac` and `sha2` alone.
//!
//! Source of the rules: "Create a signed AWS API request" and "Troubleshoot Signature Version 4 signing" in the IAM
//! User Guide. The signing side makes valid and invalid requests for tests; the embedded AWS uses the verifying side.

mod canonical;
mod sign;
mod signature;
mod token;
mod verify;

#[cfg(test)]
pub(crate) use sign::Signer;
pub use token::TokenSpec;

pub(crate) use verify::{AuthError, KnownKey, SignedRequest, TOLERANCE, VerificationTime, claimed_key, verify};
