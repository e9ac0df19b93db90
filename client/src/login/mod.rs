//! Logging in to a source, for every command that needs it.

pub(crate) mod browser;
pub(crate) mod flow;
pub(crate) mod outcome;
pub(crate) mod prompter;
pub(crate) mod source;
pub(crate) mod status;
