//! Routes a request to its resource.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::objects::{Kind, Object};
use super::response::{ApiResponse, bad_request, forbidden, no_such_path, not_found};
use super::{discovery, review, table, write};
use crate::encoding::{parse_query, percent_decode};
use crate::kube::authenticator::User;
use crate::kube::rbac::{self, Attributes};
use crate::kube::shared::SharedCluster;

/// An authenticated request.
pub(crate) struct ApiRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) accept: &'a str,
    pub(crate) body: &'a [u8],
}

/// The object or the list that a request is about.
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}

/// Responds to a request. `user` is `None` for public paths.
pub(crate) fn respond(shared: &SharedCluster, user: Option<&User>, request: &ApiRequest<'_>) -> ApiResponse {
    let decoded: Vec<String> =
        request.path.split('/').filter(|segment| !segment.is_empty()).map(percent_decode).collect();
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
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
        (
            "POST",
            [
                "apis",
                "authorization.k8s.io",
                "v1",
                resource @ ("selfsubjectrulesreviews" | "selfsubjectaccessreviews" | "subjectaccessreviews"),
            ],
            Some(user),
        ) => review::authorization(shared, user, request, resource),
        (_, segments, Some(user)) => match place(segments) {
            Some(place) => object(shared, user, request, &place),
            None => no_such_path(),
        },
        _ => no_such_path(),
    }
}

fn place(segments: &[&str]) -> Option<Place> {
    let (group, rest) = match segments {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, "v1", rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, plural, name) = match rest {
        ["namespaces", namespace, plural] => (Some(*namespace), *plural, None),
        ["namespaces", namespace, plural, name] => (Some(*namespace), *plural, Some(*name)),
        [plural] => (None, *plural, None),
        [plural, name] => (None, *plural, Some(*name)),
        _ => return None,
    };
    let kind = *Kind::ALL.iter().find(|kind| kind.plural() == plural && kind.group() == group)?;
    let fits = namespace.is_none() || kind.is_namespaced();
    fits.then(|| Place { kind, namespace: namespace.map(str::to_owned), name: name.map(str::to_owned) })
}

fn object(shared: &SharedCluster, user: &User, request: &ApiRequest<'_>, place: &Place) -> ApiResponse {
    let verb = match (request.method, &place.name) {
        ("GET", Some(_)) => "get",
        ("GET", None) => "list",
        ("POST", None) => "create",
        ("PUT", Some(_)) => "update",
        ("DELETE", Some(_)) => "delete",
        _ => return no_such_path(),
    };
    let attributes = Attributes {
        verb: verb.to_owned(),
        group: place.kind.group().to_owned(),
        resource: place.kind.plural().to_owned(),
        namespace: place.namespace.clone().unwrap_or_default(),
        name: place.name.clone().unwrap_or_default(),
        ..Attributes::default()
    };
    if rbac::allows(&shared.state().objects, user, &attributes).is_none() {
        return forbidden(user, &attributes);
    }
    match verb {
        "get" | "list" => read(shared, request, place),
        "create" => write::create(shared, request, place),
        "update" => write::replace(shared, request, place),
        _ => write::delete(shared, place),
    }
}

fn read(shared: &SharedCluster, request: &ApiRequest<'_>, place: &Place) -> ApiResponse {
    let state = shared.state();
    let mut found = state.objects.find(place.kind, place.namespace.as_deref(), place.name.as_deref());
    if let (Some(name), true) = (&place.name, found.is_empty()) {
        return not_found(place.kind, name);
    }
    let version = state.objects.version().to_string();
    if request.accept.contains("as=Table") {
        return ApiResponse::json(200, &table::of(place.kind, &found, shared.clock.now(), &version));
    }
    if place.name.is_some() {
        return ApiResponse::json(200, &found[0].json);
    }
    let Some(next) = take_page(&mut found, request.query) else {
        return bad_request("invalid continue token or limit");
    };
    let items: Vec<&Value> = found.iter().map(|object| &object.json).collect();
    let list = json!({
        "kind": format!("{}List", place.kind.name()),
        "apiVersion": place.kind.api_version(),
        "metadata": { "resourceVersion": version, "continue": next },
        "items": items,
    });
    ApiResponse::json(200, &list)
}

/// Keeps the page that the query asks for, and returns the token of the next one: empty if there is none. `None` for an
/// invalid query.
fn take_page(found: &mut Vec<&Object>, query: &str) -> Option<String> {
    let query = parse_query(query);
    let value = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let limit: usize = value("limit").map_or(Some(0), |limit| limit.parse().ok())?;
    let start: usize = match value("continue") {
        None | Some("") => 0,
        Some(token) => {
            let text = URL_SAFE_NO_PAD.decode(token.strip_suffix('=')?).ok()?;
            String::from_utf8(text).ok()?.strip_prefix("start:")?.parse().ok()?
        }
    };
    found.drain(..start.min(found.len()));
    if limit == 0 || found.len() <= limit {
        return Some(String::new());
    }
    found.truncate(limit);
    Some(format!("{}=", URL_SAFE_NO_PAD.encode(format!("start:{}", start + limit))))
}
