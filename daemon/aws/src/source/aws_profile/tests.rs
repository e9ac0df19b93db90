use std::time::SystemTime;

use super::*;
use crate::shared_config::tests::Files;
use crate::sso::DEFAULT_SCOPE;

/// The plan for profile `p` of both files. An error has the hint, too.
fn planned_from(config: &str, credentials: &str) -> Result<Plan, String> {
    let files = Files::new(config, credentials);
    plan(&files.read(), &SourceKind::AwsProfile("p".to_owned())).map_err(|error| {
        let hint = error.hint.as_deref().unwrap_or_default();
        files.shorten(&format!("{}: {error}. {hint}", error.profile))
    })
}

/// The plan for profile `p` of a `~/.aws/config`.
fn planned(config: &str) -> Result<Plan, String> {
    planned_from(config, "")
}

fn keys(id: &str) -> Plan {
    Plan::Keys(Credentials::new(id, "s", None, None, "AWS profile"))
}

const ROLE: &str = "role_arn = arn:aws:iam::111122223333:role/developers";
const KEYS: &str = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s";

#[test]
fn plan_each_kind_of_credentials() {
    for (text, expected) in [
        (KEYS, keys("AKIAIOSFODNN7EXAMPLE")),
        ("credential_process = /bin/creds --x", Plan::Process(vec!["/bin/creds".to_owned(), "--x".to_owned()])),
        (
            "login_session = arn:aws:iam::111122223333:user/dev",
            Plan::AwsLogin("arn:aws:iam::111122223333:user/dev".to_owned()),
        ),
        ("credential_source = Ec2InstanceMetadata", Plan::Instance(None)),
        ("credential_source = EcsContainer", Plan::Container),
    ] {
        assert_eq!(planned(&format!("[profile p]\n{text}")).as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn plan_identity_center_with_and_without_session() {
    let with = "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://x.awsapps.com/start\n\
        [profile p]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Dev";
    let Ok(Plan::Sso(plan)) = planned(with) else { panic!() };
    assert_eq!((plan.account.as_str(), plan.role.as_str()), ("111122223333", "Dev"));
    assert_eq!(
        (plan.session.name.as_deref(), plan.session.scopes.as_slice()),
        (Some("corp"), &[DEFAULT_SCOPE.to_owned()][..])
    );
    let legacy = "[profile p]\nsso_region = eu-west-1\nsso_start_url = https://x.awsapps.com/start\n\
        sso_account_id = 111122223333\nsso_role_name = Dev";
    let Ok(Plan::Sso(plan)) = planned(legacy) else { panic!() };
    assert_eq!((plan.session.name.as_deref(), plan.session.scopes.len()), (None, 0));
    for (text, complaint) in [
        (
            "[profile p]\nsso_session = corp\nsso_account_id = 1",
            "sso_session in line 2 of config: there is no [sso-session corp]",
        ),
        (
            "[sso-session corp]\nsso_region = eu-west-1\n[profile p]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = x",
            "p: has SSO settings but no sso_start_url: [sso-session corp] in line 1 of config. Add sso_start_url to the section",
        ),
        (
            "[profile p]\nsso_start_url = https://x\nsso_account_id = 1\nsso_role_name = x",
            "has SSO settings but no sso_region",
        ),
        ("[profile p]\nsso_start_url = https://x", "has an SSO login in line 2 of config but no sso_account_id"),
        // Case 20.
        (
            "[profile p]\nso_start_url = https://x\nsso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = x",
            "The key so_start_url in line 2 of config is unknown; rename it to sso_start_url.",
        ),
        (
            "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://x\n\
             [profile p]\nsso_session = corp\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = x",
            "sso_region differs between the profile and its sso-session: line 6 of config and line 2 of config",
        ),
    ] {
        assert!(planned(text).unwrap_err().contains(complaint), "{text}: {:?}", planned(text));
    }
}

#[test]
fn plan_role_has_its_base_as_source() {
    let text = format!(
        "[profile base]\n{KEYS}\n[profile p]\n{ROLE}\nsource_profile = base\nmfa_serial = arn:aws:iam::111122223333:mfa/dev\n\
         external_id = handshake\nduration_seconds = 7200\nregion = eu-west-1\nrole_session_name = me"
    );
    let Ok(Plan::Role(role)) = planned(&text) else { panic!() };
    assert_eq!(role.base, SourceKind::AwsProfileLeaf("base".to_owned()));
    assert_eq!(role.mfa.as_ref().unwrap().session, DEFAULT_MFA_SESSION);
    assert_eq!((role.duration.as_secs(), role.region.unwrap().as_str()), (7200, "eu-west-1"));
    assert_eq!((role.external_id.unwrap().as_str(), role.session_name.unwrap().as_str()), ("handshake", "me"));
    // The base is another role, the profile's own access key, or the instance.
    let hub = format!("[profile hub]\n{ROLE}\nsource_profile = base\n[profile base]\n{KEYS}");
    let base = |keys: &str| match planned(&format!("{hub}\n[profile p]\n{ROLE}\n{keys}")) {
        Ok(Plan::Role(role)) => role.base,
        other => panic!("{other:?}"),
    };
    assert_eq!(base("source_profile = hub"), SourceKind::AwsProfile("hub".to_owned()));
    let own = SourceKind::AwsProfileLeaf("p".to_owned());
    assert_eq!(base(&format!("source_profile = p\n{KEYS}")), own);
    assert_eq!(base("credential_source = Ec2InstanceMetadata"), own);
}

/// Fault matrix row 92.
#[test]
fn plan_circle_or_long_chain_is_an_error() {
    let role = |name: &str, next: &str| format!("[profile {name}]\n{ROLE}\nsource_profile = {next}\n");
    let looped = [role("p", "a"), role("a", "b"), role("b", "p")].concat();
    assert!(planned(&looped).unwrap_err().contains("forms a circle: p, a, b"));
    let elsewhere = [role("p", "a"), role("a", "b"), role("b", "a")].concat();
    assert!(planned(&elsewhere).unwrap_err().contains("forms a circle: p, a, b"));
    let long: String = (0..1000).map(|n| role(&format!("r{n}"), &format!("r{}", n + 1))).collect();
    assert!(planned(&format!("{}{long}", role("p", "r0"))).unwrap_err().contains("more than 5 roles"));
}

#[test]
fn plan_error_names_the_invalid_profile() {
    for (text, complaint) in [
        ("[profile p]\nregion = eu-west-1", "p: has no credentials: [profile p] in line 1 of config has no access key"),
        (&format!("[profile p]\n{ROLE}"), "p: has a role_arn but no source_profile"),
        (&format!("[profile p]\n{ROLE}\nsource_profile = gone"), "gone: not found"),
        (
            &format!("[profile p]\n{ROLE}\ncredential_source = Environment"),
            "credential_source in line 3 of config is Environment, and environment variables are not read",
        ),
        (&format!("[profile p]\nrole_arn = nonsense\nsource_profile = p\n{KEYS}"), "p: role_arn in line 2 of config: "),
        (
            &format!("[profile p]\n{ROLE}\nsource_profile = b\nduration_seconds = 60\n[profile b]\n{KEYS}"),
            "900 to 43200",
        ),
    ] {
        let error = planned(text).unwrap_err();
        assert!(error.contains(complaint), "{text}: {error}");
    }
}

/// The AWS CLI tries the kinds in this order.
#[test]
fn plan_of_several_kinds_is_that_of_the_aws_cli() {
    const SSO: &str = "sso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\nsso_account_id = 111122223333\nsso_role_name = Dev";
    const LOGIN: &str = "login_session = arn:aws:iam::111122223333:user/dev";
    const PROCESS: &str = "credential_process = /bin/creds";
    let config = |settings: &[&str]| format!("[profile p]\nregion = eu-west-1\n{}\n", settings.join("\n"));
    let kind = |config: &str, credentials: &str| match planned_from(config, credentials) {
        Ok(Plan::Role(_)) => "role",
        Ok(Plan::Sso(_)) => "sso",
        Ok(Plan::Process(_)) => "process",
        Ok(Plan::Keys(_)) => "keys",
        Ok(Plan::WebIdentity(_)) => "web identity",
        Ok(Plan::AwsLogin(_)) => "login",
        Ok(Plan::Instance(_) | Plan::Container) => "machine",
        Err(error) => panic!("{config}{credentials}: {error}"),
    };
    let keys = format!("[p]\n{KEYS}\n");
    let web_identity = format!("{ROLE}\nweb_identity_token_file = /token");
    let role = format!("{ROLE}\ncredential_source = Ec2InstanceMetadata");
    for (config, credentials, expected) in [
        (config(&[&web_identity, SSO, LOGIN, PROCESS]), keys.as_str(), "web identity"),
        (config(&[SSO, LOGIN, PROCESS]), keys.as_str(), "sso"),
        (config(&[LOGIN, PROCESS]), keys.as_str(), "keys"),
        (config(&[LOGIN, PROCESS, KEYS]), "", "login"),
        (config(&[PROCESS, KEYS]), "", "process"),
        (config(&[KEYS]), "[p]\ncredential_process = /bin/creds\n", "process"),
        (config(&["credential_source = Ec2InstanceMetadata", KEYS]), "", "keys"),
        (config(&[&role, SSO, PROCESS]), "", "role"),
        (config(&["sso_session = gone", PROCESS]), "", "process"),
        (config(&["web_identity_token_file =", PROCESS]), "", "process"),
    ] {
        assert_eq!(kind(&config, credentials), expected, "{config}{credentials}");
    }
}

/// Cases 01a, 01b and 01d.
#[test]
fn plan_indented_settings_and_comments_are_read() {
    for config in [
        "[profile p]\n  region = eu-west-1\n  aws_access_key_id = AKIA1\n  # aws_session_token = t\n  aws_secret_access_key = s\n",
        "[profile p]\naws_access_key_id: AKIA1\naws_secret_access_key: s\n   ; note\n[profile other]\n  region = us-east-1\n",
        "[profile p] ; note\r\naws_access_key_id = AKIA1\r\naws_secret_access_key = s\r\ns3 =\r\n    n = 20\r\n    # more\r\n",
    ] {
        assert_eq!(planned(config), Ok(keys("AKIA1")), "{config}");
    }
}

#[test]
fn plan_key_of_one_file_is_complete_there() {
    for (config, credentials, expected) in [
        ("", "[p]\naws_access_key_id = AKIA1\naws_secret_access_key = s\n", Ok("AKIA1")),
        (
            "[profile p]\naws_access_key_id = AKIA1\naws_secret_access_key = s\n",
            "[p]\naws_access_key_id = AKIA2\naws_secret_access_key = s\n",
            Ok("AKIA2"),
        ),
        (
            "[profile p]\naws_secret_access_key = s\n",
            "[p]\naws_access_key_id = AKIA2\n",
            Err("p: aws_access_key_id in line 2 of credentials has no aws_secret_access_key in the same section"),
        ),
        (
            "[profile p]\naws_secret_access_key = s\naws_acess_key_id = AKIA1\n",
            "",
            Err("The key aws_acess_key_id in line 3 of config is unknown; rename it to aws_access_key_id."),
        ),
        (
            "",
            "[p]\naws_access_key_id = ASIA1\naws_secret_access_key = s\n",
            Err(
                "line 2 of credentials is a temporary key (ASIA\u{2026}) without a session token. Add aws_session_token",
            ),
        ),
        (
            "",
            "[p]\naws_access_key_id = ASIA1\naws_secret_access_key = s\naws_security_token =\naws_session_token = t\n",
            Err("Set aws_security_token: it is empty."),
        ),
        (
            "",
            "[p]\naws_access_key_id =\naws_secret_access_key = s\n",
            Err("aws_access_key_id in line 2 of credentials is empty"),
        ),
    ] {
        match (planned_from(config, credentials), expected) {
            (Ok(plan), Ok(id)) => assert_eq!(plan, keys(id)),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (plan, _) => panic!("{config}{credentials}: {plan:?}"),
        }
    }
}

/// Case 22.
#[test]
fn plan_temporary_key_has_its_end_if_it_is_known() {
    let temporary = |end: &str| {
        let key = "[p]\naws_access_key_id = ASIA1\naws_secret_access_key = s\n";
        match planned_from("", &format!("{key}aws_security_token = t1\naws_session_token = t2\n{end}\n")) {
            Ok(Plan::Keys(keys)) => (keys.session_token().map(str::to_owned), keys.expiry()),
            other => panic!("{other:?}"),
        }
    };
    let end = SystemTime::from("2026-11-28T22:00:00Z".parse::<jiff::Timestamp>().unwrap());
    // Of both tokens, the first of botocore counts.
    assert_eq!(temporary("x_security_token_expires = 2026-11-28T23:00:00+01:00"), (Some("t1".to_owned()), Some(end)));
    assert_eq!(temporary("expiration = 2026-11-28 22:00:00").1, Some(end));
    assert_eq!(temporary("expiration = soon").1, None);
}

#[test]
fn plan_source_profile_uses_its_own_credentials_first() {
    let base = |base: &str| {
        let text = format!("[profile p]\n{ROLE}\nsource_profile = base\n[profile base]\n{base}\n");
        match planned(&text) {
            Ok(Plan::Role(role)) => Ok(role.base),
            other => Err(format!("{other:?}")),
        }
    };
    let leaf = Ok(SourceKind::AwsProfileLeaf("base".to_owned()));
    assert_eq!(base(&format!("{KEYS}\n{ROLE}\nsource_profile = gone")), leaf);
    // The credentials of the base are those that the AWS CLI tries first, with an access key as well.
    assert_eq!(base(&format!("{KEYS}\ncredential_process = x")), leaf);
    // One part of an access key is enough to ignore the role.
    assert!(
        base(&format!("aws_access_key_id = AKIA1\n{ROLE}\nsource_profile = p"))
            .unwrap_err()
            .contains("has no aws_secret")
    );
    let both = planned(&format!("[profile p]\n{ROLE}\ncredential_source = EcsContainer\n{KEYS}"));
    assert!(both.unwrap_err().contains("has both credential_source and an access key"));
}
