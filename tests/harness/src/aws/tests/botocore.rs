//! botocore, with its model of EKS, and the AWS CLI against the embedded EKS.

use std::ffi::OsString;
use std::io::Write as _;

use super::{ACCOUNT, DEVELOPERS};
use crate::aws::{Aws, Cluster, Op, Role};
use crate::clock::Clock;
use crate::sandbox::Sandbox;

/// Calls each operation, and checks that each field of a response is in botocore's model.
const PROGRAM: &str = r#"
import json, os, boto3
from botocore.exceptions import ClientError
role, policy = os.environ["ROLE"], "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
eks = boto3.Session(profile_name="work").client("eks", region_name="eu-west-1")
unknown = []
def check(shape, value, place):
    if shape.type_name == "structure":
        for key, inner in value.items():
            if key not in shape.members:
                unknown.append(f"{place}.{key}")
            elif inner is not None:
                check(shape.members[key], inner, f"{place}.{key}")
    elif shape.type_name == "list":
        for inner in value:
            check(shape.member, inner, place)
    elif shape.type_name == "string" and getattr(shape, "enum", None) and value not in shape.enum:
        unknown.append(f"{place}: {value}")
def on_response(response_dict, operation_model, **_):
    if response_dict["status_code"] == 200:
        check(operation_model.output_shape, json.loads(response_dict["body"]), operation_model.name)
eks.meta.events.register("before-parse.eks", on_response)
def code(call, **given):
    try:
        call(**given)
    except ClientError as error:
        return error.response["Error"]["Code"]
entry = dict(clusterName="prod", principalArn=role)
created = eks.create_access_entry(**entry, kubernetesGroups=["dev"], tags={"a": "b"})["accessEntry"]
assert created["createdAt"].year >= 2026 and created["type"] == "STANDARD", created
print(code(eks.create_access_entry, **entry), code(eks.create_access_entry, clusterName="prod", principalArn="x"))
eks.update_access_entry(**entry, username="dev:{{SessionName}}")
assert eks.describe_access_entry(**entry)["accessEntry"]["username"] == "dev:{{SessionName}}"
eks.associate_access_policy(**entry, policyArn=policy, accessScope={"type": "namespace", "namespaces": ["a"]})
[found] = eks.list_associated_access_policies(**entry)["associatedAccessPolicies"]
assert found["accessScope"] == {"type": "namespace", "namespaces": ["a"]}, found
eks.disassociate_access_policy(**entry, policyArn=policy)
print(sum(len(page["accessPolicies"]) for page in eks.get_paginator("list_access_policies").paginate()))
print(eks.get_paginator("list_access_entries").paginate(clusterName="prod").build_full_result()["accessEntries"])
eks.delete_access_entry(**entry)
print(code(eks.describe_access_entry, **entry))
update = eks.update_cluster_config(name="prod", accessConfig={"authenticationMode": "API"})["update"]
print(eks.describe_update(name="prod", updateId=update["id"])["update"]["status"])
print(eks.describe_cluster(name="prod")["cluster"]["accessConfig"]["authenticationMode"])
print(unknown)
"#;

/// Returns a Python with boto3 and the AWS CLI. `None`, reported as skipped, without it.
#[allow(clippy::disallowed_methods, reason = "the test reads its own environment")]
fn python() -> Option<OsString> {
    let python = std::env::var_os("ROLECALL_TEST_PYTHON");
    if python.is_none() {
        let note = "SKIPPED: boto3 and the AWS CLI: ROLECALL_TEST_PYTHON does not name a Python that has them";
        writeln!(std::io::stderr(), "{note}").unwrap();
    }
    python
}

/// Returns an AWS with the cluster `prod` and the role `team/developers`, and a sandbox with the AWS profile `work`.
fn fixture() -> (Aws, Sandbox) {
    let aws = Aws::start(Clock::system());
    let dev = aws.add_user(ACCOUNT, "dev");
    aws.add_role(Role::new(DEVELOPERS));
    aws.add_cluster(Cluster::new("prod", "eu-west-1"));
    let sandbox = Sandbox::new();
    sandbox.write_aws_profile("work", &dev, &aws.endpoint());
    (aws, sandbox)
}

#[test]
fn aws_cli_access_entry_commands_accepted() {
    let Some(python) = python() else { return };
    let (aws, sandbox) = fixture();
    let run = |command: &str, rest: &[&str]| {
        let place = ["--profile", "work", "--region", "eu-west-1", "--cluster-name", "prod"];
        sandbox.run(sandbox.command(&python).args(["-m", "awscli", "eks", command]).args(place).args(rest))
    };
    let principal = ["--principal-arn", DEVELOPERS];
    run("create-access-entry", &[&principal[..], &["--kubernetes-groups", "dev"]].concat()).assert_ok();
    let policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy";
    let scope = ["--policy-arn", policy, "--access-scope", "type=namespace,namespaces=dev-*"];
    run("associate-access-policy", &[&principal[..], &scope].concat()).assert_ok();
    let [entry] = &aws.access_entries("prod", "eu-west-1")[..] else { panic!("not one entry") };
    assert_eq!(entry["kubernetesGroups"][0], "dev");
    assert_eq!(entry["policies"][0]["accessScope"]["namespaces"][0], "dev-*");
    let masters = run("update-access-entry", &[&principal[..], &["--kubernetes-groups", "system:masters"]].concat());
    assert!(masters.stderr.contains("cannot start with system:"), "{masters}");
}

#[test]
fn botocore_access_calls_accepted_and_responses_in_model() {
    let Some(python) = python() else { return };
    let (aws, sandbox) = fixture();
    aws.set_page_size(4);
    let mut command = sandbox.command(python);
    let output = sandbox.run(command.args(["-c", PROGRAM]).env("ROLE", DEVELOPERS));
    let lines: Vec<&str> = output.assert_ok().stdout.lines().collect();
    let entries = format!("['{DEVELOPERS}']");
    let expected = [
        "ResourceInUseException InvalidParameterException",
        "9",
        entries.as_str(),
        "ResourceNotFoundException",
        "Successful",
        "API",
        "[]",
    ];
    assert_eq!(lines, expected);
    assert_eq!(aws.calls(Op::ListAccessPolicies), 3);
}
