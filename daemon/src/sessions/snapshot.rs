//! What one run of the program passes on to the next.

use super::Sessions;
use rolecall_aws::source::Owner;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

impl Sessions {
    /// What sources build on, to be passed on.
    #[must_use]
    pub fn all_through(&self) -> Vec<(RoleChain, RoleChain)> {
        self.bases.all_through()
    }

    /// Takes in what a source builds on, found before this process started_at.
    pub fn leads_through(&self, chain: &RoleChain, through: RoleChain) {
        self.bases.leads_through(chain, Some(through));
    }

    /// Takes in a session that was got before this process started_at.
    pub fn put(&self, chain: &RoleChain, session: Session) {
        self.cache.insert_if_absent(chain, session);
    }

    /// Which keys sources give, by their ids, to be passed on.
    #[must_use]
    pub fn all_keys(&self) -> Vec<(RoleChain, String)> {
        self.bases.all_keys()
    }

    /// Takes in which keys a source gave before this process started_at.
    pub fn gave(&self, chain: &RoleChain, key: &str) {
        self.bases.gives(chain, Some(Owner::Keys(key.to_owned())));
    }
}
