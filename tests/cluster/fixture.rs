//! A user with a sandbox, AWS's own files and the control plane of this run.

use std::sync::Arc;

use rolecall_harness::{AccessKey, Output, Role, Sandbox};
use serde_json::{Value, json};

use crate::config_map::AwsAuth;
use crate::control_plane::{ACCOUNT, CLUSTER, ControlPlane, REGION, WHOAMI, user_of};

pub(crate) struct Fixture {
    /// Dropped before the control plane, so that the last test stops it.
    pub(crate) sandbox: Sandbox,
    pub(crate) user: AccessKey,
    /// Unique in this run: tests share the AWS and the cluster.
    pub(crate) name: String,
    pub(crate) aws_auth: AwsAuth,
    pub(crate) control_plane: Arc<ControlPlane>,
}

impl Fixture {
    /// The IAM user `NAME-dev` has an access key in the AWS profile `work`. The ConfigMap aws-auth does not exist, and the
    /// authentication mode is `CONFIG_MAP`. Returns `None`, and reports the test as skipped, without the programs.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let control_plane = ControlPlane::shared()?;
        let aws_auth = AwsAuth::of(&control_plane);
        control_plane.aws.set_authentication_mode(CLUSTER, REGION, "CONFIG_MAP");
        let user = control_plane.aws.add_user(ACCOUNT, &format!("{name}-dev"));
        let sandbox = Sandbox::new();
        sandbox.write_aws_profile("work", &user, &control_plane.aws.endpoint());
        Some(Self { sandbox, user, name: name.to_owned(), aws_auth, control_plane })
    }

    /// Adds the role `NAME-KIND`, which trusts a principal. `kind` may begin with a path. Returns its ARN.
    pub(crate) fn role(&self, kind: &str, trusts: &str) -> String {
        let (path, kind) = kind.rsplit_once('/').map_or(("", kind), |(path, kind)| (path, kind));
        let slash = if path.is_empty() { "" } else { "/" };
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{path}{slash}{}-{kind}", self.name);
        self.control_plane.aws.add_role(Role::new(&arn).trusts(trusts));
        arn
    }

    /// Adds a profile of the cluster with `rolecall add`. AWS is asked about everything.
    #[track_caller]
    pub(crate) fn add(&self, profile: &str, options: &[&str]) -> Output {
        let common = ["--cluster", CLUSTER, "--region", REGION, "--aws-profile", "work"];
        let said = self.rolecall(&[&["add", profile][..], &common, options].concat());
        said.assert_ok();
        said
    }

    #[track_caller]
    pub(crate) fn rolecall(&self, arguments: &[&str]) -> Output {
        self.sandbox.run(self.sandbox.rolecall().args(arguments))
    }

    /// Runs kubectl with the context of a profile.
    #[track_caller]
    pub(crate) fn kubectl(&self, profile: &str, arguments: &[&str]) -> Output {
        self.sandbox.run(self.sandbox.kubectl().unwrap().args(["--context", profile]).args(arguments))
    }

    /// Returns the user that the API server reports for a profile.
    #[track_caller]
    pub(crate) fn whoami(&self, profile: &str) -> Value {
        user_of(&self.kubectl(profile, &WHOAMI)).unwrap_or_else(|message| {
            panic!("{profile}: {message}; the authenticator:\n{}", self.control_plane.authenticator_log())
        })
    }

    /// Creates a namespace in which a group may list pods. Returns its name, which is also that of the group.
    #[track_caller]
    pub(crate) fn namespace_for_viewers(&self) -> String {
        let name = format!("{}-viewers", self.name);
        let rbac = "rbac.authorization.k8s.io";
        self.control_plane.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
        // The built-in role `view` is empty: its controller does not run here.
        self.control_plane.create(&json!({
            "apiVersion": format!("{rbac}/v1"),
            "kind": "Role",
            "metadata": { "name": "viewers", "namespace": name },
            "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] }],
        }));
        self.control_plane.create(&json!({
            "apiVersion": format!("{rbac}/v1"),
            "kind": "RoleBinding",
            "metadata": { "name": "viewers", "namespace": name },
            "roleRef": { "apiGroup": rbac, "kind": "Role", "name": "viewers" },
            "subjects": [{ "apiGroup": rbac, "kind": "Group", "name": name }],
        }));
        name
    }
}
