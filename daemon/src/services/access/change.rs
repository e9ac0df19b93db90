//! How a change of access is made, in two requests and without state between them: the first returns the plan with its id,
//! the second plans again and makes the change if the id is still the same.

use rolecall_core::cluster_access::change::{Plan, PlanContext, PlanError};
use rolecall_core::cluster_access::principal::Principal;
use rolecall_core::cluster_access::reading::Reading;
use rolecall_protocol::{AccessPlan, AccessStep, ChangeOptions, ErrorBody, ErrorCode, ProfileName};
use tokio::sync::mpsc::Sender;

use super::connection::ClusterConnection;
use super::error::plan_error;
use super::reading::ClusterReading;
use super::report::Report;
use super::{AccessService, AgentError, compute};

/// A request for a change.
pub(super) trait ChangeRequest: Send + Sync {
    /// The name of the endpoint, for the log.
    const VERB: &'static str;

    /// Plan or apply.
    fn options(&self) -> &ChangeOptions;

    /// Reads the cluster and plans the change. Errors if the change as a whole is refused.
    fn plan(
        &self,
        cluster: &ClusterConnection<'_>,
        progress: &Progress<'_>,
    ) -> impl Future<Output = Result<Planned, ErrorBody>> + Send;
}

/// A plan, and what was read for it.
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) read: ClusterReading,
    /// The role or user of the profile's session.
    pub(super) caller: Principal,
    /// What has to hold for the caller afterwards.
    pub(super) caller_access: CallerAccess,
}

/// The access of the caller that a change leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallerAccess {
    /// The caller keeps what it has. A change of aws-auth after which it has less is rolled back.
    Keeps,
    /// The caller can enter once the access entries are changed. This is waited for.
    Gains,
    /// The user gave it up with `force`.
    GivenUp,
}

/// Sends progress to a client, which may have left.
pub(super) struct Progress<'a>(pub(super) &'a Sender<AccessStep>);

impl Progress<'_> {
    /// Reports the state of the change. A client that does not read misses it.
    pub(super) fn report(&self, done: usize, total: usize) {
        let _ = self.0.try_send(AccessStep::Progress { done, total, activity: None });
    }

    /// Reports what the daemon does.
    pub(super) fn activity(&self, activity: &str) {
        let activity = Some(activity.to_owned());
        let _ = self.0.try_send(AccessStep::Progress { done: 0, total: 0, activity });
    }
}

impl Planned {
    /// Computes a plan after which the caller keeps its access, unless the request is forced.
    pub(super) async fn compute(
        read: ClusterReading,
        context: PlanContext,
        is_forced: bool,
        plan: impl FnOnce(&Reading, &PlanContext) -> Result<Plan, PlanError> + Send + 'static,
    ) -> Result<Self, ErrorBody> {
        let caller_access = if is_forced { CallerAccess::GivenUp } else { CallerAccess::Keeps };
        let planned = compute(move || {
            let plan = plan(&read.reading, &context)?;
            Ok(Self { plan, read, caller: context.caller, caller_access })
        });
        planned.await?.map_err(|error| plan_error(&error))
    }
}

impl AccessService {
    /// Plans or makes a change, and sends its steps. A change that has begun goes on if its client leaves. Returns the error
    /// for which nothing was planned or changed.
    pub(super) async fn change<R: ChangeRequest>(
        &self,
        name: &ProfileName,
        request: &R,
        steps: &Sender<AccessStep>,
    ) -> Result<(), ErrorCode> {
        let (last, result) = match Box::pin(self.plan_or_make(name, request, steps)).await {
            Ok(step) => (step, Ok(())),
            Err(AgentError(error)) => {
                tracing::info!(profile = %name, verb = R::VERB, %error, "change of access failed");
                let code = error.code;
                (AccessStep::Failed { error }, Err(code))
            }
        };
        if steps.send(last).await.is_err() {
            tracing::info!(profile = %name, verb = R::VERB, "change of access ended after its client had left");
        }
        result
    }

    async fn plan_or_make<R: ChangeRequest>(
        &self,
        name: &ProfileName,
        request: &R,
        steps: &Sender<AccessStep>,
    ) -> Result<AccessStep, AgentError> {
        let profile = self.config.profile(name)?;
        let options = request.options();
        let failed = |body| AgentError::new(name, body);
        // One change at a time: a plan would be out of date after another change.
        let _turn = match &options.apply {
            Some(_) => Some(self.turn.lock().await),
            None => None,
        };
        let progress = Progress(steps);
        let plan = async {
            let cluster = self.connect(&profile, options.api_server.as_ref()).await?;
            let planned = request.plan(&cluster, &progress).await.map_err(failed)?;
            Ok((cluster, planned))
        };
        let (cluster, planned) = self.lock.while_unlocked(name, Box::pin(plan)).await?;
        let (planned, plan) = compute(move || {
            let plan = planned.plan.to_wire(&planned.read.reading);
            (planned, plan)
        })
        .await
        .map_err(failed)?;
        let Some(confirmed) = &options.apply else { return Ok(AccessStep::Plan(plan)) };
        if *confirmed != plan.id {
            let message = "the access of the cluster changed since the plan was shown; nothing was changed";
            let body = ErrorBody::new(ErrorCode::AccessChanged, message);
            return Err(failed(body.hint("Run the command again, and check the new plan.")));
        }
        if steps.is_closed() {
            let message = "the client left before the change began; nothing was changed";
            return Err(failed(ErrorBody::new(ErrorCode::Timeout, message)));
        }
        let _in_progress = self.in_progress.begin();
        let (verb, caller) = (R::VERB, &cluster.caller_arn);
        tracing::info!(profile = %name, cluster = cluster.name(), verb, caller, "change of access began");
        let report = Box::pin(self.make(&cluster, &planned, &plan, &progress)).await.finish();
        let failures = report.results.iter().filter(|result| result.error.is_some()).count();
        tracing::info!(profile = %name, cluster = cluster.name(), verb, failures, "change of access ended");
        Ok(AccessStep::Report(report))
    }

    /// Makes a change: the authentication mode, the access entries, aws-auth, and the mode that comes last. After a step that
    /// failed as a whole, the steps that depend on it are not made.
    async fn make(
        &self,
        cluster: &ClusterConnection<'_>,
        planned: &Planned,
        shown: &AccessPlan,
        progress: &Progress<'_>,
    ) -> Report {
        let plan = &planned.plan;
        let mut report = Report::new(plan, shown);
        if let Some(mode) = plan.mode_before {
            let outcome = self.set_mode(cluster, mode, progress).await;
            let is_set = outcome.is_ok();
            report.record_mode(outcome);
            if !is_set {
                return report;
            }
        }
        self.change_entries(cluster, plan, &mut report, progress).await;
        if planned.caller_access == CallerAccess::Gains && !report.has_failed() {
            self.wait_until_entered(cluster, &mut report, progress).await;
        }
        if let Some(data) = &plan.aws_auth {
            self.write_aws_auth(cluster, planned, data, &mut report, progress).await;
        }
        // The mode cannot be set back, so it is set only after complete success.
        if let Some(mode) = plan.mode_after.filter(|_| !report.has_failed()) {
            report.record_mode(self.set_mode(cluster, mode, progress).await);
        }
        report
    }
}
