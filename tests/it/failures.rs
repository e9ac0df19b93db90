//! Failures of AWS, and the messages that a user of kubectl reads.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rolecall_harness::{Cut, Fault, Op};

use crate::fixture::{Fixture, ROLE};

#[test]
fn sts_failures_are_one_line_with_a_hint() {
    let fixture = Fixture::new();
    let hostile = "no \u{9b}31mowned\r\n\u{202e}entry";
    for (fault, expected) in [
        (
            Fault::error(403, "AccessDenied", "User: x is not authorized to perform: sts:AssumeRole"),
            "rolecall: prod: AWS denied AssumeRole of arn:aws:iam::111122223333:role/developers with source \"work\": User: x is not authorized to perform: sts:AssumeRole. Check the role's trust policy",
        ),
        (Fault::error(400, "AccessDenied", hostile), "no \\u{9b}31mowned \\u{202e}entry"),
        (Fault::Status(500), "rolecall: prod: STS is reached but fails: status 500: "),
        (Fault::Throttle, "rolecall: prod: STS throttled the call: Rate exceeded. Try again in a moment."),
        (Fault::Truncated(Cut::TruncatedLength), "rolecall: prod: invalid response from STS: "),
        (Fault::Truncated(Cut::Chunked), "invalid response from STS"),
        (Fault::Truncated(Cut::ConnectionCloses), "invalid response from STS"),
        (Fault::Html, "rolecall: prod: invalid response from STS: "),
        (Fault::Empty200, "rolecall: prod: invalid response from STS"),
        (
            Fault::Reset,
            "rolecall: prod: STS cannot be reached at 127.0.0.1: the connection was closed before a response. Check the network",
        ),
        (Fault::WrongRole("arn:aws:iam::111122223333:role/admins".to_owned()), "the session of another role"),
        (Fault::Expiration(Some("yesterday".to_owned())), "invalid response from STS"),
        (Fault::Expiration(None), "an expired session"),
        (Fault::ExpiresIn(std::time::Duration::ZERO), "an expired session"),
        (Fault::error(400, "PackedPolicyTooLarge", "Packed size is 110%"), "rolecall: prod: AWS rejected AssumeRole"),
        (
            Fault::error(403, "SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2"),
            "rolecall: prod: AWS rejected the time of this machine",
        ),
    ] {
        fixture.aws.fault(Op::AssumeRole, fault.clone().forever());
        let line = fixture.token_error("prod", 1);
        assert!(line.contains(expected), "{fault:?}: {line}");
        assert!(line.len() < 1024, "{fault:?}: {line}");
        fixture.aws.clear_faults();
        // The failure TTL grows with each failure.
        fixture.clock.advance(std::time::Duration::from_mins(1));
    }
    fixture.good_token("prod");
}

#[test]
fn transient_failure_is_retried_invisibly() {
    let fixture = Fixture::new();
    fixture.aws.fault(Op::AssumeRole, Fault::Status(503).times(1));
    fixture.aws.fault(Op::AssumeRole, Fault::Throttle.times(1));
    fixture.good_token("prod");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 3);
}

/// Fault matrix row 68.
#[test]
fn denial_is_one_call_for_six_runs() {
    let fixture = Fixture::new();
    fixture.aws.remove_role(ROLE);
    for _ in 0..6 {
        fixture.token_error("prod", 1);
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1);
}

/// Fault matrix row 69.
#[test]
fn fixed_trust_policy_works_after_ttl_or_refresh() {
    let fixture = Fixture::new();
    fixture.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "no").times(2));
    fixture.token_error("prod", 1);
    fixture.clock.advance(std::time::Duration::from_secs(5));
    fixture.token_error("prod", 1);
    fixture.block_on(fixture.agent.profiles.refresh(&"prod".parse().unwrap())).unwrap();
    fixture.good_token("prod");
}

/// Fault matrix row 59: an open circuit breaker does not refuse a user who asks again, or changed AWS files.
#[test]
fn refresh_and_changed_files_try_an_open_breaker() {
    let fixture = Fixture::new();
    let open_breaker = || {
        fixture.aws.fault(Op::AssumeRole, Fault::Status(500).forever());
        while {
            let before = fixture.aws.calls(Op::AssumeRole);
            fixture.token_error("prod", 1);
            fixture.aws.calls(Op::AssumeRole) > before
        } {}
        fixture.aws.clear_faults();
        // STS works again, and the clock stands still: the circuit breaker stays open.
        let calls = fixture.aws.calls(Op::AssumeRole);
        fixture.token_error("prod", 1);
        assert_eq!(fixture.aws.calls(Op::AssumeRole), calls);
        calls
    };
    let calls = open_breaker();
    fixture.block_on(fixture.agent.profiles.refresh(&"prod".parse().unwrap())).unwrap();
    assert_eq!(fixture.aws.calls(Op::AssumeRole), calls + 1);
    fixture.good_token("prod");

    fixture.clock.advance(std::time::Duration::from_hours(2));
    let calls = open_breaker();
    fixture.agent.recovery.sources_changed();
    fixture.good_token("prod");
    assert!(fixture.aws.calls(Op::AssumeRole) > calls);
}

