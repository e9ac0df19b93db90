//! Every call that `rolecalld` makes to AWS. The only crate that depends on the AWS SDK.
//!
//! The modules stand in the order in which data flows; each uses only those above it.

mod causes;
mod texts;

pub mod http;

pub mod error;

mod endpoints;

pub mod client;

pub mod cluster;
pub mod eks;
pub mod iam;
pub mod signed_call;
pub mod sts;

pub mod token;

pub mod sso;

pub mod source;
