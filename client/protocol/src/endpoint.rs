//! Every method and path of the conversation, once.

use std::time::Duration;

use crate::name::{KeyName, ProfileName, SourceName};

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
    /// `POST /v1/sources/{name}/login`: gets what a person has to give. The body is a [`LoginRequest`](crate::LoginRequest);
    /// the answer is one [`LoginStep`](crate::LoginStep) a line (JSON, ended by a newline), with an empty line where
    /// nothing happens for a while, and ends after the one that is the last.
    Login(SourceName),
    /// `POST /v1/sources/{name}/logout`: gives back, as far as AWS takes it back, and forgets what the source gave and
    /// what was got with it. Answers [`LoggedOut`](crate::LoggedOut).
    Logout(SourceName),
    /// `POST /v1/lock`: forgets every session and serves none until it is unlocked. The body is a
    /// [`LockRequest`](crate::LockRequest); answers [`LockStatus`](crate::LockStatus).
    Lock,
    /// `POST /v1/unlock`: the body is an [`UnlockRequest`](crate::UnlockRequest); answers
    /// [`LockStatus`](crate::LockStatus).
    Unlock,
    /// `GET /v1/keys`: the long-lived keys in the OS keyring. Answers [`KeyList`](crate::KeyList).
    Keys,
    /// `POST /v1/keys/{name}/put`: checks long-lived keys with AWS and puts them into the OS keyring. The body is a
    /// [`PutKey`](crate::PutKey); answers [`KeyStatus`](crate::KeyStatus).
    PutKey(KeyName),
    /// `POST /v1/keys/{name}/rotate`: makes new keys, checks them, keeps them, deletes the old ones at AWS. Answers
    /// [`KeyRotated`](crate::KeyRotated).
    RotateKey(KeyName),
    /// `POST /v1/keys/{name}/forget`: removes keys from the OS keyring; AWS is not told. Answers
    /// [`KeyForgotten`](crate::KeyForgotten).
    ForgetKey(KeyName),
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
    /// [`EventKind::Hello`](crate::EventKind::Hello).
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
            Self::Profile(_) | Self::Keys | Self::Status | Self::Events => Method::Get,
            Self::Token(_)
            | Self::Refresh(_)
            | Self::Cluster(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Lock
            | Self::Unlock
            | Self::PutKey(_)
            | Self::RotateKey(_)
            | Self::ForgetKey(_)
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
            Self::Login(name) => format!("/v1/sources/{name}/login"),
            Self::Logout(name) => format!("/v1/sources/{name}/logout"),
            Self::Lock => "/v1/lock".to_owned(),
            Self::Unlock => "/v1/unlock".to_owned(),
            Self::Keys => "/v1/keys".to_owned(),
            Self::PutKey(name) => format!("/v1/keys/{name}/put"),
            Self::RotateKey(name) => format!("/v1/keys/{name}/rotate"),
            Self::ForgetKey(name) => format!("/v1/keys/{name}/forget"),
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
            ["sources", name, "login"] => name.parse().ok().map(Self::Login),
            ["sources", name, "logout"] => name.parse().ok().map(Self::Logout),
            ["lock"] => Some(Self::Lock),
            ["unlock"] => Some(Self::Unlock),
            ["keys"] => Some(Self::Keys),
            ["keys", name, "put"] => name.parse().ok().map(Self::PutKey),
            ["keys", name, "rotate"] => name.parse().ok().map(Self::RotateKey),
            ["keys", name, "forget"] => name.parse().ok().map(Self::ForgetKey),
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

    /// How long the daemon may take to answer; the client gives up a second later (B12).
    pub const fn response_timeout(&self) -> Duration {
        match self {
            // IAM takes a while to let new keys in everywhere.
            Self::RotateKey(_) => Duration::from_secs(119),
            // Deriving a key from a passphrase takes its time, and whoever gave a wrong one waits.
            Self::Lock | Self::Unlock => Duration::from_secs(29),
            _ => Duration::from_secs(9),
        }
    }

    /// The largest body that is read, in bytes.
    pub const fn max_body_bytes(&self) -> usize {
        match self {
            // Linux caps one environment variable at 128 KiB (MAX_ARG_STRLEN), so no honest caller has more.
            Self::Token(_) => 256 * 1024,
            // 10,000 profiles with every key take about 5 MiB; whoever logs in before a source is configured sends them too.
            Self::ConfigCheck | Self::Probe(_) | Self::Login(_) => crate::MAX_CONFIG_BYTES,
            // A few short strings each.
            Self::Lock | Self::Unlock | Self::PutKey(_) => 16 * 1024,
            Self::Logout(_)
            | Self::Keys
            | Self::RotateKey(_)
            | Self::ForgetKey(_)
            | Self::Refresh(_)
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
        let source: SourceName = "work".parse().unwrap();
        let key: KeyName = "break-glass".parse().unwrap();
        for endpoint in [
            Endpoint::Token(name.clone()),
            Endpoint::Refresh(name.clone()),
            Endpoint::Cluster(name.clone()),
            Endpoint::Profile(name.clone()),
            Endpoint::Login(source.clone()),
            Endpoint::Logout(source),
            Endpoint::Lock,
            Endpoint::Unlock,
            Endpoint::Keys,
            Endpoint::PutKey(key.clone()),
            Endpoint::RotateKey(key.clone()),
            Endpoint::ForgetKey(key),
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