#[test]
fn status_reports_problem_and_start_time() {
    let fixture = Fixture::new();
    fixture.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "no").times(1));
    fixture.token_error("prod", 1);
    let said = fixture.sandbox.run(fixture.sandbox.rolecall().args(["status", "--json"]));
    said.assert_ok();
    let profile = &said.json()["profiles"][0];
    assert_eq!(profile["state"], "failed");
    assert_eq!(profile["problem"]["code"], "access_denied");
    assert_eq!(profile["problem"]["since"], "2026-01-02T03:04:05Z");
    fixture.clock.advance(std::time::Duration::from_secs(5));
    fixture.good_token("prod");
    let profile = &fixture.agent.status.status().profiles[0];
    assert!(profile.problem.is_none());
    assert_eq!(profile.session.as_ref().unwrap().expires.unwrap().to_string(), "2026-01-02T04:04:10Z");
}

#[test]
fn source_failure_reports_its_cause() {
    let fixture = Fixture::new();
    let ask = |aws_profile: &str, code: i32| {
        let instead = format!("aws_profile = \"{aws_profile}\"");
        fixture.configure(&crate::fixture::PROD.replace("aws_profile = \"work\"", &instead));
        fixture.token_error("prod", code)
    };
    let folder = fixture.sandbox.home().join(".aws");
    let away = fixture.sandbox.home().join("away");
    std::fs::rename(&folder, &away).unwrap();
    let line = ask("nothing", 1);
    assert!(
        line.contains("AWS profile \"nothing\" not found in") && line.contains("There are no AWS profiles"),
        "{line}"
    );
    std::fs::rename(&away, &folder).unwrap();
    assert!(ask("wrok", 1).ends_with(" Did you mean \"work\"?"));

    fixture.sandbox.append_aws_config(
        "[profile empty]\nregion = eu-west-1\n[profile broken]\ncredential_process = false\n\
         [profile mfa]\nrole_arn = arn:aws:iam::111122223333:role/x\nsource_profile = work\nmfa_serial = arn:aws:iam::111122223333:mfa/dev\n\
         [profile behind]\nrole_arn = arn:aws:iam::111122223333:role/y\nsource_profile = mfa\n",
    );
    assert!(ask("zebra", 1).ends_with(" Existing AWS profiles: behind, broken, empty, mfa, work."));
    let line = ask("empty", 1);
    assert!(line.contains("AWS profile \"empty\": has no credentials"), "{line}");
    let line = ask("broken", 1);
    assert!(line.contains("the credential_process of AWS profile \"broken\": the command failed"), "{line}");
    for wanting in ["mfa", "behind"] {
        let line = ask(wanting, 5);
        assert!(
            line.contains("needs an MFA code of arn:aws:iam::111122223333:mfa/dev. Run: rolecall login work"),
            "{line}"
        );
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
}

#[test]
fn missing_login_needs_the_user() {
    let fixture = Fixture::new();
    fixture.sandbox.append_aws_config(
        "[profile sso]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = dev\n\
         [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n",
    );
    fixture.configure(&crate::fixture::PROD.replace("aws_profile = \"work\"", "aws_profile = \"sso\""));
    let line = fixture.token_error("prod", 5);
    assert_eq!(line, "rolecall: prod: source \"work\" needs a login. Run: rolecall login work");
}

/// Accepts connections until there is none for the rest of the test. Gives each the answer, and returns how many there were.
fn serve_raw(answer: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown(Shutdown::Write);
            // Until the client closes it.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    (address, count)
}

/// Fault matrix row 67. The answer chooses TLS 1.0 or 1.1, which the client has not offered.
#[test]
fn old_tls_version_is_rejected() {
    for minor in [1, 2] {
        let fixture = Fixture::new();
        // ServerHello: the version, 32 random bytes, no session id, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
        let hello = [&[3, minor][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
        let handshake = [&[2, 0, 0, u8::try_from(hello.len()).unwrap()][..], &hello].concat();
        let record = [&[22, 3, minor, 0, u8::try_from(handshake.len()).unwrap()][..], &handshake].concat();
        let (address, count) = serve_raw(record);
        fixture.sandbox.write_aws_profile("work", &fixture.user, &format!("https://{address}"));
        let line = fixture.token_error("prod", 1);
        assert!(line.contains("TLS"), "{line}");
        let connections = count.load(Ordering::SeqCst);
        assert!((1..=5).contains(&connections), "{connections} connections");
    }
}

/// Fault matrix row 67. A redirect would take the signed request to another host, or out of TLS.
#[test]
fn redirect_is_not_followed() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let fixture = Fixture::new();
        let (elsewhere, elsewhere_count) = serve_raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec());
        let answer = format!(
            "HTTP/1.1 {status}\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let (address, count) = serve_raw(answer.into_bytes());
        fixture.sandbox.write_aws_profile("work", &fixture.user, &format!("http://{address}"));
        fixture.token_error("prod", 1);
        assert_eq!(elsewhere_count.load(Ordering::SeqCst), 0, "{status}");
        let connections = count.load(Ordering::SeqCst);
        assert!((1..=5).contains(&connections), "{connections} connections");
    }
}

/// Fault matrix row 67.
#[test]
fn untrusted_certificate_is_rejected() {
    let fixture = Fixture::new();
    // A TLS server at the address of STS, with a certificate of its own CA.
    fixture.sandbox.write_aws_profile("work", &fixture.user, &fixture.api.url());
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("STS at 127.0.0.1 is not trusted: its certificate is signed by an authority that this computer does not trust. Check the clock and [network]"), "{line}");
    assert!(fixture.api.requests().is_empty(), "it got no request");
}
