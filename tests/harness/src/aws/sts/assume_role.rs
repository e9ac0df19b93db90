//! AssumeRole.

use std::time::{Duration, SystemTime};

use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::identity::NewSession;
use super::super::principal::{Principal, SessionTags};
use super::super::reply::Reply;
use super::super::request::Service;
use super::super::role::{Role, TrustQuery};
use super::credentials;
use super::mfa::Code;
use super::parameters::{Tags, Wanted, combined, percent};
use super::validate::{EXTERNAL_ID_PATTERN, NAME_PATTERN, Validator};
use super::xml::{element, envelope};
use crate::arn::Arn;
use crate::aws::access_key::AccessKey;
use crate::random::request_id;

/// Longest session of a role that is assumed with the session of another role.
const CHAINED_LIMIT: u64 = 3600;

/// The validated parameters.
struct Parameters<'a> {
    wanted: Wanted<'a>,
    external_id: Option<&'a str>,
    source_identity: Option<&'a str>,
    tags: SessionTags,
    code: Code<'a>,
}

pub(crate) fn respond(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let parameters = read(call)?;
    let (wanted, caller, now) = (&parameters.wanted, &call.caller, call.shared.clock.now());
    let mut state = call.shared.state();
    let fresh = parameters.code.redeem(call, &mut state)?;
    let earlier = caller.mfa_since.map(|since| now.duration_since(since).unwrap_or_default());
    let mfa_age = if fresh { Some(Duration::ZERO) } else { earlier };
    let denied = |action: &str| ApiError::denied(Service::Sts, &caller.arn, action, wanted.role_arn);
    // The real STS does not reveal whether the role is missing or does not trust the caller.
    let role = state.identities.role(wanted.role_arn).cloned().ok_or_else(|| denied("sts:AssumeRole"))?;
    let source_identity = parameters.source_identity.or(caller.source_identity.as_deref());
    let query = TrustQuery {
        principal: caller,
        session_name: wanted.session_name,
        external_id: parameters.external_id,
        source_identity,
        tags: &parameters.tags,
        mfa_age,
    };
    if !state.identities.may(caller, "sts:AssumeRole") {
        let by = state.identities.denied_by(caller, "sts:AssumeRole");
        return Err(denied("sts:AssumeRole").by(by, "sts:AssumeRole"));
    }
    if !role.allows(&query) {
        let is_named =
            state.names_trust_policies && Arn::parse(&role.arn).is_some_and(|arn| arn.account == caller.account());
        return Err(if is_named { distrusted(caller, &role) } else { denied("sts:AssumeRole") });
    }
    let inherited = caller.tags.inherited();
    if !(role.may_tag || parameters.tags.all.is_empty() && inherited.all.is_empty()) {
        return Err(denied("sts:TagSession"));
    }
    if !may_have(source_identity, &role, caller) {
        return Err(denied("sts:SetSourceIdentity"));
    }
    let tags = combined(&parameters.tags, inherited)?;
    check_duration(wanted, &role, caller)?;
    let packed = wanted.packed(&tags)?;
    let expires = now + call.overrides.expires_in.unwrap_or(Duration::from_secs(wanted.seconds));
    let source_identity = source_identity.map(str::to_owned);
    let new = NewSession { role: &role, name: wanted.session_name, expires, source_identity, packed };
    let key = state.identities.add_tagged_session(&new, tags);
    drop(state);
    Ok(write(call, &new, &key, expires))
}

fn read<'a>(call: &SignedCall<'a>) -> Result<Parameters<'a>, ApiError> {
    let request = call.request;
    let mut check = Validator::new(request);
    let wanted = Wanted::read(request, &mut check);
    let external_id = check.optional("ExternalId");
    if let Some(id) = external_id {
        check.pattern("externalId", id, EXTERNAL_ID_PATTERN);
        check.length("externalId", id, 2, 1224);
    }
    let source_identity = check.optional("SourceIdentity");
    if let Some(identity) = source_identity {
        check.pattern("sourceIdentity", identity, NAME_PATTERN);
        check.length("sourceIdentity", identity, 2, 64);
    }
    let tags = Tags::read(request, &mut check);
    let code = Code::read(&mut check);
    check.finish()?;
    wanted.check()?;
    Ok(Parameters { wanted, external_id, source_identity, tags: tags.requested()?, code })
}

/// The error of a caller that the trust policy does not allow, in AWS's words for the same account.
fn distrusted(caller: &Principal, role: &Role) -> ApiError {
    let start = format!("User: {} is not authorized to perform: sts:AssumeRole", caller.arn);
    let reason = if role.denies_trust(caller) {
        "with an explicit deny in the role trust policy"
    } else {
        "because no role trust policy allows the sts:AssumeRole action"
    };
    ApiError::new(403, "AccessDenied", format!("{start} {reason}"))
}

/// A source identity stays through a role chain. Setting or passing it on needs the permission of the next role.
fn may_have(source_identity: Option<&str>, role: &Role, caller: &Principal) -> bool {
    let changed = caller.source_identity.as_deref().is_some_and(|inherited| source_identity != Some(inherited));
    !changed && (source_identity.is_none() || role.may_set_source_identity)
}

fn check_duration(wanted: &Wanted<'_>, role: &Role, caller: &Principal) -> Result<(), ApiError> {
    if caller.temporary && wanted.seconds > CHAINED_LIMIT {
        let message =
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
        return Err(ApiError::validation(message));
    }
    within_maximum(wanted, role)
}

/// Rejects a duration above the maximum of the role.
pub(crate) fn within_maximum(wanted: &Wanted<'_>, role: &Role) -> Result<(), ApiError> {
    if Duration::from_secs(wanted.seconds) > role.max_session {
        return Err(ApiError::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(())
}

fn write(call: &SignedCall<'_>, new: &NewSession<'_>, key: &AccessKey, expires: SystemTime) -> Reply {
    let id = request_id();
    let result = [
        assumed_user(new, call.overrides.assumed_arn.as_ref().unwrap_or(&key.arn)),
        credentials::write(key, expires, &call.overrides),
        new.source_identity.as_deref().map(|identity| element("SourceIdentity", identity)).unwrap_or_default(),
        packed_size(new.packed),
    ];
    Reply::xml(200, &id, envelope("AssumeRole", &id, &result.concat()))
}

/// Returns the element `AssumedRoleUser`.
pub(crate) fn assumed_user(new: &NewSession<'_>, arn: &str) -> String {
    let id = element("AssumedRoleId", &format!("{}:{}", new.role.id, new.name));
    format!("    <AssumedRoleUser>\n{id}{}    </AssumedRoleUser>\n", element("Arn", arn))
}

/// Returns the element `PackedPolicySize`, which is absent if nothing is packed.
pub(crate) fn packed_size(packed: usize) -> String {
    if packed > 0 { element("PackedPolicySize", &percent(packed).to_string()) } else { String::new() }
}
