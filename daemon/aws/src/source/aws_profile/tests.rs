use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_types::os_shim_internal::{Env, Fs};

use super::*;

/// The plan for profile `p` of a `~/.aws/config`.
async fn planned(text: &str) -> Result<Plan, String> {
    let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, text).build();
    let profiles = aws_config::profile::load(&Fs::real(), &Env::from_slice(&[]), &files, None).await.unwrap();
    plan(&profiles, &SourceKind::AwsProfile("p".to_owned())).map_err(|error| format!("{}: {error}", error.profile))
}

const ROLE: &str = "role_arn = arn:aws:iam::111122223333:role/developers";
const KEYS: &str = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = s";

#[tokio::test]
async fn plan_each_kind_of_credentials() {
    for (text, expected) in [
        (KEYS, Plan::Keys),
        ("credential_process = /bin/creds --x", Plan::Process("/bin/creds --x".to_owned())),
        ("login_session = arn:aws:iam::111122223333:user/dev", Plan::AwsLogin),
        ("credential_source = Ec2InstanceMetadata", Plan::Instance(None)),
        ("credential_source = EcsContainer", Plan::Container),
        (&format!("{ROLE}\nweb_identity_token_file = /token"), Plan::WebIdentity),
        // Of several kinds, the order of aws-config decides.
        (&format!("{KEYS}\ncredential_process = x"), Plan::Process("x".to_owned())),
    ] {
        assert_eq!(planned(&format!("[profile p]\n{text}")).await.as_ref(), Ok(&expected), "{text}");
    }
}

#[tokio::test]
async fn plan_identity_center_with_and_without_session() {
    let with = "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://x.awsapps.com/start\n\
        [profile p]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Dev";
    let Ok(Plan::Sso(plan)) = planned(with).await else { panic!() };
    assert_eq!((plan.account.as_str(), plan.role.as_str()), ("111122223333", "Dev"));
    assert_eq!(
        (plan.session.name.as_deref(), plan.session.scopes.as_slice()),
        (Some("corp"), &[DEFAULT_SCOPE.to_owned()][..])
    );
    let legacy = "[profile p]\nsso_region = eu-west-1\nsso_start_url = https://x.awsapps.com/start\n\
        sso_account_id = 111122223333\nsso_role_name = Dev";
    let Ok(Plan::Sso(plan)) = planned(legacy).await else { panic!() };
    assert_eq!((plan.session.name.as_deref(), plan.session.scopes.len()), (None, 0));
    for (text, complaint) in [
        ("[profile p]\nsso_session = corp", "there is no [sso-session corp]"),
        (
            "[sso-session corp]\nsso_region = eu-west-1\n[profile p]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = x",
            "has no sso_start_url",
        ),
        ("[profile p]\nsso_start_url = https://x", "has no sso_region"),
    ] {
        assert!(planned(text).await.unwrap_err().contains(complaint), "{text}");
    }
}

#[tokio::test]
async fn plan_role_has_its_base_as_source() {
    let text = format!(
        "[profile base]\n{KEYS}\n[profile p]\n{ROLE}\nsource_profile = base\nmfa_serial = arn:aws:iam::111122223333:mfa/dev\n\
         external_id = handshake\nduration_seconds = 7200\nregion = eu-west-1\nrole_session_name = me"
    );
    let Ok(Plan::Role(role)) = planned(&text).await else { panic!() };
    assert_eq!(role.base, SourceKind::AwsProfileLeaf("base".to_owned()));
    assert_eq!(role.mfa.as_ref().unwrap().session, DEFAULT_MFA_SESSION);
    assert_eq!((role.duration.as_secs(), role.region.unwrap().as_str()), (7200, "eu-west-1"));
    assert_eq!((role.external_id.unwrap().as_str(), role.session_name.unwrap().as_str()), ("handshake", "me"));
    // The base is another role, the profile's own access key, or the instance.
    let hub = format!("[profile hub]\n{ROLE}\nsource_profile = base\n[profile base]\n{KEYS}");
    let base = async |keys: &str| match planned(&format!("{hub}\n[profile p]\n{ROLE}\n{keys}")).await {
        Ok(Plan::Role(role)) => role.base,
        other => panic!("{other:?}"),
    };
    assert_eq!(base("source_profile = hub").await, SourceKind::AwsProfile("hub".to_owned()));
    let own = SourceKind::AwsProfileLeaf("p".to_owned());
    assert_eq!(base(&format!("source_profile = p\n{KEYS}")).await, own);
    assert_eq!(base("credential_source = Ec2InstanceMetadata").await, own);
}

/// Fault matrix row 92.
#[tokio::test]
async fn plan_circle_or_long_chain_is_an_error() {
    let role = |name: &str, next: &str| format!("[profile {name}]\n{ROLE}\nsource_profile = {next}\n");
    let looped = [role("p", "a"), role("a", "b"), role("b", "p")].concat();
    assert!(planned(&looped).await.unwrap_err().contains("forms a circle: a, b"));
    let elsewhere = [role("p", "a"), role("a", "b"), role("b", "a")].concat();
    assert!(planned(&elsewhere).await.unwrap_err().contains("forms a circle: a, b"));
    let long: String = (0..1000).map(|n| role(&format!("r{n}"), &format!("r{}", n + 1))).collect();
    assert!(planned(&format!("{}{long}", role("p", "r0"))).await.unwrap_err().contains("more than 5 roles"));
}

#[tokio::test]
async fn plan_error_names_the_invalid_profile() {
    for (text, complaint) in [
        ("[profile p]\nregion = eu-west-1", "p: has no credentials"),
        (&format!("[profile p]\n{ROLE}"), "p: has a role_arn but no source_profile"),
        (&format!("[profile p]\n{ROLE}\nsource_profile = gone"), "gone: not found"),
        (&format!("[profile p]\n{ROLE}\ncredential_source = Environment"), "environment variables are not read"),
        ("[profile p]\nrole_arn = nonsense\nsource_profile = p", "p: role_arn: "),
        (
            &format!("[profile p]\n{ROLE}\nsource_profile = b\nduration_seconds = 60\n[profile b]\n{KEYS}"),
            "900 to 43200",
        ),
    ] {
        let error = planned(text).await.unwrap_err();
        assert!(error.contains(complaint), "{text}: {error}");
    }
}
