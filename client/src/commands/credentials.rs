//! `rolecall credentials NAME`: the `credential_process` of AWS's SDKs, and the AWS profile that runs it.

use std::io::{self, IsTerminal};

use jiff::Timestamp;
use rolecall_protocol::{Endpoint, ProfileCredentials, ProfileDetails, Secret, location};
use serde::Serialize;

use crate::aws_config_file::{self, Entry, Installed};
use crate::aws_session;
use crate::cli::Credentials;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry::own_program;
use crate::output;

/// The room for the JSON of a session: a buffer that grows leaves copies behind that are not wiped.
const MAX_JSON_BYTES: usize = 16 * 1024;

/// Prints the session, or writes the AWS profile that runs this command.
pub(crate) fn run(wanted: &Credentials, context: &Context) -> Result<(), CliError> {
    if let Some(name) = &wanted.install {
        return install(wanted, name.as_deref().unwrap_or(wanted.name.as_str()), context);
    }
    if !wanted.force && io::stdout().is_terminal() {
        return Err(CliError::failed(
            format!("{}: the session is secret, and standard output is a terminal", wanted.name),
            format!("Use it in ~/.aws/config with: rolecall credentials {} --install; or add --force", wanted.name),
        ));
    }
    let credentials = aws_session::get(&context.daemon()?, &wanted.name, &context.environment)?;
    output::stdout_bytes(process_json(&credentials)?.expose())
}

/// The output of a `credential_process` (AWS SDKs and Tools Reference, "Process credential provider").
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessOutput<'a> {
    version: u32,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<Timestamp>,
}

fn process_json(credentials: &ProfileCredentials) -> Result<Secret<Vec<u8>>, CliError> {
    let output = ProcessOutput {
        version: 1,
        access_key_id: credentials.access_key_id.expose(),
        secret_access_key: credentials.secret_access_key.expose(),
        session_token: credentials.session_token.expose(),
        expiration: credentials.expires,
    };
    let mut json = Secret::new(Vec::with_capacity(MAX_JSON_BYTES));
    serde_json::to_writer(json.expose_mut(), &output)
        .map_err(|error| CliError::new(Exit::Bug, format!("cannot write the session: {error}"), "Report it"))?;
    json.expose_mut().push(b'\n');
    Ok(json)
}

/// Writes the AWS profile `aws_profile`. Errors if a source uses that AWS profile, because it would wait for itself.
fn install(wanted: &Credentials, aws_profile: &str, context: &Context) -> Result<(), CliError> {
    let profile: ProfileDetails =
        context.daemon()?.call_json(&Endpoint::Profile(wanted.name.clone()), b"").map_err(CliError::from)?;
    if profile.tokens_only {
        return Err(CliError::failed(
            format!("{}: its setting credentials = false allows tokens only", wanted.name),
            "Remove it from config.toml to allow other programs than kubectl",
        ));
    }
    let sources = ConfigFile::load(&context.config_path()?)?.sources_with_aws_profile(aws_profile);
    if let Some(source) = sources.first() {
        return Err(CliError::failed(
            format!("source {source} uses the AWS profile {aws_profile}, and would wait for itself"),
            format!("Give another name: rolecall credentials {} --install AWS-PROFILE", wanted.name),
        ));
    }
    let program = own_program(&context.environment)?;
    let entry = Entry::new(aws_profile, &program, &wanted.name, profile.status.region)?;
    if wanted.print {
        return output::print(&entry.text());
    }
    let (config, credentials) = location::aws_files()?;
    let place = display_path(&config);
    let done = match aws_config_file::install(&entry, &config, &credentials)? {
        Installed::Added => format!("AWS profile {aws_profile} added to {place}"),
        Installed::Updated => format!("AWS profile {aws_profile} updated in {place}"),
        Installed::Unchanged => format!("AWS profile {aws_profile} is in {place} already"),
    };
    context.print_done(&format!("{done}. Use it: aws --profile {aws_profile} sts get-caller-identity"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws_session::tests::session;

    #[test]
    fn process_json_is_the_documented_output() {
        let json = process_json(&session()).unwrap();
        assert_eq!(
            String::from_utf8_lossy(json.expose()),
            "{\"Version\":1,\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"it's $ecret\",\
             \"SessionToken\":\"tok/en+==\",\"Expiration\":\"2030-01-02T03:04:05Z\"}\n"
        );
    }
}
