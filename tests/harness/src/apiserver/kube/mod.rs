//! As much of the Kubernetes API as kubectl needs to list pods and to say who one is.

mod discovery;
mod objects;
mod review;
mod table;

pub(crate) use objects::Objects;

use serde_json::{Value, json};

use super::Inside;
use super::webhook::User;
use objects::Kind;

/// A request that has been authenticated.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) accept: &'a str,
}

/// Status, type and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Answer {
    fn json(code: u16, value: &Value) -> Self {
        Self { code, content_type: "application/json", body: value.to_string() }
    }

    fn text(body: &str) -> Self {
        Self { code: 200, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
    }
}

/// Answers what is asked.
pub(crate) fn answer(inside: &Inside, user: Option<&User>, asked: &Asked<'_>) -> Answer {
    let segments: Vec<&str> = asked.path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (asked.method, &segments[..], user) {
        ("GET", ["healthz" | "livez" | "readyz"], _) => Answer::text("ok"),
        ("GET", ["version"], _) => discovery::version(),
        ("GET", ["api"], _) => discovery::core_versions(),
        ("GET", ["apis"], _) => discovery::groups(),
        ("GET", ["api", "v1"], _) => discovery::core_resources(),
        ("GET", ["apis", group, "v1"], _) => discovery::group_resources(group).unwrap_or_else(no_such_path),
        ("POST", ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"], Some(user)) => {
            review::who(inside, user)
        }
        ("GET", ["api", "v1", rest @ ..], Some(user)) => read(inside, user, asked, rest),
        _ => no_such_path(),
    }
}

/// Lists or gets pods and namespaces.
fn read(inside: &Inside, user: &User, asked: &Asked<'_>, rest: &[&str]) -> Answer {
    let (kind, namespace, name) = match *rest {
        ["pods"] => (Kind::Pod, None, None),
        ["namespaces"] => (Kind::Namespace, None, None),
        ["namespaces", name] => (Kind::Namespace, None, Some(name)),
        ["namespaces", namespace, "pods"] => (Kind::Pod, Some(namespace), None),
        ["namespaces", namespace, "pods", name] => (Kind::Pod, Some(namespace), Some(name)),
        _ => return no_such_path(),
    };
    let state = inside.state();
    if !user.groups.iter().any(|group| state.readers.contains(group)) {
        return forbidden(user, kind, namespace, name);
    }
    let found = state.objects.find(kind, namespace, name);
    if let (Some(name), true) = (name, found.is_empty()) {
        return not_found(kind, name);
    }
    if asked.accept.contains("as=Table") {
        return Answer::json(200, &table::of(kind, &found, inside.clock.now()));
    }
    if name.is_some() {
        return Answer::json(200, &found[0].json);
    }
    let items: Vec<&Value> = found.iter().map(|object| &object.json).collect();
    let list = json!({
        "kind": format!("{}List", kind.name()),
        "apiVersion": "v1",
        "metadata": { "resourceVersion": "1000" },
        "items": items,
    });
    Answer::json(200, &list)
}

/// The 401 that every bad token gets, whatever is bad about it.
pub(crate) fn unauthorized() -> Answer {
    status(401, "Unauthorized", "Unauthorized", &json!({}))
}

fn forbidden(user: &User, kind: Kind, namespace: Option<&str>, name: Option<&str>) -> Answer {
    let (verb, plural) = (if name.is_some() { "get" } else { "list" }, kind.plural());
    let object = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let place =
        namespace.map_or("at the cluster scope".to_owned(), |namespace| format!("in the namespace \"{namespace}\""));
    let message = format!(
        "{plural}{object} is forbidden: User \"{}\" cannot {verb} resource \"{plural}\" in API group \"\" {place}",
        user.username
    );
    status(403, "Forbidden", &message, &json!({ "kind": plural, "name": name }))
}

fn not_found(kind: Kind, name: &str) -> Answer {
    let plural = kind.plural();
    status(404, "NotFound", &format!("{plural} \"{name}\" not found"), &json!({ "kind": plural, "name": name }))
}

fn no_such_path() -> Answer {
    status(404, "NotFound", "the server could not find the requested resource", &json!({}))
}

fn status(code: u16, reason: &str, message: &str, details: &Value) -> Answer {
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    });
    if details.as_object().is_some_and(|details| !details.is_empty()) {
        status["details"] = details.clone();
    }
    Answer::json(code, &status)
}
