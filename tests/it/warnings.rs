//! Notifications before and after a login expires: once each, and only for logins that are in use.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use rolecall_harness::Sso;
use rolecall_protocol::{EntryProof, LockRequest, LoginRequest, LoginStep, Secret, UnlockRequest};
use rolecalld::desktop_notifications::{Notification, Shown};
use rolecalld::services::lock::Locker;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::fixture::{ACCOUNT, Fixture, PROD, ROLE};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const HANG_GUARD: Duration = Duration::from_secs(20);

/// A desktop, and a source that needs a login: its notification arrives after all earlier ones.
struct Desktop<'a> {
    fixture: &'a Fixture,
    center: Sso,
    shown: UnboundedReceiver<Notification>,
    config: String,
}

impl<'a> Desktop<'a> {
    fn of(fixture: &'a Fixture, config: &str) -> Self {
        fixture.configure(config);
        let (sender, shown) = unbounded_channel();
        let agent = Arc::clone(&fixture.agent);
        fixture.block_on(async {
            drop(tokio::spawn(async move {
                let show = |notification| {
                    drop(sender.send(notification));
                    ready(Shown::Yes)
                };
                agent.notices.notify(CancellationToken::new(), show).await;
            }));
        });
        Self { fixture, center: fixture.aws.sso(), shown, config: config.to_owned() }
    }

    /// Checks the next notification.
    #[track_caller]
    fn shows(&mut self, summary: &str) {
        assert_eq!(self.next(HANG_GUARD).expect("nothing is shown").summary, summary);
    }

    fn next(&mut self, limit: Duration) -> Option<Notification> {
        self.fixture.block_on(async { tokio::time::timeout(limit, self.shown.recv()).await.ok().flatten() })
    }

    /// Checks the next notification, which a use of a profile without a valid login causes. The use is repeated, because the watch
    /// of AWS's files clears failures shortly after a login or a profile is written there.
    #[track_caller]
    fn shows_after(&mut self, use_it: impl Fn(), summary: &str) {
        let shown = (0..20).find_map(|_| {
            use_it();
            self.next(Duration::from_secs(1))
        });
        assert_eq!(shown.expect("nothing is shown").summary, summary);
    }

    /// Checks that no further notification was sent: the next one is that of the marker source. Ends the test.
    #[track_caller]
    fn assert_no_more(mut self) {
        self.fixture.sandbox.write_sso_profile("zz", Some("zz"), &self.center, ACCOUNT, "Unassigned");
        let last = PROD.replace("work", "zz").replace("profiles.prod", "profiles.zz");
        self.configure(&format!("{}{last}", self.config));
        let fixture = self.fixture;
        self.shows_after(|| drop(fixture.token_error("zz", 5)), "Login needed: source zz");
    }

    fn configure(&mut self, config: &str) {
        config.clone_into(&mut self.config);
        self.fixture.configure(config);
    }

    /// Advances the clock and lets the daemon check it.
    fn later(&self, time: Duration) {
        self.fixture.clock.advance(time);
        self.fixture.agent.recovery.system_changed();
    }

    fn log_in(&self, code: Option<String>) {
        let code = code.map(Secret::new);
        let request = LoginRequest { code, ..LoginRequest::default() };
        let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
        let last = self.fixture.block_on(async {
            let _ = self.fixture.agent.login.login("work".parse().unwrap(), request, sender).await;
            let mut last = None;
            while let Some(step) = receiver.recv().await {
                last = Some(step);
            }
            last
        });
        assert!(matches!(last, Some(LoginStep::Done { changed: true, .. })), "{last:?}");
    }

    fn warning(&self) -> Option<String> {
        let status = self.fixture.agent.status.status();
        let source = status.sources.iter().find(|source| source.name.as_str() == "work").unwrap();
        source.warning.as_ref().map(ToString::to_string)
    }
}

/// Configures a role that requires MFA. Returns the configuration and the device's serial.
fn with_mfa(fixture: &Fixture) -> (String, String) {
    let serial = fixture.aws.mfa_device(&fixture.user.arn).serial;
    fixture.aws.update_role(ROLE, |role| role.requires_mfa().max_session_duration(12 * HOUR));
    let mfa = format!("mfa = {{ serial = \"{serial}\" }}\n[profiles.prod]");
    (PROD.replace("[profiles.prod]", &mfa), serial)
}

