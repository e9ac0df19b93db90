//! AWS rejects calls or returns invalid responses: the daemon respects the first and survives the second.

use std::fs;
use std::time::Duration;

use rolecall_harness::{AccessKey, Fault, Op, Output, within};

use crate::fixture::{Fixture, HANG_GUARD, ROLE, error_line};

const PROFILES: usize = 30;

/// The profiles `p0` to `p29`; the daemon runs.
fn with_30_profiles() -> Fixture {
    let fixture = Fixture::with_profiles(PROFILES);
    fixture.rolecall(&["agent", "start"]).assert_ok();
    fixture
}

/// Runs two clients per profile in parallel.
fn run_two_clients_per_profile(fixture: &Fixture) -> Vec<Output> {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2 * PROFILES)
            .map(|n| scope.spawn(move || fixture.rolecall(&["token", &format!("p{}", n % PROFILES)])))
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

/// Asserts the rate limit between any two calls: a burst of 20, then 5 calls per second.
#[track_caller]
fn assert_rate_limit(fixture: &Fixture) {
    let times = fixture.aws.times(Op::AssumeRole);
    for (first, begin) in times.iter().enumerate() {
        for (last, end) in times.iter().enumerate().skip(first) {
            let passed = end.duration_since(*begin).unwrap_or_default();
            // One more for the resolution of the daemon's clock.
            let allowed = 21.0 + 5.0 * passed.as_secs_f64();
            let calls = u32::try_from(last - first + 1).unwrap();
            assert!(f64::from(calls) <= allowed, "{calls} calls in {passed:?}");
        }
    }
}

/// A 503 of STS, with an optional Retry-After header in seconds.
fn unavailable(retry_after: Option<&str>) -> Fault {
    let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Receiver</Type>\
                <Code>ServiceUnavailable</Code><Message>Try again later</Message></Error>\
                <RequestId>1</RequestId></ErrorResponse>";
    let headers = [("content-type", "text/xml")].into_iter().chain(retry_after.map(|after| ("retry-after", after)));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Fault::Raw { status: 503, headers, body: body.into() }
}

/// Asserts that every client gets this message in time, that the calls stay within the rate limit, and that every
/// profile is served after the fault.
fn assert_reported_within_rate_limit(fault: Fault, words: &str) {
    let fixture = with_30_profiles();
    fixture.aws.fault(Op::AssumeRole, fault.forever());
    for said in run_two_clients_per_profile(&fixture) {
        let line = error_line(&said, 1);
        assert!(line.contains(words), "{line}");
    }
    fixture.aws.clear_faults();
    for n in 0..PROFILES {
        let name = format!("p{n}");
        let found =
            within(HANG_GUARD, || Some(fixture.rolecall(&["token", &name])).filter(|said| said.code() == Some(0)));
        assert!(found.is_some(), "{}", fixture.rolecall(&["token", &name]));
    }
    assert_rate_limit(&fixture);
}

/// Fault matrix row 59.
#[test]
fn sts_throttles_with_400_calls_stay_within_rate_limit() {
    assert_reported_within_rate_limit(Fault::Throttle, "STS throttled the call");
}

/// Fault matrix row 59.
#[test]
fn sts_throttles_with_429_calls_stay_within_rate_limit() {
    assert_reported_within_rate_limit(
        Fault::error(429, "TooManyRequestsException", "slow down"),
        "STS throttled the call",
    );
}

/// Fault matrix row 59.
#[test]
fn sts_unavailable_503_calls_stay_within_rate_limit() {
    assert_reported_within_rate_limit(unavailable(None), "STS is reached but fails: status 503: Try again later");
}

/// Fault matrix row 59.
#[test]
fn sts_retry_after_delays_the_next_call() {
    let fixture = with_30_profiles();
    fixture.aws.fault(Op::AssumeRole, unavailable(Some("2")).times(1));
    let said = within(HANG_GUARD, || Some(fixture.rolecall(&["token", "p0"])).filter(|said| said.code() == Some(0)));
    assert!(said.is_some(), "{}", fixture.rolecall(&["token", "p0"]));
    assert_pause(&fixture, Duration::from_secs(2));
}

/// Fault matrix row 59.
#[test]
fn sts_retry_after_applies_to_all_profiles() {
    let fixture = with_30_profiles();
    fixture.aws.fault(Op::AssumeRole, unavailable(Some("2")).times(1));
    // After this response, the daemon knows the pause. Calls that started earlier may still be running.
    fixture.rolecall(&["token", "p0"]);
    // Another test checks their messages.
    run_two_clients_per_profile(&fixture);
    let found = within(HANG_GUARD, || Some(fixture.rolecall(&["token", "p1"])).filter(|said| said.code() == Some(0)));
    assert!(found.is_some(), "{}", fixture.rolecall(&["token", "p1"]));
    assert_pause(&fixture, Duration::from_secs(2));
    assert_rate_limit(&fixture);
}

