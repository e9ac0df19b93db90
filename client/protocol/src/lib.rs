//! The wire protocol between `rolecall` (the client) and `rolecalld` (the daemon).
//!
//! This page is the specification. The types below it say the same in code, and both programs use these types.
//!
//! # Transport
//!
//! The daemon serves HTTP/1.1 on a Unix socket; [`location::socket`] says where. Each side checks that the other side
//! runs as its own user. A developer can send requests by hand:
//!
//! ```console
//! $ curl --silent --unix-socket "$XDG_RUNTIME_DIR/rolecall/agent.sock" http://localhost/v1/status
//! ```
//!
//! [`Endpoint`] lists every method and path, with its request body, its response, its limit of size and its timeout. A
//! request without a body has an empty body. Every response is JSON with `Cache-Control: no-store`. Status 200 is a
//! success; every other status carries an [`ErrorResponse`].
//!
//! | request | body | response |
//! |---|---|---|
//! | `POST /v1/profiles/{name}/token` | the text of `KUBERNETES_EXEC_INFO`, or nothing | [`ExecCredential`] |
//! | `POST /v1/profiles/{name}/credentials` | | [`ProfileCredentials`] |
//! | `POST /v1/profiles/{name}/refresh` | | [`Refreshed`] |
//! | `POST /v1/profiles/{name}/cluster` | | [`Cluster`] |
//! | `POST /v1/profiles/{name}/access` | [`AccessQuery`] | [`ClusterAccess`] |
//! | `POST /v1/profiles/{name}/access/list` | [`AccessListRequest`] | [`AccessList`] |
//! | `POST /v1/profiles/{name}/access/explain` | [`AccessExplainRequest`] | [`AccessExplained`] |
//! | `POST /v1/profiles/{name}/access/policies` | | [`AccessPolicies`] |
//! | `POST /v1/profiles/{name}/access/grant` | [`AccessGrantRequest`] | lines of [`AccessStep`] |
//! | `POST /v1/profiles/{name}/access/revoke` | [`AccessRevokeRequest`] | lines of [`AccessStep`] |
//! | `POST /v1/profiles/{name}/access/restore` | [`AccessRestoreRequest`] | lines of [`AccessStep`] |
//! | `POST /v1/profiles/{name}/access/migrate` | [`AccessMigrateRequest`] | lines of [`AccessStep`] |
//! | `POST /v1/profiles/{name}/access/recover` | [`AccessRecoverRequest`] | lines of [`AccessStep`] |
//! | `POST /v1/profiles/{name}/doctor` | [`DoctorRequest`] | lines of [`DoctorStep`] |
//! | `POST /v1/access/lint` | [`AccessLintRequest`] | [`AccessLinted`] |
//! | `POST /v1/discover` | [`DiscoverRequest`] | lines of [`DiscoverStep`] |
//! | `GET /v1/profiles/{name}` | | [`ProfileDetails`] |
//! | `POST /v1/sources/{name}/login` | [`LoginRequest`] | lines of [`LoginStep`] |
//! | `POST /v1/sources/{name}/logout` | | [`LoggedOut`] |
//! | `POST /v1/lock` | [`LockRequest`] | [`LockStatus`] |
//! | `POST /v1/unlock` | [`UnlockRequest`] | [`LockStatus`] |
//! | `GET /v1/keys` | | [`KeyList`] |
//! | `POST /v1/keys/{name}/put` | [`PutKey`] | [`KeyStatus`] |
//! | `POST /v1/keys/{name}/rotate` | | [`KeyRotated`] |
//! | `POST /v1/keys/{name}/forget` | | [`KeyForgotten`] |
//! | `POST /v1/config/check` | a configuration (TOML) | [`ConfigChecked`] |
//! | `POST /v1/config/reload` | | [`ConfigStatus`] |
//! | `POST /v1/config/probe/{name}` | a configuration (TOML) | [`Probed`] |
//! | `GET /v1/config` | | [`ConfigStatus`] |
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/events` | | lines of [`Event`] |
//! | `POST /v1/restart` | | [`Restarting`] |
//! | `POST /v1/stop` | | [`Stopping`] |
//!
//! Times are RFC 3339 in UTC with whole seconds, durations are integers of seconds, and names are those of
//! [`ProfileName`] and its neighbours. Texts that come from AWS or from files are passed through
//! [`sanitize_for_terminal`] before they become part of a message.
//!
//! # The token
//!
//! kubectl runs `rolecall token NAME`. The client posts `KUBERNETES_EXEC_INFO` unchanged and writes the bytes of the
//! response to its standard output unchanged. The response is a complete ExecCredential in the apiVersion that the
//! request names:
//!
//! ```json
//! {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "spec": {},
//!  "status": {"expirationTimestamp": "2026-01-02T03:04:05Z", "token": "k8s-aws-v1.aHR0cHM6Ly9…"}}
//! ```
//!
//! kubectl may send the token to a server that the author of a kubeconfig chose. The daemon therefore compares
//! `spec.cluster` of the request with the profile's pin. A request without `spec.cluster` needs one of two headers, unless
//! the profile has `pin = "off"`: `rolecall-entry-key` ([`ENTRY_KEY_HEADER`]) with the [`EntryKey`] that `rolecall` wrote
//! into the kubeconfig entry, or `rolecall-terminal: 1` ([`TERMINAL_HEADER`]) if the client's standard output is a
//! terminal. An older daemon ignores both headers. An older client sends neither, and gets `entry_key_mismatch` where the
//! new one would send a key.
//!
//! client-go asks for another token after a 401 (Unauthorized), and prints only that. If the daemon sees that the cluster
//! rejects the tokens of a profile, the response has the header `rolecall-unauthorized` ([`UNAUTHORIZED_HEADER`]) with a
//! [`RejectedIdentity`]. The client then prints one line on standard error that names `rolecall doctor`. The daemon sends the
//! header once to each process that runs the plugin, and only to one whose own token was rejected. The body is the usual one,
//! and an older client ignores the header.
//!
//! # AWS credentials
//!
//! `/v1/profiles/{name}/credentials` returns the session of a profile for other programs than kubectl. The session has at least
//! 16 minutes left, or half of its lifetime if that is shorter than 32 minutes, unless AWS cannot be reached:
//!
//! ```json
//! {"access_key_id": "ASIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
//!  "session_token": "IQoJb3JpZ2luX2VjEXAMPLE", "expires": "2026-01-02T04:04:05Z", "region": "eu-west-1"}
//! ```
//!
//! # Streams
//!
//! Some endpoints send one JSON document per line (NDJSON). While there is nothing to report, the daemon sends an empty
//! line every ten seconds; a client that receives nothing for 30 s gives up.
//!
//! `/v1/sources/{name}/login` sends [`LoginStep`]s until the last one, which is `code`, `command`, `done` or `failed`:
//!
//! ```json
//! {"step": "browser", "url": "https://device.sso.eu-west-1.amazonaws.com/?user_code=ABCD-EFGH", "code": "ABCD-EFGH",
//!  "expires": "2026-01-02T03:14:05Z", "joined": false}
//! {"step": "done", "source": {"name": "work", "kind": "AWS profile work"}, "changed": true}
//! ```
//!
//! The endpoints `access/grant`, `revoke`, `restore`, `migrate` and `recover` send [`AccessStep`]s until the last one,
//! which is `plan`, `report` or `failed`.
//!
//! `/v1/discover` sends [`DiscoverStep`]s until the last one, which is `done` or `failed`.
//!
//! `/v1/profiles/{name}/doctor` sends [`DoctorStep`]s until the last one, which is `done` or `failed`.
//!
//! `/v1/events` sends [`Event`]s until either side closes the connection. The first one is always `hello`:
//!
//! ```json
//! {"at": "2026-01-02T03:04:05Z", "event": "hello"}
//! {"at": "2026-01-02T03:09:41Z", "event": "failed", "profiles": ["prod"],
//!  "error": {"code": "aws_unavailable", "message": "prod: STS cannot be reached", "hint": "Check the network."}}
//! ```
//!
//! # Errors
//!
//! ```json
//! {"error": {"code": "unknown_profile", "message": "there is no profile \"prdo\"", "hint": "Did you mean prod?"}}
//! ```
//!
//! `message` and `hint` are for the user; `code` decides what the client does. If the hint is a command, `command` has it
//! without the words before it. `"automatic_retry": true` means that the daemon retries by itself and that the hint says
//! so. Every command prints an error that it does not handle itself and ends with the exit code of the error:
//!
//! | `code` | HTTP | exit code | what the client does besides printing it |
//! |---|---|---|---|
//! | `bad_request` | 400, 404, 405, 408, 413 | 70 | status 404 means an older daemon without this endpoint: `login` and `status --watch` ask for `rolecall agent restart` (exit code 4) |
//! | `protocol_mismatch` | 409 | 4 | asks the user to upgrade the older program and to run `rolecall agent restart` |
//! | `unknown_profile`, `unknown_source`, `unknown_key` | 404 | 1 | |
//! | `config_invalid` | 409 | 1 | |
//! | `exec_info_invalid` | 400 | 1 | |
//! | `pin_mismatch`, `entry_key_mismatch` | 403 | 1 | |
//! | `not_allowed`, `constraint_unenforceable`, `confirmation_denied` | 403 | 1 | |
//! | `refresh_needed` | 401 | 5 | |
//! | `confirmation_pending` | 401 | 5 | `token` sends the request again, for at most 40 s: the answer is shared |
//! | `access_denied` | 403 | 1 | |
//! | `access_changed` | 409 | 1 | `access` asks the user to run the command again |
//! | `access_refused` | 409 | 1 | |
//! | `cluster_not_found` | 404 | 1 | `add` prints the daemon's hint (similar names) instead of proposing `--server` |
//! | `login_needed` | 401 | 5 | `token` and `add` offer a login if a user is at the terminal |
//! | `locked` | 423 | 5 | |
//! | `wrong_passphrase` | 403 | 1 | `unlock` asks again, three times in all |
//! | `login_failed` | 403 | 1 | |
//! | `keyring_unavailable` | 503 | 1 | |
//! | `source_unavailable` | 502 | 1 | |
//! | `throttled` | 429 | 1 | |
//! | `aws_unavailable` | 502 | 1 | |
//! | `clock_skewed` | 502 | 1 | |
//! | `token_too_large` | 422 | 1 | |
//! | `timeout` | 504 | 1 | |
//! | `unavailable` | 503 | 3 | sends the request again, with growing pauses, until its own deadline |
//! | `restart_refused` | 409 | 1 | `agent restart` leaves the daemon running; after any other error it stops the daemon and starts a new one |
//! | `internal` | 500 | 70 | |
//! | any other | any | 1 | |
//!
//! A request whose connection closes before the first byte of the response is sent again up to eight times, because the
//! daemon may have been replaced in that moment, or may have needed the place of a connection without a whole request.
//!
//! # The audit log
//!
//! The daemon appends one JSON object per line to [`location::audit_log`]: an [`AuditRecord`] for each decision about a
//! secret. `rolecall audit` reads the file without the daemon.
//!
//! # Start of the daemon
//!
//! A client that finds no daemon starts one and reads the first line of its standard output, a [`StartupLine`]:
//! `ready`, `already running`, or `error: ` and the cause.
//!
//! # Versions
//!
//! Every request of the client and every response carry the header `rolecall-protocol: 1` ([`PROTOCOL_HEADER`],
//! [`PROTOCOL_VERSION`]). A daemon answers a request of another version with `protocol_mismatch` and does nothing else;
//! it accepts a request without the header, as `curl` sends it. A client rejects a response without the header.
//!
//! The version changes only if an old peer would do something wrong. Everything else is compatible in both directions:
//! a receiver ignores fields that it does not know, reads a missing field as its default, and reads an unknown code,
//! step, event, state or kind as `Unknown`.
//!
//! # Scope of this crate
//!
//! [`location`] looks at folders and reads environment variables, and [`included_paths`] lists folders. Nothing else here
//! does I/O, and nothing depends on an
//! async runtime or on AWS.

