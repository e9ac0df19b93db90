//! `[endpoints]` and `[network]`: the endpoints of AWS, the proxy and the CA bundle, for all profiles.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rolecall_protocol::{EndpointUrl, HttpUrl, Secret};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::trusted_file;

/// The endpoints of AWS and the path to them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The configured endpoints of services.
    pub endpoints: Endpoints,
    /// The proxy and the CA bundle.
    pub path: NetworkPath,
}

/// The path from this machine to AWS.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NetworkPath {
    /// The proxy of all calls except those to this machine and to its metadata service.
    pub proxy: Option<Proxy>,
    /// The CA certificates in addition to those of the operating system.
    pub ca_bundle: Option<CaBundle>,
}

/// An HTTP proxy. The user name and the password in its URL are secret.
pub struct Proxy {
    url: Secret<String>,
    display: String,
    /// The hosts that are called without the proxy: domains, addresses and networks, separated by commas.
    pub no_proxy: String,
}

/// A file of CA certificates.
#[derive(PartialEq, Eq)]
pub struct CaBundle {
    path: PathBuf,
    pem: Vec<u8>,
}

/// `[network]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNetwork {
    proxy: Option<RawProxy>,
    no_proxy: Option<NoProxy>,
    ca_bundle: Option<AbsolutePath>,
}

/// The URL of a proxy: complete, and without its secrets for display.
struct RawProxy {
    url: Secret<String>,
    display: String,
}

/// Domains, addresses and networks, separated by commas.
#[derive(Clone)]
struct NoProxy(String);

/// An absolute path.
struct AbsolutePath(PathBuf);

/// The endpoints of AWS's services for all regions and sources. They take precedence over AWS's own files. A service without
/// one uses the endpoint of those files, or the region's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    sts: Option<EndpointUrl>,
    eks: Option<EndpointUrl>,
    iam: Option<EndpointUrl>,
    sso: Option<EndpointUrl>,
    sso_oidc: Option<EndpointUrl>,
}

/// A service of AWS that the daemon calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// AWS Security Token Service.
    Sts,
    /// Elastic Kubernetes Service.
    Eks,
    /// Identity and Access Management.
    Iam,
    /// The portal of IAM Identity Center.
    Sso,
    /// The OIDC service of IAM Identity Center.
    SsoOidc,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 5] = [Self::Sts, Self::Eks, Self::Iam, Self::Sso, Self::SsoOidc];

    /// Returns the id of the service in AWS's configuration files, as AWS documents it (Service-specific endpoints).
    #[must_use]
    pub const fn documented_id(self) -> &'static str {
        match self {
            Self::SsoOidc => "sso_oidc",
            _ => self.name(),
        }
    }

    /// Returns the name that signatures and the SDK use. The SDK expects it in `[services NAME]` of AWS's configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::Eks => "eks",
            Self::Iam => "iam",
            Self::Sso => "sso",
            Self::SsoOidc => "sso-oidc",
        }
    }

    /// Returns the service with this id, in the form of the SDK (`SSO OIDC`), of signatures (`sso-oidc`) or of AWS's files
    /// (`sso_oidc`).
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == id.to_ascii_lowercase().replace([' ', '_'], "-"))
    }
}

impl Endpoints {
    /// Returns the endpoint of a service, if one is configured.
    #[must_use]
    pub const fn get(&self, service: Service) -> Option<&EndpointUrl> {
        match service {
            Service::Sts => self.sts.as_ref(),
            Service::Eks => self.eks.as_ref(),
            Service::Iam => self.iam.as_ref(),
            Service::Sso => self.sso.as_ref(),
            Service::SsoOidc => self.sso_oidc.as_ref(),
        }
    }

    /// Returns the configured endpoints.
    pub fn iter(&self) -> impl Iterator<Item = (Service, &EndpointUrl)> {
        Service::ALL.into_iter().filter_map(|service| Some((service, self.get(service)?)))
    }

    /// Returns whether both have the same endpoints for the services that return credentials. EKS and IAM return none.
    #[must_use]
    pub fn yield_same_credentials(&self, other: &Self) -> bool {
        (&self.sts, &self.sso, &self.sso_oidc) == (&other.sts, &other.sso, &other.sso_oidc)
    }
}

