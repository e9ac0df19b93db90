//! Calls: a request over the socket, or a `rolecall token` process.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::answer::{Answer, Answered, Way};
use super::now;
use super::profiles::ProfileSpec;
use super::setup::Setup;

/// The client's limit for a call is 10 s.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A process that runs this long hangs.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(30);
/// What kubectl sends, without a cluster.
const EXEC_INFO: &str =
    r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;

/// Asks for a token of the profile.
///
/// A request over the socket whose connection closes before the first byte of a response is repeated by a process,
/// which starts the daemon if it does not run.
pub(super) fn ask(setup: &Setup, profile: &ProfileSpec, way: Way) -> Answered {
    let begin = now();
    if way == Way::Socket {
        match request(setup, profile) {
            Ok(answer) => return Answered { answer, way, took: begin.elapsed(), lost: 0 },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let answer = Answer::Error(format!("no response within {READ_TIMEOUT:?}"));
                return Answered { answer, way, took: begin.elapsed(), lost: 0 };
            }
            Err(_) => {}
        }
    }
    let again = now();
    let answer = run(setup, profile);
    // A repeated call has its own time.
    Answered { answer, way: Way::Process, took: again.elapsed(), lost: usize::from(way == Way::Socket) }
}

/// Sends a request. Errors if no byte of a response arrives.
fn request(setup: &Setup, profile: &ProfileSpec) -> io::Result<Answer> {
    let (name, key) = (profile.name, setup.sandbox.entry_key(profile.name).expect("every profile has an entry key"));
    let mut stream = UnixStream::connect(Path::new(&setup.socket()))?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    // A script sends no ExecInfo: the daemon treats a second one from the same process as a rejected token.
    let request = format!(
        "POST /v1/profiles/{name}/token HTTP/1.1\r\nhost: x\r\nrolecall-entry-key: {key}\r\nconnection: close\r\n\
         content-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    match stream.read_to_end(&mut response) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if response.is_empty() => return Err(error),
        _ => {}
    }
    Ok(parse(&response).unwrap_or_else(|| Answer::Broken(format!("a torn response of {} bytes", response.len()))))
}

/// Parses a whole response; `None` if it is not one.
fn parse(response: &[u8]) -> Option<Answer> {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&response[..end]).ok()?, &response[end + 4..]);
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = head.lines().filter_map(|line| line.split_once(": "));
    let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.last()?.1.parse().ok()?;
    (length == body.len()).then(|| Answer::of_response(status, body))
}

fn run(setup: &Setup, profile: &ProfileSpec) -> Answer {
    let mut command = setup.rolecall();
    command.args(["token", profile.name]).env("KUBERNETES_EXEC_INFO", EXEC_INFO);
    let output = setup.sandbox.run_within(PROCESS_TIMEOUT, &mut command);
    Answer::of_process(output.code(), &output.stdout, &output.stderr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_of_another_length_is_not_one() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert!(matches!(parse(whole), Some(Answer::Credential(_))));
        assert!(parse(&whole[..whole.len() - 1]).is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n{}").is_none());
        assert!(parse(b"").is_none());
    }
}