mod access;
mod access_change;
mod audit;
pub mod aws_config;
mod cluster;
mod config;
mod credentials;
mod daemon;
mod discover;
mod doctor;
mod endpoint;
mod entry_key;
mod error;
mod event;
mod exec;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hint;
mod include;
mod keys;
pub mod location;
mod lock;
mod login;
mod name;
mod profile;
mod prompt;
mod regions;
mod secret;
mod startup;
mod status;
mod text;
mod unauthorized;
mod url;

pub use access::{
    AccessAnswer, AccessBinding, AccessExplainRequest, AccessExplained, AccessFinding, AccessLintRequest, AccessLinted,
    AccessList, AccessListRequest, AccessPolicies, AccessPolicy, AccessPolicyScope, AccessRow, AccessSource,
    AuthenticationMode, GivenPrincipal, PrincipalKind, Severity, Unread,
};
pub use access_change::{
    AccessAction, AccessChange, AccessGrantRequest, AccessMigrateRequest, AccessPlan, AccessRecoverRequest,
    AccessReport, AccessRestoreRequest, AccessResult, AccessRevokeRequest, AccessStep, AccessVia, ChangeOptions,
};
pub use audit::{AuditDecision, AuditProcess, AuditRecord, AuditStatus};
pub use cluster::{AccessQuery, Cluster, ClusterAccess, Probed, ProbedCluster};
pub use config::{ConfigChecked, ConfigStatus, IncludeStatus};
pub use credentials::{ProfileCredentials, SOURCE_PROCESS_VARIABLE};
pub use daemon::{ClockStatus, DaemonStatus, Restarting, Stopping};
pub use discover::{DescribedCluster, DiscoverRequest, DiscoverStep, DiscoveredCluster, DiscoveredIdentity};
pub use doctor::{AdministratorRequest, DoctorRequest, DoctorStep, Finding, FindingArea, FindingState};
pub use endpoint::{Endpoint, Method};
pub use entry_key::{ENTRY_KEY_HEADER, ENTRY_KEY_VARIABLE, EntryKey, EntryProof, InvalidEntryKey, TERMINAL_HEADER};
pub use error::{ErrorBody, ErrorClass, ErrorCode, ErrorResponse, join_sentences};
pub use event::{Event, EventKind};
pub use exec::{EXEC_INFO_VARIABLE, ExecApiVersion, ExecCluster, ExecCredential, ExecInfo, ExecInfoError};
pub use hint::Hint;
pub use include::{IncludePattern, IncludedPath, InvalidIncludePattern, MAX_INCLUDED_FILES, included_paths};
pub use keys::{KeyForgotten, KeyList, KeyRotated, KeyStatus, PutKey};
pub use lock::{LockRequest, LockStatus, UnlockRequest};
pub use login::{LoggedOut, LoginFlow, LoginKind, LoginRequest, LoginStatus, LoginStep, MfaDetails, SourceStatus};
pub use name::{
    ClusterName, ExternalId, InvalidName, KeyName, MfaSerial, Namespace, PolicyArn, ProfileName, Region, RoleArn,
    SessionName, SourceIdentity, SourceName, TagKey, TagValue, similar_names,
};
pub use profile::{
    ConstraintDetails, ProfileDetails, ProfileInputs, ProfileState, ProfileStatus, Refreshed, SessionStatus,
};
pub use prompt::{PromptProfile, PromptState};
pub use regions::KNOWN_REGIONS;
pub use secret::Secret;
pub use startup::StartupLine;
pub use status::{Problem, Status};
pub use text::{escape_controls, is_unsafe_for_terminal, sanitize_for_terminal};
pub use unauthorized::{RejectedIdentity, UNAUTHORIZED_HEADER};
pub use url::{EndpointUrl, HttpUrl, UrlError};

