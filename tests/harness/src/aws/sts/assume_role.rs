//! AssumeRole.

use std::time::{Duration, SystemTime};

use super::super::dispatch::Authentic;
use super::super::error::{ApiError, xml_escape};
use super::super::identity::{Identities, NewSession, Principal, Role};
use super::super::inbound::Service;
use super::super::plan::Expiration;
use super::super::reply::Reply;
use super::envelope;
use super::validate::{EXTERNAL_ID_PATTERN, NAME_PATTERN, Validator, members};
use crate::arn::Arn;
use crate::keys::AccessKey;
use crate::random::request_id;
use crate::time::rfc3339;

/// What a role's own session may have when it assumes the next role.
const CHAINED_LIMIT: u64 = 3600;
/// Room for session tags and policies in a token, in characters. AWS does not publish its own figure.
const PACKED_LIMIT: usize = 4096;

/// The parameters, once they are known to be well-formed.
struct Wanted<'a> {
    role_arn: &'a str,
    session_name: &'a str,
    seconds: u64,
    external_id: Option<&'a str>,
    source_identity: Option<&'a str>,
    tagged: bool,
    packed: usize,
}

pub(crate) fn answer(call: &Authentic<'_>) -> Result<Reply, ApiError> {
    let wanted = read(call)?;
    let mut state = call.world.state();
    let denied = |action: &str| ApiError::denied(Service::Sts, &call.caller.arn, action, wanted.role_arn);
    // A role that is not there and one that does not trust the caller look the same from outside.
    let role = state.identities.role(wanted.role_arn).cloned().ok_or_else(|| denied("sts:AssumeRole"))?;
    let allowed = state.identities.may(&call.caller, "sts:AssumeRole")
        && Identities::trusts(&role, &call.caller)
        && role.external_id.as_deref().is_none_or(|id| wanted.external_id == Some(id));
    if !allowed {
        return Err(denied("sts:AssumeRole"));
    }
    if wanted.tagged && !role.may_tag {
        return Err(denied("sts:TagSession"));
    }
    let source_identity = source_identity(&wanted, &role, &call.caller).map_err(denied)?;
    check_duration(&wanted, &role, &call.caller)?;
    if wanted.packed > PACKED_LIMIT {
        let percent = wanted.packed * 100 / PACKED_LIMIT;
        let message = format!("Packed size of session tags consumes {percent}% of allotted space.");
        return Err(ApiError::new(400, "PackedPolicyTooLarge", message));
    }
    let lifetime = call.twist.expires_in.unwrap_or(Duration::from_secs(wanted.seconds));
    let expires = call.world.clock.now() + lifetime;
    let new = NewSession {
        role: &role,
        name: wanted.session_name,
        expires,
        source_identity: source_identity.clone(),
        packed: wanted.packed,
    };
    let key = state.identities.add_session(&new);
    drop(state);
    Ok(write(call, &wanted, &role, &key, expires, source_identity.as_deref()))
}

fn read<'a>(call: &Authentic<'a>) -> Result<Wanted<'a>, ApiError> {
    let request = call.request;
    let mut check = Validator::new(request);
    let role_arn = check.required("RoleArn");
    let session_name = check.required("RoleSessionName");
    if request.param("RoleArn").is_some() {
        check.length("roleArn", role_arn, 20, 2048);
    }
    if request.param("RoleSessionName").is_some() {
        check.pattern("roleSessionName", session_name, NAME_PATTERN);
        check.length("roleSessionName", session_name, 2, 64);
    }
    let seconds = check.number("DurationSeconds", CHAINED_LIMIT, 900, 43_200);
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
    let tags = check_tags(call, &mut check);
    let policies = check_policies(call, &mut check)?;
    check.finish()?;
    if Arn::parse(role_arn).is_none_or(|arn| arn.service != "iam" || arn.kind() != "role") {
        return Err(ApiError::validation(format!("{role_arn} is invalid")));
    }
    Ok(Wanted {
        role_arn,
        session_name,
        seconds,
        external_id,
        source_identity,
        tagged: tags > 0,
        packed: tags + policies,
    })
}

