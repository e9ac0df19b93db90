//! The methods, paths, size limits and timeouts of the protocol.

use std::time::Duration;

use crate::name::{KeyName, ProfileName, SourceName};

/// The HTTP methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Changes something, or calls AWS.
    Post,
}

impl Method {
    /// Returns the name in the request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A request that a client can send. No other type spells a path; each variant has one handler in the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /v1/profiles/{name}/token`: returns a token for the profile's cluster. The body is the unchanged text of
    /// `KUBERNETES_EXEC_INFO`, or empty. A header may carry an [`EntryProof`](crate::EntryProof). Returns a complete
    /// ExecCredential in the requested apiVersion.
    Token(ProfileName),
    /// `POST /v1/profiles/{name}/credentials`: returns the profile's session, for programs that call AWS themselves. Returns
    /// [`ProfileCredentials`](crate::ProfileCredentials). Errors with `not_allowed` if the profile has no temporary credentials,
    /// or if its setting `credentials` is false.
    Credentials(ProfileName),
    /// `POST /v1/profiles/{name}/refresh`: invalidates the session and assumes the role again. Returns
    /// [`Refreshed`](crate::Refreshed).
    Refresh(ProfileName),
    /// `POST /v1/profiles/{name}/cluster`: calls `eks:DescribeCluster` for the profile's cluster. Returns
    /// [`Cluster`](crate::Cluster).
    Cluster(ProfileName),
    /// `POST /v1/profiles/{name}/access`: sends a token to the profile's API server, which says whether it maps the role.
    /// The body is an [`AccessQuery`](crate::AccessQuery), which the profile's pin has to match. Returns
    /// [`ClusterAccess`](crate::ClusterAccess).
    ClusterAccess(ProfileName),
    /// `POST /v1/profiles/{name}/access/list`: returns every principal that can enter the profile's cluster. The body is an [`AccessListRequest`](crate::AccessListRequest). Returns [`AccessList`](crate::AccessList).
    AccessList(ProfileName),
    /// `POST /v1/profiles/{name}/access/explain`: returns why a principal can or cannot enter. The body is an [`AccessExplainRequest`](crate::AccessExplainRequest). Returns [`AccessExplained`](crate::AccessExplained).
    AccessExplain(ProfileName),
    /// `POST /v1/profiles/{name}/access/policies`: returns the access policies of EKS. Returns [`AccessPolicies`](crate::AccessPolicies).
    AccessPolicies(ProfileName),
    /// `POST /v1/profiles/{name}/access/grant`: plans or makes a grant of access. The body is an [`AccessGrantRequest`](crate::AccessGrantRequest). Returns a stream of [`AccessStep`](crate::AccessStep)s, as [`Self::Login`] does.
    AccessGrant(ProfileName),
    /// `POST /v1/profiles/{name}/access/revoke`: plans or makes a removal of access. The body is an [`AccessRevokeRequest`](crate::AccessRevokeRequest). Returns a stream of [`AccessStep`](crate::AccessStep)s, as [`Self::Login`] does.
    AccessRevoke(ProfileName),
    /// `POST /v1/profiles/{name}/access/restore`: plans or makes the return to a backup of aws-auth. The body is an [`AccessRestoreRequest`](crate::AccessRestoreRequest). Returns a stream of [`AccessStep`](crate::AccessStep)s, as [`Self::Login`] does.
    AccessRestore(ProfileName),
    /// `POST /v1/profiles/{name}/access/migrate`: plans or makes the change from aws-auth to access entries. The body is an [`AccessMigrateRequest`](crate::AccessMigrateRequest). Returns a stream of [`AccessStep`](crate::AccessStep)s, as [`Self::Login`] does.
    AccessMigrate(ProfileName),
    /// `POST /v1/profiles/{name}/access/recover`: plans or makes the way back into a cluster. The body is an [`AccessRecoverRequest`](crate::AccessRecoverRequest). Returns a stream of [`AccessStep`](crate::AccessStep)s, as [`Self::Login`] does.
    AccessRecover(ProfileName),
    /// `POST /v1/profiles/{name}/doctor`: checks the way from the profile's source to its cluster. The body is a
    /// [`DoctorRequest`](crate::DoctorRequest). Returns a stream of [`DoctorStep`](crate::DoctorStep)s, as [`Self::Login`] does.
    Doctor(ProfileName),
    /// `POST /v1/access/lint`: returns what is wrong with an aws-auth. The body is an
    /// [`AccessLintRequest`](crate::AccessLintRequest). Returns [`AccessLinted`](crate::AccessLinted).
    AccessLint,
    /// `POST /v1/discover`: searches for clusters. The body is a [`DiscoverRequest`](crate::DiscoverRequest). Returns a stream
    /// of [`DiscoverStep`](crate::DiscoverStep)s, as [`Self::Login`] does.
    Discover,
    /// `GET /v1/profiles/{name}`: returns the profile's configuration and state,
    /// [`ProfileDetails`](crate::ProfileDetails).
    Profile(ProfileName),
    /// `POST /v1/sources/{name}/login`: logs the source in. The body is a [`LoginRequest`](crate::LoginRequest).
    /// Returns a stream of [`LoginStep`](crate::LoginStep)s, one JSON document per line, with an empty line every ten
    /// seconds without a step. The stream ends after the last step.
    Login(SourceName),
    /// `POST /v1/sources/{name}/logout`: revokes the source's login at AWS where AWS offers that, and drops its
    /// credentials and every session made from them. Returns [`LoggedOut`](crate::LoggedOut).
    Logout(SourceName),
    /// `POST /v1/lock`: drops every session and refuses to serve until it is unlocked. The body is a
    /// [`LockRequest`](crate::LockRequest). Returns [`LockStatus`](crate::LockStatus).
    Lock,
    /// `POST /v1/unlock`: unlocks the daemon. The body is an [`UnlockRequest`](crate::UnlockRequest). Returns
    /// [`LockStatus`](crate::LockStatus).
    Unlock,
    /// `GET /v1/keys`: lists the access keys in the OS keyring. Returns [`KeyList`](crate::KeyList).
    Keys,
    /// `POST /v1/keys/{name}/put`: checks an access key with AWS and stores it in the OS keyring. The body is a
    /// [`PutKey`](crate::PutKey). Returns [`KeyStatus`](crate::KeyStatus).
    PutKey(KeyName),
    /// `POST /v1/keys/{name}/rotate`: creates a new access key, checks and stores it, and deletes the old one at AWS.
    /// Returns [`KeyRotated`](crate::KeyRotated).
    RotateKey(KeyName),
    /// `POST /v1/keys/{name}/forget`: removes an access key from the OS keyring. The key stays valid at AWS. Returns
    /// [`KeyForgotten`](crate::KeyForgotten).
    ForgetKey(KeyName),
    /// `GET /v1/config`: returns the path and the state of the configuration file, [`ConfigStatus`](crate::ConfigStatus).
    Config,
    /// `POST /v1/config/check`: checks the configuration (TOML) in the body. The daemon's own configuration stays in
    /// force. Returns [`ConfigChecked`](crate::ConfigChecked).
    ConfigCheck,
    /// `POST /v1/config/reload`: reads the configuration file now, without waiting for the file watch. Returns
    /// [`ConfigStatus`](crate::ConfigStatus).
    ConfigReload,
    /// `POST /v1/config/probe/{name}`: assumes the role of profile `name` as the configuration (TOML) in the body
    /// defines it, and describes its cluster. Returns [`Probed`](crate::Probed).
    Probe(ProfileName),
    /// `GET /v1/status`: returns the state of the daemon, its configuration, every profile and every source,
    /// [`Status`](crate::Status).
    Status,
    /// `GET /v1/events`: returns a stream of [`Event`](crate::Event)s, one JSON document per line, with an empty line
    /// every ten seconds without an event, until either side closes the connection. The first event is always
    /// [`EventKind::Hello`](crate::EventKind::Hello).
    Events,
    /// `POST /v1/restart`: executes the daemon's program file again in the same process, with the same listener and the
    /// same sessions. Returns [`Restarting`](crate::Restarting) first.
    Restart,
    /// `POST /v1/stop`: finishes the requests in progress and exits. Returns [`Stopping`](crate::Stopping) first.
    Stop,
}

