use super::*;

const ACCOUNT: &str = "111122223333";

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

fn entry(principal: &str, policies: &[&str]) -> AccessEntry {
    let scope = |policy: &&str| AccessPolicyScope { policy: (*policy).to_owned(), namespaces: Vec::new() };
    AccessEntry {
        principal: principal.to_owned(),
        entry_type: STANDARD.to_owned(),
        username: Some("u".to_owned()),
        groups: Vec::new(),
        policies: policies.iter().map(scope).collect(),
    }
}

fn reading(mode: AuthenticationMode, entries: Vec<AccessEntry>, roles: &str) -> Reading {
    Reading {
        cluster: "prod".to_owned(),
        partition: "aws".to_owned(),
        account: ACCOUNT.to_owned(),
        mode: Some(mode),
        entries: Some(entries),
        aws_auth: AwsAuthState::Present(Data::from([("mapRoles".to_owned(), roles.to_owned())])),
        missing: BTreeSet::new(),
    }
}

fn mapping(arn: &str) -> String {
    format!("- rolearn: {arn}\n  username: u\n  groups: [g]\n")
}

fn codes(findings: &[AccessFinding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

fn can_enter(reading: &Reading, arn: &str) -> Option<bool> {
    reading.explain(&arn.parse().unwrap()).can_enter
}

#[test]
fn entry_overrides_mapping_of_the_same_role() {
    let text = mapping(&role("dev")) + &mapping(&role("ops"));
    let both =
        reading(AuthenticationMode::ApiAndConfigMap, vec![entry(&role("team/dev"), &["AmazonEKSViewPolicy"])], &text);
    let rows = both.rows();
    let applies: Vec<bool> = rows.iter().map(|row| row.applies).collect();
    assert_eq!(applies, [true, false, true]);
    assert_eq!(codes(&rows[1].findings), ["overridden"]);
    let explained = both.explain(&role("team/dev").parse().unwrap());
    assert_eq!((explained.can_enter, explained.rows.len()), (Some(true), 2));
    assert!(explained.rows[0].applies && !explained.rows[1].applies);
}

#[test]
fn mode_decides_which_source_applies() {
    let text = mapping(&role("mapped"));
    let entries = vec![entry(&role("entered"), &[])];
    for (mode, mapped, entered) in [
        (AuthenticationMode::ConfigMap, true, false),
        (AuthenticationMode::ApiAndConfigMap, true, true),
        (AuthenticationMode::Api, false, true),
    ] {
        let reading = reading(mode, entries.clone(), &text);
        assert_eq!(can_enter(&reading, &role("mapped")), Some(mapped), "{mode:?}");
        assert_eq!(can_enter(&reading, &role("entered")), Some(entered), "{mode:?}");
        assert_eq!(reading.rows().iter().map(|row| row.applies).collect::<Vec<_>>(), [entered, mapped]);
    }
}

#[test]
fn role_path_in_mapping_never_matches() {
    let reading = reading(AuthenticationMode::ConfigMap, Vec::new(), &mapping(&role("team/dev")));
    let explained = reading.explain(&role("team/dev").parse().unwrap());
    assert_eq!(explained.can_enter, Some(false));
    assert!(codes(&explained.reasons).contains(&"path_in_arn"), "{:?}", explained.reasons);
    assert!(codes(&explained.reasons).contains(&"invisible_creator"));
    assert_eq!(explained.rows.len(), 1);
    assert!(!explained.rows[0].applies);
}

#[test]
fn unread_source_leaves_the_answer_open() {
    let mut reading = reading(AuthenticationMode::ApiAndConfigMap, Vec::new(), "");
    reading.aws_auth = AwsAuthState::Unread;
    assert_eq!(can_enter(&reading, &role("dev")), None);
    reading.entries = Some(vec![entry(&role("dev"), &[])]);
    assert_eq!(can_enter(&reading, &role("dev")), Some(true));
    reading.missing.insert(role("dev"));
    assert_eq!(can_enter(&reading, &role("dev")), None);
    assert!(!reading.rows()[0].applies);
}

#[test]
fn broken_text_is_the_reason_for_its_principals() {
    let text = mapping(&role("dev")) + " - rolearn: x\n";
    let reading = reading(AuthenticationMode::ConfigMap, Vec::new(), &text);
    assert!(reading.rows().is_empty());
    assert_eq!(codes(&reading.findings()), ["invalid_yaml", "no_node_mapping", "invisible_creator"]);
    let explained = reading.explain(&role("dev").parse().unwrap());
    assert_eq!(codes(&explained.reasons)[2], "invalid_yaml");
}

#[test]
fn account_and_permission_set_let_principals_enter() {
    let sso = "- sso: {permissionSetName: Admins, accountID: \"111122223333\"}\n  username: u\n";
    let mut reading = reading(AuthenticationMode::ConfigMap, Vec::new(), sso);
    assert_eq!(
        can_enter(&reading, &role("aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admins_0123456789abcdef")),
        Some(true)
    );
    assert_eq!(can_enter(&reading, &role("AWSReservedSSO_View_0123456789abcdef")), Some(false));
    let AwsAuthState::Present(data) = &mut reading.aws_auth else { panic!() };
    data.insert("mapAccounts".to_owned(), "- 111122223333\n".to_owned());
    let explained = reading.explain(&role("any").parse().unwrap());
    assert_eq!(explained.can_enter, Some(true));
    assert_eq!(
        explained.rows.iter().map(|row| (row.kind, row.applies)).collect::<Vec<_>>(),
        [(PrincipalKind::Account, true)]
    );
}