/// Up to 50 tags and 50 transitive keys. Returns the room that they take in the token.
fn check_tags(call: &Authentic<'_>, check: &mut Validator<'_>) -> usize {
    let keys = members(call.request, "Tags", ".Key");
    let values = members(call.request, "Tags", ".Value");
    let transitive = members(call.request, "TransitiveTagKeys", "");
    check.count("tags", keys.len(), 50);
    check.count("transitiveTagKeys", transitive.len(), 50);
    for (number, key) in keys.iter().enumerate() {
        check.length(&format!("tags.{}.member.key", number + 1), key, 1, 128);
    }
    for (number, value) in values.iter().enumerate() {
        check.length(&format!("tags.{}.member.value", number + 1), value, 0, 256);
    }
    [keys, values, transitive].iter().flatten().map(|text| text.len() + 2).sum()
}

/// An inline policy of JSON, and up to 10 ARNs of managed ones. Returns the room that they take in the token.
fn check_policies(call: &Authentic<'_>, check: &mut Validator<'_>) -> Result<usize, ApiError> {
    let arns = members(call.request, "PolicyArns", ".arn");
    check.count("policyArns", arns.len(), 10);
    let policy = call.request.param("Policy").unwrap_or_default();
    check.length("policy", policy, usize::from(call.request.param("Policy").is_some()), 2048);
    if !policy.is_empty() && serde_json::from_str::<serde_json::Value>(policy).is_err() {
        return Err(ApiError::new(400, "MalformedPolicyDocument", "The policy is not in the valid JSON format."));
    }
    Ok(policy.len() + arns.iter().map(|arn| arn.len() + 2).sum::<usize>())
}

/// Once set, it stays through a chain; setting or carrying it needs the next role's consent. `Err` is the action that
/// is denied.
fn source_identity(wanted: &Wanted<'_>, role: &Role, caller: &Principal) -> Result<Option<String>, &'static str> {
    let changed = match (&caller.source_identity, wanted.source_identity) {
        (Some(inherited), Some(given)) => inherited != given,
        _ => false,
    };
    let identity = wanted.source_identity.map(str::to_owned).or_else(|| caller.source_identity.clone());
    if changed || identity.is_some() && !role.may_set_source_identity {
        return Err("sts:SetSourceIdentity");
    }
    Ok(identity)
}

fn check_duration(wanted: &Wanted<'_>, role: &Role, caller: &Principal) -> Result<(), ApiError> {
    if caller.role_arn.is_some() && wanted.seconds > CHAINED_LIMIT {
        let message =
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
        return Err(ApiError::validation(message));
    }
    if Duration::from_secs(wanted.seconds) > role.max_session {
        return Err(ApiError::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(())
}

fn write(
    call: &Authentic<'_>,
    wanted: &Wanted<'_>,
    role: &Role,
    key: &AccessKey,
    expires: SystemTime,
    source_identity: Option<&str>,
) -> Reply {
    let arn = call.twist.assumed_arn.as_ref().unwrap_or(&key.arn);
    let expiration = match &call.twist.expiration {
        Expiration::True => Some(rfc3339(expires)),
        Expiration::Text(text) => Some(text.clone()),
        Expiration::LeftOut => None,
    };
    let element = |name: &str, text: &str| format!("      <{name}>{}</{name}>\n", xml_escape(text));
    let user =
        [element("AssumedRoleId", &format!("{}:{}", role.id, wanted.session_name)), element("Arn", arn)].concat();
    let credentials = [
        element("AccessKeyId", &key.id),
        element("SecretAccessKey", &key.secret),
        element("SessionToken", key.session_token.as_deref().unwrap_or_default()),
        expiration.map(|text| element("Expiration", &text)).unwrap_or_default(),
    ]
    .concat();
    let packed = (wanted.packed * 100 / PACKED_LIMIT).to_string();
    let extras = [
        source_identity.map(|identity| element("SourceIdentity", identity)).unwrap_or_default(),
        if wanted.packed > 0 { element("PackedPolicySize", &packed) } else { String::new() },
    ]
    .concat();
    let id = request_id();
    let result = format!(
        "    <AssumedRoleUser>\n{user}    </AssumedRoleUser>\n    \
         <Credentials>\n{credentials}    </Credentials>\n{extras}"
    );
    Reply::xml(200, &id, envelope("AssumeRole", &id, &result))
}
