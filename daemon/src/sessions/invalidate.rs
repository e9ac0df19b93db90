//! What is forgotten, and what is forgiven: sessions that are nobody's any more, and failures that may be over.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use rolecall_protocol::ErrorClass;
use tokio_util::sync::CancellationToken;

use super::{Freshness, SessionError, Sessions};
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::source::{Login, Owner};
use rolecall_aws::sso::SsoSession;
use rolecall_core::config::SourceConfig;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

impl Sessions {
    /// Forgets every session and gets none until [`Sessions::begin_again`]; what is in flight ends now, and lands nowhere.
    pub fn forget_all(&self) {
        self.cache.close();
        self.codes.clear();
        self.load_cancellation().cancel();
        self.sources.aws_profiles().sso().cancel_refreshes();
    }

    /// Gets sessions again, after [`Sessions::forget_all`].
    pub fn begin_again(&self) {
        *self.load_cancellation() = CancellationToken::new();
        self.cache.open();
    }

    pub(super) fn load_cancellation(&self) -> MutexGuard<'_, CancellationToken> {
        self.load_cancellation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets every session that was got from one of those sources, and what is in flight for them. Returns how many
    /// were live.
    pub fn forget(&self, ended: impl Fn(&SourceConfig) -> bool) -> usize {
        let now = self.now();
        let is_over = |chain: &RoleChain| {
            let foundations = self.foundations(std::iter::once(chain));
            foundations.iter().any(|below| ended(&below.source))
        };
        // What is below a source that ended: the roles of its AWS profile, its keys without MFA.
        let below: HashSet<RoleChain> = self.cache.keys().into_iter().filter(|chain| is_over(chain)).collect();
        let below = self.foundations(below.iter());
        let live = self.all().iter().filter(|(chain, session)| below.contains(chain) && session.is_usable(now)).count();
        self.cache.retain(|chain| !below.contains(chain));
        live
    }

    /// Forgets what went wrong with a chain and everything that it builds on: its profile was changed.
    pub fn clear_failures(&self, chain: &RoleChain) {
        let foundations = self.foundations(std::iter::once(chain));
        self.cache.clear_failures(|failed| foundations.contains(failed), |_| true);
    }

    /// Somebody logged in: what waited for that is tried again.
    pub fn logged_in(&self) {
        self.cache.clear_failures(|_| true, |error| error.class() == ErrorClass::Login);
    }

    /// AWS's own files were changed, by a login perhaps: what a source gave is asked for anew, and what it did not give may
    /// be given now.
    pub fn sources_changed(&self) {
        self.bases.files_changed(self.now());
        self.look_at_keys();
        self.cache.clear_failures(|_| true, SessionError::is_of_the_source);
    }

    /// Reads long-lived keys anew: sessions that were got with others are nobody's to use.
    fn look_at_keys(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let is_of_keys = |session: &Session| session.expires().is_none();
        for (chain, _) in self.all().into_iter().filter(|(chain, session)| chain.is_base() && is_of_keys(session)) {
            let sessions = self.clone();
            runtime.spawn(async move { sessions.get(&chain, Freshness::Cached).await.map(drop) });
        }
    }

    /// Forgets every failure that may have been the network's, which has changed. Where AWS asked for time it still wants it.
    pub fn clear_network_failures(&self) {
        self.aws.breakers().reset(|failure| failure.kind == AwsErrorKind::Throttled);
        self.cache.clear_failures(|_| true, |error| error.class() == ErrorClass::Retry && !error.is_throttled());
    }

    /// Forgets every failure: the machine woke up, or its clock was wrong, and an ended login may be none.
    pub fn clear_all_failures(&self) {
        self.aws.breakers().reset(|failure| failure.kind == AwsErrorKind::Throttled);
        self.cache.clear_failures(|_| true, |_| true);
    }

    /// Somebody has signed in here: what was got for whoever was signed in before is not theirs. To be told once more of the
    /// same login makes no difference.
    pub fn signed_in(&self, session: &SsoSession) {
        let owner = self.sources.aws_profiles().sso().last_login(session).map(Owner::Login);
        for base in self.bases.of_login(&Login::Sso(session.clone())) {
            if self.bases.gives(&base, owner.clone()) {
                self.cache.invalidate(|chain| self.foundations(std::iter::once(chain)).contains(&base));
            }
        }
    }

    /// Drops the values of everything that builds on a source. What is in flight goes on, and sees to it by itself. False
    /// where there was nothing.
    pub(super) fn invalidate_derived(&self, base: &RoleChain) -> bool {
        self.cache.invalidate(|chain| chain != base && self.foundations(std::iter::once(chain)).contains(base)) > 0
    }
}
