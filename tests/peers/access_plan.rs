//! What `rolecall access plan` prints works: the AWS CLI runs the commands of each story, and the principals then enter the
//! embedded cluster.

use std::path::Path;

use rolecall_harness::{AccessKey, Role};

use crate::fixture::{Fixture, REGION};
use crate::moto::Moto;
use crate::peer;

const ACCOUNT: &str = "111122223333";

struct Story {
    fixture: Fixture,
    python: std::path::PathBuf,
    alice: AccessKey,
}

impl Story {
    /// An AWS profile `alice` for an IAM user without any access. `None`, reported as skipped, without the programs.
    fn new() -> Option<Self> {
        let (fixture, python) = (Fixture::new()?, peer::python()?);
        let alice = fixture.aws.add_user(ACCOUNT, "alice");
        fixture.sandbox.write_aws_profile("alice", &alice, &fixture.aws.endpoint());
        Some(Self { fixture, python, alice })
    }

    /// Runs the commands of a plan with the AWS CLI: those of EKS reach the embedded one, those of IAM reach moto. The test
    /// makes the roles and the objects of kubectl itself.
    fn run_plan(&self, arguments: &[&str]) {
        let plan = self.fixture.rolecall(&[&["access", "plan", "prod"], arguments].concat());
        plan.assert_ok();
        let (moto, admin) = (Moto::start(&self.python), self.fixture.aws.add_user(ACCOUNT, "admin"));
        let before = "aws() { \"$PYTHON\" -m awscli \"$@\" >/dev/null; }\nkubectl() { cat >/dev/null; }\nrolecall() { :; }\n\
                      for user in alice bob; do aws iam create-user --user-name $user; done\n";
        let mut shell = self.fixture.sandbox.command("sh");
        shell.args(["-euc", &format!("{before}{}", plan.stdout)]).env("PYTHON", &self.python);
        shell.env("AWS_ENDPOINT_URL", self.fixture.aws.endpoint()).env("AWS_ENDPOINT_URL_IAM", moto.get("endpoint"));
        self.fixture.sandbox.write_aws_profile("admin", &admin, &self.fixture.aws.endpoint());
        self.fixture.sandbox.run(shell.env("AWS_PROFILE", "admin").env("AWS_DEFAULT_REGION", REGION)).assert_ok();
    }

    fn add_role(&self, name: &str) -> String {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{name}");
        self.fixture.aws.add_role(Role::new(&arn).trusts(&self.alice.arn));
        arn
    }

    /// Adds a profile of alice, with this role, and runs kubectl with it.
    fn kubectl_as_alice(&self, role: Option<&str>, arguments: &[&str]) -> rolecall_harness::Output {
        let name = role.map_or("direct", |role| role.rsplit('/').next().unwrap());
        let mut add = vec!["add", name, "--cluster", "prod", "--region", REGION, "--aws-profile", "alice"];
        add.extend(role.iter().flat_map(|role| ["--role-arn", role]));
        self.fixture.rolecall(&add).assert_ok();
        self.fixture.kubectl(&[&["--context", name], arguments].concat())
    }
}

#[test]
fn iam_user_enters_directly() {
    let Some(story) = Story::new() else { return };
    story.run_plan(&["--as", "user", "--user", "alice"]);
    story.kubectl_as_alice(None, &["get", "pods"]).assert_ok();
    let denied = story.kubectl_as_alice(None, &["delete", "pod", "x"]);
    assert!(denied.stderr.contains("Forbidden"), "{denied}");
}

#[test]
fn role_is_assumed_by_the_users_of_a_group() {
    let Some(story) = Story::new() else { return };
    let role = story.add_role("viewers");
    story.run_plan(&["--role", "viewers", "--user", "alice", "--policy", "AmazonEKSEditPolicy", "--namespace", "web"]);
    story.kubectl_as_alice(Some(&role), &["get", "pods", "--namespace", "web"]).assert_ok();
    let denied = story.kubectl_as_alice(Some(&role), &["get", "pods", "--namespace", "api"]);
    assert!(denied.stderr.contains("Forbidden"), "{denied}");
}

#[test]
fn developers_list_pods_beside_admins() {
    let Some(story) = Story::new() else { return };
    let (developers, admins) = (story.add_role("prod-developers"), story.add_role("prod-admins"));
    story.run_plan(&["--as", "teams"]);
    let forbidden = story.kubectl_as_alice(Some(&developers), &["get", "pods"]);
    assert!(forbidden.stderr.contains("Forbidden"), "before the binding exists: {forbidden}");
    story.fixture.api.bind(None, "developers", "view", &[("Group", "developers")]);
    story.kubectl_as_alice(Some(&developers), &["get", "pods"]).assert_ok();
    story.kubectl_as_alice(Some(&admins), &["get", "pods"]).assert_ok();
}

#[test]
fn users_of_a_file_enter() {
    let Some(story) = Story::new() else { return };
    story.fixture.aws.add_user(ACCOUNT, "bob");
    let users = story.fixture.sandbox.write("users.txt", "# the team\nalice\nbob\n");
    story.run_plan(&["--as", "users", "--from", path(&users)]);
    story.kubectl_as_alice(None, &["get", "pods"]).assert_ok();
    let listed = story.fixture.rolecall(&["access", "list", "prod"]);
    assert!(listed.stdout.contains("user/bob"), "{listed}");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
