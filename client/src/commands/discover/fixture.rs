//! Clusters for the tests.

use rolecall_protocol::DiscoveredCluster;
use serde_json::{Value, json};

/// A cluster as the daemon finds it.
pub(super) fn cluster(name: &str, account: &str, identity: &Value, access: Option<&str>) -> DiscoveredCluster {
    let access = access.map(|access| json!({ "access": access }));
    serde_json::from_value(json!({
        "name": name, "region": "eu-west-1", "account": account, "identity": identity, "access": access,
        "cluster": {"name": name, "region": "eu-west-1", "server": format!("https://{name}.{account}.example"),
            "certificate_authority_data": "QQ==", "ca_sha256": "ab", "version": "1.33", "status": "ACTIVE"},
    }))
    .unwrap()
}

pub(super) fn source() -> Value {
    json!({"kind": "source", "source": "work"})
}

pub(super) fn role_of(name: &str, account: &str) -> Value {
    json!({"kind": "permission_set", "sso_session": "corp", "account": account, "account_name": "Shop", "role_name": name})
}
