//! An embedded API server of an EKS cluster: TLS, bearer tokens verified as aws-iam-authenticator verifies them, and
//! the part of the Kubernetes API that `kubectl get pods`, `get ns`, `auth whoami` and `version` need.

mod api;
mod authenticator;
mod handler;
mod log;
mod server;
mod shared;
mod sts_hosts;
mod token;

pub use log::Served;
pub use server::ApiServer;

#[cfg(test)]
mod tests;
