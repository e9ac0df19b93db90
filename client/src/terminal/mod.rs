//! The terminal: output that fits it, questions, and signals.

pub(crate) mod child;
pub(crate) mod passphrase;
pub(crate) mod pick;
pub(crate) mod prompt;
pub(crate) mod signals;
pub(crate) mod status_line;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod tty;
