//! The part of client-go's exec credential plugin protocol that Rolecall implements.
//!
//! Source: `staging/src/k8s.io/client-go/pkg/apis/clientauthentication/{v1,v1beta1}/types.go` of Kubernetes. In the
//! fields that Rolecall uses, the two versions differ only in their name.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

/// The environment variable in which client-go passes an ExecCredential to the plugin.
pub const EXEC_INFO_VARIABLE: &str = "KUBERNETES_EXEC_INFO";

/// The supported apiVersions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, DeriveDeserialize)]
pub enum ExecApiVersion {
    /// `client.authentication.k8s.io/v1`. The kubeconfig entries that `rolecall` writes use it.
    #[default]
    #[serde(rename = "client.authentication.k8s.io/v1")]
    V1,
    /// `client.authentication.k8s.io/v1beta1`. Other tools write it into kubeconfigs.
    #[serde(rename = "client.authentication.k8s.io/v1beta1")]
    V1Beta1,
}

/// Why `KUBERNETES_EXEC_INFO` was rejected. The message does not quote its content.
#[derive(Debug, thiserror::Error)]
pub enum ExecInfoError {
    /// Not JSON, or not the JSON of an ExecCredential.
    #[error("KUBERNETES_EXEC_INFO is not an ExecCredential (line {line}, column {column})")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// An apiVersion that is neither v1 nor v1beta1.
    #[error(
        "KUBERNETES_EXEC_INFO asks for apiVersion {0}, which is neither client.authentication.k8s.io/v1 nor v1beta1"
    )]
    ApiVersion(String),
}

/// The request of client-go to the plugin. The default stands for an absent variable: the user runs `rolecall token`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecInfo {
    /// The apiVersion of the response.
    pub api_version: ExecApiVersion,
    /// Whether client-go shares the user's terminal with the plugin.
    pub interactive: bool,
    /// The cluster of the current context. Present only if the kubeconfig sets `provideClusterInfo: true`.
    pub cluster: Option<ExecCluster>,
}

/// The cluster that kubectl will send the token to: the fields of client-go's `Cluster` that decide which process can
/// read what kubectl sends. The others are `disable-compression` and `config`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecCluster {
    /// The URL of the API server.
    pub server: String,
    /// The host name that the server's certificate has to have instead of the one in the URL.
    pub tls_server_name: Option<String>,
    /// The CA bundle: base64 of PEM.
    pub certificate_authority_data: Option<String>,
    /// Whether kubectl accepts any certificate.
    pub insecure_skip_tls_verify: bool,
    /// The proxy between kubectl and the server.
    pub proxy_url: Option<String>,
}

#[derive(Default)]
struct RawInfo {
    api_version: String,
    spec: RawSpec,
}

#[derive(Default)]
struct RawSpec {
    interactive: bool,
    cluster: Option<ExecCluster>,
}