/// Configures a source with IAM Identity Center, where every login is approved.
fn central(fixture: &Fixture) -> (String, Sso) {
    let center = fixture.aws.sso();
    let assigned = center.assign("dev", ACCOUNT, "Developers");
    fixture.aws.update_role(ROLE, |role| role.trusts(&assigned));
    fixture.sandbox.write_sso_profile("corp", Some("corp"), &center, ACCOUNT, "Developers");
    center.approve_all();
    (PROD.replace("aws_profile = \"work\"", "aws_profile = \"corp\""), center)
}

#[test]
fn mfa_expiry_is_notified_before_and_after() {
    let fixture = Fixture::new();
    let (config, serial) = with_mfa(&fixture);
    let mut desktop = Desktop::of(&fixture, &config);
    desktop.shows_after(|| drop(fixture.token_error("prod", 5)), "Login needed: source work");
    desktop.later(MINUTE);
    desktop.log_in(Some(fixture.aws.mfa_code(&serial)));
    for _ in 0..11 {
        fixture.good_token("prod");
        desktop.later(HOUR);
    }
    fixture.good_token("prod");
    assert_eq!(desktop.warning(), None);
    desktop.later(47 * MINUTE);
    desktop.shows("Login expires in 13 min: source work");
    let said = "source \"work\": login expires in 13 min. Run: rolecall login work --renew";
    assert_eq!(desktop.warning().as_deref(), Some(said));
    // The valid session still signs tokens, although it cannot be renewed.
    fixture.good_token("prod");
    desktop.later(5 * MINUTE);
    fixture.good_token("prod");
    desktop.later(HOUR);
    desktop.shows_after(|| drop(fixture.token_error("prod", 5)), "Login needed: source work");
    assert_eq!(desktop.warning(), None);
    desktop.later(MINUTE);
    fixture.token_error("prod", 5);
    desktop.assert_no_more();
}

#[test]
fn mfa_expiry_of_single_role_is_notified() {
    let fixture = Fixture::new();
    let (config, serial) = with_mfa(&fixture);
    let mut desktop = Desktop::of(&fixture, &format!("{config}duration = \"4h\"\n"));
    desktop.shows_after(|| drop(fixture.token_error("prod", 5)), "Login needed: source work");
    // The role's own code; no other is needed.
    let code = fixture.aws.mfa_code(&serial);
    let request = LoginRequest { code: Some(Secret::new(code)), ..LoginRequest::default() };
    let (sender, _told) = tokio::sync::mpsc::channel(16);
    let _ = fixture.block_on(fixture.agent.login.login("work".parse().unwrap(), request, sender));
    fixture.good_token("prod");
    desktop.later(230 * MINUTE);
    desktop.shows("Login expires in 10 min: source work");
    assert!(desktop.warning().is_some());
    desktop.assert_no_more();
}

#[test]
fn login_with_failed_renewal_is_notified_before_and_after() {
    let fixture = Fixture::new();
    let (config, center) = central(&fixture);
    let mut desktop = Desktop::of(&fixture, &config);
    desktop.shows_after(|| drop(fixture.token_error("prod", 5)), "Login needed: source work");
    desktop.later(MINUTE);
    desktop.log_in(None);
    fixture.good_token("prod");
    center.revoke_refresh();
    desktop.later(58 * MINUTE);
    fixture.good_token("prod");
    desktop.shows("Login expires in 2 min: source work");
    desktop.later(2 * HOUR);
    desktop.shows_after(|| drop(fixture.token_error("prod", 5)), "Login needed: source work");
    // Waking up clears the failure. The next load fails again, which causes no second notification.
    for _ in 0..3 {
        desktop.later(5 * MINUTE);
        fixture.agent.recovery.sources_changed();
        fixture.token_error("prod", 5);
    }
    desktop.log_in(None);
    fixture.good_token("prod");
    center.revoke_all();
    desktop.later(3 * HOUR);
    desktop.shows_after(|| drop(fixture.token_error("prod", 5)), "Login needed: source work");
    desktop.assert_no_more();
}

