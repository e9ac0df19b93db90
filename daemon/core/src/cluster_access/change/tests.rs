use std::collections::BTreeSet;

use proptest::prelude::*;
use rolecall_protocol::{
    AccessGrantRequest, AccessMigrateRequest, AccessRecoverRequest, AccessRevokeRequest, AccessVia, GivenPrincipal,
    PrincipalKind,
};

use super::*;
use crate::cluster_access::reading::STANDARD;

const ACCOUNT: &str = "111122223333";

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

fn context() -> PlanContext {
    let policies = [ADMIN_POLICY, "AmazonEKSAdminPolicy", "AmazonEKSEditPolicy", "AmazonEKSViewPolicy"];
    PlanContext {
        caller: role("me").parse().unwrap(),
        policies: policies.map(str::to_owned).to_vec(),
        iam: BTreeMap::new(),
    }
}

fn reading(mode: AuthenticationMode) -> Reading {
    Reading {
        cluster: "prod".to_owned(),
        partition: "aws".to_owned(),
        account: ACCOUNT.to_owned(),
        mode: Some(mode),
        entries: Some(Vec::new()),
        aws_auth: AwsAuthState::Present(Data::new()),
        missing: BTreeSet::new(),
    }
}

fn with_roles(mut reading: Reading, text: &str) -> Reading {
    reading.aws_auth = AwsAuthState::Present(Data::from([("mapRoles".to_owned(), text.to_owned())]));
    reading
}

fn with_admin(mut reading: Reading, arn: &str) -> Reading {
    let policies = vec![AccessPolicyScope { policy: ADMIN_POLICY.to_owned(), namespaces: Vec::new() }];
    let entry = AccessEntry {
        principal: arn.to_owned(),
        entry_type: STANDARD.to_owned(),
        username: None,
        groups: Vec::new(),
        policies,
    };
    reading.entries.get_or_insert_default().push(entry);
    reading
}

