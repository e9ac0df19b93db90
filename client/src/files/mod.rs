//! The user's files: written as a whole or left as they are.

pub(crate) mod atomic_file;
mod leftovers;
pub(crate) mod marker_file;
pub(crate) mod names;
pub(crate) mod path_text;
