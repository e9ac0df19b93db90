//! Discovery: versions, groups, resources. Without aggregated discovery, kubectl falls back to these.

use serde_json::{Value, json};

use super::response::ApiResponse;

/// API groups besides the core group, with their resource and kind.
const GROUPS: [(&str, &str, &str); 1] = [("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview")];

pub(crate) fn version() -> ApiResponse {
    let version = json!({
        "major": "1",
        "minor": "33",
        "gitVersion": "v1.33.5-eks-harness",
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "go1.24",
        "compiler": "gc",
        "platform": "linux/amd64",
    });
    ApiResponse::json(200, &version)
}

pub(crate) fn core_versions() -> ApiResponse {
    ApiResponse::json(200, &json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] }))
}

pub(crate) fn groups() -> ApiResponse {
    let groups: Vec<Value> = GROUPS
        .iter()
        .map(|(name, _, _)| {
            let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
            json!({ "name": name, "versions": [version], "preferredVersion": version })
        })
        .collect();
    ApiResponse::json(200, &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
}

pub(crate) fn core_resources() -> ApiResponse {
    let resource = |name: &str, singular: &str, kind: &str, short: &str, verbs: &[&str]| {
        json!({
            "name": name,
            "singularName": singular,
            "namespaced": kind != "Namespace",
            "kind": kind,
            "verbs": verbs,
            "shortNames": [short],
        })
    };
    let (read, all): (&[&str], &[&str]) = (&["get", "list"], &["create", "delete", "get", "list", "update"]);
    let resources = [
        resource("configmaps", "configmap", "ConfigMap", "cm", all),
        resource("namespaces", "namespace", "Namespace", "ns", read),
        resource("pods", "pod", "Pod", "po", read),
    ];
    ApiResponse::json(200, &list("v1", &resources))
}

pub(crate) fn group_resources(group: &str) -> Option<ApiResponse> {
    let (name, resource, kind) = GROUPS.iter().find(|(name, _, _)| *name == group)?;
    let resource =
        json!({ "name": resource, "singularName": "", "namespaced": false, "kind": kind, "verbs": ["create"] });
    Some(ApiResponse::json(200, &list(&format!("{name}/v1"), &[resource])))
}

fn list(group_version: &str, resources: &[Value]) -> Value {
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources })
}
