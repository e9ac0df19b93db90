//! The daemon, which user messages call "the agent": connects to it, starts it, and calls it.

pub(crate) mod call;
pub(crate) mod config_status;
pub(crate) mod confirmation;
mod connect;
mod cooldown;
mod error;
mod events;
pub(crate) mod http;
mod instance_lock;
pub(crate) mod spawn;
mod steps;

pub(crate) use call::{CALL_TIMEOUT, Daemon, IfAbsent, patient_deadline};
pub(crate) use error::CallError;
pub(crate) use http::Response;
pub(crate) use steps::{LoginSteps, Steps};
