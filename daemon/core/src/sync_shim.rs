//! The concurrency primitives of [`crate::single_flight`]. The model check (`tests/model`) compiles that module with a
//! shim of its own instead of this one.

pub use std::sync::{Mutex, MutexGuard, PoisonError};

pub use tokio::spawn;
