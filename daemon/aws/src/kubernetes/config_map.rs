//! ConfigMaps, changed as a whole with optimistic locking.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{KubernetesClient, KubernetesError, TIMEOUT, segment};

/// A ConfigMap: the whole object, so that a replacement keeps labels, annotations and unknown fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMap(Value);

impl ConfigMap {
    /// A new ConfigMap, to be created.
    #[must_use]
    pub fn new(namespace: &str, name: &str, data: &BTreeMap<String, String>) -> Self {
        let metadata = json!({ "namespace": namespace, "name": name });
        Self(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data }))
    }

    /// Reads a ConfigMap object. `None` if it is another object, or one without name and namespace.
    #[must_use]
    pub fn from_object(object: Value) -> Option<Self> {
        let is_named = object["metadata"]["name"].is_string() && object["metadata"]["namespace"].is_string();
        (object["kind"] == "ConfigMap" && is_named).then_some(Self(object))
    }

    /// The object, as the API server returned it.
    #[must_use]
    pub const fn object(&self) -> &Value {
        &self.0
    }

    /// The version that a replacement refers to; absent in an object that does not exist yet.
    #[must_use]
    pub fn resource_version(&self) -> Option<&str> {
        self.0["metadata"]["resourceVersion"].as_str()
    }

    /// Whether the API server refuses each change of the data.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.0["immutable"] == true
    }

    /// The data; empty if there is none.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        self.0["data"].as_object().map(|data| data.iter().filter_map(text).collect()).unwrap_or_default()
    }

    /// The same object with other data.
    #[must_use]
    pub fn with_data(&self, data: &BTreeMap<String, String>) -> Self {
        let mut object = self.0.clone();
        object["data"] = json!(data);
        Self(object)
    }

    fn name(&self, field: &str) -> &str {
        self.0["metadata"][field].as_str().unwrap_or_default()
    }
}

impl KubernetesClient {
    /// Reads a ConfigMap. `None` if it does not exist.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, KubernetesError> {
        match self.get(&path(namespace, Some(name))).await {
            Ok(object) => read(object).map(Some),
            Err(KubernetesError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a ConfigMap that was read before. Errors with `Conflict` if it has changed since, and with `NotFound` if it was
    /// deleted.
    pub async fn replace_config_map(&self, changed: &ConfigMap) -> Result<ConfigMap, KubernetesError> {
        if changed.resource_version().is_none() {
            // Without it, the server would replace any version.
            return Err(KubernetesError::Invalid { reason: "the ConfigMap has no resourceVersion".to_owned() });
        }
        let path = path(changed.name("namespace"), Some(changed.name("name")));
        self.call("PUT", &path, Some(&changed.0), TIMEOUT).await.and_then(read)
    }

    /// Creates a ConfigMap, without the fields that the API server sets itself. Errors with `AlreadyExists` if it exists.
    pub async fn create_config_map(&self, new: &ConfigMap) -> Result<ConfigMap, KubernetesError> {
        let mut object = new.0.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            for field in ["resourceVersion", "uid", "creationTimestamp", "managedFields", "selfLink"] {
                metadata.remove(field);
            }
        }
        self.post(&path(new.name("namespace"), None), &object).await.and_then(read)
    }
}

fn path(namespace: &str, name: Option<&str>) -> String {
    let name = name.map(|name| format!("/{}", segment(name))).unwrap_or_default();
    format!("/api/v1/namespaces/{}/configmaps{name}", segment(namespace))
}

fn read(object: Value) -> Result<ConfigMap, KubernetesError> {
    let invalid = || KubernetesError::InvalidResponse { reason: "the response is not a ConfigMap".to_owned() };
    ConfigMap::from_object(object).filter(|read| read.resource_version().is_some()).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_data_keeps_all_other_fields() {
        let object = json!({
            "kind": "ConfigMap", "apiVersion": "v1", "new": [1],
            "metadata": { "name": "aws-auth", "namespace": "kube-system", "resourceVersion": "7", "labels": { "a": "b" } },
            "data": { "mapRoles": "x", "other": "y" },
        });
        let read = ConfigMap::from_object(object.clone()).unwrap();
        assert_eq!((read.resource_version(), read.is_immutable()), (Some("7"), false));
        assert_eq!(read.with_data(&read.data()).object(), &object);
        let mut data = read.data();
        data.insert("mapRoles".to_owned(), "z".to_owned());
        let mut expected = object;
        expected["data"]["mapRoles"] = json!("z");
        assert_eq!(read.with_data(&data).object(), &expected);
    }

    #[test]
    fn from_object_other_object_is_none() {
        for object in [
            json!(null),
            json!([]),
            json!({ "kind": "Secret", "metadata": { "name": "a", "namespace": "b" } }),
            json!({ "kind": "ConfigMap", "metadata": { "name": "a" } }),
        ] {
            assert_eq!(ConfigMap::from_object(object.clone()), None, "{object}");
        }
        let new = ConfigMap::new("kube-system", "aws-auth", &BTreeMap::new());
        assert_eq!((new.resource_version(), new.data().len()), (None, 0));
    }

    #[test]
    fn path_names_are_encoded() {
        assert_eq!(path("kube-system", Some("a/b")), "/api/v1/namespaces/kube-system/configmaps/a%2Fb");
        assert_eq!(path("x", None), "/api/v1/namespaces/x/configmaps");
    }
}
