//! The doctor endpoint: checks the way from a profile's source to its cluster, in the order in which kubectl depends on it, and
//! stops at the first problem that makes the other checks meaningless.

mod access;
mod cluster;
mod constraints;
mod describe;
mod diagnosis;
mod failure;
mod path;
mod role;
mod source;
mod token;

use std::sync::Arc;

use rolecall_protocol::{DoctorRequest, DoctorStep, ErrorCode, ProfileName};
use tokio::sync::mpsc::Sender;

use super::error::AgentError;
use super::lock::LockService;
pub(crate) use diagnosis::Components;
use diagnosis::{Diagnosis, FatalFinding};

/// Diagnoses profiles.
pub struct DoctorService {
    lock: Arc<LockService>,
    components: Components,
}

impl DoctorService {
    pub(crate) const fn new(lock: Arc<LockService>, components: Components) -> Self {
        Self { lock, components }
    }

    /// Checks a profile and sends what each check found. Errors if the profile does not exist or the daemon is locked.
    pub async fn doctor(
        self: Arc<Self>,
        name: ProfileName,
        request: DoctorRequest,
        steps: Sender<DoctorStep>,
    ) -> Result<(), ErrorCode> {
        let (last, result) = match self.diagnose(&name, &request, &steps).await {
            Ok(()) => (DoctorStep::Done, Ok(())),
            Err(AgentError(error)) => {
                let code = error.code;
                (DoctorStep::Failed { error }, Err(code))
            }
        };
        // The client may have left.
        let _ = steps.send(last).await;
        result
    }

    async fn diagnose(
        &self,
        name: &ProfileName,
        request: &DoctorRequest,
        steps: &Sender<DoctorStep>,
    ) -> Result<(), AgentError> {
        let profile = self.components.config.profile(name)?;
        let diagnosis = Diagnosis::new(&self.components, &profile, request, steps);
        let checks = async {
            if let Err(finding) = run(&diagnosis).await {
                diagnosis.found(*finding).await;
            }
            Ok(())
        };
        self.lock.while_unlocked(name, Box::pin(checks)).await
    }
}

/// Runs the checks in order. Errors with the first finding that makes the others meaningless.
async fn run(diagnosis: &Diagnosis<'_>) -> Result<(), FatalFinding> {
    constraints::check(diagnosis).await;
    let source = source::check(diagnosis).await?;
    let session = role::check(diagnosis, &source).await?;
    let profile = diagnosis.profile;
    diagnosis.checking(format!("cluster {} in {}", profile.cluster, profile.chain.region)).await;
    let token = token::sign(diagnosis, &session).await?;
    diagnosis.found(token::finding(&token)).await;
    let describing = Box::pin(describe::describe(diagnosis, &session, &source.session));
    let asking = Box::pin(cluster::ask(diagnosis, token));
    let (description, asked) = tokio::join!(describing, asking);
    let answer = cluster::check(diagnosis, &session, &description, asked).await?;
    access::check(diagnosis, answer).await
}
