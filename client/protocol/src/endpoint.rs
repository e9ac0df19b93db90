//! Every method and path of the conversation, once.

use crate::name::ProfileName;

/// The HTTP methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Asks and changes nothing.
    Get,
    /// Does something.
    Post,
}

impl Method {
    /// The method as HTTP spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// What a client can ask the daemon. The only place that spells a path; one handler of the server answers one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /v1/profiles/{name}/token`: the body is `KUBERNETES_EXEC_INFO` as it is, or empty; the answer is a finished
    /// ExecCredential in the apiVersion it was asked in.
    Token(ProfileName),
    /// `POST /v1/profiles/{name}/refresh`: forgets the session and assumes the role anew. Answers
    /// [`Refreshed`](crate::Refreshed).
    Refresh(ProfileName),
    /// `POST /v1/profiles/{name}/cluster`: describes the profile's cluster. Answers [`Cluster`](crate::Cluster).
    Cluster(ProfileName),
    /// `GET /v1/profiles/{name}`: what is configured and what is known. Answers
    /// [`ProfileDetails`](crate::ProfileDetails).
    Profile(ProfileName),
    /// `POST /v1/config/check`: the body is a configuration (TOML) that may become the real one. Answers
    /// [`ConfigChecked`](crate::ConfigChecked).
    ConfigCheck,
    /// `POST /v1/config/reload`: reads the configuration again, now rather than when the watch tells. Answers
    /// [`ConfigStatus`](crate::ConfigStatus).
    ConfigReload,
    /// `POST /v1/config/probe/{name}`: the body is a configuration as above; assumes the role of the profile `name` as
    /// it stands there and describes its cluster. Answers [`Probed`](crate::Probed).
    Probe(ProfileName),
    /// `GET /v1/status`: the daemon, its configuration and every profile. Answers [`Status`](crate::Status).
    Status,
    /// `GET /v1/events`: what happens from now on, one [`Event`](crate::Event) a line (JSON, ended by a newline), with an
    /// empty line where nothing happens for a while, until either side closes the connection. The first is always
    /// [`Happening::Hello`](crate::Happening::Hello).
    Events,
    /// `POST /v1/restart`: run the daemon's program anew, with the same listener and the same sessions; the process id
    /// stays. Answers [`Restarting`](crate::Restarting) before that.
    Restart,
    /// `POST /v1/stop`: finish what is under way and exit. Answers [`Stopping`](crate::Stopping).
    Stop,
}

impl Endpoint {
    /// The method.
    pub const fn method(&self) -> Method {
        match self {
            Self::Profile(_) | Self::Status | Self::Events => Method::Get,
            Self::Token(_)
            | Self::Refresh(_)
            | Self::Cluster(_)
            | Self::ConfigCheck
            | Self::ConfigReload
            | Self::Probe(_)
            | Self::Restart
            | Self::Stop => Method::Post,
        }
    }

    /// The path.
    pub fn path(&self) -> String {
        match self {
            Self::Token(name) => format!("/v1/profiles/{name}/token"),
            Self::Refresh(name) => format!("/v1/profiles/{name}/refresh"),
            Self::Cluster(name) => format!("/v1/profiles/{name}/cluster"),
            Self::Profile(name) => format!("/v1/profiles/{name}"),
            Self::ConfigCheck => "/v1/config/check".to_owned(),
            Self::ConfigReload => "/v1/config/reload".to_owned(),
            Self::Probe(name) => format!("/v1/config/probe/{name}"),
            Self::Status => "/v1/status".to_owned(),
            Self::Events => "/v1/events".to_owned(),
            Self::Restart => "/v1/restart".to_owned(),
            Self::Stop => "/v1/stop".to_owned(),
        }
    }

    /// Finds the endpoint that a path names. Query strings, encodings and doubled slashes match nothing.
    ///
    /// # Errors
    /// `None` if there is no such endpoint; the caller compares [`Endpoint::method`] itself.
    pub fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
        match segments.as_slice() {
            ["profiles", name, "token"] => name.parse().ok().map(Self::Token),
            ["profiles", name, "refresh"] => name.parse().ok().map(Self::Refresh),
            ["profiles", name, "cluster"] => name.parse().ok().map(Self::Cluster),
            ["profiles", name] => name.parse().ok().map(Self::Profile),
            ["config", "check"] => Some(Self::ConfigCheck),
            ["config", "reload"] => Some(Self::ConfigReload),
            ["config", "probe", name] => name.parse().ok().map(Self::Probe),
            ["status"] => Some(Self::Status),
            ["events"] => Some(Self::Events),
            ["restart"] => Some(Self::Restart),
            ["stop"] => Some(Self::Stop),
            _ => None,
        }
    }

    /// The largest body that is read, in bytes.
    pub const fn max_body(&self) -> usize {
        match self {
            // Linux caps one environment variable at 128 KiB (MAX_ARG_STRLEN), so no honest caller has more.
            Self::Token(_) => 256 * 1024,
            // 10,000 profiles with every key take about 5 MiB.
            Self::ConfigCheck | Self::Probe(_) => crate::MAX_CONFIG,
            Self::Refresh(_)
            | Self::Cluster(_)
            | Self::Profile(_)
            | Self::ConfigReload
            | Self::Status
            | Self::Events
            | Self::Restart
            | Self::Stop => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_leads_back() {
        let name: ProfileName = "prod.eu-1".parse().unwrap();
        for endpoint in [
            Endpoint::Token(name.clone()),
            Endpoint::Refresh(name.clone()),
            Endpoint::Cluster(name.clone()),
            Endpoint::Profile(name.clone()),
            Endpoint::ConfigCheck,
            Endpoint::ConfigReload,
            Endpoint::Probe(name),
            Endpoint::Status,
            Endpoint::Events,
            Endpoint::Restart,
            Endpoint::Stop,
        ] {
            assert_eq!(Endpoint::parse(&endpoint.path()), Some(endpoint));
        }
    }

    #[test]
    fn near_paths_lead_nowhere() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v1/status/",
            "//v1/status",
            "/v1/status?x=1",
            "/v2/status",
            "/v1/profiles//token",
            "/v1/profiles/%70rod/token",
            "/v1/profiles/../stop",
            "/v1/profiles/prod/token/",
            "http://x/v1/status",
        ] {
            assert_eq!(Endpoint::parse(path), None, "{path}");
        }
    }
}
