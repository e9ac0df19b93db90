//! Notifications: that a login has ended, or is about to; once each, and of no login that nobody needs.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use rolecall_harness::Sso;
use rolecall_protocol::{LockRequest, LoginRequest, LoginStep, Secret, UnlockRequest};
use rolecalld::desktop_notifications::{Notification, Shown};
use rolecalld::services::lock::Locker;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::world::{ACCOUNT, PROD, ROLE, World};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_secs(20);

/// A desktop, and a source on it that nobody is logged in to: what it shows for that comes after all that was due before.
struct Desktop<'a> {
    world: &'a World,
    center: Sso,
    shown: UnboundedReceiver<Notification>,
    config: String,
}

impl<'a> Desktop<'a> {
    fn of(world: &'a World, config: &str) -> Self {
        world.configure(config);
        let (tell, shown) = unbounded_channel();
        let agent = Arc::clone(&world.agent);
        world.block_on(async {
            drop(tokio::spawn(async move {
                let show = |notification| {
                    drop(tell.send(notification));
                    ready(Shown::Yes)
                };
                agent.login_expiry.notify(CancellationToken::new(), show).await;
            }));
        });
        Self { world, center: world.aws.sso(), shown, config: config.to_owned() }
    }

    /// What is shown next.
    #[track_caller]
    fn shows(&mut self, summary: &str) {
        assert_eq!(self.next(SOON).expect("nothing is shown").summary, summary);
    }

    fn next(&mut self, limit: Duration) -> Option<Notification> {
        self.world.block_on(async { tokio::time::timeout(limit, self.shown.recv()).await.ok().flatten() })
    }

    /// What is shown next where a profile is used that somebody has to log in for. Used again, as people do: the watch of AWS's
    /// files forgives what failed in the moment after a login, or a profile, was written there.
    #[track_caller]
    fn shows_after(&mut self, use_it: impl Fn(), summary: &str) {
        let shown = (0..20).find_map(|_| {
            use_it();
            self.next(Duration::from_secs(1))
        });
        assert_eq!(shown.expect("nothing is shown").summary, summary);
    }

    /// Nothing is shown but what is looked for last. Once a test.
    #[track_caller]
    fn shows_no_more(mut self) {
        self.world.sandbox.write_sso_profile("zz", Some("zz"), &self.center, ACCOUNT, "Nobody");
        let last = PROD.replace("work", "zz").replace("profiles.prod", "profiles.zz");
        self.configure(&format!("{}{last}", self.config));
        let world = self.world;
        self.shows_after(|| drop(world.token_error("zz", 5)), "Login needed: source zz");
    }

    fn configure(&mut self, config: &str) {
        config.clone_into(&mut self.config);
        self.world.configure(config);
    }

    /// Time passes, and somebody looks.
    fn later(&self, time: Duration) {
        self.world.clock.advance(time);
        self.world.agent.recovery.system_changed();
    }

    fn log_in(&self, code: Option<String>) {
        let code = code.map(Secret::new);
        let request = LoginRequest { code, ..LoginRequest::default() };
        let (tell, mut told) = tokio::sync::mpsc::channel(16);
        let last = self.world.block_on(async {
            self.world.agent.login.login("work".parse().unwrap(), request, tell).await;
            let mut last = None;
            while let Some(step) = told.recv().await {
                last = Some(step);
            }
            last
        });
        assert!(matches!(last, Some(LoginStep::Done { changed: true, .. })), "{last:?}");
    }

    fn warning(&self) -> Option<String> {
        let status = self.world.agent.status.status();
        let source = status.sources.iter().find(|source| source.name.as_str() == "work").unwrap();
        source.warning.as_ref().map(ToString::to_string)
    }
}

/// A role that wants a code, its configuration, and the device.
fn http_client(world: &World) -> (String, String) {
    let serial = world.aws.mfa_device(&world.user.arn).serial;
    world.aws.update_role(ROLE, |role| role.requires_mfa().max_session_duration(12 * HOUR));
    let mfa = format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]");
    (PROD.replace("[profiles.prod]", &mfa), serial)
}

/// A source that signs in to IAM Identity Center; a person approves whatever they are asked for.
fn central(world: &World) -> (String, Sso) {
    let center = world.aws.sso();
    let assigned = center.assign("dev", ACCOUNT, "Developers");
    world.aws.update_role(ROLE, |role| role.trusts(&assigned));
    world.sandbox.write_sso_profile("corp", Some("corp"), &center, ACCOUNT, "Developers");
    center.approve_all();
    (PROD.replace("aws_profile = \"work\"", "aws_profile = \"corp\""), center)
}

#[test]
fn a_code_that_is_about_to_end_is_told_before_and_when_it_has() {
    let world = World::new();
    let (config, serial) = http_client(&world);
    let mut desktop = Desktop::of(&world, &config);
    desktop.shows_after(|| drop(world.token_error("prod", 5)), "Login needed: source work");
    desktop.later(MINUTE);
    desktop.log_in(Some(world.aws.mfa_code(&serial)));
    for _ in 0..11 {
        world.good_token("prod");
        desktop.later(HOUR);
    }
    world.good_token("prod");
    assert_eq!(desktop.warning(), None);
    desktop.later(47 * MINUTE);
    desktop.shows("Login expires in 13 min: source work");
    let said = "source \"work\": login expires in 13 min. Run: rolecall login work --renew";
    assert_eq!(desktop.warning().as_deref(), Some(said));
    // A token is to be had still, although a newer session is not.
    world.good_token("prod");
    desktop.later(5 * MINUTE);
    world.good_token("prod");
    desktop.later(HOUR);
    desktop.shows_after(|| drop(world.token_error("prod", 5)), "Login needed: source work");
    assert_eq!(desktop.warning(), None);
    desktop.later(MINUTE);
    world.token_error("prod", 5);
    desktop.shows_no_more();
}