fn given(names: &[&str]) -> Vec<GivenPrincipal> {
    let kind = |name: &str| if name.starts_with("arn:") { PrincipalKind::Unknown } else { PrincipalKind::Role };
    names.iter().map(|name| GivenPrincipal { kind: kind(name), name: (*name).to_owned() }).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn grant_request(names: &[&str], policies: &[&str], groups: &[&str]) -> AccessGrantRequest {
    AccessGrantRequest {
        principals: given(names),
        policies: texts(policies),
        groups: texts(groups),
        ..AccessGrantRequest::default()
    }
}

fn revoke_request(names: &[&str]) -> AccessRevokeRequest {
    AccessRevokeRequest { principals: given(names), ..AccessRevokeRequest::default() }
}

fn actions(plan: &Plan) -> Vec<AccessAction> {
    plan.changes.iter().map(|planned| planned.change.action).collect()
}

fn codes(planned: &PlannedChange) -> Vec<&str> {
    planned.change.findings.iter().map(|found| found.code.as_str()).collect()
}

fn mapping(arn: &str, username: &str, groups: &[&str]) -> String {
    format!("- rolearn: {arn}\n  username: {username:?}\n  groups: {groups:?}\n")
}

#[test]
fn grant_to_many_refuses_the_invalid_and_repeats_nothing() {
    let mut names: Vec<String> = (0..197).map(|number| format!("dev{number}")).collect();
    names.extend(["a b", "arn:aws:sts::111122223333:assumed-role/dev/s", "gone", "dev0"].map(str::to_owned));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut context = context();
    context.iam.insert(role("gone"), None);
    let wish = grant_request(&names, &["AmazonEKSViewPolicy"], &["devs"]);
    let before = reading(AuthenticationMode::Api);
    let plan = grant(&before, &context, &wish).unwrap();
    let count = |plan: &Plan, action| actions(plan).into_iter().filter(|found| *found == action).count();
    assert_eq!((count(&plan, AccessAction::Create), count(&plan, AccessAction::Refuse)), (197, 3));
    assert_eq!(plan.changes[0].calls.len(), 2);
    assert_eq!(plan.changes[0].change.after.as_ref().unwrap().policies[0].policy, "AmazonEKSViewPolicy");
    let again = grant(&plan.applied_to(&before), &context, &wish).unwrap();
    assert_eq!((count(&again, AccessAction::Keep), count(&again, AccessAction::Refuse)), (197, 3));
    assert_eq!(again.to_wire(&before).effective(), 0);
    assert_ne!(plan.id(&before), again.id(&before));
}

#[test]
fn grant_explains_each_principal_that_is_refused() {
    let mut context = context();
    context.iam.insert(role("gone"), None);
    context.iam.insert(role("nested"), Some(role("team/nested").parse().unwrap()));
    let linked = role("aws-service-role/eks.amazonaws.com/X");
    let names = [
        "arn:aws-cn:iam::111122223333:role/a",
        "arn:aws:iam::111122223333:root",
        &linked,
        "gone",
        "nested",
        "other/nested",
    ];
    let plan = grant(&reading(AuthenticationMode::Api), &context, &grant_request(&names, &[], &["g"])).unwrap();
    let codes: Vec<&str> = plan.changes.iter().flat_map(codes).collect();
    assert_eq!(
        codes,
        ["other_partition", "invalid_principal", "invalid_principal", "principal_missing", "principal_missing"]
    );
    assert_eq!(plan.changes[4].change.target, role("team/nested"));
    assert_eq!(plan.changes[4].change.action, AccessAction::Create);
}

#[test]
fn grant_rejects_a_request_that_eks_would_reject() {
    let api = reading(AuthenticationMode::Api);
    let reason = |wish: &AccessGrantRequest| grant(&api, &context(), wish).unwrap_err().to_string();
    let policy = reason(&grant_request(&["a"], &["AmazonEKSVeiwPolicy"], &[]));
    assert_eq!(policy, "EKS has no access policy \"AmazonEKSVeiwPolicy\"; did you mean AmazonEKSViewPolicy?");
    assert!(reason(&grant_request(&["a"], &[], &["system:masters"])).contains(ADMIN_POLICY));
    assert!(reason(&grant_request(&["a"], &[], &["eks:x"])).contains("EKS reserves"));
    assert!(reason(&grant_request(&["a"], &[], &["a\nb"])).contains("visible characters"));
    let mut wish = grant_request(&["a"], &["AmazonEKSViewPolicy"], &[]);
    wish.namespaces = texts(&["Dev"]);
    assert!(reason(&wish).contains("not the name of a namespace"));
    wish.policies.clear();
    assert!(reason(&wish).contains("names no policy"));
    let config_map = reading(AuthenticationMode::ConfigMap);
    wish = grant_request(&["a"], &["AmazonEKSViewPolicy"], &[]);
    assert!(matches!(grant(&config_map, &context(), &wish), Err(PlanError::InvalidRequest { .. })));
    wish.via = Some(AccessVia::AccessEntries);
    assert_eq!(grant(&config_map, &context(), &wish), Err(PlanError::NeedsAccessEntries));
    wish = grant_request(&["a"], &[], &["g"]);
    wish.via = Some(AccessVia::AwsAuth);
    assert_eq!(grant(&api, &context(), &wish), Err(PlanError::IgnoresAwsAuth));
}

#[test]
fn grant_widens_a_scope_and_never_narrows_it() {
    let mut wish = grant_request(&["dev"], &["arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy"], &[]);
    let mut present = reading(AuthenticationMode::ApiAndConfigMap);
    let mut scopes = Vec::new();
    for namespaces in [vec!["a"], vec!["b-*"], vec![], vec!["a"]] {
        wish.namespaces = texts(&namespaces);
        let plan = grant(&present, &context(), &wish).unwrap();
        present = plan.applied_to(&present);
        scopes.push((actions(&plan)[0], present.entries.as_ref().unwrap()[0].policies[0].namespaces.join(" ")));
    }
    let expected = [
        (AccessAction::Create, "a"),
        (AccessAction::Update, "a b-*"),
        (AccessAction::Update, ""),
        (AccessAction::Keep, ""),
    ];
    assert_eq!(scopes, expected.map(|(action, scope)| (action, scope.to_owned())));
}

#[test]
fn grant_in_config_map_mode_edits_aws_auth() {
    let before = with_roles(reading(AuthenticationMode::ConfigMap), "# ours\n- rolearn: x\n");
    let mut wish = grant_request(&["team/dev"], &[], &["devs"]);
    wish.principals.push(GivenPrincipal { kind: PrincipalKind::User, name: "jo".to_owned() });
    let plan = grant(&before, &context(), &wish).unwrap();
    assert_eq!(actions(&plan), [AccessAction::Create; 2]);
    assert_eq!(plan.changes[0].change.target, role("dev"));
    assert!(plan.changes[0].change.after.as_ref().unwrap().applies);
    let diff = plan.diff.as_deref().unwrap();
    assert!(
        diff.contains("--- aws-auth mapRoles") && diff.contains("+- rolearn: arn:aws:iam::111122223333:role/dev\n"),
        "{diff}"
    );
    assert!(diff.contains("+- userarn: arn:aws:iam::111122223333:user/jo\n"), "{diff}");
    let after = plan.applied_to(&before);
    let again = grant(&after, &context(), &wish).unwrap();
    assert_eq!((actions(&again), again.aws_auth.as_ref()), (vec![AccessAction::Keep; 2], None));
    wish.groups.push("more".to_owned());
    assert_eq!(actions(&grant(&after, &context(), &wish).unwrap()), [AccessAction::Update; 2]);
    let broken = with_roles(before, "- rolearn: \"x\n");
    assert!(matches!(grant(&broken, &context(), &wish), Err(PlanError::AwsAuth { .. })));
}

#[test]
fn revoke_removes_a_principal_from_every_source() {
    let text = mapping(&role("dev"), "dev", &["g"]) + &mapping(&role("me"), "me", &["system:masters"]);
    let before = with_roles(with_admin(reading(AuthenticationMode::ApiAndConfigMap), &role("team/dev")), &text);
    let plan = revoke(&before, &context(), &revoke_request(&["dev", "unmapped", "a b"])).unwrap();
    let expected = [AccessAction::Delete, AccessAction::Delete, AccessAction::Keep, AccessAction::Refuse];
    assert_eq!(actions(&plan), expected);
    let after = plan.applied_to(&before);
    assert_eq!(after.entries, Some(Vec::new()));
    assert_eq!(after.rows().len(), 1);
    assert_eq!(revoke(&after, &context(), &revoke_request(&["dev"])).unwrap().to_wire(&after).effective(), 0);
    let mut only_entries = revoke_request(&["dev"]);
    only_entries.via = Some(AccessVia::AccessEntries);
    assert_eq!(revoke(&before, &context(), &only_entries).unwrap().aws_auth, None);
}

#[test]
fn revoke_names_what_only_the_text_of_a_mapping_names() {
    let text =
        mapping(&role("team/dev"), "dev", &[]) + &mapping("arn:aws:sts::111122223333:assumed-role/x/y", "x", &[]);
    let mut before = with_roles(reading(AuthenticationMode::ConfigMap), &text);
    let AwsAuthState::Present(data) = &mut before.aws_auth else { panic!() };
    data.insert("mapAccounts".to_owned(), "- \"999988887777\"\n".to_owned());
    let names = [&*role("team/dev"), "arn:aws:sts::111122223333:assumed-role/x/y", "999988887777"];
    let plan = revoke(&before, &context(), &revoke_request(&names)).unwrap();
    assert_eq!(actions(&plan), [AccessAction::Delete; 3]);
    assert!(plan.applied_to(&before).rows().is_empty());
}

#[test]
fn revoke_of_the_last_way_in_needs_force() {
    let text = mapping(&role("me"), "me", &["devs"]);
    let mut before = with_roles(with_admin(reading(AuthenticationMode::ApiAndConfigMap), &role("me")), &text);
    before = with_admin(before, &role("boss"));
    let mut wish = revoke_request(&["me"]);
    assert_eq!(revoke(&before, &context(), &wish), Err(PlanError::OwnLastWayIn { principal: role("me") }));
    // The mapping lets the caller enter when the entry is gone.
    wish.via = Some(AccessVia::AccessEntries);
    assert_eq!(actions(&revoke(&before, &context(), &wish).unwrap()), [AccessAction::Delete]);
    wish.via = None;
    wish.change.force = true;
    assert_eq!(actions(&revoke(&before, &context(), &wish).unwrap()), [AccessAction::Delete; 2]);
}

#[test]
fn revoke_of_the_last_administrator_needs_force() {
    let before = with_admin(reading(AuthenticationMode::Api), &role("boss"));
    let mut wish = revoke_request(&["boss"]);
    let refused = Err(PlanError::LastAdministrator { principal: role("boss") });
    assert_eq!(revoke(&before, &context(), &wish), refused);
    wish.policies = texts(&[ADMIN_POLICY]);
    assert_eq!(revoke(&before, &context(), &wish), refused);
    let two = with_admin(before.clone(), &role("other"));
    assert_eq!(actions(&revoke(&two, &context(), &wish).unwrap()), [AccessAction::Update]);
    wish.change.force = true;
    assert_eq!(actions(&revoke(&before, &context(), &wish).unwrap()), [AccessAction::Update]);
}

#[test]
fn migrate_turns_mappings_into_entries() {
    let nodes = ["system:bootstrappers", "system:nodes"];
    let text = mapping(&role("node"), "system:node:{{EC2PrivateDNSName}}", &nodes)
        + &mapping(&role("win"), "system:node:{{EC2PrivateDNSName}}", &["system:nodes", "eks:kube-proxy-windows"])
        + &mapping(&role("admin"), "admin:{{SessionName}}", &["system:masters", "devs"])
        + &mapping(&role("odd"), "{{SessionName}}", &["system:authenticated"])
        + &mapping(&role("team/never"), "never", &[])
        + &mapping(&role("gone"), "gone", &[])
        + "- sso: {permissionSetName: A, accountID: \"111122223333\"}\n  username: a\n";
    let mut before = with_roles(reading(AuthenticationMode::ApiAndConfigMap), &text);
    let AwsAuthState::Present(data) = &mut before.aws_auth else { panic!() };
    data.insert("mapAccounts".to_owned(), "- \"999988887777\"\n".to_owned());
    let mut context = context();
    context.iam.insert(role("admin"), Some(role("ops/admin").parse().unwrap()));
    context.iam.insert(role("gone"), None);
    let plan = migrate(&before, &context, &AccessMigrateRequest::default()).unwrap();
    let after = plan.applied_to(&before);
    let entries = after.entries.as_ref().unwrap();
    let shown: Vec<String> = entries
        .iter()
        .map(|entry| {
            let policies: Vec<&str> = entry.policies.iter().map(|policy| policy.policy.as_str()).collect();
            let username = entry.username.as_deref().unwrap_or("-");
            format!("{} {} {username} {:?} {policies:?}", entry.principal, entry.entry_type, entry.groups)
        })
        .collect();
    assert_eq!(
        shown,
        [
            format!("{} EC2_LINUX - [] []", role("node")),
            format!("{} EC2_WINDOWS - [] []", role("win")),
            format!("{} STANDARD admin:{{{{SessionName}}}} [\"devs\"] [\"{ADMIN_POLICY}\"]", role("ops/admin")),
            format!("{} STANDARD - [] []", role("odd")),
        ]
    );
    let all: Vec<Vec<&str>> = plan.changes.iter().map(codes).collect();
    assert_eq!(all[2], ["masters_to_policy"]);
    assert_eq!(all[3], ["group_lost", "username_lost", "path_unknown"]);
    assert_eq!(
        all[4..],
        [vec!["never_matches"], vec!["principal_missing"], vec!["permission_set"], vec!["whole_account"]]
    );
    let again = migrate(&after, &context, &AccessMigrateRequest::default()).unwrap();
    assert_eq!(again.to_wire(&after).effective(), 0);
}

#[test]
fn migrate_changes_the_mode_only_if_asked_and_one_way() {
    let me = mapping(&role("me"), "me:x", &["system:masters"]);
    let old = with_roles(reading(AuthenticationMode::ConfigMap), &me);
    let with_mode = |mode| AccessMigrateRequest { mode, ..AccessMigrateRequest::default() };
    assert_eq!(migrate(&old, &context(), &with_mode(None)), Err(PlanError::NeedsAccessEntries));
    let plan = migrate(&old, &context(), &with_mode(Some(AuthenticationMode::Api))).unwrap();
    let wire = plan.to_wire(&old);
    let actions: Vec<AccessAction> = wire.changes.iter().map(|change| change.action).collect();
    assert_eq!(actions, [AccessAction::SetMode, AccessAction::Create, AccessAction::SetMode]);
    assert_eq!(plan.applied_to(&old).mode, Some(AuthenticationMode::Api));
    let both = with_roles(reading(AuthenticationMode::ApiAndConfigMap), &me);
    let back = migrate(&both, &context(), &with_mode(Some(AuthenticationMode::ConfigMap)));
    assert!(matches!(back, Err(PlanError::InvalidRequest { .. })));
    // A mapping that cannot become an entry is the caller's only way in.
    let sso = "- sso: {permissionSetName: A, accountID: \"111122223333\"}\n  username: a\n";
    let mut mine = context();
    mine.caller = role("AWSReservedSSO_A_0123456789abcdef").parse().unwrap();
    let lost = migrate(&with_roles(both, sso), &mine, &with_mode(Some(AuthenticationMode::Api)));
    assert!(matches!(lost, Err(PlanError::OwnLastWayIn { .. })));
}

#[test]
fn recover_makes_the_caller_an_administrator() {
    let mut locked_out = reading(AuthenticationMode::ConfigMap);
    (locked_out.entries, locked_out.aws_auth) = (None, AwsAuthState::Unread);
    let plan = recover(&locked_out, &context(), &AccessRecoverRequest::default()).unwrap();
    assert_eq!(plan.mode_before, Some(AuthenticationMode::ApiAndConfigMap));
    let after = plan.applied_to(&locked_out);
    assert_eq!(after.explain(&context().caller).can_enter, Some(true));
    assert_eq!(administrators(&after), [role("me")]);
    let again = recover(&after, &context(), &AccessRecoverRequest::default()).unwrap();
    assert_eq!(again.to_wire(&after).effective(), 0);
    let mut unread = reading(AuthenticationMode::Api);
    unread.entries = None;
    let unread = recover(&unread, &context(), &AccessRecoverRequest::default());
    assert_eq!(unread, Err(PlanError::Unread { source_name: "access entries" }));
}

#[test]
fn repair_prefers_the_backup_and_keeps_valid_texts() {
    let node: Principal = role("node").parse().unwrap();
    let valid = Data::from([("mapRoles".to_owned(), mapping(&role("a"), "a", &[]))]);
    let repair =
        |present: &AwsAuthState, backup| repaired_aws_auth(present, backup, std::slice::from_ref(&node)).unwrap();
    assert_eq!(repair(&AwsAuthState::Present(valid.clone()), None), None);
    let users = "- userarn: arn:aws:iam::111122223333:user/jo\n".to_owned();
    let broken = Data::from([("mapRoles".to_owned(), "- \"x".to_owned()), ("mapUsers".to_owned(), users.clone())]);
    assert_eq!(repair(&AwsAuthState::Present(broken.clone()), Some(&valid)), Some(valid.clone()));
    let repaired = repair(&AwsAuthState::Present(broken.clone()), Some(&broken)).unwrap();
    assert_eq!(repaired["mapUsers"], users);
    assert!(AwsAuth::read(&repaired).roles[0].is_of_nodes());
    assert!(AwsAuth::read(&repair(&AwsAuthState::Absent, None).unwrap()).roles[0].matches(&node));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any sequence of grants and revokes in any mode, principals that no request named have what they had.
    #[test]
    fn changes_leave_other_principals_as_they_are(
        steps in prop::collection::vec((any::<bool>(), "[a-c]", "[g-i]", any::<bool>()), 1..10),
        mode in prop_oneof![Just(AuthenticationMode::ConfigMap), Just(AuthenticationMode::ApiAndConfigMap)],
    ) {
        let text = format!("# ours\n{}\n# end\n", mapping(&role("me"), "me", &["system:masters"]));
        let mut reading = with_roles(with_admin(reading(mode), &role("other")), &text);
        let untouched = |reading: &Reading| -> Vec<AccessRow> {
            let rows = reading.rows().into_iter();
            rows.filter(|row| row.principal == role("me") || row.principal == role("other")).collect()
        };
        let before = untouched(&reading);
        for (is_grant, name, group, by_aws_auth) in steps {
            let via = (by_aws_auth || mode == AuthenticationMode::ConfigMap).then_some(AccessVia::AwsAuth);
            let plan = if is_grant {
                let mut wish = grant_request(&[&name], &[], &[&group]);
                wish.via = via;
                grant(&reading, &context(), &wish)
            } else {
                let mut wish = revoke_request(&[&name]);
                wish.via = via;
                revoke(&reading, &context(), &wish)
            };
            reading = plan.unwrap().applied_to(&reading);
            prop_assert_eq!(&untouched(&reading), &before);
            let data = reading.aws_auth_data().unwrap();
            prop_assert!(AwsAuth::read(&data).problems.is_empty());
            prop_assert!(data["mapRoles"].contains("# ours\n") && data["mapRoles"].contains("\n# end\n"));
            let enters = reading.explain(&role(&name).parse().unwrap()).can_enter;
            prop_assert!(!is_grant || enters == Some(true));
        }
    }
}
