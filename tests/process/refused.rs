//! An AWS that refuses, or that answers what no AWS would: the real daemon honours the one and survives the other.

use std::fs;
use std::time::Duration;

use rolecall_harness::{AccessKey, Fault, Op, Output, Role, within};

use crate::world::{REGION, ROLE, World, one_line};

/// The client's own deadline: no call may reach it.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long after AWS's recovery everything works again.
const RECOVERY: Duration = Duration::from_secs(20);
const PROFILES: usize = 30;

/// A world with profiles `p0` and so on, each with a role of its own, so that none can share a call. The daemon is there.
fn crowded() -> World {
    let world = World::bare();
    let mut config = "[sources.work]\naws_profile = \"work\"\n".to_owned();
    for n in 0..PROFILES {
        let role = format!("arn:aws:iam::111122223333:role/r{n}");
        world.aws.add_role(Role::new(&role).trusts(&world.user.arn));
        config.extend([format!(
            "[profiles.p{n}]\ncluster = \"prod\"\nregion = \"{REGION}\"\nsource = \"work\"\nrole_arn = \"{role}\"\n"
        )]);
    }
    world.write_config(&config);
    world.rolecall(&["agent", "start"]).assert_ok();
    world
}

/// Two callers of each profile at once.
fn all_ask(world: &World) -> Vec<Output> {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2 * PROFILES)
            .map(|n| scope.spawn(move || world.rolecall(&["token", &format!("p{}", n % PROFILES)])))
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

/// Between any two calls there were no more than a burst of 20 and five a second.
#[track_caller]
fn within_the_budget(world: &World) {
    let times = world.aws.times(Op::AssumeRole);
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
    let world = crowded();
    world.aws.fault(Op::AssumeRole, fault.forever());
    for said in all_ask(&world) {
        let line = one_line(&said, 1);
        assert!(line.contains(words), "{line}");
        assert!(said.elapsed < DEADLINE, "{said}");
    }
    world.aws.clear_faults();
    for n in 0..PROFILES {
        let name = format!("p{n}");
        let found = within(RECOVERY, || Some(world.rolecall(&["token", &name])).filter(|said| said.code() == Some(0)));
        assert!(found.is_some(), "{}", world.rolecall(&["token", &name]));
    }
    within_the_budget(&world);
}

#[test]
fn row_59_throttled_by_400_a_crowd_is_told_and_sts_is_spared() {
    a_crowd_is_refused_with(Fault::Throttle, "STS throttled the call");
}

#[test]
fn row_59_throttled_by_429_a_crowd_is_told_and_sts_is_spared() {
    a_crowd_is_refused_with(Fault::error(429, "TooManyRequestsException", "slow down"), "STS throttled the call");
}

#[test]
fn row_59_refused_by_503_a_crowd_is_told_and_sts_is_spared() {
    a_crowd_is_refused_with(unavailable(None), "STS cannot be reached");
}

#[test]
fn row_59_what_sts_says_about_when_to_come_back_is_honoured() {
    let world = crowded();
    world.aws.fault(Op::AssumeRole, unavailable(Some("2")).times(1));
    let said = within(DEADLINE, || Some(world.rolecall(&["token", "p0"])).filter(|said| said.code() == Some(0)));
    assert!(said.is_some(), "{}", world.rolecall(&["token", "p0"]));
    comes_back_after(&world, Duration::from_secs(2));
}

#[test]
fn row_59_what_sts_says_to_one_about_when_to_come_back_counts_for_all() {
    let world = crowded();
    world.aws.fault(Op::AssumeRole, unavailable(Some("2")).times(1));
    // Told, it has been heard: what began before that is nobody's fault.
    world.rolecall(&["token", "p0"]);
    // What they are told meanwhile is another test's matter.
    all_ask(&world);
    let found = within(RECOVERY, || Some(world.rolecall(&["token", "p1"])).filter(|said| said.code() == Some(0)));
    assert!(found.is_some(), "{}", world.rolecall(&["token", "p1"]));
    comes_back_after(&world, Duration::from_secs(2));
    within_the_budget(&world);
}

