//! Records decisions about secrets in the audit log.

use std::sync::Arc;

use rolecall_protocol::{AuditDecision, AuditProcess, AuditRecord, Endpoint, ErrorCode, ProfileName};
use tokio::time::Instant;

use super::config::ConfigService;
use crate::audit_log::{AuditLog, Entry, new_record, to_audit};
use crate::processes::Process;
use rolecall_core::clock::Clock;

/// The client of a request, as far as the system reports it.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Its user.
    pub uid: Option<u32>,
    /// Its process id.
    pub pid: Option<u32>,
    /// Its process.
    pub process: Option<Process>,
}

/// What the record of a response has of the session that it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// Whether the session was in the cache before the request.
    pub is_cached: bool,
    /// The last four characters of the access key id.
    pub key_id: String,
}

/// A request whose decision belongs into the audit log.
pub struct AuditedRequest {
    record: AuditRecord,
    profile: Option<ProfileName>,
    client: Option<Process>,
    started: Instant,
}

/// Records decisions.
pub struct AuditService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) clock: Clock,
    pub(crate) log: AuditLog,
}

impl AuditService {
    /// Returns the log.
    #[must_use]
    pub const fn log(&self) -> &AuditLog {
        &self.log
    }

    /// Begins a request. Returns `None` if it is about no secret, or there is no audit log. Looks at the client now, since it may
    /// end as soon as it has its response.
    #[must_use]
    pub fn begin(&self, endpoint: &Endpoint, client: &Client) -> Option<Box<AuditedRequest>> {
        let operation = operation(endpoint).filter(|_| self.log.is_open())?;
        let mut record = new_record(&self.clock, operation, AuditDecision::Refused);
        record.uid = client.uid;
        record.process = process_of(client);
        let (mut profile, started) = (None, Instant::now());
        match endpoint {
            Endpoint::Login(name) | Endpoint::Logout(name) => record.source = Some(name.to_string()),
            Endpoint::PutKey(name) | Endpoint::RotateKey(name) | Endpoint::ForgetKey(name) => {
                record.key = Some(name.to_string());
            }
            Endpoint::Token(name)
            | Endpoint::Credentials(name)
            | Endpoint::Refresh(name)
            | Endpoint::Cluster(name)
            | Endpoint::ClusterAccess(name)
            | Endpoint::Probe(name)
            | Endpoint::Doctor(name) => profile = Some(name.clone()),
            _ => profile = endpoint.cluster_access_profile().cloned(),
        }
        Some(Box::new(AuditedRequest { record, profile, client: client.process.clone(), started }))
    }

    /// Records the result of a request.
    pub fn decided(&self, request: Box<AuditedRequest>, result: Result<Option<SessionFacts>, ErrorCode>) {
        let AuditedRequest { mut record, profile, client, started } = *request;
        if let Some(name) = profile {
            if let Some(profile) = self.config.known_profile(&name) {
                record.cluster = Some(profile.cluster.to_string());
                record.role = profile.chain.steps.last().map(|step| step.role.to_string());
            }
            record.profile = Some(name.to_string());
        }
        match result {
            Ok(facts) => {
                record.decision = AuditDecision::Allowed;
                if let Some(SessionFacts { is_cached, key_id }) = facts {
                    (record.cached, record.key_id) = (Some(is_cached), Some(key_id));
                }
            }
            Err(code) => record.reason = Some(code.to_string()),
        }
        record.latency_us = u64::try_from(started.elapsed().as_micros()).ok();
        self.log.record(Entry { record, client });
    }

    /// Records a refused connection of another user.
    pub fn other_user(&self, client: &Client) {
        let mut record = new_record(&self.clock, "connect", AuditDecision::Refused);
        record.reason = Some("other_user".to_owned());
        (record.uid, record.process) = (client.uid, process_of(client));
        self.log.record(Entry { record, client: client.process.clone() });
    }
}

/// Returns the name of an operation on secrets; `None` for other endpoints.
const fn operation(endpoint: &Endpoint) -> Option<&'static str> {
    Some(match endpoint {
        Endpoint::Token(_) => "token",
        Endpoint::Credentials(_) => "credentials",
        Endpoint::Refresh(_) => "refresh",
        Endpoint::Cluster(_) => "cluster",
        Endpoint::ClusterAccess(_) => "cluster_access",
        Endpoint::AccessList(_) => "access_list",
        Endpoint::AccessExplain(_) => "access_explain",
        Endpoint::AccessPolicies(_) => "access_policies",
        Endpoint::AccessGrant(_) => "access_grant",
        Endpoint::AccessRevoke(_) => "access_revoke",
        Endpoint::AccessRestore(_) => "access_restore",
        Endpoint::AccessMigrate(_) => "access_migrate",
        Endpoint::AccessRecover(_) => "access_recover",
        Endpoint::Discover => "discover",
        Endpoint::Probe(_) => "probe",
        Endpoint::Doctor(_) => "doctor",
        Endpoint::Login(_) => "login",
        Endpoint::Logout(_) => "logout",
        Endpoint::Lock => "lock",
        Endpoint::Unlock => "unlock",
        Endpoint::PutKey(_) => "put_key",
        Endpoint::RotateKey(_) => "rotate_key",
        Endpoint::ForgetKey(_) => "forget_key",
        Endpoint::Restart => "restart",
        Endpoint::Stop => "stop",
        _ => return None,
    })
}

fn process_of(client: &Client) -> Option<AuditProcess> {
    match &client.process {
        Some(process) => Some(to_audit(process, process.executable())),
        None => Some(AuditProcess { pid: client.pid?, started: None, command: None, executable: None }),
    }
}
