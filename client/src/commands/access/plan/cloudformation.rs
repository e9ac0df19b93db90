//! The plan as a CloudFormation template.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::blueprint::{Access, Blueprint, Principal, Role};
use super::{cli_commands, documents, kubernetes};
use crate::cli::Via;
use crate::error::{CliError, Exit};
use crate::kubeconfig::emit;

/// The template in YAML. What CloudFormation does not create follows as comments.
pub(super) fn render(blueprint: &Blueprint) -> Result<String, CliError> {
    let Blueprint { profile, cluster, region, .. } = blueprint;
    let template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("Access to the EKS cluster {cluster}"),
        "Resources": resources(blueprint),
    });
    let yaml = emit::json_as_block(template).map_err(|error| {
        CliError::new(
            Exit::Bug,
            format!("cannot write the template: {error}"),
            "Report it, with the command that you ran",
        )
    })?;
    let head = format!(
        "# An administrator creates this stack:\n#   aws cloudformation deploy --region {region} --stack-name {profile}-access \
         --template-file FILE \\\n#       --capabilities CAPABILITY_NAMED_IAM\n"
    );
    Ok(head + &yaml + &outside(blueprint))
}

/// What neither CloudFormation nor Terraform's provider for AWS creates, as comments.
pub(super) fn outside(blueprint: &Blueprint) -> String {
    let mut text = String::new();
    if blueprint.via == Via::AwsAuth {
        text.push_str("\n# Then the mappings in aws-auth:\n");
        let commands = blueprint.accesses.iter().map(|access| kubernetes::mapping_command(blueprint, access));
        text.push_str(&commented(&commands.collect::<String>()));
    }
    if !blueprint.bindings.is_empty() {
        text.push_str("\n# Then what the groups in Kubernetes may do:\n");
        text.push_str(&commented(&kubernetes::apply_command(blueprint)));
    }
    text + &cli_commands::user_steps(blueprint)
}

fn commented(text: &str) -> String {
    text.lines().flat_map(|line| ["# ", line, "\n"]).collect()
}

fn resources(blueprint: &Blueprint) -> Map<String, Value> {
    let mut resources = Map::new();
    let mut names = HashSet::new();
    for access in &blueprint.accesses {
        let id = logical_id(access, &mut names);
        match &access.principal {
            Principal::Role(role) => add_role(&mut resources, &id, blueprint, role),
            Principal::User(user) => {
                let name = user.rsplit('/').next().unwrap_or(user);
                let policy = json!({"PolicyName": format!("describe-cluster-{}", blueprint.cluster), "UserName": name,
                    "PolicyDocument": documents::describe(blueprint)});
                insert(&mut resources, &format!("{id}Policy"), "AWS::IAM::UserPolicy", policy);
            }
        }
        if blueprint.via == Via::AccessEntries {
            insert(&mut resources, &format!("{id}Entry"), "AWS::EKS::AccessEntry", entry(blueprint, access, &id));
        }
    }
    resources
}

fn add_role(resources: &mut Map<String, Value>, id: &str, blueprint: &Blueprint, role: &Role) {
    let describe = json!({"PolicyName": "describe-cluster", "PolicyDocument": documents::describe(blueprint)});
    let properties = json!({"RoleName": role.name, "Path": role.path, "Policies": [describe],
        "AssumeRolePolicyDocument": documents::trust(role)});
    insert(resources, &format!("{id}Role"), "AWS::IAM::Role", properties);
    let assume = json!({"PolicyName": "assume-role", "PolicyDocument": documents::assume(blueprint, role)});
    let properties = json!({"GroupName": role.group, "Policies": [assume]});
    insert(resources, &format!("{id}Group"), "AWS::IAM::Group", properties);
    if !role.users.is_empty() {
        let users: Vec<&str> = role.users.iter().filter_map(|user| user.rsplit('/').next()).collect();
        let properties = json!({"GroupName": {"Ref": format!("{id}Group")}, "Users": users});
        insert(resources, &format!("{id}Members"), "AWS::IAM::UserToGroupAddition", properties);
    }
}

fn entry(blueprint: &Blueprint, access: &Access, id: &str) -> Value {
    let principal = match &access.principal {
        Principal::Role(_) => json!({"Fn::GetAtt": [format!("{id}Role"), "Arn"]}),
        Principal::User(_) => json!(blueprint.arn(&access.principal)),
    };
    let scope = if access.namespaces.is_empty() {
        json!({"Type": "cluster"})
    } else {
        json!({"Type": "namespace", "Namespaces": access.namespaces})
    };
    let policies: Vec<Value> = access
        .policies
        .iter()
        .map(|policy| json!({"PolicyArn": blueprint.policy_arn(policy), "AccessScope": scope}))
        .collect();
    let mut properties = json!({"ClusterName": blueprint.cluster, "PrincipalArn": principal});
    if let Some(fields) = properties.as_object_mut() {
        let lists = [("KubernetesGroups", json!(access.groups)), ("AccessPolicies", json!(policies))];
        fields
            .extend(lists.into_iter().filter(|(_, list)| list != &json!([])).map(|(key, list)| (key.to_owned(), list)));
    }
    properties
}

fn insert(resources: &mut Map<String, Value>, id: &str, kind: &str, properties: Value) {
    resources.insert(id.to_owned(), json!({"Type": kind, "Properties": properties}));
}

/// A unique id of letters and digits, made from the name of a principal.
fn logical_id(access: &Access, names: &mut HashSet<String>) -> String {
    let name = match &access.principal {
        Principal::User(user) => user.as_str(),
        Principal::Role(role) => &role.name,
    };
    let mut id = String::new();
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut letters = word.chars();
        id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    unique(&id, names)
}

/// The name, with a number if it is in use.
pub(super) fn unique(name: &str, names: &mut HashSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 1;
    while !names.insert(candidate.clone()) {
        number += 1;
        candidate = format!("{name}x{number}");
    }
    candidate
}
