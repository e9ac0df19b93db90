//! The objects of the cluster.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::encoding::sha256_hex;
use crate::time::rfc3339;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Namespace,
    Pod,
    ConfigMap,
    ClusterRoleBinding,
    RoleBinding,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Namespace, Self::Pod, Self::ConfigMap, Self::ClusterRoleBinding, Self::RoleBinding];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::ConfigMap => "ConfigMap",
            Self::ClusterRoleBinding => "ClusterRoleBinding",
            Self::RoleBinding => "RoleBinding",
        }
    }

    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::Pod => "pods",
            Self::ConfigMap => "configmaps",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::RoleBinding => "rolebindings",
        }
    }

    /// Returns the API group; empty for the core group.
    pub(crate) fn group(self) -> &'static str {
        match self {
            Self::Namespace | Self::Pod | Self::ConfigMap => "",
            Self::ClusterRoleBinding | Self::RoleBinding => "rbac.authorization.k8s.io",
        }
    }

    pub(crate) fn api_version(self) -> &'static str {
        if self.group().is_empty() { "v1" } else { "rbac.authorization.k8s.io/v1" }
    }

    pub(crate) fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::ClusterRoleBinding)
    }
}

/// An object as the API serves it.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    /// Empty for an object outside namespaces.
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) created: SystemTime,
    pub(crate) json: Value,
}

/// All objects, sorted as an API server lists them.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    all: Vec<Object>,
    /// How many changes there were.
    changes: u64,
}

impl Objects {
    /// Returns the initial objects. Their names contain the name of the cluster.
    pub(crate) fn of_cluster(cluster: &str, now: SystemTime) -> Self {
        let mut objects = Self::default();
        let created = now - Duration::from_hours(27);
        let suffix = |pod: &str| sha256_hex(format!("{cluster}/{pod}").as_bytes())[..5].to_owned();
        for namespace in ["default", "kube-system"] {
            objects.add_namespace(namespace, created);
        }
        for (namespace, pod) in [
            ("default", format!("{cluster}-web-6f9c7d5b8-")),
            ("default", format!("{cluster}-worker-5d8f6c9b7-")),
            ("kube-system", "aws-node-".to_owned()),
            ("kube-system", "coredns-7bf648ff5d-".to_owned()),
        ] {
            objects.add_pod(namespace, &format!("{pod}{}", suffix(&pod)), created);
        }
        let groups =
            [("cluster-admin", "system:masters"), ("system:basic-user", "system:authenticated"), ("view", "view")];
        for (role, group) in groups {
            objects.bind(None, role, role, &[("Group", group)], created);
        }
        objects
    }

    /// Returns the objects of a kind, optionally only those in a namespace or of a name.
    pub(crate) fn find(&self, kind: Kind, namespace: Option<&str>, name: Option<&str>) -> Vec<&Object> {
        let wanted = |object: &&Object| {
            object.kind == kind
                && namespace.is_none_or(|namespace| object.namespace == namespace)
                && name.is_none_or(|name| object.name == name)
        };
        self.all.iter().filter(wanted).collect()
    }

    /// Returns the resource version of the latest change.
    pub(crate) fn version(&self) -> u64 {
        1000 + self.changes
    }

    /// Stores an object with a new resource version, and returns it. It keeps its uid and its time of creation.
    pub(crate) fn put_json(
        &mut self,
        kind: Kind,
        namespace: &str,
        name: &str,
        mut json: Value,
        now: SystemTime,
    ) -> &Value {
        self.changes += 1;
        let known = self.find(kind, kind.is_namespaced().then_some(namespace), Some(name)).pop();
        let created = known.map_or(now, |known| known.created);
        for (field, value) in metadata(kind, namespace, name, created).as_object().into_iter().flatten() {
            json["metadata"][field] = value.clone();
        }
        json["metadata"]["resourceVersion"] = json!(self.version().to_string());
        json["kind"] = json!(kind.name());
        json["apiVersion"] = json!(kind.api_version());
        self.put(Object { kind, namespace: namespace.to_owned(), name: name.to_owned(), created, json });
        let stored = self.find(kind, kind.is_namespaced().then_some(namespace), Some(name)).pop();
        &stored.expect("the object was just stored").json
    }

    /// Removes an object. Returns whether it existed.
    pub(crate) fn remove(&mut self, kind: Kind, namespace: &str, name: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|known| known.kind != kind || known.namespace != namespace || known.name != name);
        self.changes += 1;
        self.all.len() < before
    }

    /// Binds a ClusterRole to users and groups: in a namespace, or in the whole cluster.
    pub(crate) fn bind(
        &mut self,
        namespace: Option<&str>,
        name: &str,
        role: &str,
        subjects: &[(&str, &str)],
        now: SystemTime,
    ) {
        let group = "rbac.authorization.k8s.io";
        let subjects: Vec<Value> =
            subjects.iter().map(|(kind, name)| json!({ "kind": kind, "apiGroup": group, "name": name })).collect();
        let binding = json!({
            "metadata": {},
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": role },
            "subjects": subjects,
        });
        let kind = if namespace.is_some() { Kind::RoleBinding } else { Kind::ClusterRoleBinding };
        self.put_json(kind, namespace.unwrap_or_default(), name, binding, now);
    }

    pub(crate) fn add_pod(&mut self, namespace: &str, name: &str, created: SystemTime) {
        if self.find(Kind::Namespace, None, Some(namespace)).is_empty() {
            self.add_namespace(namespace, created);
        }
        let metadata = metadata(Kind::Pod, namespace, name, created);
        self.put(Object {
            kind: Kind::Pod,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            created,
            json: pod(&metadata, created),
        });
    }

    fn add_namespace(&mut self, name: &str, created: SystemTime) {
        let json = json!({
            "kind": "Namespace",
            "apiVersion": "v1",
            "metadata": metadata(Kind::Namespace, "", name, created),
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "phase": "Active" },
        });
        self.put(Object { kind: Kind::Namespace, namespace: String::new(), name: name.to_owned(), created, json });
    }

    fn put(&mut self, object: Object) {
        let same = |known: &Object| {
            known.kind == object.kind && known.namespace == object.namespace && known.name == object.name
        };
        self.all.retain(|known| !same(known));
        self.all.push(object);
        self.all.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    }
}

fn metadata(kind: Kind, namespace: &str, name: &str, created: SystemTime) -> Value {
    let hash = sha256_hex(format!("{}/{namespace}/{name}", kind.name()).as_bytes());
    let uid = format!("{}-{}-4{}-a{}-{}", &hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..32]);
    let mut metadata =
        json!({ "name": name, "uid": uid, "resourceVersion": "1000", "creationTimestamp": rfc3339(created) });
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

fn pod(metadata: &Value, created: SystemTime) -> Value {
    let image = "public.ecr.aws/docker/library/nginx:1.27";
    let started = rfc3339(created);
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {
            "containers": [{ "name": "main", "image": image }],
            "nodeName": "ip-10-0-1-23.internal",
            "restartPolicy": "Always",
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.1.42",
            "hostIP": "10.0.1.23",
            "startTime": started,
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{
                "name": "main",
                "ready": true,
                "restartCount": 0,
                "image": image,
                "imageID": "",
                "state": { "running": { "startedAt": started } },
            }],
        },
    })
}
