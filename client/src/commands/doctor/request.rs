//! `--for-admin`: a message to send to the administrator who can fix a problem. It has no secret, no external id and no path
//! of this computer.

use std::fmt::Write as _;

use rolecall_protocol::{
    AdministratorRequest, Endpoint, Finding, FindingArea, ProfileDetails, ProfileName, escape_controls, location,
};
use serde::Serialize;

use super::facts::Facts;
use super::render::pretty;
use super::report::{ProfileReport, Report};

/// A request as `-o json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct RequestData<'a> {
    profile: &'a str,
    #[serde(flatten)]
    request: AdministratorRequest,
}

/// A text that a message must not have, and what it has in its place.
type Replacement = (String, &'static str);

/// Returns the requests for programs.
pub(super) fn data<'a>(report: &'a Report, facts: &Facts) -> Vec<RequestData<'a>> {
    let of_profile = |one: &'a ProfileReport| {
        let hidden = hidden_texts(&one.profile, facts);
        let requests = one.requests().into_iter().map(|(_, request)| redacted_request(request, &hidden));
        requests.map(|request| RequestData { profile: &one.profile, request }).collect::<Vec<_>>()
    };
    report.profiles.iter().flat_map(of_profile).collect()
}

/// Returns the messages as plain text; empty if no problem is for an administrator.
pub(super) fn text(report: &Report, facts: &Facts) -> String {
    let mut messages = Vec::new();
    for one in &report.profiles {
        let requests = one.requests();
        if requests.is_empty() {
            continue;
        }
        let details = details(&one.profile, facts);
        let hidden = hidden_texts(&one.profile, facts);
        for (finding, request) in requests {
            messages.push(redact(&message(one, details.as_ref(), finding, request), &hidden));
        }
    }
    messages.join("\n----\n\n")
}

fn details(profile: &str, facts: &Facts) -> Option<ProfileDetails> {
    let (agent, name) = (facts.agent.as_ref().ok()?, profile.parse::<ProfileName>().ok()?);
    agent.daemon.call_json(&Endpoint::Profile(name), b"").ok()
}

fn message(
    profile: &ProfileReport,
    details: Option<&ProfileDetails>,
    finding: &Finding,
    request: &AdministratorRequest,
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key}: {}", escape_controls(value));
    };
    line("To", &request.to);
    if let Some(identity) = identity(profile, details) {
        line("I am", &identity);
    }
    if let Some(details) = details {
        let ProfileDetails { status, role_chain, .. } = details;
        line("I tried to use", &format!("the EKS cluster {} in {}", status.cluster, status.region));
        if let Some(role) = role_chain.last() {
            line("With the role", role.as_str());
        }
        if let Some(account) = role_chain.last().and_then(|role| role.as_str().split(':').nth(4)) {
            line("In the account", account);
        }
    }
    line("What failed", &format!("{}: {}", finding.name, finding.cause));
    if let Some(consequence) = &finding.consequence {
        line("What I see", consequence);
    }
    line("What to do", &request.request);
    match request.commands.as_slice() {
        [] => {}
        [one] => {
            let _ = writeln!(text, "\nThe command:\n\n    {}", escape_controls(one));
        }
        several => {
            let _ = writeln!(text, "\nOne of these commands is enough:\n");
            for command in several {
                let _ = writeln!(text, "    {}", escape_controls(command));
            }
        }
    }
    if let Some(statement) = &request.statement {
        let indented: String = pretty(statement).lines().fold(String::new(), |text, line| text + "    " + line + "\n");
        let _ = write!(text, "\nThe statement to add to the policy:\n\n{indented}");
    }
    text
}

/// The ARN of the user: that of the source, or of the session.
fn identity(profile: &ProfileReport, details: Option<&ProfileDetails>) -> Option<String> {
    let of_source = profile.findings.iter().filter(|finding| finding.area == FindingArea::Source);
    let arn = of_source.flat_map(|finding| finding.cause.split([' ', ','])).find(|word| word.starts_with("arn:"));
    let session = || details?.status.session.as_ref()?.arn.clone();
    arn.map(str::to_owned).or_else(session)
}

