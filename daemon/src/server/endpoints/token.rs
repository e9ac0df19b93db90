//! `POST /v1/profiles/{name}/token`

use hyper::HeaderMap;
use rolecall_protocol::{ENTRY_KEY_HEADER, EntryProof, ProfileName, TERMINAL_HEADER};

use crate::agent::Agent;
use crate::server::response::EndpointResponse;
use crate::services::AgentError;
use crate::services::audit::Client;

pub(super) async fn handle(
    agent: &Agent,
    client: &Client,
    name: &ProfileName,
    proof: &EntryProof,
    exec_info: &[u8],
) -> Result<EndpointResponse, AgentError> {
    let served = agent.token.token(name, exec_info, proof, client.client_process()).await?;
    Ok(EndpointResponse::secret(served.credential, served.facts).with_rejected(served.rejected))
}

/// Returns what the headers of a request present. A malformed key is absent.
pub(in crate::server) fn entry_proof(headers: &HeaderMap) -> EntryProof {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text(ENTRY_KEY_HEADER).and_then(|key| key.parse().ok()) {
        Some(key) => EntryProof::Key(key),
        None if text(TERMINAL_HEADER) == Some("1") => EntryProof::Terminal,
        None => EntryProof::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_proof_is_read_from_the_headers() {
        let key = "ab".repeat(32);
        let proof = |headers: &[(&'static str, &str)]| {
            entry_proof(&headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
        };
        assert_eq!(proof(&[]), EntryProof::Absent);
        assert_eq!(proof(&[(ENTRY_KEY_HEADER, &key)]), EntryProof::Key(key.parse().unwrap()));
        assert_eq!(proof(&[(ENTRY_KEY_HEADER, &key), (TERMINAL_HEADER, "1")]), EntryProof::Key(key.parse().unwrap()));
        assert_eq!(proof(&[(TERMINAL_HEADER, "1")]), EntryProof::Terminal);
        for malformed in [(ENTRY_KEY_HEADER, "ab"), (ENTRY_KEY_HEADER, ""), (TERMINAL_HEADER, "0")] {
            assert_eq!(proof(&[malformed]), EntryProof::Absent, "{malformed:?}");
        }
    }
}
