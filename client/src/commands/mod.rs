//! One file per command. A command calls the daemon or edits the user's files, and prints the result. No command
//! imports another; what several need lies outside this folder.

pub(crate) mod access;
pub(crate) mod add;
pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod credentials;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod exec;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod kubeconfig;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod prompt;
pub(crate) mod refresh;
pub(crate) mod remove;
pub(crate) mod rename;
pub(crate) mod shell;
pub(crate) mod show;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod unlock;
pub(crate) mod use_context;
