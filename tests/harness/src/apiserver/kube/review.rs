//! Who one is. (`auth can-i` is not here: kubectl asks it in protobuf.)

use serde_json::json;

use super::{Answer, Inside};
use crate::apiserver::webhook::User;
use crate::time::rfc3339;

/// `kubectl auth whoami`
pub(crate) fn who(inside: &Inside, user: &User) -> Answer {
    let info = json!({ "username": user.username, "uid": user.uid, "groups": user.groups, "extra": user.extra });
    let review = json!({
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": { "creationTimestamp": rfc3339(inside.clock.now()) },
        "status": { "userInfo": info },
    });
    Answer::json(201, &review)
}
