//! Reviews: the user of a request, and what a user may do. (`auth can-i` is not implemented: kubectl sends it in protobuf.)

use serde_json::{Value, json};

use super::response::{ApiResponse, bad_request, forbidden};
use super::router::ApiRequest;
use crate::kube::authenticator::User;
use crate::kube::rbac::{self, Attributes};
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

/// Responds to a review of `authorization.k8s.io/v1`; `resource` is its plural name.
pub(crate) fn authorization(
    shared: &SharedCluster,
    user: &User,
    request: &ApiRequest<'_>,
    resource: &str,
) -> ApiResponse {
    let Ok(mut review) = serde_json::from_slice::<Value>(request.body) else {
        return bad_request("the body is not a review in JSON");
    };
    let spec = review["spec"].clone();
    let state = shared.state();
    review["status"] = match resource {
        "selfsubjectrulesreviews" => {
            rbac::rules_review(&state.objects, user, spec["namespace"].as_str().unwrap_or_default())
        }
        "selfsubjectaccessreviews" => answer(rbac::allows(&state.objects, user, &attributes(&spec))),
        _ => {
            let asked = Attributes {
                verb: "create".to_owned(),
                group: "authorization.k8s.io".to_owned(),
                resource: resource.to_owned(),
                ..Attributes::default()
            };
            if rbac::allows(&state.objects, user, &asked).is_none() {
                return forbidden(user, &asked);
            }
            answer(rbac::allows(&state.objects, &subject(shared, &spec), &attributes(&spec)))
        }
    };
    ApiResponse::json(201, &review)
}

fn answer(reason: Option<String>) -> Value {
    match reason {
        Some(reason) => json!({ "allowed": true, "reason": reason }),
        None => json!({ "allowed": false }),
    }
}

fn attributes(spec: &Value) -> Attributes {
    let text = |name: &str| spec["resourceAttributes"][name].as_str().unwrap_or_default().to_owned();
    Attributes {
        verb: text("verb"),
        group: text("group"),
        resource: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
    }
}

/// Returns the user of a SubjectAccessReview. EKS knows its access policies by `extra.canonicalArn`.
fn subject(shared: &SharedCluster, spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten();
    let canonical = spec["extra"]["canonicalArn"][0].as_str();
    User {
        username: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: String::new(),
        groups: groups.filter_map(|group| group.as_str().map(str::to_owned)).collect(),
        extra: std::collections::BTreeMap::new(),
        policies: canonical.map(|arn| shared.authenticator.policies_of(arn)).unwrap_or_default(),
    }
}
