//! Each cause of a failure is the first problem that the doctor names.

use rolecall_harness::{ApiServer, AwsProfile, DeniedBy, Fault, Op, PolicyType, Role};
use rolecall_protocol::{AccessQuery, DoctorRequest, FindingState};

use super::{diagnose_with, first, pin_to, reconfigure};
use crate::access::pinned;
use crate::fixture::{ACCOUNT, Fixture, REGION, ROLE, config_path};

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
