//! What one diagnosis has: the components of the daemon, the profile, the stream of steps and the deadline.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{DoctorRequest, DoctorStep, ErrorCode, Finding};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use crate::services::access::AccessService;
use crate::services::config::ConfigService;
use crate::services::constraints::ConstraintService;
use crate::services::event_bus::EventBus;
use crate::services::profile_activity::ProfileActivity;
use crate::services::source_logins::SourceLogins;
use crate::sessions::Sessions;
use rolecall_aws::client::Aws;
use rolecall_core::cluster_access::principal::Principal;
use rolecall_core::profile::Profile;

/// How long a diagnosis takes at most. Each check has a shorter limit of its own.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(24);

/// What the checks use.
pub(crate) struct Components {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) sessions: Sessions,
    pub(crate) activity: Arc<ProfileActivity>,
    pub(crate) events: EventBus,
    pub(crate) source_logins: Arc<SourceLogins>,
    pub(crate) constraints: Arc<ConstraintService>,
    pub(crate) access: Arc<AccessService>,
    pub(crate) aws: Aws,
}

/// A problem after which the other checks are meaningless.
pub(super) type FatalFinding = Box<Finding>;

/// A diagnosis of one profile.
pub(super) struct Diagnosis<'a> {
    pub(super) components: &'a Components,
    pub(super) profile: &'a Arc<Profile>,
    pub(super) request: &'a DoctorRequest,
    steps: &'a Sender<DoctorStep>,
    end: Instant,
}

impl<'a> Diagnosis<'a> {
    /// Starts a diagnosis.
    pub(super) fn new(
        components: &'a Components,
        profile: &'a Arc<Profile>,
        request: &'a DoctorRequest,
        steps: &'a Sender<DoctorStep>,
    ) -> Self {
        Self { components, profile, request, steps, end: Instant::now() + TOTAL_TIMEOUT }
    }

    /// Reports that a check has begun.
    pub(super) async fn checking(&self, what: impl Into<String>) {
        self.send(DoctorStep::Checking { what: what.into() }).await;
    }

    /// Reports what a check found.
    pub(super) async fn found(&self, finding: Finding) {
        self.send(DoctorStep::Found { finding }).await;
    }

    /// Sends a step. The client may have left.
    pub(super) async fn send(&self, step: DoctorStep) {
        let _ = self.steps.send(step).await;
    }

    /// Returns the output of `work`; `None` after `limit` or at the end of the diagnosis.
    pub(super) async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let end = self.end.min(Instant::now() + limit);
        tokio::time::timeout_at(end, Box::pin(work)).await.ok()
    }

    /// Returns the source as the findings name it, for example `AWS profile work`.
    pub(super) fn source_kind(&self) -> String {
        self.profile.chain.source.describe()
    }

    /// Returns the last role of the profile; `None` if its source's own credentials sign the token.
    pub(super) fn principal(&self) -> Option<Principal> {
        self.profile.chain.steps.last().map(|step| Principal::from(&step.role))
    }

    /// Returns the last role of the profile, or its source if it has no role.
    pub(super) fn identity(&self) -> String {
        self.profile.chain.steps.last().map_or_else(|| self.source_kind(), |step| step.role.to_string())
    }
}

/// Returns what kubectl prints if the plugin fails with this error (client-go, `plugin/pkg/client/auth/exec/exec.go`).
pub(super) fn plugin_failure(code: ErrorCode) -> String {
    let exit_code = code.exit_code();
    format!(
        "kubectl: Unable to connect to the server: getting credentials: exec: executable rolecall failed with exit code {exit_code}"
    )
}
