//! The server of the embedded AWS.

use std::ops::Deref;
use std::sync::Arc;

use super::dispatch;
use super::handle::AwsHandle;
use super::state::SharedAws;
use super::tls::OverTls;
use crate::clock::Clock;
use crate::serve::Server;

/// A running embedded AWS. Dropping it stops it and frees its port. It derefs to [`AwsHandle`], which can be cloned
/// and outlives it.
#[derive(Debug)]
pub struct Aws {
    handle: AwsHandle,
    _server: Server,
}

impl Aws {
    /// Starts an AWS on a free port of 127.0.0.1. `clock` is AWS's clock.
    pub fn start(clock: Clock) -> Self {
        let shared = Arc::new(SharedAws::new(clock));
        let handlers = Arc::clone(&shared);
        let server =
            Server::start("embedded-aws", None, move |request| dispatch::respond(Arc::clone(&handlers), request));
        Self { handle: AwsHandle::new(shared, server.addr()), _server: server }
    }

    /// Serves the same AWS over TLS, with a certificate for these names that a private CA has signed.
    pub fn over_tls(&self, names: &[&str]) -> OverTls {
        OverTls::start(Arc::clone(self.handle.shared()), names)
    }

    /// Returns a handle to share with other threads and with the API server.
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
