//! The policy of `rolecalld`: what the configuration means, how long a session is usable, when a call to AWS is allowed.
//!
//! Nothing here calls AWS or opens a network connection, so the tests need neither. The modules are listed in the order
//! in which data flows; each uses only those above it.

pub mod clock;
pub mod sync_shim;

pub mod constraints;

pub mod config;
pub mod role_chain;

pub mod profile;

pub mod circuit_breaker;
pub mod rate_limit;

pub mod endpoint_calls;

pub mod session;

pub mod single_flight;
#[cfg(test)]
mod single_flight_tests;

pub mod refresh;

pub mod renewal;

pub mod lock;

pub mod iam_arn;

pub mod cluster_access;

pub mod trust_policy;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
