//! Every call that `rolecalld` makes to AWS. The only crate that depends on the AWS SDK.
//!
//! The modules are in the order of the data flow: each imports only those above it.

mod causes;
mod secret_file;

pub mod denial;

mod texts;

mod connection;
pub mod shared_config;

pub mod http;

pub mod credentials;
pub mod error;

mod endpoints;

pub mod client;

pub mod signed_call;
mod unsigned_call;

mod retry;

pub mod eks;

pub mod cluster;
pub mod iam;
pub mod sts;

pub mod role_failure;

pub mod token;

pub mod kubernetes;

pub mod sso;

pub mod source;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
