//! An AWS that refuses, or that answers what no AWS would: the real daemon honours the one and survives the other.

use std::fs;
use std::time::Duration;

use rolecall_harness::{AccessKey, Fault, Op, Output, Role, within};

use crate::fixture::{Fixture, HANG_GUARD, REGION, ROLE, one_line};

const PROFILES: usize = 30;

/// A fixture with profiles `p0` and so on, each with a role of its own, so that none can share a call. The daemon is there.
fn crowded() -> Fixture {
    let fixture = Fixture::bare();
    let mut config = "[sources.work]\naws_profile = \"work\"\n".to_owned();
    for n in 0..PROFILES {
        let role = format!("arn:aws:iam::111122223333:role/r{n}");
        fixture.aws.add_role(Role::new(&role).trusts(&fixture.user.arn));
        config.extend([format!(
            "[profiles.p{n}]\ncluster = \"prod\"\nregion = \"{REGION}\"\nsource = \"work\"\nrole_arn = \"{role}\"\n"
        )]);
    }
    fixture.write_config(&config);
    fixture.rolecall(&["agent", "start"]).assert_ok();
    fixture
}

/// Two callers of each profile at once.
fn all_ask(fixture: &Fixture) -> Vec<Output> {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2 * PROFILES)
            .map(|n| scope.spawn(move || fixture.rolecall(&["token", &format!("p{}", n % PROFILES)])))
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

/// Between any two calls there were no more than a burst of 20 and five a second.
#[track_caller]
fn within_the_budget(fixture: &Fixture) {
    let times = fixture.aws.times(Op::AssumeRole);
    for (first, begin) in times.iter().enumerate() {
        for (last, end) in times.iter().enumerate().skip(first) {
            let passed = end.duration_since(*begin).unwrap_or_default();
            // One more for the grain of the daemon's own clock.
            let allowed = 21.0 + 5.0 * passed.as_secs_f64();
            let calls = u32::try_from(last - first + 1).unwrap();
            assert!(f64::from(calls) <= allowed, "{calls} calls in {passed:?}");
        }
    }
}

/// A refusal of STS's own, with what it says about when to come back.
fn unavailable(retry_after: Option<&str>) -> Fault {
    let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Receiver</Type>\
                <Code>ServiceUnavailable</Code><Message>Come back later</Message></Error>\
                <RequestId>1</RequestId></ErrorResponse>";
    let headers = [("content-type", "text/xml")].into_iter().chain(retry_after.map(|after| ("retry-after", after)));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Fault::Raw { status: 503, headers, body: body.into() }
}

/// Everybody is told, in time and in so many words; STS is spared; and when it has had its rest, everybody is served.
fn a_crowd_is_refused_with(fault: Fault, words: &str) {
    let fixture = crowded();
    fixture.aws.fault(Op::AssumeRole, fault.forever());
    for said in all_ask(&fixture) {
        let line = one_line(&said, 1);
        assert!(line.contains(words), "{line}");
    }
    fixture.aws.clear_faults();
    for n in 0..PROFILES {
        let name = format!("p{n}");
        let found =
            within(HANG_GUARD, || Some(fixture.rolecall(&["token", &name])).filter(|said| said.code() == Some(0)));
        assert!(found.is_some(), "{}", fixture.rolecall(&["token", &name]));
    }
    within_the_budget(&fixture);
}

/// Fault matrix row 59.
#[test]
fn sts_throttles_with_400_calls_stay_within_rate_limit() {
    a_crowd_is_refused_with(Fault::Throttle, "STS asks for fewer calls");
}

/// Fault matrix row 59.
#[test]
fn sts_throttles_with_429_calls_stay_within_rate_limit() {
    a_crowd_is_refused_with(Fault::error(429, "TooManyRequestsException", "slow down"), "STS asks for fewer calls");
}

/// Fault matrix row 59.
#[test]
fn sts_unavailable_503_calls_stay_within_rate_limit() {
    a_crowd_is_refused_with(unavailable(None), "STS cannot be reached");
}

/// Fault matrix row 59.
#[test]
fn sts_retry_after_delays_the_next_call() {
    let fixture = crowded();
    fixture.aws.fault(Op::AssumeRole, unavailable(Some("2")).times(1));
    let said = within(HANG_GUARD, || Some(fixture.rolecall(&["token", "p0"])).filter(|said| said.code() == Some(0)));
    assert!(said.is_some(), "{}", fixture.rolecall(&["token", "p0"]));
    comes_back_after(&fixture, Duration::from_secs(2));
}

/// Fault matrix row 59.
#[test]
fn sts_retry_after_applies_to_all_profiles() {
    let fixture = crowded();
    fixture.aws.fault(Op::AssumeRole, unavailable(Some("2")).times(1));
    // Told, it has been heard: what began before that is nobody's fault.
    fixture.rolecall(&["token", "p0"]);
    // What they are told meanwhile is another test's matter.
    all_ask(&fixture);
    let found = within(HANG_GUARD, || Some(fixture.rolecall(&["token", "p1"])).filter(|said| said.code() == Some(0)));
    assert!(found.is_some(), "{}", fixture.rolecall(&["token", "p1"]));
    comes_back_after(&fixture, Duration::from_secs(2));
    within_the_budget(&fixture);
}

/// The second call came no earlier than that after the first.
#[track_caller]
fn comes_back_after(fixture: &Fixture, pause: Duration) {
    let times = fixture.aws.times(Op::AssumeRole);
    let passed = times[1].duration_since(times[0]).unwrap();
    assert!(passed >= pause, "the second call of {} came after {passed:?}", times.len());
}

