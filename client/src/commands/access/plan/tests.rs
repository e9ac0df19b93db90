//! The plans of the four stories in each format, read by parsers of that format.

use std::collections::BTreeSet;

use rolecall_protocol::ProfileDetails;
use serde_json::{Value, json};

use super::blueprint::Blueprint;
use crate::cli::{AccessAction, AccessPlanned, Cli, Command, PlanFormat};
use clap::Parser;

fn wanted(line: &str) -> AccessPlanned {
    let line = format!("rolecall access plan prod {line}");
    match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
        Command::Access(access) => match access.action {
            AccessAction::Plan(wanted) => wanted,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A profile that assumes `role/team/developers`.
fn details(more: &Value) -> ProfileDetails {
    let mut details = json!({"name": "prod", "cluster": "prod-eu", "region": "eu-west-1", "source": "work",
        "state": "unused", "source_kind": "AWS profile work", "duration_seconds": 3600, "fips": false,
        "role_arn": "arn:aws:iam::111122223333:role/team/developers",
        "hops": ["arn:aws:iam::111122223333:role/team/developers"]});
    details.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(details).unwrap()
}

/// A profile without a role, whose keys belong to the user `ops/dev`.
fn of_user() -> ProfileDetails {
    details(&json!({"role_arn": null, "hops": [], "session": {"arn": "arn:aws:iam::111122223333:user/ops/dev",
        "key_id_suffix": "WXYZ", "issued": "2026-01-02T03:05:00Z"}}))
}

fn text(line: &str, details: &ProfileDetails) -> Result<String, String> {
    let wanted = wanted(line);
    let blueprint = Blueprint::new(&wanted, details).map_err(|error| error.to_string())?;
    super::text(&blueprint, wanted.format).map_err(|error| error.to_string())
}

fn plan(line: &str, details: &ProfileDetails) -> String {
    text(line, details).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The four stories with their options, and the profile of each.
fn stories() -> [(&'static str, ProfileDetails); 5] {
    [
        ("", of_user()),
        ("--user alice bob", details(&json!({}))),
        ("--as teams --namespace web api --user alice", details(&json!({}))),
        ("--as users --user alice team/bob@x.org --policy AmazonEKSEditPolicy --namespace web", details(&json!({}))),
        ("--as role --role ops --policy AmazonEKSClusterAdminPolicy", of_user()),
    ]
}

/// The commands of a script, each as words, as a shell reads them. Here documents are left out.
fn commands(script: &str) -> Vec<Vec<String>> {
    let mut shell = std::process::Command::new("sh");
    let functions = "for program in aws kubectl rolecall; do eval \"$program() { printf '%s\\\\0' $program \\\"\\$@\\\"; \
                     printf '\\\\n\\\\0'; }\"; done\n";
    let said = shell.arg("-euc").arg(format!("{functions}{script}")).output().unwrap();
    assert!(said.status.success(), "{}\n{script}", String::from_utf8_lossy(&said.stderr));
    let words = String::from_utf8(said.stdout).unwrap();
    let words: Vec<&str> = words.split('\0').collect();
    let commands = words.split(|word| *word == "\n");
    commands
        .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
        .filter(|words: &Vec<_>| words.len() > 1)
        .collect()
}

fn option<'a>(command: &'a [String], name: &str) -> &'a str {
    let at = command.iter().position(|word| word == name).unwrap_or_else(|| panic!("{name} in {command:?}"));
    &command[at + 1]
}

fn operations(commands: &[Vec<String>]) -> Vec<String> {
    commands.iter().map(|words| words[..3].join(" ")).collect()
}

#[test]
fn cli_commands_of_each_story_are_valid_words_and_json() {
    for (line, details) in stories() {
        let commands = commands(&plan(line, &details));
        for command in &commands {
            for name in ["--assume-role-policy-document", "--policy-document"] {
                if command.iter().any(|word| word == name) {
                    let policy: Value = serde_json::from_str(option(command, name)).unwrap();
                    assert_eq!(policy["Version"], "2012-10-17");
                }
            }
        }
        assert!(operations(&commands).contains(&"aws eks create-access-entry".to_owned()), "{line}: {commands:?}");
    }
}

#[test]
fn cli_commands_of_a_role_with_its_group() {
    let mfa = details(&json!({"mfa": {"serial": "arn:aws:iam::111122223333:mfa/dev", "seconds": 43200,
        "in_assume_role": false, "by_command": false}, "tags": {"team": "x"}, "source_identity": "dev"}));
    let commands = commands(&plan("--user alice", &mfa));
    assert_eq!(
        operations(&commands),
        [
            "aws iam create-role",
            "aws iam put-role-policy",
            "aws iam create-group",
            "aws iam put-group-policy",
            "aws iam add-user-to-group",
            "aws eks create-access-entry",
            "aws eks associate-access-policy"
        ]
    );
    assert_eq!((option(&commands[0], "--role-name"), option(&commands[0], "--path")), ("developers", "/team/"));
    let trust: Value = serde_json::from_str(option(&commands[0], "--assume-role-policy-document")).unwrap();
    assert_eq!(
        trust["Statement"][0],
        json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}})
    );
    let assume: Value = serde_json::from_str(option(&commands[3], "--policy-document")).unwrap();
    assert_eq!(assume["Statement"][0]["Resource"], "arn:aws:iam::111122223333:role/team/developers");
    assert_eq!(option(&commands[5], "--principal-arn"), "arn:aws:iam::111122223333:role/team/developers");
    assert_eq!(option(&commands[6], "--access-scope"), "type=cluster");
    assert_eq!(option(&commands[6], "--policy-arn"), "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy");
}

