//! Tests with files on the disk.

use super::*;

/// The two files in a temporary folder.
pub(crate) struct Files {
    folder: tempfile::TempDir,
    pub(crate) paths: AwsFiles,
}

impl Files {
    pub(crate) fn new(config: &str, credentials: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let paths = AwsFiles { config: path("config"), credentials: path("credentials"), logins: path("") };
        std::fs::write(&paths.config, config).unwrap();
        std::fs::write(&paths.credentials, credentials).unwrap();
        Self { folder, paths }
    }

    pub(crate) fn read(&self) -> SharedConfig {
        SharedConfig::read(&self.paths).unwrap()
    }

    fn reader(&self) -> Reader {
        Reader::new(self.paths.clone())
    }

    /// A text with the paths in short.
    pub(crate) fn shorten(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn names(config: &str, credentials: &str) -> Vec<String> {
    Files::new(config, credentials).read().profile_names().map(str::to_owned).collect()
}

/// Cases 02a and 02c.
#[test]
fn profile_names_are_those_of_the_aws_cli() {
    for (config, credentials, expected) in [
        ("[default]\n[profile a]\n[b]\n", "[c]\n[profile d]\n", vec!["a", "c", "default", "profile d"]),
        ("[profile \"Mike Dev.Admin\"]\n[profile 'x y']\n[profile z\\ z]\n", "", vec!["Mike Dev.Admin", "x y", "z z"]),
        ("[profile prod-\u{e9}]\n", "[\u{fc}]\n", vec!["prod-\u{e9}", "\u{fc}"]),
        // Not a profile: three words, one word, or a quote that is not closed.
        ("[profile a b]\n[profile]\n[profile 'x]\n[preview]\n", "", vec![]),
        ("[profile a] # note\n[profile default]\n", "", vec!["a", "default"]),
        ("[sso-session s]\n[services t]\n", "", vec![]),
        ("", "[a b]\n[ c ]\n", vec![" c ", "a b"]),
    ] {
        assert_eq!(names(config, credentials), expected, "{config}{credentials}");
    }
}

#[test]
fn settings_of_the_credentials_file_come_first() {
    let files = Files::new(
        "[profile a]\nregion = eu-west-1\noutput = json\n[profile \"a\"]\nregion = eu-west-2\nx = 1\n",
        "[a]\nregion = us-east-1\ny = 2\n",
    );
    let config = files.read();
    let profile = config.profile("a").unwrap();
    let text = |key: &str| profile.text(key).unwrap();
    assert_eq!([text("region"), text("x"), text("y")], [Some("us-east-1"), Some("1"), Some("2")]);
    // Of two sections of one name, the last counts as a whole.
    assert_eq!(text("output"), None);
    assert_eq!(files.shorten(&profile.place("x").unwrap().to_string()), "line 6 of config");
    assert_eq!(files.shorten(&profile.place("y").unwrap().to_string()), "line 3 of credentials");
}

#[test]
fn text_with_several_lines_is_an_error() {
    let files = Files::new("[profile a]\nregion = eu-west-1\n  output = json\ns3 =\n  x = 1\n", "");
    let config = files.read();
    for key in ["region", "s3"] {
        let error = config.profile("a").unwrap().text(key).unwrap_err();
        assert!(error.message.contains("continues in the next lines"), "{error}");
    }
}

/// Case 19.
#[test]
fn misnamed_section_is_named_with_its_place() {
    let files = Files::new("[work]\nx = 1\n[profile Mike Dev]\n[profile 'open]\n", "[profile other]\n");
    let config = files.read();
    let hint = |name: &str| config.misnamed_section(name).map(|hint| files.shorten(&hint));
    assert_eq!(hint("work").as_deref(), Some("Rename the section [work] in line 1 of config to [profile work]."));
    assert_eq!(
        hint("Mike Dev").as_deref(),
        Some("Rename the section [profile Mike Dev] in line 3 of config to [profile \"Mike Dev\"].")
    );
    assert_eq!(
        hint("open").as_deref(),
        Some("Rename the section [profile 'open] in line 4 of config to [profile open].")
    );
    assert_eq!(
        hint("other").as_deref(),
        Some("Rename the section [profile other] in line 1 of credentials to [other].")
    );
    assert_eq!(hint("nothing"), None);
}

#[test]
fn network_settings_follow_the_services_section() {
    let files = Files::new(
        "[profile a]\nservices = local\nendpoint_url = http://all\nuse_fips_endpoint = TRUE\nca_bundle = /ca.pem\n\
         [profile none]\nservices = gone\n[profile flat]\nservices = flat\n\
         [profile ignored]\nservices = gone\nendpoint_url = http://all\nignore_configured_endpoint_urls = true\n\
         [services local]\nsts =\n  endpoint_url = http://sts\nsso_oidc =\n\n  # note\n  endpoint_url=http://oidc\neks =\n  x = 1\n\
         [services flat]\nsts = http://sts\n",
        "",
    );
    let config = files.read();
    let settings = |name: &str| NetworkSettings::of(&config, config.profile(name).unwrap());
    let own = settings("a").unwrap();
    assert_eq!(
        ["sts", "sso_oidc", "eks", "signin"].map(|service| own.url_of(service)),
        [Some("http://sts"), Some("http://oidc"), Some("http://all"), Some("http://all")]
    );
    assert!(own.fips && !own.dual_stack && own.ca_bundle.is_some());
    assert_eq!(settings("ignored").unwrap().url_of("sts"), None);
    let message = |name: &str| files.shorten(&settings(name).unwrap_err().message);
    assert_eq!(message("none"), "services in line 7 of config names a section [services gone] that does not exist");
    assert_eq!(message("flat"), "sts in line 24 of config has no nested settings");
}

/// Fault matrix row 90.
#[tokio::test]
async fn last_valid_settings_stay_while_a_file_is_broken() {
    let files = Files::new("[profile a]\nendpoint_url = http://sts\n", "");
    let (last_valid, reader) = (LastValid::default(), files.reader());
    let url = async || {
        let settings = last_valid.load(&reader, "a").await;
        settings.map(|settings| settings.url_of("sts").map(str::to_owned))
    };
    assert_eq!(url().await, Ok(Some("http://sts".to_owned())));
    std::fs::write(&files.paths.config, "[profile a\n").unwrap();
    assert_eq!(url().await, Ok(Some("http://sts".to_owned())));
    assert!(matches!(last_valid.load(&reader, "other").await, Err(SettingsError::File(_))));
    // The profile is gone: no call may go to the region's own endpoint instead.
    std::fs::write(&files.paths.config, "[profile b]\n").unwrap();
    assert!(matches!(url().await, Err(SettingsError::Profile(_))));
    std::fs::remove_file(&files.paths.config).unwrap();
    assert!(matches!(url().await, Err(SettingsError::Profile(_))));
    // The credentials file alone would mean the region's own endpoint.
    std::fs::write(&files.paths.credentials, "[a]\n").unwrap();
    assert!(matches!(url().await, Err(SettingsError::Profile(_))));
    std::fs::write(&files.paths.config, "[profile a]\nregion = eu-west-1\n").unwrap();
    assert_eq!(url().await, Ok(None));
    std::fs::remove_file(&files.paths.config).unwrap();
    assert_eq!(url().await, Ok(None));
}

/// Fault matrix row 127.
#[tokio::test(flavor = "multi_thread")]
async fn query_holds_the_content_of_one_call_at_a_time() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (files, open) = (Files::new("[profile a]\nregion = eu-west-1\n", ""), Arc::new(AtomicUsize::new(0)));
    let reader = Arc::new(files.reader());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (reader, open) = (Arc::clone(&reader), Arc::clone(&open));
        calls.spawn(async move {
            let count = move |config: &SharedConfig| {
                let others = open.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
                open.fetch_sub(1, Ordering::SeqCst);
                (others, config.profile_names().count())
            };
            reader.query(count).await
        });
    }
    assert!(calls.join_all().await.into_iter().all(|found| found == Ok((0, 1))));
}
