//! Routes a request to its resource.

use serde_json::{Value, json};

use super::objects::Kind;
use super::response::{ApiResponse, forbidden, no_such_path, not_found};
use super::{discovery, review, table};
use crate::kube::authenticator::User;
use crate::kube::shared::SharedCluster;

/// An authenticated request.
pub(crate) struct ApiRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) accept: &'a str,
}

/// Responds to a request. `user` is `None` for public paths.
pub(crate) fn respond(shared: &SharedCluster, user: Option<&User>, request: &ApiRequest<'_>) -> ApiResponse {
    let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (request.method, &segments[..], user) {
        ("GET", ["healthz" | "livez" | "readyz"], _) => ApiResponse::text("ok"),
        ("GET", ["version"], _) => discovery::version(),
        ("GET", ["api"], _) => discovery::core_versions(),
        ("GET", ["apis"], _) => discovery::groups(),
        ("GET", ["api", "v1"], _) => discovery::core_resources(),
        ("GET", ["apis", group, "v1"], _) => discovery::group_resources(group).unwrap_or_else(no_such_path),
        ("POST", ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"], Some(user)) => {
            review::self_subject_review(shared, user)
        }
        ("GET", ["api", "v1", rest @ ..], Some(user)) => read(shared, user, request, rest),
        _ => no_such_path(),
    }
}

/// Lists or gets pods and namespaces.
fn read(shared: &SharedCluster, user: &User, request: &ApiRequest<'_>, rest: &[&str]) -> ApiResponse {
    let (kind, namespace, name) = match *rest {
        ["pods"] => (Kind::Pod, None, None),
        ["namespaces"] => (Kind::Namespace, None, None),
        ["namespaces", name] => (Kind::Namespace, None, Some(name)),
        ["namespaces", namespace, "pods"] => (Kind::Pod, Some(namespace), None),
        ["namespaces", namespace, "pods", name] => (Kind::Pod, Some(namespace), Some(name)),
        _ => return no_such_path(),
    };
    let state = shared.state();
    if !user.groups.iter().any(|group| state.readers.contains(group)) {
        return forbidden(user, kind, namespace, name);
    }
    let found = state.objects.find(kind, namespace, name);
    if let (Some(name), true) = (name, found.is_empty()) {
        return not_found(kind, name);
    }
    if request.accept.contains("as=Table") {
        return ApiResponse::json(200, &table::of(kind, &found, shared.clock.now()));
    }
    if name.is_some() {
        return ApiResponse::json(200, &found[0].json);
    }
    let items: Vec<&Value> = found.iter().map(|object| &object.json).collect();
    let list = json!({
        "kind": format!("{}List", kind.name()),
        "apiVersion": "v1",
        "metadata": { "resourceVersion": "1000" },
        "items": items,
    });
    ApiResponse::json(200, &list)
}
