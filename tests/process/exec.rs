//! `rolecall exec`: the environment of the command, its exit status, and the endpoint of `--server`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rolecall_harness::{Output, Terminal};
use serde_json::Value;

use crate::fixture::{Fixture, HANG_GUARD, at_width, error_line, without_terminal};
use crate::shell::protect;

impl Fixture {
    /// Runs `rolecall exec prod OPTIONS -- sh -c SCRIPT`.
    fn exec(&self, options: &[&str], script: &str) -> Output {
        self.sandbox.run(&mut self.exec_command(options, script))
    }

    fn exec_command(&self, options: &[&str], script: &str) -> Command {
        let mut command = self.sandbox.rolecall();
        command.args(["exec", "prod"]).args(options).args(["--", "/bin/sh", "-c", script]);
        command.env("AWS_PROFILE", "other").env("AWS_SECURITY_TOKEN", "old");
        command
            .env("AWS_ACCESS_KEY", "AKIAOFTHESHELL00000")
            .env("AWS_SECRET_KEY", "other")
            .env("BOTO_CONFIG", "/etc/boto.cfg");
        command
    }

    /// Exempts the environment of the command, which holds the session.
    fn assert_no_other_leaks(&self) {
        let leaks = self.sandbox.leaks();
        let is_expected = |leak: &String| leak.contains(" in the environment of ");
        assert!(leaks.iter().all(is_expected), "{leaks:?}");
    }
}

#[test]
fn exec_gives_the_session_to_the_command() {
    let fixture = Fixture::added();
    let script = "test -n \"$AWS_ACCESS_KEY_ID$AWS_SECRET_ACCESS_KEY\" && test -n \"$AWS_SESSION_TOKEN\" && \
                  echo \"$AWS_REGION $AWS_DEFAULT_REGION $ROLECALL_PROFILE ${AWS_PROFILE-none} ${AWS_SECURITY_TOKEN-none} ${AWS_ACCESS_KEY-none}\"; \
                  echo \"$AWS_CREDENTIAL_EXPIRATION\"; echo \"$KUBECONFIG\"";
    let said = fixture.exec(&[], script);
    said.assert_ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines[0], "eu-west-1 eu-west-1 prod none none none", "{said}");
    assert!(lines[1].parse::<jiff::Timestamp>().is_ok(), "{said}");
    assert!(lines[2].contains("kubeconfigs"), "{said}");
    fixture.assert_no_other_leaks();
}

#[test]
fn exec_passes_status_and_signals_on() {
    let fixture = Fixture::added();
    fixture.exec(&[], "exit 7").assert_code(7);
    let said = fixture.exec(&[], "kill -TERM $$");
    assert!(!said.status.success(), "{said}");
    let run = |program: &str| fixture.rolecall(&["exec", "prod", "--", program]);
    let line = error_line(&run("no-such-program-of-anyone"), 127);
    assert!(line.contains("cannot run no-such-program-of-anyone"), "{line}");
    error_line(&run("/"), 126);
    fixture.assert_no_other_leaks();
}

/// Starts `rolecall exec prod` of a protected profile at a terminal of this width.
fn asked(fixture: &Fixture, width: u16, is_colored: bool) -> Terminal {
    let arguments = "exec prod -- sh -c 'test -t 0 && stty size; exit 9'";
    let terminal = fixture.sandbox.terminal(&mut at_width(&fixture.sandbox, width, is_colored, arguments));
    terminal.wait_for("Continue? [y/N] ", HANG_GUARD);
    terminal
}

