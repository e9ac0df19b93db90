//! The fuzz target of the server: a function that panics if a property does not hold for an input. `tests/fuzz` runs it with
//! libFuzzer, and the test below runs it on the seeds and on mutations.

// A property that does not hold is a panic.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rolecall_aws::client::{Aws, AwsFiles};
use rolecall_core::clock::Clock;
use rolecall_core::profile::LocalUser;
use rolecall_protocol::{ErrorResponse, Hint};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::peer::AuthorizedStream;
use super::places::Places;
use super::{Context, http_connection};
use crate::agent::Agent;
use crate::services::status::About;

/// How long the client reads, in the runtime's time. Streams send an empty line every ten seconds.
const READ_TIME: Duration = Duration::from_secs(30);

/// The size limit of what the client reads, in bytes.
const MAX_READ: usize = 256 * 1024;

/// The bytes that a client sends on one connection. The server answers in well-formed HTTP, without an internal error, and
/// each message is one line.
///
/// The requests reach the real handlers, but neither AWS nor a keyring nor a program: there is no AWS profile, so no source has
/// credentials, and inputs that name access keys, the keyring or programs are skipped.
pub fn requests(input: &[u8]) {
    let has = |word: &[u8]| input.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    if has(b"key") || has(b"process") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let Ok(runtime) = runtime else { return };
    let output = runtime.block_on(answer(input));
    check_response(&output);
}

/// Returns what the server sends.
async fn answer(input: &[u8]) -> Vec<u8> {
    let (_folder, config) = &*FOLDER;
    let path = |name: &str| config.with_file_name(name);
    let files = AwsFiles { config: path("aws-config"), credentials: path("aws-credentials"), logins: path("logins") };
    let aws = Aws::new(files, Clock::machine());
    let user = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
    let about = About { socket: "/run/rolecall/agent.sock".to_owned(), log: None, restarts: 0 };
    let agent = Agent::new(config.clone(), aws, user, about);
    let context = Context::new(agent, CancellationToken::new(), None);

    let Ok((stream, _other)) = UnixStream::pair() else { return Vec::new() };
    let Ok(stream) = AuthorizedStream::check(stream) else { panic!("the own process is a foreign peer") };
    let Some(place) = Places::new(1).take(None) else { panic!("no place is free") };
    let (client, server) = tokio::io::duplex(64 * 1024);
    let connection = tokio::spawn(http_connection(context, stream.peer(), Arc::new(place), server));
    let output = exchange(client, input).await;
    connection.abort();
    if let Err(error) = connection.await {
        assert!(!error.is_panic(), "a handler panicked");
    }
    output
}

/// Sends the input, and reads until the server closes the connection or the time is up.
async fn exchange(mut client: DuplexStream, input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    let (mut from_server, mut to_server) = tokio::io::split(&mut client);
    let write = async {
        // The server may close the connection before it has read everything.
        let _ = to_server.write_all(input).await;
        std::future::pending::<()>().await;
    };
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await
            && output.len() < MAX_READ
        {
            output.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
        () = tokio::time::sleep(READ_TIME) => {}
    }
    output
}

/// Checks the first response after `100 Continue`.
fn check_response(output: &[u8]) {
    let output = output.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(output);
    if output.is_empty() {
        return;
    }
    let shown = || output.escape_ascii().to_string();
    let Some(end) = output.windows(4).position(|part| part == b"\r\n\r\n") else { panic!("no head: {}", shown()) };
    let head = String::from_utf8_lossy(output.get(..end).unwrap_or_default()).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    let Some(status) = status.filter(|_| head.starts_with("http/1.")) else { panic!("no status: {}", shown()) };
    assert!(status != 500 && (200..600).contains(&status), "{}", shown());
    let body = output.get(end + 4..).unwrap_or_default();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let Some(body) = length.and_then(|length: usize| body.get(..length)) else { return };
    // Hyper's own responses to a malformed head have no body.
    if status == 200 || body.is_empty() {
        return;
    }
    let Ok(ErrorResponse { error, .. }) = serde_json::from_slice(body) else { panic!("not an error: {}", shown()) };
    let is_line = |text: &str| !text.chars().any(char::is_control) && text.len() < 4096;
    assert!(is_line(&error.message) && error.hint.as_ref().map(Hint::as_str).is_none_or(is_line), "{}", shown());
    assert!(head.contains("cache-control: no-store") && head.contains("rolecall-protocol: 1"), "{head}");
}

/// A folder with a configuration. It has no AWS files.
static FOLDER: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let config = folder.path().join("config.toml");
    std::fs::write(&config, CONFIG).unwrap_or_else(|error| panic!("{error}"));
    (folder, config)
});

const CONFIG: &str = r#"
[sources.work]
aws_profile = "work"

[profiles.prod]
cluster  = "prod"
region   = "eu-west-1"
source   = "work"
role_arn = "arn:aws:iam::111122223333:role/developers"
"#;

#[cfg(test)]
mod tests {
    /// Fault matrix rows 29 to 33.
    #[test]
    fn requests_of_any_bytes() {
        rolecall_mutator::run("requests", 500, super::requests);
    }
}
