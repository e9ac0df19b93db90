//! Starts the process that serves the endpoint, and names it to the command.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rolecall_protocol::{ProfileName, location};

use super::request::PATH;
use crate::aws_config_file::default_has_credentials;
use crate::context::Context;
use crate::environment::Environment;
use crate::error::{CliError, Exit};
use crate::files::atomic_file;
use crate::output;
use crate::private_kubeconfig::PrivateKubeconfig;

/// The name of the token's file beside the kubeconfig of the command.
const TOKEN_FILE: &str = "aws-token";
/// The size limit of one of AWS's files, in bytes.
const MAX_AWS_FILE_BYTES: u64 = 1024 * 1024;
/// The variables that lead HTTP to a proxy.
const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// An endpoint that is served.
#[derive(Debug)]
pub(crate) struct Endpoint {
    port: u16,
    token_file: PathBuf,
    /// The hosts without a proxy, if there is a proxy.
    no_proxy: Option<OsString>,
}

/// Starts the process that serves the session of a profile until this process, or the command that replaces it, has ended.
pub(crate) fn start(
    name: &ProfileName,
    kubeconfig: &PrivateKubeconfig,
    context: &Context,
) -> Result<Endpoint, CliError> {
    let token_file = kubeconfig.path.with_file_name(TOKEN_FILE);
    let failed = |what: &str| {
        CliError::new(Exit::Failed, format!("cannot serve credentials: {what}"), "Run the command without --server")
    };
    let program = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
    let mut command = Command::new(program);
    command.args(["credentials", name.as_str(), "--serve"]).arg(&token_file);
    // A process group of its own: Ctrl-C and Ctrl-Z on the terminal are for the command.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/").process_group(0);
    let mut child = command.spawn().map_err(|error| failed(&error.to_string()))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        // It prints the line when it listens, or ends.
        let _ = BufReader::new(stdout.take(16)).read_line(&mut line);
    }
    let port = line.trim_end().parse().map_err(|_| failed("the server did not start"))?;
    Ok(Endpoint { port, token_file, no_proxy: no_proxy(&context.environment) })
}

impl Endpoint {
    /// Sets the variables with which AWS's SDKs find the endpoint. They prefer the AWS profile `default`: if that has
    /// credentials, the command gets empty files in the place of AWS's own.
    pub(crate) fn set_variables(&self, command: &mut Command, kubeconfig: &PrivateKubeconfig) -> Result<(), CliError> {
        command
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://127.0.0.1:{}{PATH}", self.port))
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &self.token_file)
            // botocore reads access keys in this file, or else in ~/.boto and /etc/boto.cfg, before it uses the endpoint.
            .env("BOTO_CONFIG", "/dev/null");
        if let Some(hosts) = &self.no_proxy {
            command.env("NO_PROXY", hosts).env("no_proxy", hosts);
        }
        let (config, credentials) = location::aws_files()?;
        let has_credentials = [&config, &credentials].into_iter().any(|path| {
            // A missing file has an empty text; one that cannot be read may have credentials.
            atomic_file::read(path, MAX_AWS_FILE_BYTES).map_or(true, |file| default_has_credentials(&file.text))
        });
        if has_credentials {
            let empty = kubeconfig.write_beside("aws-config", "")?;
            command.env("AWS_CONFIG_FILE", &empty).env("AWS_SHARED_CREDENTIALS_FILE", &empty);
            output::print_note(
                "the AWS profile default has credentials, which AWS's programs would use: the command does not see your AWS profiles",
            );
        }
        Ok(())
    }
}

/// Returns the hosts that are reached without a proxy, with this machine; `None` if no proxy is set.
fn no_proxy(environment: &Environment) -> Option<OsString> {
    PROXY_VARIABLES.iter().find_map(|name| environment.get(name))?;
    let mut hosts = environment.get("NO_PROXY").or_else(|| environment.get("no_proxy")).map(OsStr::to_owned);
    if let Some(hosts) = &mut hosts {
        hosts.push(",");
    }
    let mut hosts = hosts.unwrap_or_default();
    hosts.push("127.0.0.1");
    Some(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_has_this_machine() {
        let of = |variables: &[(&str, &str)]| {
            let environment = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
            no_proxy(&environment.collect()).map(|hosts| hosts.into_string().unwrap())
        };
        assert_eq!(of(&[("NO_PROXY", "x")]), None);
        assert_eq!(of(&[("HTTP_PROXY", "http://p")]).as_deref(), Some("127.0.0.1"));
        assert_eq!(of(&[("all_proxy", "http://p"), ("no_proxy", "a,b")]).as_deref(), Some("a,b,127.0.0.1"));
    }
}
