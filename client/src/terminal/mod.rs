//! The terminal: what it can show, what is asked on it, and the signals that come from it.

pub(crate) mod passphrase;
pub(crate) mod prompt;
pub(crate) mod signals;
pub(crate) mod status_line;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod tty;
