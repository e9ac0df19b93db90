use std::time::Duration;

use jiff::SignedDuration;

use super::client::{Response, assume, eks, sts};
use super::{DEVELOPERS, aws};
use crate::aws::{Cluster, Cut, Fault, Gate, Op, Outcome};

const LIMIT: Duration = Duration::from_secs(10);

/// Returns the response to AssumeRole under a fault.
fn assume_under(fault: Fault) -> std::io::Result<Response> {
    let (aws, dev) = aws();
    aws.fault(Op::AssumeRole, fault);
    let response = sts(&aws, &dev, "AssumeRole", &format!("&RoleArn={DEVELOPERS}&RoleSessionName=dev"));
    assert!(aws.log()[0].faulted);
    assert_eq!(assume(&aws, &dev, DEVELOPERS, "").status, 200, "a fault applies once");
    response
}

#[test]
fn error_fault_has_the_format_of_the_service() {
    assert_eq!(assume_under(Fault::Throttle).unwrap().error(), "400 Throttling: Rate exceeded");
    assert!(assume_under(Fault::Status(503)).unwrap().error().starts_with("503 ServiceUnavailable"));
    let hostile = assume_under(Fault::error(403, "AccessDenied", "\u{1b}]0;owned\u{7} </Message><x>")).unwrap();
    assert_eq!(hostile.error(), "403 AccessDenied: \u{1b}]0;owned\u{7} &lt;/Message&gt;&lt;x&gt;");
    let (aws, dev) = aws();
    aws.add_cluster(Cluster::new("prod", "eu-west-1"));
    aws.fault(Op::DescribeCluster, Fault::Throttle);
    let response = eks(&aws, &dev, "/clusters/prod");
    assert!(response.status == 429 && response.head.contains("x-amzn-errortype: throttlingexception"));
}

#[test]
fn replaced_response_sent_unchanged() {
    let empty = assume_under(Fault::Empty200).unwrap();
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    let portal = assume_under(Fault::Html).unwrap();
    assert!(portal.status == 200 && portal.head.contains("text/html") && portal.body.contains("Please log in"));
    let headers = vec![("location".to_owned(), "http://evil.example/".to_owned())];
    let raw = assume_under(Fault::Raw { status: 302, headers, body: b"moved".to_vec() }).unwrap();
    assert!(raw.status == 302 && raw.head.contains("location: http://evil.example/") && raw.body == "moved");
    assert_eq!(assume_under(Fault::Reset).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn truncated_response_ends_as_scripted() {
    let cut = |cut| assume_under(Fault::Truncated(cut)).unwrap();
    let whole = cut(Cut::TruncatedLength);
    assert!(
        whole.head.contains(&format!("content-length: {}", whole.body.len()))
            && !whole.body.contains("</AssumeRoleResponse>")
    );
    let chunked = cut(Cut::Chunked);
    assert!(!chunked.head.contains("content-length") && chunked.body.ends_with("0\r\n\r\n"), "{chunked:?}");
    let closed = cut(Cut::ConnectionCloses);
    let promised: usize =
        closed.head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    assert_eq!(closed.body.len(), promised / 2);
}

#[test]
fn delayed_call_pending_until_abandoned() {
    let (aws, _dev) = aws();
    for fault in [Fault::Delay(Duration::from_hours(1)), Fault::SlowBytes { bytes: 1, every: Duration::from_hours(1) }]
    {
        let is_slow = matches!(fault, Fault::SlowBytes { .. });
        aws.fault(Op::Unknown, fault);
        let mut stream = std::net::TcpStream::connect(aws.addr()).unwrap();
        std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        if is_slow {
            // The response has begun, so the call has ended; its body has not.
            let mut head = [0; 12];
            std::io::Read::read_exact(&mut stream, &mut head).unwrap();
            assert_eq!(&head, b"HTTP/1.1 403");
        } else {
            aws.wait_for_calls(Op::Unknown, 1, LIMIT);
            assert_eq!(aws.in_flight(Op::Unknown), 1);
            drop(stream);
            aws.wait_for_responses(Op::Unknown, 1, LIMIT);
            assert_eq!(aws.log()[0].outcome, Outcome::Abandoned);
        }
    }
}

#[test]
fn combined_faults_all_apply() {
    let slow = assume_under(Fault::SlowBytes { bytes: 400, every: Duration::from_millis(1) }).unwrap();
    assert!(slow.body.ends_with("</AssumeRoleResponse>\n"), "{slow:?}");
    let delay = Fault::Delay(Duration::from_millis(1));
    let both = Fault::All(vec![delay, Fault::Throttle, Fault::DateSkew(SignedDuration::from_hours(24 * 365 * 20))]);
    let response = assume_under(both).unwrap();
    assert_eq!(response.error(), "400 Throttling: Rate exceeded");
    assert!(response.head.contains("date: ") && !response.head.contains(" 202"), "{response:?}");
}

#[test]
fn wrong_values_sent_as_scripted() {
    let wrong = "arn:aws:sts::999988887777:assumed-role/intruder/dev";
    assert_eq!(assume_under(Fault::WrongRole(wrong.to_owned())).unwrap().element("Arn"), wrong);
    assert_eq!(assume_under(Fault::Expiration(Some("later".to_owned()))).unwrap().element("Expiration"), "later");
    assert!(!assume_under(Fault::Expiration(None)).unwrap().body.contains("Expiration"));
    let skewed = assume_under(Fault::DateSkew(SignedDuration::from_hours(24 * 365 * 20))).unwrap();
    assert!(skewed.head.contains("date: ") && !skewed.head.contains(" 202"), "{skewed:?}");
    let (aws, dev) = aws();
    aws.fault(Op::AssumeRole, Fault::ExpiresIn(Duration::from_secs(5)));
    let key = assume(&aws, &dev, DEVELOPERS, "").key();
    assert_eq!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().status, 200);
    aws.clock().advance(Duration::from_secs(5));
    assert_eq!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().status, 403);
}

