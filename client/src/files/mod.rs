//! The user's files: written as a whole or left as they are.

pub(crate) mod atomic_file;
pub(crate) mod marker_file;
