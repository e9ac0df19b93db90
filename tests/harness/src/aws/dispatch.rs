//! Handles a request: log, fault, signature, operation, response.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::call_log::{Call, Outcome, without_secrets};
use super::context::{SignedCall, UnsignedCall};
use super::error::ApiError;
use super::fault_plan::{Overrides, Plan};
use super::op::Op;
use super::reply::Reply;
use super::request::{ParsedRequest, Service};
use super::state::SharedAws;
use super::{eks, iam, signin, sso, sts};
use crate::aws::sigv4::{KnownKey, VerificationTime, claimed_key, verify};
use crate::serve::{Broken, ReplyBody};

/// Responds to one request.
pub(crate) async fn respond(shared: Arc<SharedAws>, request: Request<Incoming>) -> Result<Response<ReplyBody>, Broken> {
    let request = ParsedRequest::read(request).await?;
    let mut logged = LoggedCall::start(&shared, &request);
    let mut plan = logged.plan(&request);
    plan.wait().await;
    let response = match plan.replacement.take() {
        None => Some((serve(&shared, &request, plan.overrides.clone()), Vec::new())),
        Some(replacement) => replacement.reply(&request),
    };
    let Some((reply, extra)) = response else {
        logged.end(Outcome::Reset);
        return Err(Broken);
    };
    logged.end(outcome_of(&reply));
    Ok(plan.write(reply, extra, shared.clock.now()))
}

fn serve(shared: &SharedAws, request: &ParsedRequest, overrides: Overrides) -> Reply {
    if request.service == Service::Sso {
        return sso::serve(shared, request).unwrap_or_else(|error| error.reply(request));
    }
    let response = match request.op {
        Op::AssumeRoleWithWebIdentity => sts::serve_unsigned(&UnsignedCall { shared, request, overrides }),
        Op::CreateOAuth2Token => signin::serve(&UnsignedCall { shared, request, overrides }),
        _ => authenticate(shared, request, overrides).and_then(|authentic| match request.service {
            Service::Sts | Service::Signin | Service::Sso => sts::serve(&authentic),
            Service::Eks => eks::serve(&authentic),
            Service::Iam => iam::serve(&authentic),
        }),
    };
    response.unwrap_or_else(|error| error.reply(request))
}

fn authenticate<'a>(
    shared: &'a SharedAws,
    request: &'a ParsedRequest,
    overrides: Overrides,
) -> Result<SignedCall<'a>, ApiError> {
    let service = request.service;
    let lookup = |key_id: &str| {
        let mut state = shared.state();
        if service == Service::Sts && state.identities.is_unknown_to_sts(key_id) {
            return None;
        }
        let credential = state.identities.credential(key_id)?;
        let (secret, session_token) = (credential.secret.clone(), credential.session_token.clone());
        Some(KnownKey { secret, session_token, expires: credential.expires })
    };
    let moment = VerificationTime { now: shared.clock.now(), tolerance: shared.state().tolerance };
    let verified =
        verify(&request.signed(), service.name(), moment, lookup).map_err(|error| ApiError::auth(service, error))?;
    let caller = shared.state().identities.credential(&verified.key_id).map(|credential| credential.principal.clone());
    // The key was removed in the meantime: report it as unknown.
    let caller = caller.ok_or_else(|| ApiError::auth(service, crate::aws::sigv4::AuthError::UnknownKey))?;
    Ok(SignedCall { shared, request, caller, region: verified.region, overrides })
}

fn outcome_of(reply: &Reply) -> Outcome {
    match &reply.error_code {
        None if reply.status < 400 => Outcome::Ok,
        code => Outcome::Error { status: reply.status, code: code.clone().unwrap_or_default() },
    }
}

/// A call in the log. Dropped before its end, it logs the call as abandoned.
struct LoggedCall<'a> {
    shared: &'a SharedAws,
    number: usize,
    ended: bool,
    caller_role: Option<String>,
}

impl<'a> LoggedCall<'a> {
    fn start(shared: &'a SharedAws, request: &ParsedRequest) -> Self {
        let claimed = claimed_key(&request.signed());
        let mut state = shared.state();
        let caller = claimed
            .as_ref()
            .and_then(|(key_id, _)| state.identities.credential(key_id))
            .map(|known| known.principal.clone());
        let mut params = without_secrets(&request.params);
        if request.service == Service::Eks {
            params.extend(eks::logged_parameters(request));
        }
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let number = state.calls.begin(Call {
            op: request.op,
            at: shared.clock.now(),
            caller_arn: caller.as_ref().map(|caller| caller.arn.clone()),
            role_arn: request.param("RoleArn").map(str::to_owned),
            session_name: request.param("RoleSessionName").map(str::to_owned),
            region: claimed.map(|(_, region)| region).or_else(|| request.region_in_host().map(str::to_owned)),
            host: header("host"),
            user_agent: header("user-agent"),
            params,
            outcome: Outcome::Pending,
            faulted: false,
        });
        drop(state);
        shared.notify();
        Self { shared, number, ended: false, caller_role: caller.and_then(|caller| caller.role_arn) }
    }

    /// Takes the fault that is scripted for this call.
    fn plan(&self, request: &ParsedRequest) -> Plan {
        let roles: Vec<&str> = request.param("RoleArn").into_iter().chain(self.caller_role.as_deref()).collect();
        let mut state = self.shared.state();
        let fault = state.faults.take(request.op, &roles);
        if fault.is_some() {
            state.calls.mark_faulted(self.number);
        }
        Plan::new(fault)
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.shared.state().calls.end(self.number, outcome);
        self.shared.notify();
    }
}

impl Drop for LoggedCall<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Abandoned);
        }
    }
}
