//! The user's files: each is replaced as a whole or stays unchanged.

pub(crate) mod atomic_file;
mod attributes;
mod encoding;
pub(crate) mod error;
pub(crate) mod input_text;
mod leftovers;
pub(crate) mod marker_file;
pub(crate) mod names;
pub(crate) mod path_text;
