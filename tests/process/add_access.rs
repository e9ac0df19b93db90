//! `rolecall add` asks the API server whether the cluster maps the role.

use rolecall_harness::{ApiServer, Clock};

use crate::fixture::{ADD, Fixture, REGION, ROLE};

#[test]
fn add_reports_the_user_that_the_role_is_mapped_to() {
    let fixture = Fixture::bare();
    let said = fixture.rolecall(&ADD);
    said.assert_ok();
    let line = said.stdout.lines().rev().nth(1).unwrap();
    assert!(line.starts_with("✓ the cluster knows you as dev:"), "{line}");
    assert!(line.ends_with(" (groups: system:masters)"), "{line}");
    let requests = fixture.api.requests();
    let asked: Vec<_> = requests.iter().map(|request| (request.method.as_str(), request.path.as_str())).collect();
    assert_eq!(asked, [("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews")]);
    // It is no use of the profile.
    let status = fixture.rolecall(&["status", "--json"]).json();
    assert!(status["profiles"][0]["last_used"].is_null(), "{status}");
}

#[test]
fn add_reports_a_role_that_is_not_mapped() {
    let fixture = Fixture::bare();
    fixture.aws.revoke("prod", REGION, ROLE);
    let said = fixture.rolecall(&ADD);
    said.assert_ok();
    assert!(!said.stdout.contains("try: kubectl"), "{said}");
    let lines: Vec<&str> = said.stdout.lines().collect();
    let aws = format!("--region {REGION} --cluster-name prod --principal-arn {ROLE}");
    assert_eq!(
        lines[lines.len() - 7..],
        [
            "! this role is not mapped in the cluster prod: its API server answers 401 (Unauthorized)",
            "  an administrator of the cluster can grant read access:",
            &format!("    rolecall access grant prod --role {ROLE} --policy AmazonEKSViewPolicy"),
            "  or, with the AWS CLI:",
            &format!("    aws eks create-access-entry {aws}"),
            &format!(
                "    aws eks associate-access-policy {aws} --policy-arn \
                 arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy --access-scope type=cluster"
            ),
            "! kubectl will fail with this profile; the reason: rolecall doctor prod",
        ]
    );
    // The same command again, after an administrator has mapped the role.
    fixture.aws.grant("prod", REGION, ROLE, "dev", &["view"]);
    let said = fixture.rolecall(&ADD);
    assert!(
        said.assert_ok().stdout.contains("✓ the cluster knows you as dev (groups: view)\n  try: kubectl"),
        "{said}"
    );
}

/// Without a role, the user of the AWS profile is the identity.
#[test]
fn add_names_the_identity_that_is_not_mapped() {
    let fixture = Fixture::bare();
    let said = fixture.rolecall(&["add", "prod", "--region", REGION, "--aws-profile", "work"]);
    let user = &fixture.user.arn;
    let line = format!("! {user} is not mapped in the cluster prod: its API server answers 401 (Unauthorized)\n");
    assert!(said.assert_ok().stdout.contains(&line) && said.stdout.contains(&format!("signed in as {user}")), "{said}");
    assert!(said.stdout.contains(&format!("rolecall access grant prod --user {user} --policy ")), "{said}");
}

/// A private endpoint that needs a VPN, for example.
#[test]
fn add_of_an_unreachable_api_server_is_a_note() {
    let fixture = Fixture::bare();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ca = fixture.sandbox.write("home/ca.pem", fixture.api.ca_pem()).display().to_string();
    for (name, address) in [("silent", silent.local_addr().unwrap()), ("closed", closed)] {
        let url = format!("https://{address}");
        let options = ["--cluster", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "work"];
        let server = ["--server", &url, "--certificate-authority", &ca];
        let said = fixture.rolecall(&[&["add", name][..], &options, &server].concat());
        said.assert_ok();
        let note = "rolecall: whether the cluster maps this role is not known: its API server cannot be asked (";
        assert!(said.stderr.starts_with(note) && said.stderr.lines().count() == 1, "{said}");
    }
}

/// The token goes to a server with a certificate of the pinned CA alone.
#[test]
fn add_sends_no_token_to_a_server_of_another_ca() {
    let fixture = Fixture::bare();
    let other = ApiServer::start(Clock::system(), &fixture.aws, "prod", REGION);
    let ca = fixture.sandbox.write("home/ca.pem", fixture.api.ca_pem()).display().to_string();
    let url = other.url();
    let said = fixture.rolecall(&[&ADD[..], &["--server", &url, "--certificate-authority", &ca]].concat());
    said.assert_ok();
    assert!(said.stderr.contains("its API server cannot be asked ("), "{said}");
    assert!(other.requests().is_empty() && fixture.api.requests().is_empty());
}

#[test]
fn add_without_verification_asks_no_one() {
    let fixture = Fixture::bare();
    let mut arguments = ADD.to_vec();
    arguments.push("--no-verify");
    let said = fixture.rolecall(&arguments);
    said.assert_ok();
    assert!(
        said.stdout.starts_with(
            "! added the profile prod to ~/.config/rolecall/config.toml; AWS was not asked whether its role and cluster exist\n"
        ),
        "{said}"
    );
    assert!(fixture.api.requests().is_empty());
}