/// Asserts the minimum time between the first two calls.
#[track_caller]
fn assert_pause(fixture: &Fixture, pause: Duration) {
    let times = fixture.aws.times(Op::AssumeRole);
    let passed = times[1].duration_since(times[0]).unwrap();
    assert!(passed >= pause, "the second call of {} came after {passed:?}", times.len());
}

/// A valid AssumeRole response in XML, for a test to change.
struct AssumeRoleXml {
    before: String,
    root: &'static str,
    arn: String,
    key: AccessKey,
    more: String,
}

impl AssumeRoleXml {
    /// A valid response with a working key.
    fn valid(fixture: &Fixture) -> Self {
        let key = fixture.aws.session(ROLE, "dev-laptop", Duration::from_hours(1));
        let arn = key.arn.clone();
        Self { before: String::new(), root: "AssumeRoleResponse", arn, key, more: String::new() }
    }

    fn xml(&self) -> String {
        let Self { before, root, arn, key, more } = self;
        let token = key.session_token.as_deref().unwrap();
        format!(
            "{before}<{root} xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><AssumedRoleUser>\
             <AssumedRoleId>AROA:dev-laptop</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser><Credentials>\
             <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{token}</SessionToken>{more}\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult><ResponseMetadata>\
             <RequestId>1</RequestId></ResponseMetadata></{root}>",
            key.id, key.secret
        )
    }

    /// Returns the XML without one element.
    fn without(&self, element: &str) -> String {
        let xml = self.xml();
        let (before, rest) = xml.split_once(&format!("<{element}>")).unwrap();
        let (_, after) = rest.split_once(&format!("</{element}>")).unwrap();
        format!("{before}{after}")
    }
}

fn response(body: impl Into<Vec<u8>>) -> Fault {
    response_with_headers(body, &[])
}

fn response_with_headers(body: impl Into<Vec<u8>>, more: &[(&str, &str)]) -> Fault {
    let headers = [("content-type", "text/xml")].iter().chain(more);
    let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Raw { status: 200, headers, body: body.into() }
}

/// Returns the peak memory of the process, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// The most memory that any response may make the daemon use beyond what it uses when idle, in KiB. Calls of a session take
/// about 10 MiB of it in a debug build, most of them for code that is loaded at its first use.
const MEMORY: u64 = 12 * 1024;

/// Asserts that the client reports an invalid response in time, that the cached session stays, and that the daemon's
/// memory stays below the limit.
fn assert_rejected(malform: impl Fn(&Fixture) -> Fault) {
    let fixture = Fixture::configured();
    fixture.rolecall(&["agent", "start"]).assert_ok();
    let idle = peak_memory(fixture.daemon_pid());
    fixture.aws.fault(Op::AssumeRole, malform(&fixture).forever());
    let said = fixture.token();
    let line = error_line(&said, 1);
    assert!(line.contains("invalid response from STS"), "{line}");
    assert!(line.len() < 1024, "{said}");

    fixture.aws.clear_faults();
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
    let before = session(&fixture);
    fixture.aws.fault(Op::AssumeRole, malform(&fixture).forever());
    let said = fixture.rolecall(&["refresh", "prod"]);
    said.assert_code(1);
    fixture.token().assert_ok();
    assert_eq!(session(&fixture), before);

    let peak = peak_memory(fixture.daemon_pid());
    assert!(peak < idle + MEMORY, "{peak} kB, {idle} kB when idle");
}

fn session(fixture: &Fixture) -> String {
    let status = fixture.rolecall(&["status", "--json"]);
    let session = &status.json()["profiles"][0]["session"];
    assert!(session.is_object(), "{status}");
    session.to_string()
}

