//! The doctor: each cause of a failure is the first problem that it names.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rolecall_harness::{ApiServer, AwsProfile, DeniedBy, Fault, Op, PolicyType, Role};
use rolecall_protocol::{
    AccessQuery, DoctorRequest, DoctorStep, Endpoint, ErrorCode, Finding, FindingArea, FindingState, LockRequest,
};
use rolecalld::services::lock::Locker;
use tokio::sync::mpsc;

use crate::access::pinned;
use crate::fixture::{ACCOUNT, Fixture, PROD, REGION, ROLE, config_path};

/// Diagnoses the profile `prod`. The kubeconfig has the API server of the pin, and the CA of the fixture.
fn diagnose(fixture: &Fixture) -> Vec<Finding> {
    diagnose_with(fixture, DoctorRequest { api_server: Some(api_server(fixture)), ..DoctorRequest::default() })
}

fn api_server(fixture: &Fixture) -> AccessQuery {
    let details = fixture.agent.status.profile(&"prod".parse().unwrap()).unwrap();
    AccessQuery { server: details.server.unwrap(), certificate_authority_data: fixture.api.ca_base64() }
}

fn diagnose_with(fixture: &Fixture, request: DoctorRequest) -> Vec<Finding> {
    let mut steps = steps(fixture, request);
    assert_eq!(steps.pop(), Some(DoctorStep::Done), "{steps:#?}");
    let finding = |step| match step {
        DoctorStep::Found { finding } => Some(finding),
        DoctorStep::Checking { .. } => None,
        other => panic!("{other:?}"),
    };
    steps.into_iter().filter_map(finding).collect()
}

fn steps(fixture: &Fixture, request: DoctorRequest) -> Vec<DoctorStep> {
    let service = Arc::clone(&fixture.agent.doctor);
    fixture.block_on(async move {
        let (sender, mut steps) = mpsc::channel(16);
        let receive = async {
            let mut all = Vec::new();
            while let Some(step) = steps.recv().await {
                all.push(step);
            }
            all
        };
        tokio::join!(service.doctor("prod".parse().unwrap(), request, sender), receive).1
    })
}

/// Returns the code of the first finding that is not as it should be. It has a cause and a way to fix it.
#[track_caller]
fn first(fixture: &Fixture) -> Finding {
    let findings = diagnose(fixture);
    let first = findings.iter().find(|finding| finding.state != FindingState::Ok);
    first.unwrap_or_else(|| panic!("nothing found: {findings:#?}")).clone()
}

#[test]
fn healthy_profile_has_only_good_findings() {
    let fixture = pinned();
    let findings = diagnose(&fixture);
    assert!(
        findings.iter().all(|finding| finding.state == FindingState::Ok && finding.code.is_empty()),
        "{findings:#?}"
    );
    let causes: Vec<(FindingArea, &str)> =
        findings.iter().map(|finding| (finding.area, finding.cause.as_str())).collect();
    let token = causes[3].1;
    assert!(token.starts_with("token of ") && token.ends_with(" of 4,096 bytes, accepted by STS"), "{token}");
    assert_eq!(
        causes,
        [
            (FindingArea::Source, "arn:aws:iam::111122223333:user/dev (AWS profile work)"),
            (FindingArea::Source, "clock within 1 s of AWS"),
            (FindingArea::Role, ROLE),
            (FindingArea::ApiServer, token),
            (FindingArea::ApiServer, "API server reachable"),
            (FindingArea::ApiServer, "certificate matches the pin"),
            (FindingArea::Access, "user dev:dev-laptop (groups system:masters)"),
            (FindingArea::Access, "may do everything in namespace default"),
        ]
    );
    // A second diagnosis uses the session of the first.
    diagnose(&fixture);
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1);
}