impl RawNetwork {
    /// Checks the rules that involve several keys and reads the CA bundle. Errors with a key and a message.
    pub(super) fn validate(&self, endpoints: &Endpoints) -> Result<Network, (String, String)> {
        let fail = |key: &str, message: String| (format!("network.{key}"), message);
        let no_proxy = self.no_proxy.as_ref().map(|hosts| hosts.0.clone());
        let proxy = match (&self.proxy, no_proxy) {
            (Some(proxy), no_proxy) => Some(Proxy {
                url: Secret::new(proxy.url.expose().clone()),
                display: proxy.display.clone(),
                no_proxy: no_proxy.unwrap_or_default(),
            }),
            (None, Some(_)) => return Err(fail("no_proxy", "has no effect without proxy".to_owned())),
            (None, None) => None,
        };
        let ca_bundle = self.ca_bundle.as_ref().map(|path| CaBundle::read(&path.0)).transpose();
        let ca_bundle = ca_bundle.map_err(|message| fail("ca_bundle", message))?;
        Ok(Network { endpoints: endpoints.clone(), path: NetworkPath { proxy, ca_bundle } })
    }
}

impl Proxy {
    /// Returns the complete URL.
    #[must_use]
    pub const fn url(&self) -> &Secret<String> {
        &self.url
    }
}

/// Without the user name and the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}, no_proxy {})", self.display, self.no_proxy)
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.url.expose() == other.url.expose() && self.no_proxy == other.no_proxy
    }
}

impl Eq for Proxy {}

impl CaBundle {
    /// Reads the file and checks that TLS can use each certificate in it.
    fn read(path: &Path) -> Result<Self, String> {
        let of_file = |message: String| format!("{} {message}", path.display());
        let pem = trusted_file::read_bytes(path).map_err(of_file)?;
        check_certificates(&pem).map_err(of_file)?;
        Ok(Self { path: path.to_owned(), pem })
    }

    /// Returns the certificates, as PEM.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }
}

/// Checks that TLS can use each certificate of a text in PEM. Errors with the problem, for example `is not PEM`.
pub fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|_| "is not PEM".to_owned())?;
    if certificates.is_empty() {
        return Err("contains no PEM certificate".to_owned());
    }
    for (index, certificate) in certificates.iter().enumerate() {
        let number = index + 1;
        webpki::anchor_from_trusted_cert(certificate)
            .map_err(|_| format!("contains an invalid certificate, number {number}"))?;
    }
    Ok(())
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({})", self.path.display())
    }
}

impl<'de> Deserialize<'de> for RawProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = Secret::<String>::deserialize(deserializer)?;
        match without_secrets(url.expose()) {
            Some(display) => Ok(Self { url, display }),
            None => Err(D::Error::custom("must look like http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT")),
        }
    }
}

/// Returns the URL of a proxy without user name and password; `None` if it is not valid.
fn without_secrets(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
    let display = format!("{scheme}://{}", host.strip_suffix('/').unwrap_or(host));
    HttpUrl::parse(&display).ok().filter(|url| url.path_and_query().is_empty())?;
    // Other characters in a user name or a password have to be percent-encoded (RFC 3986, 3.2.1).
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:%".contains(c);
    let is_user = user.is_none_or(|user| !user.is_empty() && user.chars().all(is_plain));
    (url.len() <= 2048 && is_user).then_some(display)
}

impl<'de> Deserialize<'de> for NoProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() <= 4096 && text.split(',').map(str::trim).all(is_host_or_network) {
            return Ok(Self(text));
        }
        Err(D::Error::custom(
            "must be domains, addresses and networks separated by commas, such as \"10.0.0.0/8,.corp\"",
        ))
    }
}

/// Returns whether the text is a domain, an address or a network.
fn is_host_or_network(text: &str) -> bool {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_net =
        |(address, bits): (&str, &str)| is_address(address) && bits.parse::<u8>().is_ok_and(|bits| bits <= 128);
    let name = text.strip_prefix('.').unwrap_or(text);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    is_name || is_address(text) || text.split_once('/').is_some_and(is_net)
}

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match PathBuf::deserialize(deserializer)? {
            path if path.is_absolute() => Ok(Self(path)),
            _ => Err(D::Error::custom("must be an absolute path")),
        }
    }
}
