//! The user of a request. (`auth can-i` is not implemented: kubectl sends it in protobuf.)

use serde_json::json;

use super::response::ApiResponse;
use crate::kube::authenticator::User;
use crate::kube::shared::SharedCluster;
use crate::time::rfc3339;

/// Responds to `kubectl auth whoami`.
pub(crate) fn self_subject_review(shared: &SharedCluster, user: &User) -> ApiResponse {
    let info = json!({ "username": user.username, "uid": user.uid, "groups": user.groups, "extra": user.extra });
    let review = json!({
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": { "creationTimestamp": rfc3339(shared.clock.now()) },
        "status": { "userInfo": info },
    });
    ApiResponse::json(201, &review)
}