/// A cause: how it is produced, and the code of the first finding that is not as it should be.
type Cause = (&'static str, fn(&mut Fixture));

#[track_caller]
fn assert_first(causes: &[Cause]) {
    for (code, produce) in causes {
        let mut fixture = pinned();
        produce(&mut fixture);
        let finding = first(&fixture);
        assert_eq!(finding.code, *code, "{finding:#?}");
        let is_fixable = finding.fix.is_some() || finding.administrator.is_some();
        assert!(is_fixable || finding.state == FindingState::NotChecked, "{finding:#?}");
        assert!(finding.state != FindingState::Problem || finding.consequence.is_some(), "{finding:#?}");
    }
}

/// Replaces a part of the configuration, which has the pin of `pinned`.
fn reconfigure(fixture: &Fixture, from: &str, to: &str) {
    let text = std::fs::read_to_string(config_path(&fixture.sandbox)).unwrap();
    assert!(text.contains(from), "{text}");
    fixture.configure(&text.replace(from, to));
}

/// Pins the profile to another API server and CA.
fn pin_to(fixture: &Fixture, server: &str, ca_base64: &str) {
    let hash = rolecall_aws::cluster::ca_sha256(ca_base64).unwrap();
    fixture.configure(&format!("{PROD}server = \"{server}\"\nca_sha256 = \"{hash}\"\n"));
}

/// An address at which nothing listens.
const CLOSED: &str = "https://127.0.0.1:1";

#[test]
fn causes_at_the_source_are_named() {
    assert_first(&[
        ("login_expired", |fixture| {
            fixture.sandbox.write_sso_profile("corp", Some("corp"), &fixture.aws.sso(), ACCOUNT, "developers");
            reconfigure(fixture, "aws_profile = \"work\"", "aws_profile = \"corp\"");
        }),
        ("aws_profile_missing", |fixture| {
            reconfigure(fixture, "aws_profile = \"work\"", "aws_profile = \"wrok\"");
        }),
        ("access_key_unknown", |fixture| fixture.aws.remove_key(&fixture.user.id)),
        ("credential_process_failed", |fixture| {
            fixture.sandbox.write_aws_config("tool", &AwsProfile::process("false"), &fixture.aws.endpoint());
            reconfigure(fixture, "aws_profile = \"work\"", "aws_profile = \"tool\"");
        }),
        ("source_in_other_partition", |fixture| {
            let user = fixture.aws.add_user_key("arn:aws-cn:iam::111122223333:user/dev");
            fixture.sandbox.write_aws_profile("work", &user, &fixture.aws.endpoint());
        }),
        ("clock_wrong", |fixture| {
            let skew = Fault::DateSkew(jiff::SignedDuration::from_mins(7));
            fixture.aws.fault(Op::GetCallerIdentity, skew);
        }),
        ("outside_allowed_hours", |fixture| {
            // The clock of the fixture stands at a Friday.
            reconfigure(fixture, "[profiles.prod]", "[profiles.prod]\nallowed_hours = \"Mo 03:00-03:01\"");
        }),
        ("refresh_needed", |fixture| {
            reconfigure(fixture, "[profiles.prod]", "[profiles.prod]\nmax_lifetime = \"1h\"");
        }),
    ]);
}

#[test]
fn causes_at_sts_are_named() {
    assert_first(&[
        ("sts_region_disabled", |fixture| {
            let unknown =
                Fault::error(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
            fixture.aws.fault(Op::GetCallerIdentity, unknown);
        }),
        ("sts_region_disabled", |fixture| fixture.aws.disable_sts(REGION)),
        ("sts_intercepted", |fixture| fixture.aws.fault(Op::GetCallerIdentity, Fault::Html.forever())),
        ("sts_unreachable", |fixture| fixture.aws.fault(Op::GetCallerIdentity, Fault::Reset.forever())),
        ("sts_failed", |fixture| fixture.aws.fault(Op::GetCallerIdentity, Fault::Status(503).forever())),
        ("sts_untrusted", |fixture| {
            // The API server has a certificate of its own CA, as an intercepting proxy has.
            fixture.sandbox.write_aws_profile("work", &fixture.user, &fixture.api.url());
        }),
    ]);
}

#[test]
fn causes_of_a_denied_role_are_named() {
    assert_first(&[
        ("role_not_found", |fixture| fixture.aws.remove_role(ROLE)),
        ("trust_policy", |fixture| fixture.aws.update_role(ROLE, |_| Role::new(ROLE))),
        ("external_id", |fixture| fixture.aws.update_role(ROLE, |role| role.external_id("handshake"))),
        ("mfa_required", |fixture| fixture.aws.update_role(ROLE, Role::requires_mfa)),
        ("session_tags", |fixture| fixture.aws.update_role(ROLE, |role| role.requires_tag("team", "web"))),
        ("identity_policy", |fixture| deny_by(fixture, DeniedBy::NotAllowed(PolicyType::Identity))),
        ("explicit_deny", |fixture| deny_by(fixture, DeniedBy::ExplicitDeny(PolicyType::Identity))),
        ("organization_policy", |fixture| deny_by(fixture, DeniedBy::ExplicitDeny(PolicyType::ServiceControl))),
        ("permissions_boundary", |fixture| deny_by(fixture, DeniedBy::NotAllowed(PolicyType::PermissionsBoundary))),
        ("duration_limited", |fixture| {
            reconfigure(fixture, "[profiles.prod]", "[profiles.prod]\nduration = \"8h\"");
        }),
    ]);
}

fn deny_by(fixture: &Fixture, by: DeniedBy) {
    fixture.aws.deny_by(&fixture.user.arn, "sts:AssumeRole", by);
}

/// The role of an AWS profile is explained as one of the profile is.
#[test]
fn denied_role_of_an_aws_profile_is_explained() {
    const HUB: &str = "arn:aws:iam::111122223333:role/hub";
    let fixture = pinned();
    fixture.aws.add_role(Role::new(HUB));
    fixture.sandbox.write_aws_config("hub", &AwsProfile::role(HUB, "work"), &fixture.aws.endpoint());
    reconfigure(&fixture, "aws_profile = \"work\"", "aws_profile = \"hub\"");
    let finding = first(&fixture);
    assert_eq!(finding.code, "trust_policy", "{finding:#?}");
    let statement = finding.administrator.unwrap().statement.unwrap();
    assert_eq!(statement["Principal"]["AWS"], fixture.user.arn);
}

#[test]
fn causes_at_the_cluster_are_named() {
    assert_first(&[
        ("token_too_large", |fixture| fixture.aws.update_role(ROLE, |role| role.session_token_length(3900))),
        ("cluster_name_wrong", |fixture| reconfigure(fixture, "\"prod\"", "\"live\"")),
        ("cluster_recreated", |fixture| pin_to(fixture, CLOSED, &fixture.api.ca_base64())),
        ("cluster_not_active", |fixture| {
            pin_to(fixture, CLOSED, &fixture.api.ca_base64());
            fixture.aws.add_cluster(fixture.api.cluster().endpoint(CLOSED).status("FAILED"));
        }),
        ("api_server_unreachable", |fixture| closed(fixture, &["0.0.0.0/0"])),
        ("api_server_cidrs", |fixture| closed(fixture, &["203.0.113.0/24"])),
        ("api_server_private", |fixture| closed(fixture, &[])),
        ("cluster_deleted", |fixture| {
            pin_to(fixture, CLOSED, &fixture.api.ca_base64());
            fixture.aws.remove_cluster("prod", REGION);
        }),
    ]);
}

/// Makes the API server unreachable, with a public endpoint for these networks.
fn closed(fixture: &Fixture, networks: &[&str]) {
    pin_to(fixture, CLOSED, &fixture.api.ca_base64());
    fixture.aws.add_cluster(fixture.api.cluster().endpoint(CLOSED).public_networks(networks));
}

#[test]
fn certificate_of_another_authority_is_a_changed_or_an_intercepted_cluster() {
    for (is_known_to_eks, code) in [(false, "cluster_ca_changed"), (true, "api_server_untrusted")] {
        let fixture = pinned();
        let other = ApiServer::start(fixture.clock.clone(), &fixture.aws, "other", REGION);
        pin_to(&fixture, &fixture.api.url(), &other.ca_base64());
        if is_known_to_eks {
            fixture.aws.add_cluster(fixture.api.cluster().ca_pem(other.ca_pem()));
        }
        let query = AccessQuery { server: fixture.api.url(), certificate_authority_data: other.ca_base64() };
        let findings = diagnose_with(&fixture, DoctorRequest { api_server: Some(query), ..DoctorRequest::default() });
        assert_eq!(findings.last().unwrap().code, code, "{findings:#?}");
    }
}

/// The session in the cache works until it ends.
#[test]
fn failed_source_is_a_warning_while_the_session_is_usable() {
    let fixture = pinned();
    diagnose(&fixture);
    fixture.aws.remove_key(&fixture.user.id);
    let findings = diagnose(&fixture);
    let bad: Vec<_> = findings.iter().filter(|finding| finding.state != FindingState::Ok).collect();
    let [finding] = bad.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((finding.state, finding.code.as_str()), (FindingState::Warning, "access_key_unknown"));
    assert!(finding.consequence.as_deref().unwrap().starts_with("kubectl works for another 1 h"), "{finding:#?}");
    assert!(findings.iter().any(|finding| finding.area == FindingArea::Access));
}

#[test]
fn causes_of_a_rejected_role_are_named() {
    assert_first(&[
        ("not_mapped", |fixture| fixture.aws.revoke("prod", REGION, ROLE)),
        ("rejected_although_mapped", |fixture| fixture.api.reject_next(usize::MAX)),
        ("forbidden", |fixture| fixture.aws.grant("prod", REGION, ROLE, "dev", &["nobody"])),
        ("mapping_path_in_arn", |fixture| {
            fixture.api.map_role("arn:aws:iam::111122223333:role/team/developers", "dev", &["view"]);
            not_mapped_by_entry(fixture);
        }),
        ("mapping_other_account", |fixture| {
            fixture.api.map_role("arn:aws:iam::444455556666:role/developers", "dev", &["view"]);
            not_mapped_by_entry(fixture);
        }),
        ("mapping_session_arn", |fixture| {
            fixture.api.map_role("arn:aws:sts::111122223333:assumed-role/developers/dev", "dev", &["view"]);
            not_mapped_by_entry(fixture);
        }),
        ("mapping_aws_auth_ignored", |fixture| {
            fixture.api.map_role(ROLE, "dev", &["view"]);
            fixture.aws.set_authentication_mode("prod", REGION, "API");
            not_mapped_by_entry(fixture);
        }),
    ]);
}

/// Removes the access entry of the role. A second profile, whose session is cached, can read aws-auth.
fn not_mapped_by_entry(fixture: &Fixture) {
    const ADMIN: &str = "arn:aws:iam::111122223333:role/admin";
    fixture.aws.add_role(Role::new(ADMIN).trusts(&fixture.user.arn));
    fixture.aws.grant("prod", REGION, ADMIN, "admin", &["system:masters"]);
    let text = std::fs::read_to_string(config_path(&fixture.sandbox)).unwrap();
    let (_, prod) = text.split_once("[profiles.prod]").unwrap();
    let admin = prod.replace(ROLE, ADMIN);
    fixture.configure(&format!("{text}\n[profiles.admin]\n{admin}"));
    fixture.block_on(fixture.agent.profiles.refresh(&"admin".parse().unwrap())).unwrap();
    fixture.aws.revoke("prod", REGION, ROLE);
}

#[test]
fn mapping_in_other_case_is_accepted() {
    let fixture = pinned();
    fixture.api.map_role("arn:aws:iam::111122223333:role/Developers", "dev", &["view"]);
    fixture.aws.revoke("prod", REGION, ROLE);
    assert!(diagnose(&fixture).iter().all(|finding| finding.state == FindingState::Ok));
}

#[test]
fn role_that_is_not_mapped_is_explained_to_an_administrator() {
    let fixture = pinned();
    fixture.aws.revoke("prod", REGION, ROLE);
    let finding = first(&fixture);
    assert!(finding.consequence.unwrap().contains("You must be logged in to the server (Unauthorized)"));
    let administrator = finding.administrator.unwrap();
    assert_eq!(
        administrator.commands,
        [
            format!("rolecall access grant prod --role {ROLE} --policy AmazonEKSViewPolicy"),
            format!(
                "aws eks create-access-entry --cluster-name prod --region {REGION} --principal-arn {ROLE} && aws eks \
                 associate-access-policy --cluster-name prod --region {REGION} --principal-arn {ROLE} --policy-arn \
                 arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy --access-scope type=cluster"
            ),
        ]
    );
    // `status` knows it.
    assert!(fixture.agent.status.status().profiles[0].tokens_rejected.is_some());
}

#[test]
fn cluster_of_other_region_is_found_without_a_kubeconfig() {
    let fixture = pinned();
    reconfigure(&fixture, "\"eu-west-1\"", "\"eu-central-1\"");
    let findings = diagnose_with(&fixture, DoctorRequest::default());
    let last = findings.last().unwrap();
    assert_eq!(last.code, "cluster_in_other_region", "{findings:#?}");
    assert!(last.fix.as_deref().unwrap().contains("region = \"eu-west-1\""), "{last:#?}");
}

/// A role of another account than the cluster's, which EKS therefore does not find.
#[test]
fn cluster_of_another_account_is_accepted() {
    let fixture = pinned();
    fixture.aws.add_cluster(fixture.api.cluster().account("444455556666"));
    fixture.aws.remove_cluster("prod", REGION);
    let findings = diagnose(&fixture);
    let bad: Vec<_> = findings.iter().filter(|finding| finding.state != FindingState::Ok).collect();
    assert_eq!((bad.len(), bad[0].code.as_str()), (1, "cluster_of_other_account"), "{findings:#?}");
    // The pinned API server answers, so the cluster was not deleted.
    fixture.aws.revoke("prod", REGION, ROLE);
    // The clock stands still, so the token is the one that the API server has cached.
    fixture.api.clear_token_cache();
    assert_eq!(diagnose(&fixture).last().unwrap().code, "not_mapped");
}

#[test]
fn source_without_role_has_a_finding_for_each_area() {
    let fixture = pinned();
    fixture.aws.grant("prod", REGION, &fixture.user.arn, "dev", &["system:masters"]);
    reconfigure(&fixture, &format!("role_arn = \"{ROLE}\""), "");
    let findings = diagnose(&fixture);
    assert!(findings.iter().all(|finding| finding.state == FindingState::Ok), "{findings:#?}");
    for area in [FindingArea::Source, FindingArea::Role, FindingArea::ApiServer, FindingArea::Access] {
        assert!(findings.iter().any(|finding| finding.area == area), "{area:?}");
    }
}

#[test]
fn kubeconfig_without_entry_leaves_the_api_server_unchecked() {
    let fixture = pinned();
    let findings = diagnose_with(&fixture, DoctorRequest::default());
    let last = findings.last().unwrap();
    assert_eq!((last.state, last.code.as_str()), (FindingState::NotChecked, "no_kubeconfig_entry"), "{findings:#?}");
    assert_eq!(last.fix.as_deref(), Some("rolecall kubeconfig prod"));
    let mut request = DoctorRequest { api_server: Some(api_server(&fixture)), ..DoctorRequest::default() };
    request.api_server.as_mut().unwrap().server = "https://evil.example.com".to_owned();
    let findings = diagnose_with(&fixture, request);
    let last = findings.last().unwrap();
    assert_eq!((last.state, last.code.as_str()), (FindingState::Problem, "pin_mismatch"), "{findings:#?}");
}

#[test]
fn failure_that_is_fixed_is_not_remembered() {
    let fixture = pinned();
    fixture.aws.update_role(ROLE, |_| Role::new(ROLE));
    assert_eq!(first(&fixture).code, "trust_policy");
    fixture.aws.update_role(ROLE, |role| role.trusts(&fixture.user.arn));
    assert!(diagnose(&fixture).iter().all(|finding| finding.state == FindingState::Ok));
}

#[test]
fn locked_agent_and_unknown_profile_are_refused() {
    let fixture = pinned();
    let request = LockRequest { passphrase: Some("correct horse".to_owned().into()), ..LockRequest::default() };
    fixture.block_on(fixture.agent.lock.lock(request, Locker::default())).unwrap();
    let refused = steps(&fixture, DoctorRequest::default());
    assert!(matches!(&refused[..], [DoctorStep::Failed { error }] if error.code == ErrorCode::Locked), "{refused:?}");
    assert_eq!(fixture.aws.calls(Op::GetCallerIdentity), 0);
}

/// The endpoint as the client calls it.
#[test]
fn doctor_endpoint_streams_its_steps() {
    let fixture = pinned();
    let mut socket = UnixStream::connect(fixture.sandbox.runtime_dir().join("rolecall/agent.sock")).unwrap();
    let path = Endpoint::Doctor("prod".parse().unwrap()).path();
    write!(socket, "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}")
        .unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let lines = response.lines().filter(|line| line.starts_with('{'));
    let steps: Vec<DoctorStep> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(steps.iter().all(|step| *step != DoctorStep::Unknown));
    assert_eq!(steps.last(), Some(&DoctorStep::Done));
}