/// An AssumeRole that succeeded, in XML, to be spoiled.
struct Answer {
    before: String,
    root: &'static str,
    arn: String,
    key: AccessKey,
    more: String,
}

impl Answer {
    /// One that is good: its key is real.
    fn good(fixture: &Fixture) -> Self {
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

    /// Without one of its elements.
    fn without(&self, element: &str) -> String {
        let xml = self.xml();
        let (before, rest) = xml.split_once(&format!("<{element}>")).unwrap();
        let (_, after) = rest.split_once(&format!("</{element}>")).unwrap();
        format!("{before}{after}")
    }
}

fn answer(body: impl Into<Vec<u8>>) -> Fault {
    encoded(body, &[])
}

fn encoded(body: impl Into<Vec<u8>>, more: &[(&str, &str)]) -> Fault {
    let headers = [("content-type", "text/xml")].iter().chain(more);
    let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Raw { status: 200, headers, body: body.into() }
}

/// What the daemon has ever held at once, in kilobytes.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// The most that a daemon may hold after whatever answer, in kilobytes. A debug build has about half of it at rest.
const MEMORY: u64 = 40 * 1024;

/// Whatever STS answers: who asks is told in time that it is not STS, the session that is there stays, and the daemon does
/// not swell.
fn withstands(spoil: impl Fn(&Fixture) -> Fault) {
    let fixture = Fixture::configured();
    fixture.rolecall(&["agent", "start"]).assert_ok();
    fixture.aws.fault(Op::AssumeRole, spoil(&fixture).forever());
    let said = fixture.token();
    let line = one_line(&said, 1);
    assert!(line.contains("what answers in the place of STS is not STS"), "{line}");
    assert!(line.len() < 1024, "{said}");

    fixture.aws.clear_faults();
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
    let before = session(&fixture);
    fixture.aws.fault(Op::AssumeRole, spoil(&fixture).forever());
    let said = fixture.rolecall(&["refresh", "prod"]);
    said.assert_code(1);
    fixture.token().assert_ok();
    assert_eq!(session(&fixture), before);

    let peak = peak_memory(fixture.daemon_pid());
    assert!(peak < MEMORY, "{peak} kB");
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
    fixture.aws.fault(Op::AssumeRole, answer(Answer::good(&fixture).xml()).forever());
    fixture.token().assert_ok();
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_wrong_root_is_rejected() {
    withstands(|fixture| answer(Answer { root: "AssumeRoleWithSAMLResponse", ..Answer::good(fixture) }.xml()));
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_missing_element_is_rejected() {
    for element in ["AccessKeyId", "SecretAccessKey", "SessionToken", "AssumedRoleUser", "Credentials"] {
        withstands(|fixture| answer(Answer::good(fixture).without(element)));
    }
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_duplicate_element_is_rejected() {
    let twice = "<AccessKeyId>ASIAEXAMPLEEXAMPLE</AccessKeyId>".to_owned();
    withstands(|fixture| answer(Answer { more: twice.clone(), ..Answer::good(fixture) }.xml()));
}

/// Fault matrix row 64.
#[test]
fn sts_response_of_50_mb_is_not_read_completely() {
    let more = format!("<x>{}</x>", "y".repeat(50_000_000));
    withstands(|fixture| answer(Answer { more: more.clone(), ..Answer::good(fixture) }.xml()));
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
    withstands(|_| encoded(bomb.clone(), &[("content-encoding", "gzip")]));
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_xml_entities_is_rejected() {
    let outside = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>".to_owned();
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY x{n} \"{}\">", format!("&x{};", n - 1).repeat(10)))
        .fold("<!DOCTYPE r [<!ENTITY x0 \"ha\">".to_owned(), |text, entity| text + &entity);
    for before in [outside, laughs + "<!ENTITY x \"&x9;\">]>"] {
        // In what is shown to a person, and in what is sent.
        withstands(|fixture| {
            let good = Answer::good(fixture);
            answer(Answer { before: before.clone(), arn: format!("{}&x;", good.arn), ..good }.xml())
        });
        withstands(|fixture| {
            let mut good = Answer::good(fixture);
            good.key.session_token = Some("&x;".to_owned());
            answer(Answer { before: before.clone(), ..good }.xml())
        });
    }
}

/// Fault matrix row 64.
#[test]
fn sts_response_nested_100000_deep_does_not_overflow() {
    let (open, close) = ("<a>".repeat(100_000), "</a>".repeat(100_000));
    withstands(|fixture| answer(format!("{open}{}{close}", Answer::good(fixture).xml())));
    let inside = format!("{open}{close}");
    // Elements that nobody knows are no mistake, so only that it survives is asked.
    let fixture = Fixture::configured();
    fixture.aws.fault(Op::AssumeRole, answer(Answer { more: inside, ..Answer::good(&fixture) }.xml()).forever());
    fixture.token();
    let pid = fixture.daemon_pid();
    fixture.token();
    assert_eq!(fixture.daemon_pid(), pid);
    assert!(peak_memory(pid) < MEMORY);
}

/// Fault matrix row 64.
#[test]
fn sts_response_with_invalid_utf8_is_rejected() {
    withstands(|fixture| {
        let mut bytes = Answer::good(fixture).xml().into_bytes();
        bytes.splice(200..200, [0, 0xff, 0xfe, 0x1b]);
        answer(bytes)
    });
}
