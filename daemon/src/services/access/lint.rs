//! The lint endpoint: what is wrong with an aws-auth before anyone applies it.

use std::collections::BTreeSet;

use rolecall_core::cluster_access::aws_auth::manifest;
use rolecall_core::cluster_access::principal::Principal;
use rolecall_core::cluster_access::reading::{AwsAuthState, Reading};
use rolecall_protocol::{AccessLintRequest, AccessLinted, AccessRow, ErrorBody, ErrorCode};

use super::{AgentError, compute};

/// The partition of a file without a valid ARN.
const DEFAULT_PARTITION: &str = "aws";

/// Reads an aws-auth as the authenticator does, and lists what is wrong with it. Errors if the text is not one.
pub async fn lint(request: AccessLintRequest) -> Result<AccessLinted, AgentError> {
    compute(move || lint_text(&request)).await.map_err(AgentError)?
}

fn lint_text(request: &AccessLintRequest) -> Result<AccessLinted, AgentError> {
    let data = manifest::data_of(&request.text)
        .map_err(|error| AgentError(ErrorBody::new(ErrorCode::AccessRefused, error.to_string())))?;
    let mut reading = Reading {
        cluster: String::new(),
        partition: DEFAULT_PARTITION.to_owned(),
        account: String::new(),
        mode: None,
        entries: None,
        aws_auth: AwsAuthState::Present(data),
        missing: BTreeSet::new(),
    };
    // A file does not say its cluster: its first valid ARN gives the partition.
    let partition = |row: &AccessRow| Some(row.principal.parse::<Principal>().ok()?.partition().to_owned());
    if let Some(partition) = reading.rows().iter().find_map(partition) {
        reading.partition = partition;
    }
    Ok(AccessLinted { rows: reading.rows(), findings: reading.findings() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linted(text: &str) -> Result<AccessLinted, AgentError> {
        lint_text(&AccessLintRequest { text: text.to_owned() })
    }

    #[test]
    fn lint_reports_what_the_authenticator_ignores() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system}\ndata:\n  \
                    mapRoles: |\n    - rolearn: arn:aws-cn:iam::111122223333:role/team/dev\n      username: dev\n      \
                    groups: [dev]\n";
        let found = linted(text).unwrap();
        assert_eq!(found.rows.len(), 1);
        let codes: Vec<&str> = found.rows[0].findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, ["path_in_arn"]);
        assert!(!found.rows[0].applies);
    }

    #[test]
    fn lint_of_another_file_is_an_error() {
        for text in ["", "[1]", "a: [", "kind: Pod"] {
            let error = linted(text).err();
            assert!(error.is_some(), "{text}");
        }
    }
}
