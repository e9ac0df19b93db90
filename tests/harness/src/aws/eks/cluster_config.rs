//! UpdateClusterConfig of the authentication mode, and DescribeUpdate.

use serde_json::{Value, json};

use super::super::access::AssociatedPolicy;
use super::super::context::SignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::permission::authorize;
use super::target::{body, cluster, invalid, segment};
use crate::random::request_id;
use crate::time::unix_seconds;

/// The modes, in the only direction in which they change.
const MODES: [&str; 3] = ["CONFIG_MAP", "API_AND_CONFIG_MAP", "API"];

/// An update of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    id: String,
    cluster_arn: String,
    mode: String,
    request_token: String,
    created: u64,
    /// How many further DescribeUpdate calls find it in progress.
    polls: usize,
    /// `InProgress`, `Successful` or `Failed`.
    status: &'static str,
    /// Whether it will fail.
    fails: bool,
}

/// The updates of all clusters, and how later ones behave.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    pub(crate) all: Vec<Update>,
    /// How many DescribeUpdate calls find a new update in progress.
    pub(crate) polls: usize,
    /// Whether the next update fails.
    pub(crate) next_fails: bool,
}

pub(crate) fn update(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let name = segment(call, 1);
    authorize(call, "eks:UpdateClusterConfig", &name)?;
    let body = body(call)?;
    let now = call.shared.clock.now();
    let mut state = call.shared.state();
    let cluster = cluster(call, &mut state, &name)?.clone();
    let token = body["clientRequestToken"].as_str().unwrap_or_default();
    let of_cluster = |update: &&Update| update.cluster_arn == cluster.arn();
    let mut updates = state.updates.all.iter().filter(of_cluster);
    if let Some(known) = updates.clone().find(|update| !token.is_empty() && update.request_token == token) {
        return Ok(shown(known));
    }
    if updates.any(|update| update.status == "InProgress") {
        let message = format!("Cluster {name} already has an update in progress.");
        return Err(ApiError::new(409, "ResourceInUseException", message));
    }
    let mode = body["accessConfig"]["authenticationMode"].as_str().unwrap_or_default();
    check_mode(&cluster.authentication_mode, mode)?;
    let update = Update {
        id: request_id(),
        cluster_arn: cluster.arn(),
        mode: mode.to_owned(),
        request_token: token.to_owned(),
        created: unix_seconds(now),
        polls: state.updates.polls,
        status: "InProgress",
        fails: std::mem::take(&mut state.updates.next_fails),
    };
    let reply = shown(&update);
    state.updates.all.push(update);
    Ok(reply)
}

pub(crate) fn describe_update(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let (name, id) = (segment(call, 1), segment(call, 3));
    authorize(call, "eks:DescribeUpdate", &name)?;
    let mut state = call.shared.state();
    let arn = cluster(call, &mut state, &name)?.arn();
    let found = state.updates.all.iter_mut().find(|update| update.cluster_arn == arn && update.id == id);
    let Some(update) = found else {
        return Err(ApiError::new(404, "ResourceNotFoundException", format!("No update found for ID: {id}")));
    };
    if update.status == "InProgress" {
        if update.polls == 0 {
            update.status = if update.fails { "Failed" } else { "Successful" };
        } else {
            update.polls -= 1;
        }
    }
    let update = update.clone();
    if update.status == "Successful" {
        let cluster = cluster(call, &mut state, &name)?;
        let before = std::mem::replace(&mut cluster.authentication_mode, update.mode.clone());
        let creator = cluster.creator.clone().filter(|_| before == "CONFIG_MAP");
        if let Some(creator) = creator {
            let now = call.shared.clock.now();
            state.grant(&name, &call.region, &creator, now).policies = vec![AssociatedPolicy::cluster_admin(now)];
        }
    }
    Ok(shown(&update))
}

impl Updates {
    /// Returns whether an update of the cluster with this ARN is in progress.
    pub(crate) fn is_in_progress(&self, arn: &str) -> bool {
        self.all.iter().any(|update| update.cluster_arn == arn && update.status == "InProgress")
    }
}

fn check_mode(from: &str, to: &str) -> Result<(), ApiError> {
    let rank = |mode: &str| MODES.iter().position(|known| *known == mode);
    match (rank(from), rank(to)) {
        (Some(before), Some(after)) if after == before + 1 => Ok(()),
        (_, None) => Err(invalid(format!("The authentication mode must be one of {MODES:?}."))),
        _ => Err(invalid(format!("Unsupported authentication mode update from {from} to {to}"))),
    }
}

fn shown(update: &Update) -> Reply {
    let errors: Vec<Value> = if update.status == "Failed" {
        vec![json!({ "errorCode": "Unknown", "errorMessage": "The update failed.", "resourceIds": [] })]
    } else {
        Vec::new()
    };
    let update = json!({
        "id": update.id,
        "status": update.status,
        "type": "AccessConfigUpdate",
        "params": [{ "type": "AuthenticationMode", "value": format!("{:?}", update.mode) }],
        "createdAt": update.created,
        "errors": errors,
    });
    Reply::json(200, &request_id(), &json!({ "update": update }))
}
