//! Bad input gets a clear error and changes no state.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rolecall_harness::Op;

use crate::fixture::{Fixture, PROD, config_path, one_line};

#[test]
fn unknown_profile_error_suggests_similar_names() {
    let fixture = Fixture::new();
    assert_eq!(fixture.token_error("prdo", 1), "rolecall: there is no profile \"prdo\". Did you mean prod?");
    assert_eq!(fixture.token_error("zebra", 1), "rolecall: there is no profile \"zebra\". See rolecall list.");
    fixture.configure("# nothing\n");
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("There are no profiles yet. Add one: rolecall add --help"), "{line}");
}

/// Fault matrix row 42.
#[test]
fn exec_info_malformed_is_rejected() {
    let fixture = Fixture::new();
    let ask = |info: &str| fixture.sandbox.run(fixture.token_command("prod").env("KUBERNETES_EXEC_INFO", info));
    let line = one_line(&ask("{\"kind\":"), 1);
    assert!(line.contains("prod: KUBERNETES_EXEC_INFO is not an ExecCredential"), "{line}");
    let line = one_line(
        &ask(r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1alpha1","spec":{}}"#),
        1,
    );
    assert!(line.contains("v1alpha1"), "{line}");
    assert!(line.contains("rolecall kubeconfig prod"), "{line}");
    let line = one_line(&ask(r#"{"kind":"Secret","apiVersion":"v1"}"#), 1);
    assert!(line.contains("apiVersion v1,"), "{line}");
    // Linux allows about 128 KiB in one variable; 120 KiB are accepted.
    let line = one_line(&ask(&"x".repeat(120 * 1024)), 1);
    assert!(line.len() < 1024, "{line}");
    // A client without this limit is stopped by the daemon's limit.
    let answer = raw(
        &fixture,
        &format!("POST /v1/profiles/prod/token HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 10 << 20),
    );
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
}

#[test]
fn exec_info_of_dotnet_client_is_answered() {
    let fixture = Fixture::new();
    let info =
        r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredentials","spec":{"interactive":false}}"#;
    let said = fixture.sandbox.run(fixture.token_command("prod").env("KUBERNETES_EXEC_INFO", info));
    said.assert_ok();
    assert_eq!(said.json()["kind"], "ExecCredential");
}

/// Fault matrix row 33.
#[test]
fn json_of_unusual_form_is_rejected() {
    let fixture = Fixture::new();
    let post = |path: &str, body: &[u8]| {
        let head = format!("POST /v1/{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        let answer = raw_bytes(&fixture, &[head.as_bytes(), body].concat());
        answer.get(9..12).unwrap_or_default().to_owned()
    };
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5_000), close.repeat(5_000));
    let server = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"https://a"}"#;
    for path in [
        "discover",
        "lock",
        "profiles/prod/access/list",
        "profiles/prod/doctor",
        "sources/work/login",
        "profiles/prod/token",
    ] {
        for body in [
            deep("[", "]"),
            deep("{\"spec\":", "}"),
            "[".repeat(10_000),
            "\"".to_owned() + &"x".repeat(10_000),
            "{\"a\":1".to_owned(),
            "{} {}".to_owned(),
        ] {
            // Some are too large for their endpoint.
            let status = post(path, body.as_bytes());
            assert!(["400", "413"].contains(&status.as_str()), "{path}: {body:.20}: {status}");
        }
    }
    assert_eq!(post("discover", b"{\"regions\":[\"\xff\xfe\"]}"), "400", "no UTF-8");
    assert_eq!(post("lock", b"{\"passphrase\":\"\xff\"}"), "400", "no UTF-8");
    // A field twice: one reader would take the first, another the last.
    for (path, body) in [
        ("discover", r#"{"regions":["eu-west-1"],"regions":["us-east-1"]}"#.to_owned()),
        ("lock", r#"{"passphrase":"one","passphrase":"two"}"#.to_owned()),
        ("unlock", r#"{"passphrase":"one","passphrase":"two"}"#.to_owned()),
        ("sources/work/login", r#"{"renew":true,"renew":false}"#.to_owned()),
        ("profiles/prod/token", format!("{server},\"cluster\":{{\"server\":\"https://b\"}}}}}}")),
        ("profiles/prod/token", format!(r#"{},"spec":{{}}}}"#, server.to_owned() + "}")),
        ("profiles/prod/token", server.replace("\"https://a\"", "\"https://a\",\"server\":\"https://b\"") + "}}"),
    ] {
        assert_eq!(post(path, body.as_bytes()), "400", "{body}");
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
}

/// Fault matrix row 90.
#[test]
fn config_invalid_is_reported_and_last_valid_is_used() {
    let fixture = Fixture::new();
    fixture.configure(&PROD.replace("eu-west-1", "Europe"));
    fixture.good_token("prod");
    let line = fixture.token_error("staging", 1);
    let path = config_path(&fixture.sandbox);
    assert!(line.contains(&format!("{}:7: profiles.prod.region: ", path.display())), "{line}");
    let said = fixture.sandbox.run(fixture.sandbox.rolecall().arg("status"));
    said.assert_ok();
    assert!(said.stdout.contains("profiles.prod.region"), "{}", said.stdout);
    fixture.configure(PROD);
    assert!(fixture.agent.status.status().config.problem.is_none());
}

/// Fault matrix rows 29 to 32.
#[test]
fn requests_malformed_are_rejected() {
    let fixture = Fixture::new();
    let many = (0..40).map(|n| format!("x-{n}: y\r\n")).collect::<Vec<_>>().concat();
    for (request, status) in [
        ("GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "404"),
        ("GET /v1/profiles/prod/token HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "405"),
        ("GET http://x/v1/status HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "404"),
        ("GET /v1/status?x=1 HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "404"),
        ("POST /v1/stop HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello".to_owned(), "413"),
        ("GET /v1/status HTTP/1.1\r\nhost: x\r\nrolecall-protocol: 99\r\n\r\n".to_owned(), "409"),
        (format!("GET /v1/status HTTP/1.1\r\nhost: x\r\n{many}\r\n"), "431"),
        (format!("GET /v1/status HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(9000)), "431"),
        ("GET /v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(), "400"),
        ("GET /v1/status HTTP/1.1\r\nhost : x\r\n\r\n".to_owned(), "400"),
        ("GET /v1/status HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET /v1/status HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n".to_owned(), "400"),
        (
            "GET /v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
            "411",
        ),
        ("\x16\x03\x01\x02\x00\x01\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = raw(&fixture, &request);
        let shown = request.get(..60).unwrap_or(&request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {answer}");
    }
    fixture.good_token("prod");
}

/// Fault matrix row 26.
#[test]
fn client_that_stops_reading_is_disconnected() {
    let fixture = Fixture::new();
    let mut stream = UnixStream::connect(fixture.sandbox.runtime_dir().join("rolecall/agent.sock")).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n";
    // Until the daemon closes the connection.
    let error = loop {
        match stream.write_all(request) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!([ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()), "{error}");
    fixture.good_token("prod");
}

#[test]
fn socket_answers_curl() {
    let fixture = Fixture::new();
    let answer = raw(&fixture, "GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("rolecall-protocol: 1\r\n"), "{answer}");
    assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
}

/// Connects, and fails the test instead of waiting for ever.
fn connect(fixture: &Fixture) -> UnixStream {
    let stream = UnixStream::connect(fixture.sandbox.runtime_dir().join("rolecall/agent.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Fault matrix row 25.
#[test]
fn connection_that_sends_nothing_is_closed() {
    let fixture = Fixture::new();
    let mut silent = connect(&fixture);
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0);
}

/// Fault matrix row 24.
#[test]
fn head_that_arrives_byte_by_byte_does_not_extend_its_deadline() {
    let fixture = Fixture::new();
    let mut slow = connect(&fixture);
    let pause = Duration::from_millis(100);
    slow.set_read_timeout(Some(pause)).unwrap();
    let head = format!("GET /v1/status HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(4000));
    let mut sent = 0;
    for byte in head.bytes() {
        if slow.write_all(&[byte]).is_err() {
            break; // closed
        }
        sent += 1;
        // Waits for the end of the connection, and for the next byte's turn.
        match slow.read(&mut [0; 16]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    assert!(sent > 1 && sent < head.len() / 2, "closed after {sent} bytes");
}

/// Sends bytes, and reads until the daemon closes the connection or the response is complete.
fn raw(fixture: &Fixture, request: &str) -> String {
    raw_bytes(fixture, request.as_bytes())
}

fn raw_bytes(fixture: &Fixture, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(fixture.sandbox.runtime_dir().join("rolecall/agent.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = vec![0; 16 * 1024];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}