#[test]
fn role_after_another_role_trusts_that_one() {
    let hub = "arn:aws:iam::999988887777:role/hub";
    let chained = details(&json!({"hops": [hub, "arn:aws:iam::111122223333:role/team/developers"]}));
    let commands = commands(&plan("", &chained));
    let trust: Value = serde_json::from_str(option(&commands[0], "--assume-role-policy-document")).unwrap();
    assert_eq!(trust["Statement"][0]["Principal"]["AWS"], hub);
    assert_eq!(trust["Statement"][0]["Action"], "sts:AssumeRole");
}

#[test]
fn cli_commands_of_many_users_in_namespaces() {
    let commands = commands(&plan(stories()[3].0, &details(&json!({}))));
    let scopes: Vec<&str> = commands
        .iter()
        .filter(|words| words[2] == "associate-access-policy")
        .map(|words| option(words, "--access-scope"))
        .collect();
    assert_eq!(scopes, ["type=namespace,namespaces=web"; 2]);
    let entries: Vec<&str> = commands
        .iter()
        .filter(|words| words[2] == "create-access-entry")
        .map(|words| option(words, "--principal-arn"))
        .collect();
    assert_eq!(entries, ["arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:user/team/bob@x.org"]);
    assert_eq!(option(&commands[1], "--user-name"), "bob@x.org");
}