/// A JSON object whose fields are found as Go's `encoding/json` finds them: without regard to case. A field that occurs
/// twice, in any case, is an error: parsers disagree about which one counts. `null` stands for an absent field.
trait GoObject: Default {
    /// Reads the value of the field `name`, which is in lower case. Returns `false`, and reads nothing, if the field is
    /// unknown.
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

impl GoObject for RawInfo {
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "apiversion" => self.api_version = value(map)?,
            "spec" => self.spec = object(map)?.unwrap_or_default(),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl GoObject for RawSpec {
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "interactive" => self.interactive = value(map)?,
            "cluster" => self.cluster = object(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl GoObject for ExecCluster {
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "server" => self.server = value(map)?,
            "tls-server-name" => self.tls_server_name = text(map)?,
            "certificate-authority-data" => self.certificate_authority_data = text(map)?,
            "insecure-skip-tls-verify" => self.insecure_skip_tls_verify = value(map)?,
            "proxy-url" => self.proxy_url = text(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Reads a value; `null` is the default.
fn value<'de, T: Deserialize<'de> + Default, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

/// Reads a text; `null` and an empty text are absent, as for client-go.
fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    Ok(map.next_value::<Option<String>>()?.filter(|text| !text.is_empty()))
}

/// Reads an object or `null`.
fn object<'de, T: GoObject, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    Ok(map.next_value::<Option<Object<T>>>()?.map(|object| object.0))
}

/// Reads a [`GoObject`].
struct Object<T>(T);

impl<'de, T: GoObject> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: GoObject> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let (mut found, mut seen) = (T::default(), BTreeSet::new());
        while let Some(name) = map.next_key::<String>()? {
            let name = folded(&name);
            if !found.read(&name, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            } else if !seen.insert(name) {
                return Err(A::Error::custom("duplicate field"));
            }
        }
        Ok(found)
    }
}

/// Returns a field name as `encoding/json` compares it (foldName in its fold.go): two letters outside ASCII fold to
/// letters within it.
fn folded(name: &str) -> String {
    let fold = |c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

impl ExecInfo {
    /// Parses the content of the variable. Empty content gives the default. Unknown fields are ignored, since client-go
    /// adds new ones. `kind` is not judged: the .NET client (`KubernetesClientConfiguration.ConfigFile.cs`) writes
    /// `ExecCredentials`.
    pub fn parse(bytes: &[u8]) -> Result<Self, ExecInfoError> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let Object(raw) = serde_json::from_slice::<Object<RawInfo>>(bytes)
            .map_err(|error| ExecInfoError::Malformed { line: error.line(), column: error.column() })?;
        let api_version = match raw.api_version.as_str() {
            "client.authentication.k8s.io/v1" => ExecApiVersion::V1,
            "client.authentication.k8s.io/v1beta1" => ExecApiVersion::V1Beta1,
            other => {
                return Err(ExecInfoError::ApiVersion(crate::sanitize_for_terminal(other).chars().take(80).collect()));
            }
        };
        Ok(Self { api_version, interactive: raw.spec.interactive, cluster: raw.spec.cluster })
    }
}

/// The response to kubectl. It holds a valid token and therefore has no `Debug`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecCredential<'a> {
    /// Always `ExecCredential`.
    pub kind: &'static str,
    /// The requested apiVersion; client-go rejects any other.
    pub api_version: ExecApiVersion,
    /// Always `{}`. Old versions of client-go require the field for v1beta1.
    pub spec: EmptySpec,
    /// The credential.
    pub status: ExecStatus<'a>,
}

/// An empty JSON object.
#[derive(Serialize)]
pub struct EmptySpec {}

/// The token and its expiry.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecStatus<'a> {
    /// RFC 3339 in UTC, whole seconds. client-go runs the plugin again only after this time, or after a 401.
    pub expiration_timestamp: Timestamp,
    /// The bearer token.
    pub token: &'a str,
}

