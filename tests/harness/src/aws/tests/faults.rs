use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::client::{Got, assume, eks, sts};
use super::{DEVELOPERS, aws};
use crate::aws::{Cluster, Cut, Fault, Gate, Op, Outcome};

const SOON: Duration = Duration::from_secs(10);

/// What AssumeRole says under a fault.
fn under(fault: Fault) -> std::io::Result<Got> {
    let (aws, dev) = aws();
    aws.fault(Op::AssumeRole, fault);
    let got = sts(&aws, &dev, "AssumeRole", &format!("&RoleArn={DEVELOPERS}&RoleSessionName=dev"));
    assert!(aws.log()[0].faulted);
    assert_eq!(assume(&aws, &dev, DEVELOPERS, "").status, 200, "a fault is played once");
    got
}

#[test]
fn errors_are_said_in_the_shape_of_the_service() {
    assert_eq!(under(Fault::Throttle).unwrap().error(), "400 Throttling: Rate exceeded");
    assert!(under(Fault::Status(503)).unwrap().error().starts_with("503 ServiceUnavailable"));
    let hostile = under(Fault::error(403, "AccessDenied", "\u{1b}]0;owned\u{7} </Message><x>")).unwrap();
    assert_eq!(hostile.error(), "403 AccessDenied: \u{1b}]0;owned\u{7} &lt;/Message&gt;&lt;x&gt;");
    let (aws, dev) = aws();
    aws.add_cluster(Cluster::new("prod", "eu-west-1"));
    aws.fault(Op::DescribeCluster, Fault::Throttle);
    let got = eks(&aws, &dev, "/clusters/prod");
    assert!(got.status == 429 && got.head.contains("x-amzn-errortype: throttlingexception"));
}

#[test]
fn answers_that_are_no_answers() {
    let empty = under(Fault::Empty200).unwrap();
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    let portal = under(Fault::Html).unwrap();
    assert!(portal.status == 200 && portal.head.contains("text/html") && portal.body.contains("Please log in"));
    let headers = vec![("location".to_owned(), "http://evil.example/".to_owned())];
    let raw = under(Fault::Raw { status: 302, headers, body: b"moved".to_vec() }).unwrap();
    assert!(raw.status == 302 && raw.head.contains("location: http://evil.example/") && raw.body == "moved");
    assert_eq!(under(Fault::Reset).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn answers_that_break_off() {
    let cut = |cut| under(Fault::Truncated(cut)).unwrap();
    let whole = cut(Cut::LengthOfTheCut);
    assert!(
        whole.head.contains(&format!("content-length: {}", whole.body.len()))
            && !whole.body.contains("</AssumeRoleResponse>")
    );
    let chunked = cut(Cut::NoLength);
    assert!(!chunked.head.contains("content-length") && chunked.body.ends_with("0\r\n\r\n"), "{chunked:?}");
    let closed = cut(Cut::ConnectionCloses);
    let promised: usize =
        closed.head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    assert_eq!(closed.body.len(), promised / 2);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "delays are in real time")]
fn answers_that_are_late() {
    let begun = Instant::now();
    assert_eq!(under(Fault::Delay(Duration::from_millis(60))).unwrap().status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(60));
    let begun = Instant::now();
    let slow = under(Fault::SlowBytes { bytes: 400, every: Duration::from_millis(10) }).unwrap();
    assert!(slow.body.ends_with("</AssumeRoleResponse>\n") && begun.elapsed() >= Duration::from_millis(30));
    let both = Fault::All(vec![
        Fault::Delay(Duration::from_millis(30)),
        Fault::Throttle,
        Fault::DateSkew(SignedDuration::from_hours(-2)),
    ]);
    assert_eq!(under(both).unwrap().error(), "400 Throttling: Rate exceeded");
}

#[test]
fn answers_that_lie() {
    let wrong = "arn:aws:sts::999988887777:assumed-role/intruder/dev";
    assert_eq!(under(Fault::WrongRole(wrong.to_owned())).unwrap().element("Arn"), wrong);
    assert_eq!(under(Fault::Expiration(Some("soon".to_owned()))).unwrap().element("Expiration"), "soon");
    assert!(!under(Fault::Expiration(None)).unwrap().body.contains("Expiration"));
    let skewed = under(Fault::DateSkew(SignedDuration::from_hours(24 * 365 * 20))).unwrap();
    assert!(skewed.head.contains("date: ") && !skewed.head.contains(" 202"), "{skewed:?}");
    let (aws, dev) = aws();
    aws.fault(Op::AssumeRole, Fault::ExpiresIn(Duration::from_secs(5)));
    let key = assume(&aws, &dev, DEVELOPERS, "").key();
    assert_eq!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().status, 200);
    aws.clock().advance(Duration::from_secs(5));
    assert_eq!(sts(&aws, &key, "GetCallerIdentity", "").unwrap().status, 403);
}

#[test]
fn faults_are_for_a_role_for_some_calls_or_for_ever() {
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
fn held_calls_wait_together_and_the_peak_is_kept() {
    const CROWD: usize = 300;
    let (aws, dev) = aws();
    let gate = Gate::new();
    aws.fault(Op::AssumeRole, Fault::Hold(gate.clone()).forever());
    std::thread::scope(|scope| {
        for _ in 0..CROWD {
            scope.spawn(|| assert_eq!(assume(&aws, &dev, DEVELOPERS, "").status, 200));
        }
        aws.wait_for_calls(Op::AssumeRole, CROWD, SOON);
        assert_eq!(aws.in_flight(Op::AssumeRole), CROWD);
        assert!(aws.log().iter().all(|call| call.outcome == Outcome::Pending));
        gate.open();
    });
    aws.wait_for_answers(Op::AssumeRole, CROWD, SOON);
    assert_eq!((aws.in_flight(Op::AssumeRole), aws.peak(Op::AssumeRole)), (0, CROWD));
}

#[test]
fn a_caller_that_goes_away_is_seen() {
    let (aws, _dev) = aws();
    aws.fault(Op::Unknown, Fault::Hold(Gate::new()));
    let mut stream = std::net::TcpStream::connect(aws.addr()).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    aws.wait_for_calls(Op::Unknown, 1, SOON);
    drop(stream);
    aws.wait_for_answers(Op::Unknown, 1, SOON);
    assert_eq!(aws.log()[0].outcome, Outcome::Abandoned);
    let impatient = std::panic::AssertUnwindSafe(|| aws.wait_for_calls(Op::Unknown, 2, Duration::from_millis(10)));
    assert!(std::panic::catch_unwind(impatient).is_err());
}