impl Endpoint {
    /// Returns the HTTP method.
    pub const fn method(&self) -> Method {
        match self {
            Self::Profile(_) | Self::Keys | Self::Config | Self::Status | Self::Events => Method::Get,
            _ => Method::Post,
        }
    }

    /// Returns the path, with the name of the profile, source or key in it.
    pub fn path(&self) -> String {
        match self {
            // Without formatting, which would cost kubectl the time to load the code for it.
            Self::Token(name) => ["/v1/profiles/", name.as_str(), "/token"].concat(),
            Self::Credentials(name) => format!("/v1/profiles/{name}/credentials"),
            Self::Refresh(name) => format!("/v1/profiles/{name}/refresh"),
            Self::Cluster(name) => format!("/v1/profiles/{name}/cluster"),
            Self::ClusterAccess(name) => format!("/v1/profiles/{name}/access"),
            Self::AccessList(name) => format!("/v1/profiles/{name}/access/list"),
            Self::AccessExplain(name) => format!("/v1/profiles/{name}/access/explain"),
            Self::AccessPolicies(name) => format!("/v1/profiles/{name}/access/policies"),
            Self::AccessGrant(name) => format!("/v1/profiles/{name}/access/grant"),
            Self::AccessRevoke(name) => format!("/v1/profiles/{name}/access/revoke"),
            Self::AccessRestore(name) => format!("/v1/profiles/{name}/access/restore"),
            Self::AccessMigrate(name) => format!("/v1/profiles/{name}/access/migrate"),
            Self::AccessRecover(name) => format!("/v1/profiles/{name}/access/recover"),
            Self::Doctor(name) => format!("/v1/profiles/{name}/doctor"),
            Self::AccessLint => "/v1/access/lint".to_owned(),
            Self::Discover => "/v1/discover".to_owned(),
            Self::Profile(name) => format!("/v1/profiles/{name}"),
            Self::Login(name) => format!("/v1/sources/{name}/login"),
            Self::Logout(name) => format!("/v1/sources/{name}/logout"),
            Self::Lock => "/v1/lock".to_owned(),
            Self::Unlock => "/v1/unlock".to_owned(),
            Self::Keys => "/v1/keys".to_owned(),
            Self::PutKey(name) => format!("/v1/keys/{name}/put"),
            Self::RotateKey(name) => format!("/v1/keys/{name}/rotate"),
            Self::ForgetKey(name) => format!("/v1/keys/{name}/forget"),
            Self::Config => "/v1/config".to_owned(),
            Self::ConfigCheck => "/v1/config/check".to_owned(),
            Self::ConfigReload => "/v1/config/reload".to_owned(),
            Self::Probe(name) => format!("/v1/config/probe/{name}"),
            Self::Status => "/v1/status".to_owned(),
            Self::Events => "/v1/events".to_owned(),
            Self::Restart => "/v1/restart".to_owned(),
            Self::Stop => "/v1/stop".to_owned(),
        }
    }

