//! Sources are found or added, and existing ones stay.

use super::*;

#[test]
fn ensure_source_with_a_used_name_adds_a_number() {
    let mut config = file("[sources.work]\nkeyring = \"work\"\n[sources.other]\naws_profile = \"job\"\n");
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile("work"), None).unwrap().as_str(), "work-2");
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile("work"), None).unwrap().as_str(), "work-2");
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile("job"), None).unwrap().as_str(), "other");
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile("„…“"), None).unwrap().as_str(), "aws");
    assert_eq!(config.source_names(), ["work", "other", "work-2", "aws"]);
    let long = "x".repeat(200);
    assert_eq!(config.ensure_source(SourceEntry::AwsProfile(&long), None).unwrap().as_str().len(), 56);
}

#[test]
fn keyring_source_is_added_and_found() {
    let mut config = file("# mine\n[sources.work]\naws_profile = \"job\" # the usual\n");
    config.add_source_keyring("break-glass", &"break-glass".parse().unwrap()).unwrap();
    assert_eq!(
        config.text(),
        "# mine\n[sources.work]\naws_profile = \"job\" # the usual\n\n[sources.break-glass]\nkeyring = \"break-glass\"\n"
    );
    assert_eq!(config.sources_with_keyring(&"break-glass".parse().unwrap()), ["break-glass"]);
    assert!(config.sources_with_keyring(&"job".parse().unwrap()).is_empty());
}

#[test]
fn ensure_source_adds_mfa_and_keeps_an_existing_source() {
    let mut config = file("");
    let serial: rolecall_protocol::MfaSerial = "arn:aws:iam::111122223333:mfa/dev".parse().unwrap();
    let keys = "work".parse().unwrap();
    let of_keys = SourceEntry::Keyring(&keys);
    assert_eq!(config.ensure_source(of_keys, Some(&serial)).unwrap().as_str(), "work");
    let text = config.text();
    let made = "[sources.work]\nkeyring = \"work\"\nmfa = { serial = \"arn:aws:iam::111122223333:mfa/dev\" }\n";
    assert!(text.contains(made), "{text}");
    assert_eq!(config.ensure_source(of_keys, None).unwrap().as_str(), "work");
    assert_eq!(config.text(), text);
    let source = config.ensure_source(SourceEntry::AwsProfile("work"), None).unwrap();
    assert_eq!((source.as_str(), config.mfa_serial(&source)), ("work-2", None));
    assert_eq!(config.mfa_serial(&"work".parse().unwrap()).as_deref(), Some(serial.as_str()));
}