impl<'a> ExecCredential<'a> {
    /// Creates a complete response. `expires` has to be a whole second.
    pub fn new(api_version: ExecApiVersion, token: &'a str, expires: Timestamp) -> Self {
        Self {
            kind: "ExecCredential",
            api_version,
            spec: EmptySpec {},
            status: ExecStatus { expiration_timestamp: expires, token },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_info_of_kubectl_is_parsed() {
        let info = ExecInfo::parse(
            br#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://x","certificate-authority-data":"QQ==","config":null,"proxy-url":"http://p"},"interactive":true}}"#,
        )
        .unwrap();
        assert_eq!(info.api_version, ExecApiVersion::V1);
        assert!(info.interactive);
        let cluster = info.cluster.unwrap();
        assert_eq!(
            (cluster.server.as_str(), cluster.certificate_authority_data.as_deref()),
            ("https://x", Some("QQ=="))
        );
    }

    /// The JSON that clients without client-go write.
    #[test]
    fn exec_info_of_other_clients_is_parsed() {
        let parsed = |text: &str| ExecInfo::parse(text.as_bytes()).unwrap();
        let plain = ExecInfo::default();
        // .NET: KubernetesClientConfiguration.ConfigFile.cs.
        let dotnet =
            r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredentials","spec":{"interactive":false}}"#;
        assert_eq!(parsed(dotnet), plain);
        // Python: exec_provider.py, without and with provideClusterInfo. `cluster` is the entry of the kubeconfig.
        let python = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {"interactive": true}}"#;
        assert!(parsed(python).interactive);
        let with_file = r#"{"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "spec": {"interactive":
            false, "cluster": {"server": "https://x", "certificate-authority": "/ca.pem", "extensions": [{"name": "e"}]}}}"#;
        let with_file = parsed(with_file);
        assert_eq!(with_file.api_version, ExecApiVersion::V1Beta1);
        assert_eq!(with_file.cluster.unwrap().certificate_authority_data, None);
        // A client that serializes whole types writes null for absent fields, and leaves out `kind` or `spec`.
        let nulls = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":null,"status":null,"spec":{"interactive":null,
            "cluster":{"server":"https://x","tls-server-name":null,"insecure-skip-tls-verify":null,
            "certificate-authority-data":null,"proxy-url":null,"config":null}}}"#;
        assert_eq!(
            parsed(nulls).cluster.unwrap(),
            ExecCluster { server: "https://x".to_owned(), ..ExecCluster::default() }
        );
        assert_eq!(parsed(r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":null}"#), plain);
        // Java and JavaScript set no variable.
        assert_eq!(parsed(""), plain);
    }

    /// Fault matrix row 42.
    #[test]
    fn exec_info_other_input_is_rejected_by_cause() {
        assert_eq!(ExecInfo::parse(b" \n").unwrap(), ExecInfo::default());
        let message = |text: &str| ExecInfo::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(message("{"), "KUBERNETES_EXEC_INFO is not an ExecCredential (line 1, column 1)");
        assert!(message(r#"{"kind":"Secret","apiVersion":"v1"}"#).contains("asks for apiVersion v1,"));
        let old =
            message(r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1alpha1","spec":{}}"#);
        assert!(old.contains("v1alpha1"), "{old}");
        // Deep nesting and duplicate keys are errors, not crashes.
        assert!(ExecInfo::parse("[".repeat(100_000).as_bytes()).is_err());
        let twice = "\"apiVersion\":\"client.authentication.k8s.io/v1\"";
        assert!(ExecInfo::parse(format!("{{{twice},{twice}}}").as_bytes()).is_err());
    }

    fn cluster(fields: &str) -> Result<ExecCluster, ExecInfoError> {
        let info = format!(
            r#"{{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{{"cluster":{fields}}}}}"#
        );
        ExecInfo::parse(info.as_bytes()).map(|info| info.cluster.unwrap())
    }

    /// Fault matrix row 41.
    #[test]
    fn exec_cluster_fields_match_without_case() {
        for name in ["insecure-skip-tls-verify", "Insecure-Skip-TLS-Verify", "inſecure-s\u{212a}ip-tls-verify"] {
            assert!(cluster(&format!(r#"{{"server":"https://x","{name}":true}}"#)).unwrap().insecure_skip_tls_verify);
        }
        let found = cluster(r#"{"SERVER":"https://x","Proxy-URL":"http://p","TLS-server-name":"y"}"#).unwrap();
        assert_eq!((found.server.as_str(), found.proxy_url.as_deref()), ("https://x", Some("http://p")));
        assert_eq!(found.tls_server_name.as_deref(), Some("y"));
        let found = cluster(r#"{"server":"https://x","proxy-url":"","tls-server-name":null,"config":{"a":[1]}}"#);
        assert_eq!(found.unwrap(), ExecCluster { server: "https://x".to_owned(), ..ExecCluster::default() });
    }

    /// Fault matrix row 41.
    #[test]
    fn exec_cluster_duplicate_field_is_malformed() {
        for fields in [
            r#"{"server":"https://x","server":"https://y"}"#,
            r#"{"server":"https://x","Server":"https://y"}"#,
            r#"{"insecure-skip-tls-verify":false,"INSECURE-SKIP-TLS-VERIFY":true}"#,
            r#"{"server":"https://x"},"Cluster":{"server":"https://y"}"#,
            r#"{"server":"https://x"},"cluster":null"#,
            r#"{"server":7}"#,
            r#"{"insecure-skip-tls-verify":"true"}"#,
            "[]",
        ] {
            assert!(matches!(cluster(fields), Err(ExecInfoError::Malformed { .. })), "{fields}");
        }
    }

    #[test]
    fn exec_credential_serializes_in_requested_version() {
        let expires = "2026-01-02T03:04:05Z".parse().unwrap();
        let json =
            serde_json::to_string(&ExecCredential::new(ExecApiVersion::V1Beta1, "k8s-aws-v1.x", expires)).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{},"status":{"expirationTimestamp":"2026-01-02T03:04:05Z","token":"k8s-aws-v1.x"}}"#
        );
    }
}
