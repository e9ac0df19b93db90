//! The endpoint of `rolecall exec --server`: AWS's SDKs read the session of a profile from it, as in a container of ECS, and read
//! the next one when that expires.
//!
//! The command replaces the process of `rolecall exec`, so a process of its own serves the endpoint: a child of the command,
//! `rolecall credentials NAME --serve`, which ends when the command has ended. It keeps no session: it asks the daemon for each
//! answer, so that the lock, the constraints and the audit log apply to each, and a restart of the daemon has no effect on it.
//!
//! Any web page and any user of the machine can connect to the port. An answer needs the token in the file that only the user can
//! read (C1 to C3 of the requirements): see [`request`].

mod request;
mod serve;
mod start;

pub(crate) use serve::serve;
pub(crate) use start::start;