    /// Returns the endpoint of a path, or `None` if there is no such endpoint. A path with a query, an escape (`%70`)
    /// or an empty segment matches none. The caller compares [`Endpoint::method`] itself.
    pub fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
        match segments.as_slice() {
            ["profiles", name, "token"] => name.parse().ok().map(Self::Token),
            ["profiles", name, "credentials"] => name.parse().ok().map(Self::Credentials),
            ["profiles", name, "refresh"] => name.parse().ok().map(Self::Refresh),
            ["profiles", name, "cluster"] => name.parse().ok().map(Self::Cluster),
            ["profiles", name, "access"] => name.parse().ok().map(Self::ClusterAccess),
            ["profiles", name, "access", "list"] => name.parse().ok().map(Self::AccessList),
            ["profiles", name, "access", "explain"] => name.parse().ok().map(Self::AccessExplain),
            ["profiles", name, "access", "policies"] => name.parse().ok().map(Self::AccessPolicies),
            ["profiles", name, "access", "grant"] => name.parse().ok().map(Self::AccessGrant),
            ["profiles", name, "access", "revoke"] => name.parse().ok().map(Self::AccessRevoke),
            ["profiles", name, "access", "restore"] => name.parse().ok().map(Self::AccessRestore),
            ["profiles", name, "access", "migrate"] => name.parse().ok().map(Self::AccessMigrate),
            ["profiles", name, "access", "recover"] => name.parse().ok().map(Self::AccessRecover),
            ["profiles", name, "doctor"] => name.parse().ok().map(Self::Doctor),
            ["access", "lint"] => Some(Self::AccessLint),
            ["discover"] => Some(Self::Discover),
            ["profiles", name] => name.parse().ok().map(Self::Profile),
            ["sources", name, "login"] => name.parse().ok().map(Self::Login),
            ["sources", name, "logout"] => name.parse().ok().map(Self::Logout),
            ["lock"] => Some(Self::Lock),
            ["unlock"] => Some(Self::Unlock),
            ["keys"] => Some(Self::Keys),
            ["keys", name, "put"] => name.parse().ok().map(Self::PutKey),
            ["keys", name, "rotate"] => name.parse().ok().map(Self::RotateKey),
            ["keys", name, "forget"] => name.parse().ok().map(Self::ForgetKey),
            ["config"] => Some(Self::Config),
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

    /// Returns the profile with which the endpoint reads or changes who may enter its cluster; `None` for other endpoints.
    pub const fn cluster_access_profile(&self) -> Option<&ProfileName> {
        match self {
            Self::AccessList(name)
            | Self::AccessExplain(name)
            | Self::AccessPolicies(name)
            | Self::AccessGrant(name)
            | Self::AccessRevoke(name)
            | Self::AccessRestore(name)
            | Self::AccessMigrate(name)
            | Self::AccessRecover(name) => Some(name),
            _ => None,
        }
    }

    /// Returns whether the response is a stream of lines whose last one has the result.
    pub const fn streams_result(&self) -> bool {
        matches!(
            self,
            Self::Login(_)
                | Self::AccessGrant(_)
                | Self::AccessRevoke(_)
                | Self::AccessRestore(_)
                | Self::AccessMigrate(_)
                | Self::AccessRecover(_)
                | Self::Doctor(_)
                | Self::Discover
        )
    }

    /// Returns how long the daemon works on a response before it answers
    /// [`ErrorCode::Timeout`](crate::ErrorCode::Timeout). The client waits one second longer.
    pub const fn response_timeout(&self) -> Duration {
        match self {
            // A new access key becomes valid at STS only after some seconds.
            Self::RotateKey(_) => Duration::from_secs(119),
            // Deriving a key from a passphrase is slow by design, and a wrong passphrase adds a delay.
            Self::Lock | Self::Unlock => Duration::from_secs(29),
            // Many pages of access entries and bindings, each with its own limit of time.
            Self::AccessList(_) | Self::AccessExplain(_) | Self::AccessPolicies(_) => Duration::from_secs(59),
            _ => Duration::from_secs(9),
        }
    }

    /// Returns the size limit of the request body, in bytes.
    pub const fn max_body_bytes(&self) -> usize {
        match self {
            // Linux limits one environment variable to 128 KiB (MAX_ARG_STRLEN).
            Self::Token(_) => 256 * 1024,
            // 10,000 profiles with every key take about 5 MiB. A login carries a configuration if its source is not
            // saved yet.
            Self::ConfigCheck | Self::Probe(_) | Self::Login(_) => crate::MAX_CONFIG_BYTES,
            // A CA bundle, and thousands of principals or an aws-auth, which has at most 1 MiB.
            Self::ClusterAccess(_)
            | Self::AccessList(_)
            | Self::AccessExplain(_)
            | Self::AccessGrant(_)
            | Self::AccessRevoke(_)
            | Self::AccessRestore(_)
            | Self::AccessMigrate(_)
            | Self::AccessRecover(_)
            | Self::Doctor(_)
            | Self::AccessLint => 2 * 1024 * 1024,
            Self::Discover => 64 * 1024,
            Self::Lock | Self::Unlock | Self::PutKey(_) => 16 * 1024,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_every_endpoint_parses_back() {
        let name: ProfileName = "prod.eu-1".parse().unwrap();
        let source: SourceName = "work".parse().unwrap();
        let key: KeyName = "break-glass".parse().unwrap();
        for endpoint in [
            Endpoint::Token(name.clone()),
            Endpoint::Credentials(name.clone()),
            Endpoint::Refresh(name.clone()),
            Endpoint::Cluster(name.clone()),
            Endpoint::ClusterAccess(name.clone()),
            Endpoint::AccessList(name.clone()),
            Endpoint::AccessExplain(name.clone()),
            Endpoint::AccessPolicies(name.clone()),
            Endpoint::AccessGrant(name.clone()),
            Endpoint::AccessRevoke(name.clone()),
            Endpoint::AccessRestore(name.clone()),
            Endpoint::AccessMigrate(name.clone()),
            Endpoint::AccessRecover(name.clone()),
            Endpoint::Doctor(name.clone()),
            Endpoint::AccessLint,
            Endpoint::Discover,
            Endpoint::Profile(name.clone()),
            Endpoint::Login(source.clone()),
            Endpoint::Logout(source),
            Endpoint::Lock,
            Endpoint::Unlock,
            Endpoint::Keys,
            Endpoint::PutKey(key.clone()),
            Endpoint::RotateKey(key.clone()),
            Endpoint::ForgetKey(key),
            Endpoint::Config,
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
    fn parse_similar_path_matches_none() {
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
