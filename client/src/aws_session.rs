//! The session of a profile for programs that call AWS: gets it from the daemon, and names the environment variables that
//! hand it to a program.

use std::borrow::Cow;

use rolecall_protocol::{ErrorCode, ProfileCredentials, ProfileName, SOURCE_PROCESS_VARIABLE, Secret, location};

use crate::clock::Deadline;
use crate::daemon::{CALL_TIMEOUT, CallError, Daemon, confirmation};
use crate::environment::Environment;
use crate::error::CliError;

/// The variables that name other credentials for AWS's SDKs.
const SOURCE_VARIABLES: [&str; 11] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    // Files of access keys, which botocore and the SDK for Java read before a container's endpoint.
    "AWS_CREDENTIAL_FILE",
    "AWS_CREDENTIAL_PROFILES_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// The variables of a session without its region.
pub(crate) const SESSION_VARIABLES: [&str; 4] =
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"];

/// Returns the variables that can lead AWS's SDKs to another identity than the session's.
pub(crate) fn other_variables() -> impl Iterator<Item = &'static str> {
    let credentials = location::CREDENTIAL_VARIABLES.into_iter().filter(|name| !SESSION_VARIABLES.contains(name));
    SOURCE_VARIABLES.into_iter().chain(credentials)
}

/// The variables of a region.
pub(crate) const REGION_VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// Returns the session of a profile. If the user has to confirm its use, waits for the answer. Errors if this process is the
/// `credential_process` of a source: the daemon waits for it.
pub(crate) fn get(
    daemon: &Daemon,
    name: &ProfileName,
    environment: &Environment,
) -> Result<ProfileCredentials, CliError> {
    if environment.get(SOURCE_PROCESS_VARIABLE).is_some() {
        return Err(CliError::failed(
            format!("{name}: the agent runs this command for a source, and would wait for itself"),
            "Give the AWS profile another credential_process than rolecall, or use the source of that profile",
        ));
    }
    let call = |deadline| daemon.credentials(name, deadline);
    match confirmation::call(name, call, Deadline::after(CALL_TIMEOUT)) {
        Err(CallError::Rejected(body)) if body.code == ErrorCode::BadRequest => {
            Err(CallError::Unsupported("AWS credentials").into())
        }
        result => result.map_err(|error| error.with_subject(name)),
    }
}

/// Returns the variables of a session with their values. `AWS_CREDENTIAL_EXPIRATION` is absent if the session has no expiry.
pub(crate) fn variables(credentials: &ProfileCredentials) -> Vec<(&'static str, Cow<'_, str>)> {
    let secret = |value| Cow::Borrowed(Secret::<String>::expose(value).as_str());
    let [id, key, token, expiration] = SESSION_VARIABLES;
    let mut variables = vec![
        (id, secret(&credentials.access_key_id)),
        (key, secret(&credentials.secret_access_key)),
        (token, secret(&credentials.session_token)),
    ];
    variables.extend(credentials.expires.map(|expires| (expiration, Cow::Owned(expires.to_string()))));
    variables.extend(REGION_VARIABLES.map(|name| (name, Cow::Borrowed(credentials.region.as_str()))));
    variables
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A session that expires in 2030.
    pub(crate) fn session() -> ProfileCredentials {
        let secret = |text: &str| Secret::new(text.to_owned());
        ProfileCredentials {
            access_key_id: secret("ASIAEXAMPLE"),
            secret_access_key: secret("it's $ecret"),
            session_token: secret("tok/en+=="),
            expires: Some("2030-01-02T03:04:05Z".parse().unwrap()),
            region: "eu-west-1".parse().unwrap(),
        }
    }

    #[test]
    fn variables_of_a_session_without_expiry() {
        let mut session = session();
        session.expires = None;
        let names: Vec<&str> = variables(&session).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"]
        );
    }

    #[test]
    fn get_in_a_process_of_the_daemon_is_refused() {
        let environment = [(SOURCE_PROCESS_VARIABLE.into(), "1".into())].into_iter().collect();
        let error = get(&Daemon::at("/nowhere".into()), &"prod".parse().unwrap(), &environment).unwrap_err();
        assert!(error.to_string().contains("would wait for itself"), "{error}");
    }
}
