//! One embedded AWS over real HTTP on loopback: an identity table, STS, EKS, IAM Identity Center, access to clusters, and scripted faults.
//!
//! Every request is believed only if its SigV4 signature is good; what a principal may do is decided by trust and
//! permissions as in the real thing, with the real texts. One file per operation: a new one is a file under its
//! service, a line in that service's `mod.rs` and a variant of [`Op`].

mod access;
mod calls;
mod cluster;
mod container_credentials;
mod dispatch;
mod eks;
mod error;
mod fault;
mod handle;
mod identity;
mod inbound;
mod instance_metadata;
mod mfa;
mod op;
mod plan;
mod reply;
mod role;
mod rotating;
mod signin;
mod sso;
mod sts;
mod tls;
mod web_identity;
mod world;

pub use calls::{Call, Outcome};
pub use cluster::Cluster;
pub use container_credentials::ContainerCredentials;
pub use fault::{Cut, Fault, Gate, Script};
pub use handle::AwsHandle;
pub use identity::Role;
pub use instance_metadata::InstanceMetadata;
pub use mfa::MfaDevice;
pub use op::Op;
pub use signin::Login;
pub use sso::Sso;
pub use tls::OverTls;

pub(crate) use access::Grantee;
pub(crate) use signin::CLIENT as LOGIN_CLIENT;

use std::ops::Deref;
use std::sync::Arc;

use crate::clock::Clock;
use crate::serve::Server;
use world::World;

/// A running embedded AWS. Dropping it stops it and frees its port; [`AwsHandle`], which it derefs to, can be cloned
/// and outlives it.
#[derive(Debug)]
pub struct Aws {
    handle: AwsHandle,
    _server: Server,
}

impl Aws {
    /// Starts it on a free port of 127.0.0.1. `clock` is AWS's own idea of the time.
    pub fn start(clock: Clock) -> Self {
        let world = Arc::new(World::new(clock));
        let shared = Arc::clone(&world);
        let server = Server::start("embedded-aws", None, move |request| dispatch::answer(Arc::clone(&shared), request));
        Self { handle: AwsHandle::new(world, server.addr()), _server: server }
    }

    /// The same AWS over TLS, under the names of a certificate that a private CA has signed.
    pub fn over_tls(&self, names: &[&str]) -> OverTls {
        OverTls::start(Arc::clone(self.handle.world()), names)
    }

    /// A handle to share with other threads and with the API server.
    pub fn handle(&self) -> AwsHandle {
        self.handle.clone()
    }
}

impl Deref for Aws {
    type Target = AwsHandle;

    fn deref(&self) -> &AwsHandle {
        &self.handle
    }
}

#[cfg(test)]
mod tests;