#[test]
fn exec_of_a_protected_profile_asks_on_a_terminal() {
    let fixture = Fixture::added();
    protect(&fixture, "prod");
    for (width, is_colored) in [(40, true), (40, false), (80, true), (80, false)] {
        let terminal = asked(&fixture, width, is_colored);
        assert_eq!(terminal.raw().contains("\u{1b}[31m"), is_colored, "{}", terminal.raw());
        assert!(terminal.text().lines().all(|line| line.chars().count() <= usize::from(width)));
        terminal.type_text("n\r");
        terminal.assert_exit(1, HANG_GUARD);
        let terminal = asked(&fixture, width, is_colored);
        terminal.interrupt();
        assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(2));
        // The command has the terminal.
        let terminal = asked(&fixture, width, is_colored);
        terminal.type_text("y\r");
        terminal.assert_exit(9, HANG_GUARD);
        assert!(terminal.text().contains(&format!(" {width}\r\n")), "{:?}", terminal.text());
    }
    let line =
        error_line(&fixture.sandbox.run(without_terminal(&fixture.sandbox).args(["exec", "prod", "--", "true"])), 2);
    assert_eq!(line, "rolecall: prod is protected, and there is no terminal to ask on. Agree with --yes");
    fixture.assert_no_other_leaks();
}

/// Sends a request to the endpoint whose address and token the command printed. Returns the status and the body.
fn request(address: &str, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Sends a request as another user, and returns the answer. `None` if this process cannot become another user.
fn as_another_user(address: &str, head: &str) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let (host, port) = address.split_once(':').unwrap();
    let script = format!("exec 3<>/dev/tcp/{host}/{port}; printf '%s' \"$1\" >&3; cat <&3");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", &script, "bash", head]);
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Fault matrix rows 100 to 103.
#[test]
fn server_answers_the_token_alone() {
    let fixture = Fixture::added();
    // It waits for a line, and so keeps the endpoint.
    let script = "echo \"$AWS_CONTAINER_CREDENTIALS_FULL_URI\"; echo \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\"; \
                  echo \"${AWS_SESSION_TOKEN-none} ${AWS_ACCESS_KEY-none} ${AWS_SECRET_KEY-none} $BOTO_CONFIG\"; read line";
    let mut command = fixture.exec_command(&["--server"], script);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut line = || lines.next().unwrap().unwrap();
    let (url, token_file, session) = (line(), std::path::PathBuf::from(line()), line());
    assert_eq!(session, "none none none /dev/null");
    let address = url.strip_prefix("http://").and_then(|url| url.strip_suffix("/credentials")).unwrap();
    let token = std::fs::read_to_string(&token_file).unwrap();
    assert!(token.len() == 64 && !token.contains('\n'), "no line break");
    let get = |headers: &str| request(address, &format!("GET /credentials HTTP/1.1\r\n{headers}\r\n"));
    let good = format!("Host: {address}\r\nAuthorization: {token}\r\n");
    let (status, body) = get(&good);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert!(body["Token"].is_string() && body["Expiration"].is_string() && body["AccessKeyId"].is_string());
    let refused = (403, r#"{"code":"forbidden","message":"forbidden"}"#.to_owned());
    assert_eq!(get(&format!("Host: {address}\r\n")), refused);
    assert_eq!(get(&format!("Host: {address}\r\nAuthorization: {}\r\n", &token[..63])), refused);
    assert_eq!(get(&format!("Host: evil.com\r\nAuthorization: {token}\r\n")), refused);
    assert_eq!(get(&format!("{good}Origin: http://{address}\r\n")), refused);
    assert_eq!(request(address, &format!("POST /credentials HTTP/1.1\r\n{good}\r\n")), refused);
    assert_eq!(request(address, &format!("GET //credentials HTTP/1.1\r\n{good}\r\n")), refused);
    if let Some(answer) = as_another_user(address, &format!("GET /credentials HTTP/1.1\r\n{good}\r\n")) {
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with(&refused.1), "{answer}");
    }
    // The endpoint outlives the daemon. While a new one starts, the SDK is refused and asks again.
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let statuses: Vec<u16> = (0..30).map_while(|_| Some(get(&good).0).filter(|status| *status != 200)).collect();
    assert!(statuses.len() < 30 && statuses.iter().all(|status| *status == 503), "{statuses:?}");
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
    let has_ended = || !token_file.exists() && TcpStream::connect(address).is_err();
    for _ in 0..1000 {
        if has_ended() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(has_ended(), "the server still runs");
    fixture.assert_no_other_leaks();
}