/// Fault matrix row 71.
#[test]
fn login_needed_500_callers_cause_one_notification() {
    let fixture = Fixture::new();
    let (config, center) = central(&fixture);
    let mut desktop = Desktop::of(&fixture, &config);
    desktop.log_in(None);
    fixture.good_token("prod");
    center.revoke_all();
    fixture.clock.advance(9 * HOUR);
    let name = "prod".parse().unwrap();
    let crowd = || {
        fixture.block_on(async {
            let all = (0..500).map(|_| fixture.agent.token.token(&name, b"", &EntryProof::Terminal, None));
            for token in futures_util::future::join_all(all).await {
                assert_eq!(token.unwrap_err().0.code.exit_code(), 5);
            }
        });
    };
    desktop.shows_after(crowd, "Login needed: source work");
    crowd();
    desktop.assert_no_more();
}

#[test]
fn unused_profile_causes_no_notification() {
    let fixture = Fixture::new();
    let (config, serial) = with_mfa(&fixture);
    let desktop = Desktop::of(&fixture, &format!("{config}keep_warm = \"1h\"\n"));
    desktop.log_in(Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
    desktop.later(710 * MINUTE);
    assert!(desktop.warning().is_some(), "a new caller causes a notification");
    desktop.later(HOUR);
    desktop.assert_no_more();
}

#[test]
fn locked_agent_sends_no_notification() {
    let fixture = Fixture::new();
    let (config, serial) = with_mfa(&fixture);
    let mut desktop = Desktop::of(&fixture, &config);
    desktop.log_in(Some(fixture.aws.mfa_code(&serial)));
    fixture.good_token("prod");
    let passphrase = || Some("correct horse".to_owned().into());
    let lock = LockRequest { passphrase: passphrase(), ..LockRequest::default() };
    fixture.block_on(fixture.agent.lock.lock(lock, Locker::default())).unwrap();
    desktop.later(12 * HOUR);
    fixture.token_error("prod", 5);
    assert!(desktop.shown.is_empty());
    let unlock = UnlockRequest { passphrase: passphrase().unwrap() };
    fixture.block_on(fixture.agent.lock.unlock(unlock, Locker::default())).unwrap();
    // The profile is not used after this.
    desktop.shows_after(|| drop(fixture.token_error("prod", 5)), "Login needed: source work");
    desktop.assert_no_more();
}

#[test]
fn notifications_disabled_in_config_stop_immediately() {
    let fixture = Fixture::new();
    let (config, _) = with_mfa(&fixture);
    let mut desktop = Desktop::of(&fixture, &format!("{config}[notifications]\nlogin = false\n"));
    fixture.token_error("prod", 5);
    assert!(desktop.shown.is_empty());
    desktop.configure(&config);
    desktop.shows("Login needed: source work");
    desktop.assert_no_more();
}

/// Fault matrix row 83.
#[test]
fn rejected_profile_is_notified_once() {
    let fixture = Fixture::new();
    let mut desktop = Desktop::of(&fixture, PROD);
    // One process whose tokens the cluster rejects.
    let reject = || {
        for _ in 0..5 {
            fixture.clock.advance(Duration::from_millis(100));
            fixture.token_again("prod");
        }
    };
    reject();
    let shown = desktop.next(HANG_GUARD).expect("nothing is shown");
    assert_eq!(shown.summary, "Cluster rejects profile prod (401)");
    assert_eq!(shown.body, "Run: rolecall doctor prod");
    reject();
    // Two processes that do not come back show that the cluster accepts the profile.
    for _ in 0..2 {
        fixture.good_token("prod");
    }
    desktop.later(MINUTE);
    assert!(fixture.agent.status.status().profiles[0].tokens_rejected.is_none());
    desktop.assert_no_more();
}

#[test]
fn rejected_profile_is_not_notified_if_disabled() {
    let fixture = Fixture::new();
    let desktop = Desktop::of(&fixture, &format!("[notifications]\nunauthorized = false\n{PROD}"));
    for _ in 0..5 {
        fixture.clock.advance(Duration::from_millis(100));
        fixture.token_again("prod");
    }
    assert!(fixture.agent.status.status().profiles[0].tokens_rejected.is_some());
    desktop.assert_no_more();
}
