//! Kubeconfigs of this suite. Those of Rolecall's users are written by `rolecall add`.

use std::path::Path;

use serde_json::{Value, json};

/// Returns a kubeconfig with one context. JSON is YAML.
pub(crate) fn text(server: &str, ca: &Path, user: &Value) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": server, "certificate-authority": ca } }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    })
    .to_string()
}
