//! The list endpoint: every principal that a cluster knows.

use rolecall_core::cluster_access::principal::Principal;
use rolecall_protocol::{AccessList, AccessListRequest, ErrorBody, ProfileName};

use super::connection::ClusterConnection;
use super::reading::{self, ClusterReading};
use super::{AccessService, AgentError, compute, principals};

impl AccessService {
    /// Lists who may enter a profile's cluster, and what could not be read. Errors if nothing can be read.
    pub async fn list(&self, name: &ProfileName, request: AccessListRequest) -> Result<AccessList, AgentError> {
        let profile = self.config.profile(name)?;
        let list = async {
            let cluster = self.connect(&profile, request.api_server.as_ref()).await?;
            let mut read = reading::read(&cluster).await.map_err(|body| AgentError::new(name, body))?;
            let failed = |body| AgentError::new(name, body);
            find_missing(&cluster, &mut read).await.map_err(failed)?;
            let ClusterReading { reading, unread, .. } = read;
            let list = move || {
                let (rows, findings) = (reading.rows(), reading.findings());
                AccessList { cluster: reading.cluster, mode: reading.mode, rows, findings, unread }
            };
            compute(list).await.map_err(failed)
        };
        self.lock.while_unlocked(name, Box::pin(list)).await
    }
}

/// Asks IAM which of the principals do not exist.
async fn find_missing(cluster: &ClusterConnection<'_>, read: &mut ClusterReading) -> Result<(), ErrorBody> {
    let reading = read.reading.clone();
    let rows = compute(move || reading.rows()).await?;
    let named: Vec<Principal> = rows.iter().filter_map(|row| row.principal.parse().ok()).collect();
    let answers = principals::look_up(cluster, &named).await;
    let missing = named.iter().filter(|principal| answers.is_missing(principal)).map(ToString::to_string);
    read.reading.missing.extend(missing);
    read.unread.extend(answers.unread);
    Ok(())
}
