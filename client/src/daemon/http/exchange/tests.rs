use std::io::Write;

use rolecall_protocol::{Endpoint, RejectedIdentity};

use super::super::message::request;
use super::*;

/// What the client makes of `answer`, sent in pieces of `piece` bytes and then closed.
fn result_text(answer: &[u8], piece: usize) -> Result<Response, HttpError> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let answer = answer.to_vec();
    let daemon = std::thread::spawn(move || {
        for part in answer.chunks(piece) {
            if theirs.write_all(part).is_err() {
                break;
            }
        }
    });
    let result = receive_rest(&ours, Vec::new(), 1 << 20, Deadline::after(Duration::from_secs(10)));
    drop(ours);
    daemon.join().unwrap();
    result
}

fn refused(answer: &[u8]) -> String {
    result_text(answer, usize::MAX).unwrap_err().to_string()
}

#[test]
fn request_bytes_are_as_expected() {
    let name = "prod".parse().unwrap();
    assert_eq!(
        String::from_utf8(request(&Endpoint::Token(name), b"{}")).unwrap(),
        "POST /v1/profiles/prod/token HTTP/1.1\r\nHost: rolecall\r\nrolecall-protocol: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    );
}

#[test]
fn exchange_any_chunking_yields_the_response() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nRolecall-Protocol: 1\r\nx: y:z\r\ncontent-length: 13\r\n\r\n{\"a\":\"\r\n\r\n\"}\n";
    for piece in [1, 2, 3, 7, 50, usize::MAX] {
        let read = result_text(answer, piece).unwrap();
        assert_eq!((read.status(), read.protocol()), (200, Some(1)));
        assert_eq!(read.body(), b"{\"a\":\"\r\n\r\n\"}\n");
    }
}

#[test]
fn exchange_rejected_identity_is_reported() {
    let rejected = |header: &str| {
        let answer = format!("HTTP/1.1 200 OK\r\nrolecall-protocol: 1\r\n{header}content-length: 2\r\n\r\n{{}}");
        result_text(answer.as_bytes(), usize::MAX).unwrap().rejected()
    };
    assert_eq!(rejected(""), None);
    assert_eq!(rejected("Rolecall-Unauthorized: role\r\n"), Some(RejectedIdentity::Role));
    assert_eq!(rejected("rolecall-unauthorized: source\r\n"), Some(RejectedIdentity::Source));
    assert_eq!(rejected("rolecall-unauthorized: of a later version\r\n"), Some(RejectedIdentity::Source));
}

#[test]
fn exchange_empty_body_is_accepted() {
    let read = result_text(b"HTTP/1.1 404\r\nContent-Length:0\r\n\r\n", usize::MAX).unwrap();
    assert_eq!((read.status(), read.protocol(), read.body()), (404, None, b"".as_slice()));
}

#[test]
fn exchange_truncated_response_fails() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde";
    for end in 0..answer.len() {
        match result_text(&answer[..end], usize::MAX) {
            Err(HttpError::Disconnected { received, .. }) => assert_eq!(received, end),
            other => panic!("{end}: {other:?}"),
        }
    }
    assert_eq!(refused(&answer[..40]), "the connection broke after 40 bytes of the answer");
}

#[test]
fn exchange_hostile_responses_are_rejected() {
    for (answer, why) in [
        ("SSH-2.0-OpenSSH_9.6\r\n", "its answer is not HTTP/1.1"),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "its answer is not HTTP/1.1"),
        ("\u{0}\u{1}\u{2}", "its answer is not HTTP/1.1"),
        ("HTTP/1.1 2xx OK\r\nContent-Length: 0\r\n\r\n", "its answer has no status"),
        ("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "its answer has no status"),
        ("HTTP/1.1 \r\nContent-Length: 0\r\n\r\n", "its answer has no status"),
        ("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "its answer has a broken header"),
        ("HTTP/1.1 200 OK\r\n\r\n", "its answer has no clear length"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "its answer has no clear length"),
        ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", "its answer has no clear length"),
        ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", "its answer has no clear length"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", "its answer has no clear length"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", "its answer has no clear length"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1",
            "its answer has no clear length",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", "its answer is larger than any that we ask for"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", "its answer is longer than it says"),
    ] {
        assert_eq!(refused(answer.as_bytes()), why, "{answer:?}");
    }
    assert_eq!(refused(b"HTTP/1.1 200 \xff\r\n\r\n"), "its answer's head is not text");
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(1 << 16));
    assert_eq!(refused(endless.as_bytes()), "its answer has a head without end");
}

/// Fault matrix row 18.
#[test]
fn exchange_silent_daemon_times_out() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let daemon = std::thread::spawn(move || {
        // One byte at a time, for ever: the deadline counts from the start, not from the last byte.
        for byte in b"HTTP/1.1 200 OK\r\n".iter().cycle() {
            if theirs.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let result = receive_rest(&ours, Vec::new(), 1 << 20, Deadline::after(Duration::from_millis(60)));
    assert!(matches!(result, Err(HttpError::TimedOut)), "{result:?}");
    drop(ours);
    daemon.join().unwrap();
}

/// Fault matrix row 18.
#[test]
fn exchange_unless_gives_up_only_if_hopeless() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let ask = |ours: &UnixStream, limit, moment, is_hopeless: &dyn Fn() -> bool| {
        let deadline = Deadline::after(Duration::from_millis(limit));
        exchange_unless(ours, b"x", 1 << 10, deadline, Duration::from_millis(moment), is_hopeless)
    };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let begun = Deadline::after(Duration::from_secs(5));
    let result = ask(&ours, 10_000, 20, &|| true);
    assert!(matches!(result, Err(HttpError::TimedOut)), "{result:?}");
    assert!(begun.remaining().is_some(), "it has waited for the deadline");
    let result = ask(&ours, 60, 20, &|| false);
    assert!(matches!(result, Err(HttpError::TimedOut)), "{result:?}");
    // A late response is waited for; an early one does not ask `is_hopeless`.
    let late = || {
        (&theirs).write_all(ANSWER).unwrap();
        false
    };
    assert_eq!(ask(&ours, 5_000, 20, &late).unwrap().status(), 200);
    theirs.write_all(&ANSWER[..9]).unwrap();
    let rest = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        theirs.write_all(&ANSWER[9..]).unwrap();
        theirs
    });
    let answer = ask(&ours, 5_000, 20, &|| panic!("it has begun to answer")).unwrap();
    assert_eq!(answer.status(), 200);
    drop(rest.join().unwrap());
    let result = ask(&ours, 5_000, 20, &|| true);
    assert!(matches!(result, Err(HttpError::Disconnected { received: 0, .. })), "{result:?}");
}

#[test]
fn exchange_early_error_response_is_read() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
    theirs.shutdown(std::net::Shutdown::Read).unwrap();
    let body = vec![b'x'; 1 << 20];
    let answer = exchange(&ours, &body, 1 << 20, Deadline::after(Duration::from_secs(5))).unwrap();
    assert_eq!(answer.status(), 413);
}