/// The documents of the here document of kubectl.
fn manifest(text: &str) -> Vec<Value> {
    let (_, rest) = text.split_once("<<'EOF'\n").unwrap();
    let (manifest, _) = rest.split_once("EOF\n").unwrap();
    manifest.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

#[test]
fn teams_get_a_cluster_role_and_its_bindings() {
    let objects = manifest(&plan("--as teams --namespace web api", &details(&json!({}))));
    let kinds: Vec<&Value> = objects.iter().map(|object| &object["kind"]).collect();
    assert_eq!(kinds, ["ClusterRole", "RoleBinding", "RoleBinding"]);
    assert_eq!(objects[0]["rules"][1], json!({"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}));
    assert_eq!(
        (&objects[1]["metadata"]["namespace"], &objects[2]["metadata"]["namespace"]),
        (&json!("web"), &json!("api"))
    );
    assert_eq!(objects[1]["roleRef"]["name"], objects[0]["metadata"]["name"]);
    assert_eq!(objects[1]["subjects"][0]["name"], "developers");
    let whole = manifest(&plan("--as teams", &details(&json!({}))));
    assert_eq!(whole[1]["kind"], "ClusterRoleBinding");
    let words = commands(&plan("--as teams", &details(&json!({}))));
    let admin = words.iter().find(|words| words[2] == "associate-access-policy").unwrap();
    assert!(option(admin, "--policy-arn").ends_with("/AmazonEKSClusterAdminPolicy"));
    assert!(option(admin, "--principal-arn").ends_with(":role/prod-eu-admins"));
}

#[test]
fn aws_auth_gets_groups_in_place_of_policies() {
    let text = plan("--via aws-auth --user alice", &details(&json!({})));
    let grant = commands(&text).into_iter().find(|words| words[0] == "rolecall").unwrap();
    assert_eq!(grant[..3], ["rolecall", "access", "grant"]);
    assert_eq!((option(&grant, "--via"), option(&grant, "--group")), ("aws-auth", "eks-view"));
    assert_eq!(option(&grant, "--username"), "developers:{{SessionName}}");
    assert!(text.contains("# - rolearn: arn:aws:iam::111122223333:role/developers\n"), "{text}");
    assert!(text.contains("#   username: \"developers:{{SessionName}}\"\n"), "{text}");
    assert!(!text.contains("create-access-entry"), "{text}");
    assert_eq!(manifest(&text)[0]["roleRef"]["name"], "view");
    let masters = plan("--via aws-auth --policy AmazonEKSClusterAdminPolicy", &details(&json!({})));
    assert!(masters.contains("--group system:masters") && !masters.contains("kubectl"), "{masters}");
    for (option, format) in [("cloudformation", PlanFormat::Cloudformation), ("terraform", PlanFormat::Terraform)] {
        let line = format!("--via aws-auth --format {option}");
        assert_eq!(wanted(&line).format, format);
        let text = plan(&line, &details(&json!({})));
        assert!(text.contains("# rolecall access grant prod --role") && !text.contains("AccessEntry"), "{text}");
    }
}

#[test]
fn cloudformation_of_each_story_has_resolved_references() {
    for (line, details) in stories() {
        let text = plan(&format!("{line} --format cloudformation"), &details);
        let template: Value = serde_saphyr::from_str(&text).unwrap();
        let resources = template["Resources"].as_object().unwrap();
        assert!(resources.keys().all(|id| id.chars().all(|c| c.is_ascii_alphanumeric())), "{text}");
        assert!(resources.values().any(|resource| resource["Type"] == "AWS::EKS::AccessEntry"), "{text}");
        for resource in resources.values() {
            let properties = &resource["Properties"];
            let references = [&properties["GroupName"]["Ref"], &properties["PrincipalArn"]["Fn::GetAtt"][0]];
            for id in references.into_iter().filter_map(Value::as_str) {
                assert!(resources.contains_key(id), "{id} in {text}");
            }
        }
    }
    let text = plan("--user alice --namespace web --format cloudformation", &details(&json!({})));
    let template: Value = serde_saphyr::from_str(&text).unwrap();
    let resources = &template["Resources"];
    assert_eq!(resources["DevelopersRole"]["Properties"]["Path"], "/team/");
    assert_eq!(resources["DevelopersMembers"]["Properties"]["Users"], json!(["alice"]));
    assert_eq!(
        resources["DevelopersEntry"]["Properties"],
        json!({"ClusterName": "prod-eu", "PrincipalArn": {"Fn::GetAtt": ["DevelopersRole", "Arn"]},
            "AccessPolicies": [{"PolicyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
                "AccessScope": {"Type": "namespace", "Namespaces": ["web"]}}]})
    );
}

#[test]
fn terraform_of_each_story_has_resolved_references() {
    for (line, details) in stories() {
        let text = plan(&format!("{line} --format terraform"), &details);
        let body: hcl_edit::structure::Body = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let labels = |block: &hcl_edit::structure::Block| {
            block.labels.iter().map(|label| label.as_str().to_owned()).collect::<Vec<_>>().join(".")
        };
        let resources: BTreeSet<String> = body.blocks().map(labels).collect();
        assert_eq!(resources.len(), body.blocks().count(), "{text}");
        assert!(resources.iter().any(|id| id.starts_with("aws_eks_access_entry.")), "{text}");
        let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        for reference in words.filter(|word| word.starts_with("aws_")) {
            let resource = reference.rsplit_once('.').unwrap().0;
            assert!(resources.contains(resource), "{resource} in {text}");
        }
    }
}

#[test]
fn equal_ids_are_numbered() {
    let text = plan("--as users --user a.b a_b a-b --format cloudformation", &details(&json!({})));
    let template: Value = serde_saphyr::from_str(&text).unwrap();
    let entries = template["Resources"].as_object().unwrap().keys().filter(|id| id.ends_with("Entry")).count();
    assert_eq!(entries, 3, "{text}");
}

#[test]
fn invalid_input_is_explained() {
    let role = details(&json!({}));
    for (line, expected) in [
        ("--as user", "it is not known which IAM user gets access. Give it with --user NAME"),
        ("--as users", "Give them with --from FILE or --user"),
        ("--as teams --policy X", "--as teams has its own roles and policies"),
        ("--as teams --namespace dev-*", "no wildcard"),
        ("--namespace a;b", "--namespace: \"a;b\" is not a valid name"),
        ("--role arn:aws:iam::999988887777:role/x", "is not in the account 111122223333"),
        ("--role a'b", "--role: role ARN: may hold only"),
        ("--account 999988887777", "prod has its role or session in the account 111122223333"),
        ("--user a'b", "\"a'b\" is not an IAM user of account 111122223333"),
        ("--via aws-auth --policy AmazonEKSMoonPolicy", "no ClusterRole corresponds to AmazonEKSMoonPolicy"),
    ] {
        let error = text(line, &role).unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
    }
    let unknown = details(&json!({"role_arn": null, "hops": []}));
    assert!(text("", &unknown).unwrap_err().contains("rolecall access plan prod --account ID"));
}

#[test]
fn account_option_is_used_without_a_role() {
    let unknown = details(&json!({"role_arn": null, "hops": [], "region": "cn-north-1"}));
    let commands = commands(&plan("--account 111122223333 --user alice", &unknown));
    let entry = commands.iter().find(|words| words[2] == "create-access-entry").unwrap();
    assert_eq!(option(entry, "--principal-arn"), "arn:aws-cn:iam::111122223333:user/alice");
    let own = plan("--account 111122223333", &details(&json!({})));
    assert_eq!(own, plan("", &details(&json!({}))));
}

#[test]
fn unknown_policy_has_a_note_with_similar_names() {
    let note = |policy: &str| super::unknown_policy(policy, &"prod".parse().unwrap());
    assert_eq!(note("AmazonEKSViewPolicy"), None);
    assert_eq!(note("AmazonEKSSecretReaderPolicy"), None);
    assert_eq!(note("arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy"), None);
    assert_eq!(
        note("AmazonEKSVeiwPolicy").unwrap(),
        "the access policy AmazonEKSVeiwPolicy is not known to this version of rolecall. Did you mean AmazonEKSViewPolicy?"
    );
    assert_eq!(
        note("Nope").unwrap(),
        "the access policy Nope is not known to this version of rolecall. See: rolecall access policies prod"
    );
}

#[test]
fn users_see_what_they_run() {
    let teams = plan("--as teams", &details(&json!({})));
    assert!(
        teams.contains("\n#   rolecall add prod-eu-developers --cluster prod-eu --region eu-west-1 --role-arn "),
        "{teams}"
    );
    let user = plan("", &of_user());
    assert!(user.ends_with("\n#   rolecall add prod --cluster prod-eu --region eu-west-1\n"), "{user}");
}
