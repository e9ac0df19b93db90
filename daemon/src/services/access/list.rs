//! The list endpoint: every principal that a cluster knows.

use rolecall_core::cluster_access::principal::Principal;
use rolecall_protocol::{AccessList, AccessListRequest, ProfileName, Severity};

use super::connection::ClusterConnection;
use super::entry_plan::{finding, row};
use super::reading::{self, ClusterReading};
use super::{AccessService, AgentError, principals};

impl AccessService {
    /// Lists who may enter a profile's cluster, and what could not be read. Errors if nothing can be read.
    pub async fn list(&self, name: &ProfileName, request: AccessListRequest) -> Result<AccessList, AgentError> {
        let profile = self.config.profile(name)?;
        let list = async {
            let cluster = self.connect(&profile, request.api_server.as_ref()).await?;
            let mut read = reading::read(&cluster).await.map_err(|body| AgentError::new(name, body))?;
            find_missing(&cluster, &mut read).await;
            Ok(shown(read))
        };
        self.lock.while_unlocked(name, Box::pin(list)).await
    }
}

/// Asks IAM which of the principals do not exist.
async fn find_missing(cluster: &ClusterConnection<'_>, read: &mut ClusterReading) {
    let entries = read.reading.entries.iter().flatten();
    let named: Vec<Principal> = entries.filter_map(|entry| entry.principal.parse().ok()).collect();
    let answers = principals::look_up(cluster, &named).await;
    read.reading.missing.extend(answers.missing);
    read.unread.extend(answers.unread);
}

fn shown(read: ClusterReading) -> AccessList {
    let ClusterReading { reading, unread, .. } = read;
    let shown = |entry| {
        let mut row = row(entry, reading.mode);
        if reading.missing.contains(&row.principal) {
            let message = "IAM has no such principal; a principal that is created again does not match the entry";
            row.findings.push(finding(Severity::Warning, "missing_in_iam", message));
        }
        row
    };
    let rows = reading.entries.iter().flatten().map(shown).collect();
    AccessList { cluster: reading.cluster, mode: reading.mode, rows, findings: Vec::new(), unread }
}
