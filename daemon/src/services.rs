//! What the agent does for each endpoint, one service a file, and the components that several services share.
//!
//! A service names what it depends on in its fields; one with state of its own has a constructor. `agent` builds them;
//! `server` calls one function for each endpoint, of the same name. None of them knows HTTP.

pub mod error;
mod event_bus;
mod profile_activity;
mod token_cache;
pub mod unauthorized;

mod approvals;

pub mod lock;

pub mod config;

pub mod audit;
pub mod constraints;
pub mod recovery;

pub mod profile_sessions;
mod source_logins;

pub mod access;
pub mod cluster_access;
pub mod credentials;
pub mod discover;
pub mod doctor;
pub mod events;
pub mod keys;
pub mod login;
pub mod logout;
pub mod notices;
pub mod probe;
pub mod snapshot;
pub mod status;
pub mod token;

pub(crate) use approvals::Approvals;
pub use error::AgentError;
pub(crate) use event_bus::EventBus;
pub(crate) use profile_activity::ProfileActivity;
pub(crate) use source_logins::SourceLogins;
pub(crate) use token_cache::TokenCache;