/// The texts of this computer that a message must not have.
fn hidden_texts(profile: &str, facts: &Facts) -> Vec<Replacement> {
    let external_id = facts.config.as_ref().and_then(|config| config.profile(profile)?.external_id);
    let home = location::home().ok().map(|home| home.display().to_string()).filter(|home| home.len() > 1);
    let external_id = external_id.map(|id| (id.as_str().to_owned(), "EXTERNAL_ID"));
    external_id.into_iter().chain(home.map(|home| (home, "~"))).collect()
}

fn redact(text: &str, hidden: &[Replacement]) -> String {
    hidden.iter().fold(text.to_owned(), |text, (secret, shown)| text.replace(secret.as_str(), shown))
}

fn redacted_request(request: &AdministratorRequest, hidden: &[Replacement]) -> AdministratorRequest {
    let text = |text: &String| redact(text, hidden);
    let statement = request.statement.as_ref().map(|statement| redacted_value(statement, hidden));
    AdministratorRequest {
        to: text(&request.to),
        request: text(&request.request),
        commands: request.commands.iter().map(text).collect(),
        statement,
    }
}

fn redacted_value(value: &serde_json::Value, hidden: &[Replacement]) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(redact(text, hidden)),
        Value::Array(items) => items.iter().map(|item| redacted_value(item, hidden)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), redacted_value(value, hidden))).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> ProfileReport {
        let source =
            Finding::ok(FindingArea::Source, "source", "arn:aws:iam::111122223333:user/dev (AWS profile work)");
        let denied = Finding::problem(FindingArea::Role, "assume role", "role_denied", "AWS denies the role");
        let denied = denied.consequence("kubectl: no").administrator(AdministratorRequest {
            to: "an administrator of the AWS account 111122223333".to_owned(),
            request: "Allow it.".to_owned(),
            commands: vec!["aws iam put-role-policy --external-id secret-id".to_owned(), "other".to_owned()],
            statement: Some(json!({"Effect": "Allow", "Condition": {"StringEquals": {"sts:ExternalId": "secret-id"}}})),
        });
        ProfileReport::new("prod".to_owned(), vec![source, denied], Vec::new())
    }

    fn details() -> ProfileDetails {
        serde_json::from_value(json!({"name": "prod", "cluster": "europe", "region": "eu-west-1", "source": "work",
            "state": "unused", "source_kind": "AWS profile work", "duration_seconds": 3600,
            "hops": ["arn:aws:iam::444455556666:role/dev"]}))
        .unwrap()
    }

    #[test]
    fn message_has_everything_that_an_administrator_needs() {
        let report = report();
        let (finding, request) = report.requests()[0];
        let hidden = [("secret-id".to_owned(), "EXTERNAL_ID")];
        let text = redact(&message(&report, Some(&details()), finding, request), &hidden);
        let expected = "To: an administrator of the AWS account 111122223333\n\
             I am: arn:aws:iam::111122223333:user/dev\n\
             I tried to use: the EKS cluster europe in eu-west-1\n\
             With the role: arn:aws:iam::444455556666:role/dev\n\
             In the account: 444455556666\n\
             What failed: assume role: AWS denies the role\n\
             What I see: kubectl: no\n\
             What to do: Allow it.\n\
             \n\
             One of these commands is enough:\n\
             \n    aws iam put-role-policy --external-id EXTERNAL_ID\n    other\n\
             \n\
             The statement to add to the policy:\n\
             \n    {\n      \"Condition\": {\n        \"StringEquals\": {\n          \"sts:ExternalId\": \"EXTERNAL_ID\"\n        }\n      },\n      \
             \"Effect\": \"Allow\"\n    }\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn redacted_request_hides_the_external_id_everywhere() {
        let report = report();
        let hidden = [("secret-id".to_owned(), "EXTERNAL_ID")];
        let request = redacted_request(report.requests()[0].1, &hidden);
        let data = serde_json::to_string(&RequestData { profile: "prod", request }).unwrap();
        assert!(data.starts_with(r#"{"profile":"prod","to":"an administrator"#), "{data}");
        assert!(!data.contains("secret-id") && data.contains(r#""sts:ExternalId":"EXTERNAL_ID""#), "{data}");
    }
}
