//! AWS's own files in the forms that people write them, and the messages for those that cannot be used.

use std::path::PathBuf;

use rolecall_harness::{Op, Role};

use crate::fixture::{Fixture, PROD, ROLE};

/// Endpoints of the embedded AWS, for an AWS profile with `services = local`.
const SERVICES: &str = "\n[services local]\nsts =\n  endpoint_url = {aws}\neks =\n  endpoint_url = {aws}\n";
/// The access key of the user whom the role trusts.
const KEYS: &str = "aws_access_key_id = {id}\naws_secret_access_key = {secret}\n";

impl Fixture {
    fn aws_config(&self) -> PathBuf {
        self.sandbox.home().join(".aws/config")
    }

    /// Replaces both of AWS's own files, and drops what is known about the source. Replaces `{aws}`, `{id}` and `{secret}`.
    fn write_aws_files(&self, config: &str, credentials: &str) {
        let filled = |text: &str| {
            let text = text.replace("{aws}", &self.aws.endpoint());
            text.replace("{id}", &self.user.id).replace("{secret}", &self.user.secret)
        };
        self.sandbox.write("home/.aws/config", &filled(config));
        self.sandbox.write("home/.aws/credentials", &filled(credentials));
        self.configure("# nothing\n");
    }

    /// Uses the AWS profile `name` as the source.
    fn with_aws_profile(&self, name: &str) {
        self.configure(&PROD.replace("aws_profile = \"work\"", &format!("aws_profile = {name:?}")));
    }
}

/// Cases 01a, 01b, 01d, 02a and 02c.
#[test]
fn aws_profiles_of_many_forms_assume_the_role() {
    let fixture = Fixture::new();
    let profile = |name: &str| format!("[profile {name}]\nregion = eu-west-1\nservices = local\n");
    for (name, config, credentials) in [
        (
            "work",
            "[profile work]\n  region = eu-west-1\n  services = local\n  aws_access_key_id = {id}\n  aws_secret_access_key = {secret}\n"
                .to_owned(),
            "",
        ),
        ("work", format!("{}{KEYS}\n[profile other]\n  region = us-east-1\n", profile("work")), ""),
        (
            "work",
            format!("{}{KEYS}s3 =\n    max_concurrent_requests = 20\n    # more is no use\n", profile("work")),
            "",
        ),
        ("Mike Dev.Admin", format!("{}{KEYS}", profile("\"Mike Dev.Admin\"")), ""),
        ("prod-\u{e9}", format!("{}{KEYS}", profile("prod-\u{e9}")), ""),
        ("work", profile("work").replace('\n', "\r\n"), "[work] ; of the console\naws_access_key_id: {id}\naws_secret_access_key: {secret}\n  # aws_session_token = old\n"),
        // The AWS CLI uses the access key of the credentials file before the program.
        ("work", format!("{}credential_process = /bin/false\n", profile("work")), "[work]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
        // Without a shell, the program gets the text as it is written.
        (
            "work",
            format!(
                "{}credential_process = printf '{{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\"}}' {{id}} {{secret}}\n",
                profile("work")
            ),
            "",
        ),
    ] {
        fixture.write_aws_files(&format!("{config}{SERVICES}"), credentials);
        fixture.with_aws_profile(name);
        fixture.good_token("prod");
        let call = fixture.aws.log_of(Op::AssumeRole).pop().unwrap();
        assert_eq!(call.caller_arn.as_deref(), Some("arn:aws:iam::111122223333:user/dev"), "{config}");
    }
}

/// Cases 18, 19 and 20, and others of these kinds.
#[test]
fn unusable_aws_files_name_the_line_and_the_change() {
    let fixture = Fixture::new();
    let config = fixture.aws_config().display().to_string();
    for (text, credentials, expected) in [
        ("[work]\nregion = eu-west-1\n", "", "Rename the section [work] in line 1 of {config} to [profile work]."),
        (
            "[profile work]\nso_start_url = https://x\nsso_region = eu-west-1\nsso_account_id = 111122223333\nsso_role_name = Dev\n",
            "",
            "has SSO settings but no sso_start_url: [profile work] in line 1 of {config}. The key so_start_url in line 2 of {config} is unknown; rename it to sso_start_url.",
        ),
        ("[profile work]\nregion = eu-west-1\nregion = eu-west-2\n", "", "{config}: line 3 repeats the key of line 2"),
        ("[profile work]\n[profile x]\n[profile work]\n", "", "{config}: line 3 repeats the section of line 1"),
        ("[profile work]\nCANARY\n", "", "{config}: line 2 has neither a section in brackets nor a key"),
        ("\u{feff}[profile work]\n", "", "{config}: line 1 starts with a byte order mark"),
        (
            "[profile work]\nregion = eu-west-1\n  output = json\n",
            "",
            "region in line 2 of {config} continues in the next lines",
        ),
        (
            "",
            "[work]\naws_access_key_id = ASIAX\naws_secret_access_key = CANARY\n",
            "is a temporary key (ASIA\u{2026}) without a session token. Add aws_session_token below it",
        ),
        ("", "[work]\naws_access_key_id = AKIAX\n", "aws_access_key_id in line 2 of"),
        (
            "[profile work]\nrole_arn = arn:aws:iam::111122223333:role/x\ncredential_source = Environment\n",
            "",
            "environment variables are not read. Put the access key into the credentials file",
        ),
        (
            "[profile work]\nservices = gone\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n",
            "",
            "services in line 2 of {config} names a section [services gone] that does not exist; the request was not sent",
        ),
    ] {
        fixture.write_aws_files(text, credentials);
        fixture.with_aws_profile("work");
        let line = fixture.token_error("prod", 1);
        let expected = expected.replace("{config}", &config);
        assert!(line.contains(&expected) && !line.contains("CANARY"), "{expected}\n{line}");
    }
    fixture.write_aws_files("", "");
    std::fs::write(fixture.aws_config(), b"# propri\xe9taire\n[profile work]\n").unwrap();
    fixture.with_aws_profile("work");
    let line = fixture.token_error("prod", 1);
    assert!(line.contains(&format!("{config}: byte 9 of line 1 (0xe9) is not UTF-8")), "{line}");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
}

/// Case 21.
#[test]
fn source_that_already_is_the_role_is_named() {
    let fixture = Fixture::new();
    let role =
        format!("[profile work]\nrole_arn = {ROLE}\nsource_profile = base\nregion = eu-west-1\nservices = local\n");
    fixture.write_aws_files(&format!("[profile base]\nservices = local\n{KEYS}{role}{SERVICES}"), "");
    fixture.with_aws_profile("work");
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("source \"work\" already is this role. Leave --role-arn out"), "{line}");
    // Without the second step, the profile works.
    fixture.configure(&PROD.replace(&format!("role_arn = \"{ROLE}\""), ""));
    fixture.good_token("prod");
}

