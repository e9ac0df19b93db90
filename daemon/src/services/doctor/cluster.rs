//! The API server: its pin, its network path, and its answer to the token.

use std::time::Duration;

use rolecall_protocol::{EventKind, Finding, FindingArea};

use super::diagnosis::{Diagnosis, FatalFinding};
use crate::pin;
use rolecall_aws::kubernetes::{KubernetesClient, KubernetesError, UserInfo};
use rolecall_aws::token::Token;

/// How long one call of the API server may take.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// What the API server answered to the token.
pub(super) struct Answer {
    pub(super) client: KubernetesClient,
    pub(super) user: Result<UserInfo, KubernetesError>,
}

/// Returns the client of the API server in the request. `None` if the request names none.
pub(super) fn client(diagnosis: &Diagnosis<'_>, token: Token) -> Option<Result<KubernetesClient, Finding>> {
    let query = diagnosis.request.api_server.as_ref()?;
    let profile = diagnosis.profile;
    let pem = match pin::api_server_ca(profile, query) {
        Ok(pem) => pem,
        Err(body) => {
            let finding = Finding::problem(FindingArea::ApiServer, "pin", "pin_mismatch", body.message)
                .fix(format!("rolecall kubeconfig {}", profile.name));
            return Some(Err(finding));
        }
    };
    let aws = &diagnosis.components.aws;
    let client = KubernetesClient::new(aws.clock(), &aws.network().path, &query.server, &pem, token.token);
    Some(client.map_err(|error| {
        Finding::problem(FindingArea::ApiServer, "API server", "kubeconfig_ca_invalid", error.to_string())
    }))
}

/// Sends the token to the API server.
pub(super) async fn ask(diagnosis: &Diagnosis<'_>, client: KubernetesClient) -> Answer {
    let silent = || KubernetesError::Unreachable { reason: "no response in time".to_owned() };
    let user = diagnosis.within(REVIEW_TIMEOUT, client.self_subject_review()).await;
    Answer { user: user.unwrap_or_else(|| Err(silent())), client }
}

/// Reports the network path of an answer.
pub(super) async fn report(diagnosis: &Diagnosis<'_>, answer: &Answer) -> Result<(), FatalFinding> {
    let is_accepted = match &answer.user {
        Ok(_)
        | Err(KubernetesError::Forbidden { .. } | KubernetesError::NotFound { .. } | KubernetesError::Status(404)) => {
            true
        }
        Err(KubernetesError::Unauthorized) => false,
        Err(error) => {
            let finding =
                Finding::problem(FindingArea::ApiServer, "API server", "api_server_unreachable", error.to_string());
            return Err(Box::new(finding));
        }
    };
    diagnosis.found(Finding::ok(FindingArea::ApiServer, "API server", "API server reachable")).await;
    diagnosis.found(Finding::ok(FindingArea::ApiServer, "API server", "certificate matches the pin")).await;
    let components = diagnosis.components;
    if components.activity.answered(&diagnosis.profile.name, is_accepted, components.aws.now()) {
        components.events.publish(EventKind::Token);
    }
    Ok(())
}