#[test]
fn fault_limited_to_role_count_or_cleared() {
    let (aws, dev) = aws();
    aws.fault(Op::AssumeRole, Fault::Throttle.for_role("arn:aws:iam::111122223333:role/other"));
    assert_eq!(assume(&aws, &dev, DEVELOPERS, "").status, 200);
    aws.fault(Op::AssumeRole, Fault::Throttle.times(2).for_role(DEVELOPERS));
    let statuses = [(); 3].map(|()| assume(&aws, &dev, DEVELOPERS, "").status);
    assert_eq!(statuses, [400, 400, 200]);
    aws.outage(&Fault::Status(500));
    let who = || sts(&aws, &dev, "GetCallerIdentity", "").unwrap().status;
    assert_eq!([who(), who(), assume(&aws, &dev, DEVELOPERS, "").status], [500, 500, 500]);
    aws.clear_faults();
    assert_eq!(who(), 200);
}

#[test]
fn held_calls_counted_in_flight_and_peak() {
    const CALLERS: usize = 300;
    let (aws, dev) = aws();
    let gate = Gate::new();
    aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).forever());
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| assert_eq!(assume(&aws, &dev, DEVELOPERS, "").status, 200));
        }
        aws.wait_for_calls(Op::AssumeRole, CALLERS, LIMIT);
        assert_eq!(aws.in_flight(Op::AssumeRole), CALLERS);
        assert!(aws.log().iter().all(|call| call.outcome == Outcome::Pending));
        gate.open();
    });
    aws.wait_for_responses(Op::AssumeRole, CALLERS, LIMIT);
    assert_eq!((aws.in_flight(Op::AssumeRole), aws.peak(Op::AssumeRole)), (0, CALLERS));
}

#[test]
fn caller_disconnected_logged_as_abandoned() {
    let (aws, _dev) = aws();
    aws.fault(Op::Unknown, Fault::Hold(Gate::new()));
    let mut stream = std::net::TcpStream::connect(aws.addr()).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    aws.wait_for_calls(Op::Unknown, 1, LIMIT);
    drop(stream);
    aws.wait_for_responses(Op::Unknown, 1, LIMIT);
    assert_eq!(aws.log()[0].outcome, Outcome::Abandoned);
    let too_many = std::panic::AssertUnwindSafe(|| aws.wait_for_calls(Op::Unknown, 2, Duration::from_millis(10)));
    assert!(std::panic::catch_unwind(too_many).is_err());
}
