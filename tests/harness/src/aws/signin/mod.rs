//! AWS Sign-In, as far as `aws login` needs it: logins that a user made in the browser, and their renewal.

pub(super) mod dpop;
pub(super) mod login;
pub(super) mod records;
mod token;

pub(crate) use records::CLIENT;
pub(crate) use token::respond as serve;
