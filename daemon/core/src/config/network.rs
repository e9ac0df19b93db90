//! Where AWS is called and how it is reached, for all profiles together: `[endpoints]` and `[network]`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rolecall_protocol::{EndpointUrl, HttpUrl, Secret};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::trusted_file;

/// How AWS is reached.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Where its services are called.
    pub endpoints: Endpoints,
    /// What it takes to get there.
    pub path: NetworkPath,
}

/// What lies between this machine and AWS.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NetworkPath {
    /// The proxy that every call goes through, but for those to this machine and to its metadata service.
    pub proxy: Option<Proxy>,
    /// Who signs certificates beside those that the system trusts.
    pub ca_bundle: Option<CaBundle>,
}

/// An HTTP proxy. A name and a password in its URL are secret.
pub struct Proxy {
    url: Secret<String>,
    shown: String,
    /// What does not go through it: names (with all below them), addresses and nets, separated by commas.
    pub no_proxy: String,
}

/// Certificates of authorities.
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

/// The URL of a proxy, whole and as it may be shown.
struct RawProxy {
    url: Secret<String>,
    shown: String,
}

/// Names, addresses and nets, separated by commas.
#[derive(Clone)]
struct NoProxy(String);

/// A path that does not depend on where somebody stands.
struct AbsolutePath(PathBuf);

/// Addresses of AWS's services that hold for every call, in every region and whatever the source; they stand above what
/// AWS's own files say. A service without one is called where those files say, or at the region's own.
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
    /// IAM Identity Center's portal.
    Sso,
    /// IAM Identity Center's logins.
    SsoOidc,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sts, Self::Eks, Self::Iam, Self::Sso, Self::SsoOidc];

    /// As AWS's configuration files spell it, below `[services NAME]`.
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

    /// The service that the SDK calls by this id, such as `SSO OIDC`.
    #[must_use]
    pub fn from_sdk_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == id.to_ascii_lowercase().replace(' ', "-"))
    }
}

impl Endpoints {
    /// The address of a service, if one is configured.
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

    /// Those that are configured.
    pub fn iter(&self) -> impl Iterator<Item = (Service, &EndpointUrl)> {
        Service::ALL.into_iter().filter_map(|service| Some((service, self.get(service)?)))
    }

    /// Whether the same credentials come of both: EKS and IAM give none.
    #[must_use]
    pub fn yield_same_credentials(&self, other: &Self) -> bool {
        (&self.sts, &self.sso, &self.sso_oidc) == (&other.sts, &other.sso, &other.sso_oidc)
    }
}

impl RawNetwork {
    /// Checks what no single value can tell, and reads the CA bundle. An error is a key and what is wrong with it.
    pub(super) fn valid(&self, endpoints: &Endpoints) -> Result<Network, (String, String)> {
        let fail = |key: &str, message: String| (format!("network.{key}"), message);
        let except = self.no_proxy.as_ref().map(|except| except.0.clone());
        let proxy = match (&self.proxy, except) {
            (Some(proxy), except) => Some(Proxy {
                url: Secret::new(proxy.url.expose().clone()),
                shown: proxy.shown.clone(),
                no_proxy: except.unwrap_or_default(),
            }),
            (None, Some(_)) => return Err(fail("no_proxy", "means nothing without proxy".to_owned())),
            (None, None) => None,
        };
        let ca_bundle = self.ca_bundle.as_ref().map(|path| CaBundle::read(&path.0)).transpose();
        let ca_bundle = ca_bundle.map_err(|message| fail("ca_bundle", message))?;
        Ok(Network { endpoints: endpoints.clone(), path: NetworkPath { proxy, ca_bundle } })
    }
}

impl Proxy {
    /// The whole URL.
    #[must_use]
    pub const fn url(&self) -> &Secret<String> {
        &self.url
    }
}

/// Without the name and the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}, except {})", self.shown, self.no_proxy)
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.url.expose() == other.url.expose() && self.no_proxy == other.no_proxy
    }
}

impl Eq for Proxy {}

impl CaBundle {
    /// Reads a bundle, and makes sure that TLS can do something with each certificate in it.
    fn read(path: &Path) -> Result<Self, String> {
        let of_file = |message: String| format!("{} {message}", path.display());
        let pem = trusted_file::read_bytes(path).map_err(of_file)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|_| of_file("is not PEM".to_owned()))?;
        if certificates.is_empty() {
            return Err(of_file("holds no certificate (PEM)".to_owned()));
        }
        for (index, certificate) in certificates.iter().enumerate() {
            let number = index + 1;
            webpki::anchor_from_trusted_cert(certificate)
                .map_err(|_| of_file(format!("holds a certificate that is none, number {number}")))?;
        }
        Ok(Self { path: path.to_owned(), pem })
    }

    /// The certificates, as PEM.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({})", self.path.display())
    }
}

impl<'de> Deserialize<'de> for RawProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = Secret::<String>::deserialize(deserializer)?;
        match shown(url.expose()) {
            Some(shown) => Ok(Self { url, shown }),
            None => Err(D::Error::custom("must look like http://HOST:PORT, or http://NAME:PASSWORD@HOST:PORT")),
        }
    }
}

/// A proxy's URL without its secrets, if it is one.
fn shown(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
    let shown = format!("{scheme}://{}", host.strip_suffix('/').unwrap_or(host));
    HttpUrl::parse(&shown).ok().filter(|url| url.path_and_query().is_empty())?;
    // What else a name or a password holds has to be percent-encoded (RFC 3986, 3.2.1).
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:%".contains(c);
    let is_user = user.is_none_or(|user| !user.is_empty() && user.chars().all(is_plain));
    (url.len() <= 2048 && is_user).then_some(shown)
}

impl<'de> Deserialize<'de> for NoProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() <= 4096 && text.split(',').map(str::trim).all(is_exception) {
            return Ok(Self(text));
        }
        Err(D::Error::custom("must be names, addresses and nets separated by commas, such as \"10.0.0.0/8,.corp\""))
    }
}

fn is_exception(text: &str) -> bool {
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
