//! An embedded API server of an EKS cluster: TLS, bearer tokens verified as aws-iam-authenticator verifies them, and
//! the part of the Kubernetes API that `kubectl get pods`, `get ns`, `auth whoami` and `version` need. Access entries and
//! the ConfigMap aws-auth decide who a token is, RBAC and access policies what it may do.

mod api;
mod authenticator;
mod aws_auth;
mod handler;
mod log;
mod rbac;
mod server;
mod shared;
mod sts_hosts;
mod token;

pub use log::Served;
pub use server::ApiServer;

#[cfg(test)]
mod tests;