/// Fault matrix row 64.
#[test]
fn sts_response_template_is_accepted() {
    let fixture = Fixture::configured();
    fixture.aws.fault(Op::AssumeRole, response(AssumeRoleXml::valid(&fixture).xml()).forever());
    fixture.token().assert_ok();
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_wrong_root_is_rejected() {
    assert_rejected(|fixture| {
        response(AssumeRoleXml { root: "AssumeRoleWithSAMLResponse", ..AssumeRoleXml::valid(fixture) }.xml())
    });
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_missing_element_is_rejected() {
    for element in ["AccessKeyId", "SecretAccessKey", "SessionToken", "AssumedRoleUser", "Credentials"] {
        assert_rejected(|fixture| response(AssumeRoleXml::valid(fixture).without(element)));
    }
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_duplicate_element_is_rejected() {
    let twice = "<AccessKeyId>ASIAEXAMPLEEXAMPLE</AccessKeyId>".to_owned();
    assert_rejected(|fixture| response(AssumeRoleXml { more: twice.clone(), ..AssumeRoleXml::valid(fixture) }.xml()));
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_duplicate_element_in_other_form_is_rejected() {
    for twice in ["<SessionToken a=\"b\">x</SessionToken>", "<x:SessionToken xmlns:x=\"y\">x</x:SessionToken>"] {
        assert_rejected(|fixture| {
            response(AssumeRoleXml { more: twice.to_owned(), ..AssumeRoleXml::valid(fixture) }.xml())
        });
    }
}

/// Fault matrix row 64.
#[test]
fn sts_response_cut_off_after_its_last_field_is_rejected() {
    assert_rejected(|fixture| {
        let xml = AssumeRoleXml::valid(fixture).xml();
        let (before, _) = xml.split_once("</Expiration>").unwrap();
        response(format!("{before}</Expiration>"))
    });
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_control_characters_is_rejected() {
    for odd in ["\u{1b}", "&#10;", "&#x1b;"] {
        assert_rejected(|fixture| {
            let mut valid = AssumeRoleXml::valid(fixture);
            valid.key.session_token = valid.key.session_token.map(|token| token + odd);
            response(valid.xml())
        });
    }
}

/// Fault matrix row 64.
#[test]
fn sts_response_of_50_mb_is_not_read_completely() {
    let more = format!("<x>{}</x>", "y".repeat(50_000_000));
    assert_rejected(|fixture| response(AssumeRoleXml { more: more.clone(), ..AssumeRoleXml::valid(fixture) }.xml()));
}

/// Fault matrix row 64.
#[test]
fn sts_response_gzip_bomb_is_not_expanded() {
    let fixture = Fixture::bare();
    let bomb = fixture.sandbox.home().join("bomb.gz");
    let mut command = fixture.sandbox.command("sh");
    fixture
        .sandbox
        .run(command.args(["-c", "head -c 300000000 /dev/zero | gzip -1 >\"$1\"", "sh"]).arg(&bomb))
        .assert_ok();
    let bomb = fs::read(bomb).unwrap();
    assert_rejected(|_| response_with_headers(bomb.clone(), &[("content-encoding", "gzip")]));
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_xml_entities_is_rejected() {
    let outside = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>".to_owned();
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY x{n} \"{}\">", format!("&x{};", n - 1).repeat(10)))
        .fold("<!DOCTYPE r [<!ENTITY x0 \"ha\">".to_owned(), |text, entity| text + &entity);
    for before in [outside, laughs + "<!ENTITY x \"&x9;\">]>"] {
        // Once in a field that is shown to the user, once in a field that is sent.
        assert_rejected(|fixture| {
            let valid = AssumeRoleXml::valid(fixture);
            response(AssumeRoleXml { before: before.clone(), arn: format!("{}&x;", valid.arn), ..valid }.xml())
        });
        assert_rejected(|fixture| {
            let mut valid = AssumeRoleXml::valid(fixture);
            valid.key.session_token = Some("&x;".to_owned());
            response(AssumeRoleXml { before: before.clone(), ..valid }.xml())
        });
    }
}

/// Fault matrix row 64.
#[test]
fn sts_response_nested_100000_deep_does_not_overflow() {
    let (open, close) = ("<a>".repeat(100_000), "</a>".repeat(100_000));
    assert_rejected(|fixture| response(format!("{open}{}{close}", AssumeRoleXml::valid(fixture).xml())));
    let inside = format!("{open}{close}");
    // Unknown elements are allowed, so the test only checks that the daemon survives.
    let fixture = Fixture::configured();
    fixture.aws.fault(
        Op::AssumeRole,
        response(AssumeRoleXml { more: inside, ..AssumeRoleXml::valid(&fixture) }.xml()).forever(),
    );
    let pid = fixture.daemon_pid();
    let idle = peak_memory(pid);
    fixture.token();
    fixture.token();
    assert_eq!(fixture.daemon_pid(), pid);
    assert!(peak_memory(pid) < idle + MEMORY);
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_invalid_utf8_is_rejected() {
    assert_rejected(|fixture| {
        let mut bytes = AssumeRoleXml::valid(fixture).xml().into_bytes();
        bytes.splice(200..200, [0, 0xff, 0xfe, 0x1b]);
        response(bytes)
    });
}
