//! What concurrent code is made of, named in one place: the model check (tests/model) reads the code that uses it with parts
//! of its own in here.

pub use std::sync::{Mutex, MutexGuard, PoisonError};

pub use tokio::spawn;