/// Case 23.
#[test]
fn mfa_serial_of_the_base_profile_is_named() {
    const MFA_ROLE: &str = "arn:aws:iam::111122223333:role/mfa-only";
    let fixture = Fixture::new();
    fixture.aws.add_role(Role::new(MFA_ROLE).trusts(&fixture.user.arn).requires_mfa());
    let base = format!("[profile base]\nmfa_serial = arn:aws:iam::111122223333:mfa/ana\nservices = local\n{KEYS}");
    let role =
        format!("[profile work]\nrole_arn = {MFA_ROLE}\nsource_profile = base\nregion = eu-west-1\nservices = local\n");
    fixture.write_aws_files(&format!("{base}{role}{SERVICES}"), "");
    fixture.configure(&PROD.replace(&format!("role_arn = \"{ROLE}\""), ""));
    let line = fixture.token_error("prod", 1);
    let config = fixture.aws_config().display().to_string();
    let expected = format!(
        "mfa_serial in line 2 of {config} does not apply to it. Add mfa_serial = arn:aws:iam::111122223333:mfa/ana to the section [profile work] in line 6 of {config}."
    );
    assert!(line.contains(&expected), "{line}");
}

/// Case 22.
#[test]
fn temporary_keys_show_their_end_or_that_it_is_unknown() {
    let fixture = Fixture::new();
    let session = fixture.aws.session(ROLE, "saml", std::time::Duration::from_hours(2));
    let keys = format!(
        "[saml]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        session.id,
        session.secret,
        session.session_token.unwrap_or_default()
    );
    for (end, expected) in [
        ("", "expiry unknown (temporary keys)"),
        ("x_security_token_expires = 2026-01-02T06:04:05+01:00\n", "2026-01-02 05:04:05"),
        ("x_security_token_expires = soon\n", "expiry unknown (temporary keys)"),
    ] {
        fixture.write_aws_files(&format!("[profile saml]\nservices = local\n{SERVICES}"), &format!("{keys}{end}"));
        fixture.configure(
            &PROD.replace(&format!("role_arn = \"{ROLE}\""), "").replace("\"work\"\n\n[p", "\"saml\"\n\n[p"),
        );
        fixture.good_token("prod");
        let said = fixture.sandbox.run(fixture.sandbox.rolecall().args(["show", "prod"]).env("TZ", "UTC"));
        assert!(said.stdout.contains(expected), "{}", said.stdout);
        assert!(!said.stdout.contains("no end"), "{}", said.stdout);
    }
}

/// Fault matrix row 90.
#[test]
fn unreadable_aws_files_never_lead_to_the_public_endpoint() {
    let fixture = Fixture::new();
    fixture.good_token("prod");
    let other = "arn:aws:iam::111122223333:role/other";
    fixture.aws.add_role(Role::new(other).trusts(&fixture.user.arn));
    let config = std::fs::read_to_string(fixture.aws_config()).unwrap();
    for broken in [config.replace("[profile work]", "[profile wrok]"), format!("{config}nonsense\n"), String::new()] {
        std::fs::write(fixture.aws_config(), &broken).unwrap();
        // Another role of the same source, whose credentials are cached.
        fixture.configure(&format!("{PROD}\n[profiles.other]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\nrole_arn = \"{other}\"\n"));
        let said = fixture.token("other");
        assert!(!said.stderr.contains("amazonaws.com"), "{}", said.stderr);
        assert!(said.status.success() || said.stderr.contains(".aws/config"), "{}", said.stderr);
        fixture.configure(PROD);
    }
    std::fs::write(fixture.aws_config(), config).unwrap();
    fixture.good_token("prod");
}
