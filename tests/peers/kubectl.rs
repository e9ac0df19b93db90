//! The real kubectl, in through the daemon: what a user types, and what they see.

use std::fs;

use rolecall_harness::{ApiServer, Aws, Clock, Output, Role, Sandbox};

use crate::peer;

const ROLE: &str = "arn:aws:iam::111122223333:role/developers";

struct World {
    aws: Aws,
    api: ApiServer,
    sandbox: Sandbox,
}

impl World {
    /// A profile `prod`, added as a person would; `None`, and said so, without kubectl.
    fn new() -> Option<Self> {
        let sandbox = Sandbox::new();
        if sandbox.kubectl().is_none() {
            peer::skipped("kubectl: not found");
            return None;
        }
        let clock = Clock::system();
        let aws = Aws::start(clock.clone());
        let user = aws.add_user("111122223333", "dev");
        aws.add_role(Role::new(ROLE).trusts(&user.arn));
        let api = ApiServer::start(clock, &aws, "prod", "eu-west-1");
        aws.add_cluster(api.cluster());
        aws.grant("prod", "eu-west-1", ROLE, "developer:{{SessionName}}", &["system:masters"]);
        sandbox.write_aws_profile("work", &user, &aws.endpoint());
        let world = Self { aws, api, sandbox };
        let arguments = ["add", "prod", "--region", "eu-west-1", "--role-arn", ROLE, "--aws-profile", "work"];
        world.sandbox.run(world.sandbox.rolecall().args(arguments)).assert_ok();
        Some(world)
    }

    fn kubectl(&self, arguments: &[&str]) -> Output {
        self.sandbox.run(self.sandbox.kubectl().unwrap().args(arguments))
    }
}

#[test]
fn kubectl_lists_pods_and_knows_who_it_is() {
    let Some(world) = World::new() else { return };
    world.api.add_pod("default", "web-7d4b9");
    for version in ["v1", "v1beta1"] {
        let path = world.sandbox.kubeconfig();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            &path,
            text.replace("client.authentication.k8s.io/v1\n", &format!("client.authentication.k8s.io/{version}\n")),
        )
        .unwrap();
        let said = world.kubectl(&["--context", "prod", "get", "pods"]);
        said.assert_ok();
        assert!(said.stdout.contains("web-7d4b9"), "{}", said.stdout);
        let said = world.kubectl(&["--context", "prod", "auth", "whoami"]);
        said.assert_ok();
        assert!(said.stdout.contains("developer:"), "{}", said.stdout);
        assert!(said.stdout.contains("assumed-role/developers/"), "{}", said.stdout);
    }
    assert!(fs::read_to_string(world.sandbox.kubeconfig()).unwrap().contains("v1beta1\n"), "the second round was one");
}

#[test]
fn a_failure_inside_kubectl_is_one_readable_line() {
    let Some(world) = World::new() else { return };
    world.sandbox.run(world.sandbox.rolecall().args(["agent", "stop"])).assert_ok();
    world.aws.remove_role(ROLE);
    let said = world.kubectl(&["--context", "prod", "get", "pods"]);
    said.assert_code(1);
    let ours: Vec<_> = said.stderr.lines().filter(|line| line.starts_with("rolecall: ")).collect();
    assert!(ours.iter().all(|line| *line == ours[0]), "{ours:#?}");
    assert!(ours[0].starts_with("rolecall: prod: AWS does not let source \"work\" assume"), "{ours:#?}");
    assert_eq!(
        world.aws.log().iter().filter(|call| call.role_arn.is_some()).count(),
        2,
        "one of add, one for all of kubectl"
    );
}

#[test]
fn rows_40_and_43_a_forged_kubeconfig_gets_no_token_out_of_kubectl() {
    let Some(world) = World::new() else { return };
    let path = world.sandbox.kubeconfig();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&world.api.url(), "https://127.0.0.1:9")).unwrap();
    let said = world.kubectl(&["--context", "prod", "get", "pods"]);
    said.assert_code(1);
    assert!(
        said.stderr.contains("rolecall: prod: the kubeconfig names server https://127.0.0.1:9"),
        "{}",
        said.stderr
    );
}
