//! The list endpoint: every principal that a cluster knows.

use rolecall_core::cluster_access::principal::Principal;
use rolecall_protocol::{AccessList, AccessListRequest, ProfileName};

use super::connection::ClusterConnection;
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
            let ClusterReading { reading, unread, .. } = read;
            let (rows, findings) = (reading.rows(), reading.findings());
            Ok(AccessList { cluster: reading.cluster, mode: reading.mode, rows, findings, unread })
        };
        self.lock.while_unlocked(name, Box::pin(list)).await
    }
}

/// Asks IAM which of the principals do not exist.
async fn find_missing(cluster: &ClusterConnection<'_>, read: &mut ClusterReading) {
    let rows = read.reading.rows();
    let named: Vec<Principal> = rows.iter().filter_map(|row| row.principal.parse().ok()).collect();
    let answers = principals::look_up(cluster, &named).await;
    let missing = named.iter().filter(|principal| answers.is_missing(principal)).map(ToString::to_string);
    read.reading.missing.extend(missing);
    read.unread.extend(answers.unread);
}