/// The version of this protocol. It changes only if an old peer would do something wrong.
pub const PROTOCOL_VERSION: u32 = 1;

/// The name of the header that carries [`PROTOCOL_VERSION`], in lower case.
pub const PROTOCOL_HEADER: &str = "rolecall-protocol";

/// The size limit of a configuration, in bytes.
pub const MAX_CONFIG_BYTES: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renamed_fields_keep_their_json_names() {
        let lock: LockStatus = serde_json::from_str(r#"{"locked":false,"locks":"2026-01-02T03:04:05Z"}"#).unwrap();
        assert!(lock.auto_lock_at.is_some());
        assert!(serde_json::to_string(&lock).unwrap().contains(r#""locks":"2026-01-02T03:04:05Z""#));
        let step = serde_json::from_str(r#"{"step":"code","serial":"GAHT12345678"}"#).unwrap();
        assert!(matches!(step, LoginStep::MfaCode { refused: None, .. }));
        assert!(serde_json::to_string(&step).unwrap().starts_with(r#"{"step":"code","#));
        let profile = r#"{"name":"prod","cluster":"prod","region":"eu-west-1","source":"work","state":"unused",
            "source_kind":"AWS profile work","hops":["arn:aws:iam::111122223333:role/dev"],"duration_seconds":3600}"#;
        let profile: ProfileDetails = serde_json::from_str(profile).unwrap();
        assert!(serde_json::to_string(&profile).unwrap().contains(r#""hops":["arn:aws:iam::111122223333:role/dev"]"#));
    }

    /// Every JSON example of the crate's documentation is a value of the type that it illustrates.
    #[test]
    fn documented_examples_are_valid_messages() {
        let mut examples = Vec::new();
        for block in include_str!("lib.rs").split("//! ```json\n").skip(1) {
            let block = block.split("//! ```\n").next().unwrap().replace("//!", "");
            let values = serde_json::Deserializer::from_str(&block).into_iter::<serde_json::Value>();
            examples.extend(values.map(|value| value.unwrap()));
        }
        let [token, credentials, step_1, step_2, event_1, event_2, error] = examples.try_into().unwrap();
        assert_eq!(token["kind"], "ExecCredential");
        assert!(serde_json::from_value::<ProfileCredentials>(credentials).unwrap().expires.is_some());
        for step in [step_1, step_2] {
            assert_ne!(serde_json::from_value::<LoginStep>(step).unwrap(), LoginStep::Unknown);
        }
        for event in [event_1, event_2] {
            assert_ne!(serde_json::from_value::<Event>(event).unwrap().event, EventKind::Unknown);
        }
        assert_ne!(serde_json::from_value::<ErrorResponse>(error).unwrap().error.code, ErrorCode::Unknown);
    }
}
