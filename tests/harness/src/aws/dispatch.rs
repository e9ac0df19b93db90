//! From a request to its answer: log, fault, belief, operation, wire.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::calls::{Call, Outcome, without_secrets};
use super::error::ApiError;
use super::identity::Principal;
use super::inbound::{Inbound, Service};
use super::op::Op;
use super::plan::{Plan, Twist};
use super::reply::Reply;
use super::world::World;
use super::{eks, signin, sso, sts};
use crate::serve::{Broken, ReplyBody};
use crate::sigv4::{KnownKey, Moment, claimed_key, verify};

/// A request that is believed.
pub(crate) struct Authentic<'a> {
    pub(crate) world: &'a World,
    pub(crate) request: &'a Inbound,
    pub(crate) caller: Principal,
    /// Region of the credential scope.
    pub(crate) region: String,
    pub(crate) twist: Twist,
}

/// A request of an operation that nobody signs.
pub(crate) struct Unsigned<'a> {
    pub(crate) world: &'a World,
    pub(crate) request: &'a Inbound,
    pub(crate) twist: Twist,
}

/// Answers one request.
pub(crate) async fn answer(world: Arc<World>, request: Request<Incoming>) -> Result<Response<ReplyBody>, Broken> {
    let request = Inbound::read(request).await?;
    let mut ticket = Ticket::take(&world, &request);
    let mut plan = ticket.plan(&request);
    plan.wait().await;
    let answered = match plan.instead.take() {
        None => Some((serve(&world, &request, plan.twist.clone()), Vec::new())),
        Some(instead) => instead.reply(&request),
    };
    let Some((reply, extra)) = answered else {
        ticket.end(Outcome::Reset);
        return Err(Broken);
    };
    ticket.end(outcome(&reply));
    Ok(plan.write(reply, extra, world.clock.now()))
}

fn serve(world: &World, request: &Inbound, twist: Twist) -> Reply {
    if request.service == Service::Sso {
        return sso::serve(world, request).unwrap_or_else(|error| error.reply(request));
    }
    let answered = match request.op {
        Op::AssumeRoleWithWebIdentity => sts::serve_unsigned(&Unsigned { world, request, twist }),
        Op::CreateOAuth2Token => signin::serve(&Unsigned { world, request, twist }),
        _ => authenticate(world, request, twist).and_then(|authentic| match request.service {
            Service::Sts | Service::Signin | Service::Sso => sts::serve(&authentic),
            Service::Eks => eks::serve(&authentic),
        }),
    };
    answered.unwrap_or_else(|error| error.reply(request))
}

fn authenticate<'a>(world: &'a World, request: &'a Inbound, twist: Twist) -> Result<Authentic<'a>, ApiError> {
    let lookup = |key_id: &str| {
        let state = world.state();
        let credential = state.identities.credential(key_id)?;
        let (secret, session_token) = (credential.secret.clone(), credential.session_token.clone());
        Some(KnownKey { secret, session_token, expires: credential.expires })
    };
    let service = request.service;
    let moment = Moment { now: world.clock.now(), tolerance: world.state().tolerance };
    let verified =
        verify(&request.signed(), service.name(), moment, lookup).map_err(|error| ApiError::auth(service, error))?;
    let caller = world.state().identities.credential(&verified.key_id).map(|credential| credential.principal.clone());
    // Removed in the moment between: as if it had never been.
    let caller = caller.ok_or_else(|| ApiError::auth(service, crate::sigv4::AuthError::UnknownKey))?;
    Ok(Authentic { world, request, caller, region: verified.region, twist })
}

fn outcome(reply: &Reply) -> Outcome {
    match &reply.error_code {
        None if reply.status < 400 => Outcome::Ok,
        code => Outcome::Error { status: reply.status, code: code.clone().unwrap_or_default() },
    }
}

/// A call in the log. Dropped before it has ended, it says that the caller went away.
struct Ticket<'a> {
    world: &'a World,
    number: usize,
    ended: bool,
    caller_role: Option<String>,
}

impl<'a> Ticket<'a> {
    fn take(world: &'a World, request: &Inbound) -> Self {
        let claimed = claimed_key(&request.signed());
        let mut state = world.state();
        let caller = claimed
            .as_ref()
            .and_then(|(key_id, _)| state.identities.credential(key_id))
            .map(|known| known.principal.clone());
        let mut params = without_secrets(&request.params);
        if let (Service::Eks, Some(name)) = (request.service, request.segments().get(1)) {
            params.insert("name".to_owned(), name.clone());
        }
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let number = state.calls.begin(Call {
            op: request.op,
            at: world.clock.now(),
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
        world.notify();
        Self { world, number, ended: false, caller_role: caller.and_then(|caller| caller.role_arn) }
    }

    /// Takes the fault that is scripted for this call.
    fn plan(&self, request: &Inbound) -> Plan {
        let roles: Vec<&str> = request.param("RoleArn").into_iter().chain(self.caller_role.as_deref()).collect();
        let mut state = self.world.state();
        let fault = state.faults.take(request.op, &roles);
        if fault.is_some() {
            state.calls.mark_faulted(self.number);
        }
        Plan::new(fault)
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.world.state().calls.end(self.number, outcome);
        self.world.notify();
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Abandoned);
        }
    }
}
