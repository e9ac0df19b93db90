//! Where AWS is called and how it is reached, for all profiles together: `[endpoints]`.

use serde::Deserialize;

use super::url::EndpointUrl;

/// How AWS is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Network {
    /// Where its services are called.
    pub endpoints: Endpoints,
}

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
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == id.to_ascii_lowercase().replace(' ', "-"))
    }
}

impl Endpoints {
    /// The address of a service, if one is configured.
    #[must_use]
    pub const fn of(&self, service: Service) -> Option<&EndpointUrl> {
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
        Service::ALL.into_iter().filter_map(|service| Some((service, self.of(service)?)))
    }

    /// Whether the same credentials come of both: EKS and IAM give none.
    #[must_use]
    pub fn give_as(&self, other: &Self) -> bool {
        (&self.sts, &self.sso, &self.sso_oidc) == (&other.sts, &other.sso, &other.sso_oidc)
    }
}