/// The second call came no earlier than that after the first.
#[track_caller]
fn comes_back_after(world: &World, pause: Duration) {
    let times = world.aws.times(Op::AssumeRole);
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
    fn good(world: &World) -> Self {
        let key = world.aws.session(ROLE, "dev-laptop", Duration::from_hours(1));
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
fn withstands(spoil: impl Fn(&World) -> Fault) {
    let world = World::configured();
    world.rolecall(&["agent", "start"]).assert_ok();
    world.aws.fault(Op::AssumeRole, spoil(&world).forever());
    let said = world.token();
    let line = one_line(&said, 1);
    assert!(line.contains("invalid response from STS"), "{line}");
    assert!(line.len() < 1024 && said.elapsed < DEADLINE, "{said}");

    world.aws.clear_faults();
    world.rolecall(&["refresh", "prod"]).assert_ok();
    let before = session(&world);
    world.aws.fault(Op::AssumeRole, spoil(&world).forever());
    let said = world.rolecall(&["refresh", "prod"]);
    said.assert_code(1);
    assert!(said.elapsed < DEADLINE, "{said}");
    world.token().assert_ok();
    assert_eq!(session(&world), before);

    let peak = peak_memory(world.daemon_pid());
    assert!(peak < MEMORY, "{peak} kB");
}

fn session(world: &World) -> String {
    let status = world.rolecall(&["status", "--json"]);
    let session = &status.json()["profiles"][0]["session"];
    assert!(session.is_object(), "{status}");
    session.to_string()
}

#[test]
fn row_64_a_good_answer_in_these_words_is_taken() {
    let world = World::configured();
    world.aws.fault(Op::AssumeRole, answer(Answer::good(&world).xml()).forever());
    world.token().assert_ok();
}

#[test]
fn row_64_an_answer_with_another_root_is_refused() {
    withstands(|world| answer(Answer { root: "AssumeRoleWithSAMLResponse", ..Answer::good(world) }.xml()));
}

#[test]
fn row_64_an_answer_that_lacks_an_element_is_refused() {
    for element in ["AccessKeyId", "SecretAccessKey", "SessionToken", "AssumedRoleUser", "Credentials"] {
        withstands(|world| answer(Answer::good(world).without(element)));
    }
}

#[test]
fn row_64_an_answer_that_says_something_twice_is_refused() {
    let twice = "<AccessKeyId>ASIAEXAMPLEEXAMPLE</AccessKeyId>".to_owned();
    withstands(|world| answer(Answer { more: twice.clone(), ..Answer::good(world) }.xml()));
}

#[test]
fn row_64_an_answer_of_50_mb_is_not_read_to_its_end() {
    let more = format!("<x>{}</x>", "y".repeat(50_000_000));
    withstands(|world| answer(Answer { more: more.clone(), ..Answer::good(world) }.xml()));
}

#[test]
fn row_64_a_compressed_bomb_does_not_go_off() {
    let world = World::bare();
    let bomb = world.sandbox.home().join("bomb.gz");
    let mut command = world.sandbox.command("sh");
    world
        .sandbox
        .run(command.args(["-c", "head -c 300000000 /dev/zero | gzip -1 >\"$1\"", "sh"]).arg(&bomb))
        .assert_ok();
    let bomb = fs::read(bomb).unwrap();
    withstands(|_| encoded(bomb.clone(), &[("content-encoding", "gzip")]));
}

#[test]
fn row_64_entities_lead_nowhere_and_do_not_multiply() {
    let outside = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>".to_owned();
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY x{n} \"{}\">", format!("&x{};", n - 1).repeat(10)))
        .fold("<!DOCTYPE r [<!ENTITY x0 \"ha\">".to_owned(), |text, entity| text + &entity);
    for before in [outside, laughs + "<!ENTITY x \"&x9;\">]>"] {
        // In what is shown to a person, and in what is sent.
        withstands(|world| {
            let good = Answer::good(world);
            answer(Answer { before: before.clone(), arn: format!("{}&x;", good.arn), ..good }.xml())
        });
        withstands(|world| {
            let mut good = Answer::good(world);
            good.key.session_token = Some("&x;".to_owned());
            answer(Answer { before: before.clone(), ..good }.xml())
        });
    }
}

#[test]
fn row_64_a_hundred_thousand_elements_deep_is_no_stack_of_ours() {
    let (open, close) = ("<a>".repeat(100_000), "</a>".repeat(100_000));
    withstands(|world| answer(format!("{open}{}{close}", Answer::good(world).xml())));
    let inside = format!("{open}{close}");
    // Elements that nobody knows are no mistake, so only that it survives is asked.
    let world = World::configured();
    world.aws.fault(Op::AssumeRole, answer(Answer { more: inside, ..Answer::good(&world) }.xml()).forever());
    world.token();
    let pid = world.daemon_pid();
    world.token();
    assert_eq!(world.daemon_pid(), pid);
    assert!(peak_memory(pid) < MEMORY);
}

#[test]
fn row_64_bytes_that_are_no_text_are_refused() {
    withstands(|world| {
        let mut bytes = Answer::good(world).xml().into_bytes();
        bytes.splice(200..200, [0, 0xff, 0xfe, 0x1b]);
        answer(bytes)
    });
}
