//! The network path to the API server: why it does not answer.

use rolecall_protocol::{Finding, FindingArea};

use super::diagnosis::Diagnosis;
use rolecall_aws::eks::EksCluster;
use rolecall_aws::error::NETWORK_HINT;
use rolecall_aws::kubernetes::{KubernetesError, UserInfo};

/// Returns why the API server gave no answer. `cluster` is its description, if EKS gave one.
pub(super) fn problem(
    _diagnosis: &Diagnosis<'_>,
    answer: &Result<UserInfo, KubernetesError>,
    _cluster: Option<&EksCluster>,
) -> Finding {
    let (code, cause) = match answer {
        Err(error @ KubernetesError::Unreachable { .. }) => ("api_server_unreachable", error.to_string()),
        Err(error @ KubernetesError::InvalidResponse { .. }) => ("api_server_intercepted", error.to_string()),
        Err(error) => ("api_server_failed", error.to_string()),
        Ok(_) => ("internal", "the API server answered".to_owned()),
    };
    Finding::problem(FindingArea::ApiServer, "API server", code, cause)
        .consequence("kubectl: Unable to connect to the server")
        .fix(NETWORK_HINT)
}