#[test]
fn a_code_for_one_role_alone_is_told_too() {
    let world = World::new();
    let (config, serial) = http_client(&world);
    let mut desktop = Desktop::of(&world, &format!("{config}duration = \"4h\"\n"));
    desktop.shows_after(|| drop(world.token_error("prod", 5)), "Login needed: source work");
    // The role's first, and no other is needed.
    let code = world.aws.mfa_code(&serial);
    let request = LoginRequest { code: Some(Secret::new(code)), ..LoginRequest::default() };
    let (tell, _told) = tokio::sync::mpsc::channel(16);
    world.block_on(world.agent.login.login("work".parse().unwrap(), request, tell));
    world.good_token("prod");
    desktop.later(230 * MINUTE);
    desktop.shows("Login expires in 10 min: source work");
    assert!(desktop.warning().is_some());
    desktop.shows_no_more();
}

#[test]
fn a_login_whose_renewal_was_refused_is_told_before_its_end_and_at_it() {
    let world = World::new();
    let (config, center) = central(&world);
    let mut desktop = Desktop::of(&world, &config);
    desktop.shows_after(|| drop(world.token_error("prod", 5)), "Login needed: source work");
    desktop.later(MINUTE);
    desktop.log_in(None);
    world.good_token("prod");
    center.revoke_refresh();
    desktop.later(58 * MINUTE);
    world.good_token("prod");
    desktop.shows("Login expires in 2 min: source work");
    desktop.later(2 * HOUR);
    desktop.shows_after(|| drop(world.token_error("prod", 5)), "Login needed: source work");
    // What is forgotten when the machine wakes up fails again, and is no news.
    for _ in 0..3 {
        desktop.later(5 * MINUTE);
        world.agent.recovery.sources_changed();
        world.token_error("prod", 5);
    }
    desktop.log_in(None);
    world.good_token("prod");
    center.revoke_all();
    desktop.later(3 * HOUR);
    desktop.shows_after(|| drop(world.token_error("prod", 5)), "Login needed: source work");
    desktop.shows_no_more();
}

#[test]
fn row_71_five_hundred_callers_are_one_notification() {
    let world = World::new();
    let (config, center) = central(&world);
    let mut desktop = Desktop::of(&world, &config);
    desktop.log_in(None);
    world.good_token("prod");
    center.revoke_all();
    world.clock.advance(9 * HOUR);
    let name = "prod".parse().unwrap();
    let crowd = || {
        world.block_on(async {
            let all = (0..500).map(|_| world.agent.token.token(&name, b"", None));
            for token in futures_util::future::join_all(all).await {
                assert_eq!(token.unwrap_err().0.code.exit_code(), 5);
            }
        });
    };
    desktop.shows_after(crowd, "Login needed: source work");
    crowd();
    desktop.shows_no_more();
}

#[test]
fn what_nobody_uses_any_more_is_not_told() {
    let world = World::new();
    let (config, serial) = http_client(&world);
    let desktop = Desktop::of(&world, &format!("{config}keep_warm = \"1h\"\n"));
    desktop.log_in(Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
    desktop.later(710 * MINUTE);
    assert!(desktop.warning().is_some(), "whoever asks is told");
    desktop.later(HOUR);
    desktop.shows_no_more();
}

#[test]
fn locked_nothing_is_told() {
    let world = World::new();
    let (config, serial) = http_client(&world);
    let mut desktop = Desktop::of(&world, &config);
    desktop.log_in(Some(world.aws.mfa_code(&serial)));
    world.good_token("prod");
    let passphrase = || Some("correct horse".to_owned().into());
    let lock = LockRequest { passphrase: passphrase(), ..LockRequest::default() };
    world.block_on(world.agent.lock.lock(lock, Locker::default())).unwrap();
    desktop.later(12 * HOUR);
    world.token_error("prod", 5);
    assert!(desktop.shown.is_empty());
    let unlock = UnlockRequest { passphrase: passphrase().unwrap() };
    world.block_on(world.agent.lock.unlock(unlock, Locker::default())).unwrap();
    // Nobody has used it since, as far as the world goes.
    desktop.shows_after(|| drop(world.token_error("prod", 5)), "Login needed: source work");
    desktop.shows_no_more();
}

#[test]
fn who_wants_no_notifications_gets_none_from_now_on() {
    let world = World::new();
    let (config, _) = http_client(&world);
    let mut desktop = Desktop::of(&world, &format!("{config}[notifications]\nlogin = false\n"));
    world.token_error("prod", 5);
    assert!(desktop.shown.is_empty());
    desktop.configure(&config);
    desktop.shows("Login needed: source work");
    desktop.shows_no_more();
}
