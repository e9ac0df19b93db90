//! stub
#![allow(missing_docs, unused, clippy::all, clippy::pedantic)]
use crate::aws::{Aws, AwsError};
use rolecall_protocol::{ErrorClass, LoginFlow, LoginStatus, Region};
use std::time::SystemTime;
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SsoSession {
    pub profile: String,
    pub name: Option<String>,
    pub start_url: String,
    pub region: Region,
    pub scopes: Vec<String>,
}
#[derive(Clone)]
pub struct Sso;
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SsoError {
    #[error("{why}")]
    LoginNeeded { why: String },
    #[error("no")]
    NoAssignment,
    #[error("{0:?}")]
    Aws(AwsError),
}
impl SsoError {
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Login
    }
}
pub enum SsoStep {
    Open { url: String, code: Option<String>, expires: SystemTime, joined: bool },
    Done,
    Failed(SsoError),
}
pub struct SsoLogin;
impl SsoLogin {
    pub async fn next(&mut self) -> Option<SsoStep> {
        None
    }
}
impl Sso {
    pub fn new(_: Aws) -> Self {
        Self
    }
    pub async fn role_credentials(
        &self,
        _: &SsoSession,
        _: &str,
        _: &str,
    ) -> Result<crate::session::Session, SsoError> {
        Err(SsoError::NoAssignment)
    }
    pub fn login(&self, _: &SsoSession, _: LoginFlow, _: bool) -> SsoLogin {
        SsoLogin
    }
    pub async fn logout(&self, _: &SsoSession) -> Result<bool, SsoError> {
        Ok(false)
    }
    pub fn status(&self, _: &SsoSession) -> Option<LoginStatus> {
        None
    }
}
