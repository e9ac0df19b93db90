//! An embedded AWS over real HTTP on loopback: users and roles, STS, EKS, IAM, IAM Identity Center, AWS Sign-In,
//! instance metadata, container credentials, and scripted faults.
//!
//! The server verifies the SigV4 signature of every request. Trust policies and permissions decide what a principal may
//! do, and errors have AWS's own codes and texts. One file per operation: to add one, add a file under its service, a
//! line in that service's `mod.rs` and a variant of [`Op`].

mod access;
mod access_key;
mod call_log;
mod cluster;
mod container_credentials;
mod context;
mod denied_by;
mod dispatch;
mod eks;
mod error;
mod fault;
mod fault_plan;
mod handle;
mod iam;
mod identity;
mod instance_metadata;
mod mfa;
mod op;
mod principal;
mod reply;
mod request;
mod role;
mod rotating;
mod server;
mod signin;
mod sigv4;
mod sso;
mod state;
mod sts;
mod tls;
mod trust_document;
mod web_identity;

pub use access_key::AccessKey;
pub use call_log::{Call, Outcome};
pub use cluster::Cluster;
pub use container_credentials::ContainerCredentials;
pub use denied_by::{DeniedBy, PolicyType};
pub use fault::{Cut, Fault, Gate, Script};
pub use handle::AwsHandle;
pub use instance_metadata::InstanceMetadata;
pub use mfa::MfaDevice;
pub use op::Op;
pub use role::Role;
pub use server::Aws;
pub use signin::login::Login;
pub use sigv4::TokenSpec;
pub use sso::handle::Sso;
pub use tls::OverTls;

pub(crate) use access::{AssociatedPolicy, Grantee, without_path};
pub(crate) use signin::CLIENT as LOGIN_CLIENT;

#[cfg(test)]
mod tests;
