//! The calls of cluster access: EKS, IAM and the API server, with the embedded AWS and cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use rolecall_aws::client::{Aws as AwsClients, AwsFiles};
use rolecall_aws::eks::{AccessEntryChange, AccessScope, EksClient, EksErrorReason, NewAccessEntry, UpdateStatus};
use rolecall_aws::iam::{IamClient, Lookup};
use rolecall_aws::kubernetes::{AccessQuestion, ConfigMap, KubernetesClient, KubernetesError, UserInfo};
use rolecall_core::clock::Clock as DaemonClock;
use rolecall_core::config::network::NetworkPath;
use rolecall_core::config::{SourceConfig, SourceKind};
use rolecall_harness::{AccessKey, ApiServer, Aws, Clock, Fault, Op, Role, Sandbox, TokenSpec};
use rolecall_protocol::{AuthenticationMode, Region, Secret};
use tokio::runtime::Runtime;

use crate::fixture::{ACCOUNT, REGION};

const ADMIN: &str = "arn:aws:iam::111122223333:role/platform/admin";
const DEVELOPERS: &str = "arn:aws:iam::111122223333:role/team/developers";
const VIEW: &str = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy";

/// The cluster `prod`, and a session of `platform/admin`, which is an administrator of it.
struct Cloud {
    aws: Aws,
    api: ApiServer,
    session: AccessKey,
    region: Region,
    clients: AwsClients,
    runtime: Runtime,
    _sandbox: Sandbox,
}

impl Cloud {
    fn new() -> Self {
        let clock = Clock::system();
        let aws = Aws::start(clock.clone());
        let user = aws.add_user(ACCOUNT, "dev");
        aws.add_role(Role::new(ADMIN));
        aws.add_role(Role::new(DEVELOPERS));
        let api = ApiServer::start(clock, &aws, "prod", REGION);
        aws.add_cluster(api.cluster());
        aws.grant("prod", REGION, ADMIN, "admin", &["system:masters"]);
        let session = aws.session(ADMIN, "dev@laptop", Duration::from_hours(1));
        let sandbox = Sandbox::new();
        sandbox.write_aws_profile("work", &user, &aws.endpoint());
        let logins = sandbox.home().join(".aws");
        let files = AwsFiles { config: logins.join("config"), credentials: logins.join("credentials"), logins };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let region: Region = REGION.parse().unwrap();
        let clients = AwsClients::new(files, DaemonClock::machine());
        Self { aws, api, session, region, clients, runtime, _sandbox: sandbox }
    }

    fn credentials(&self) -> Credentials {
        let token = self.session.session_token.clone();
        Credentials::new(&self.session.id, &self.session.secret, token, None, "test")
    }

    fn eks(&self) -> EksClient<'_> {
        self.run(async {
            let config = self.clients.client_config(&source(), &self.region, self.credentials()).await.unwrap();
            EksClient::new(config, &self.region).await.unwrap()
        })
    }

    fn iam(&self) -> IamClient {
        self.run(async {
            let config = self.clients.client_config(&source(), &self.region, self.credentials()).await.unwrap();
            IamClient::new(config, &self.region)
        })
    }

    fn kubernetes(&self, key: &AccessKey) -> KubernetesClient {
        let token = TokenSpec::new(key, REGION, "prod", self.aws.clock().now()).mint();
        self.kubernetes_with(self.api.ca_pem(), token)
    }

    fn kubernetes_with(&self, ca_pem: &str, token: String) -> KubernetesClient {
        let clock = DaemonClock::machine();
        let (path, token) = (NetworkPath::default(), Secret::new(token));
        KubernetesClient::new(&clock, &path, &self.api.url(), ca_pem.as_bytes(), token).unwrap()
    }

    fn run<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }
}

fn source() -> SourceConfig {
    SourceConfig::plain(SourceKind::AwsProfile("work".to_owned()))
}

fn entry_of(principal: &str) -> NewAccessEntry {
    NewAccessEntry { principal_arn: principal.to_owned(), ..NewAccessEntry::default() }
}

#[test]
fn eks_access_entry_with_policies_lives_and_is_deleted() {
    let cloud = Cloud::new();
    let eks = cloud.eks();
    let new = NewAccessEntry { kubernetes_groups: vec!["dev".to_owned()], ..entry_of(DEVELOPERS) };
    let created = cloud.run(eks.create_access_entry("prod", &new)).unwrap();
    assert_eq!((created.principal_arn.as_str(), created.kind.as_deref()), (DEVELOPERS, Some("STANDARD")));
    assert_eq!(cloud.run(eks.describe_access_entry("prod", DEVELOPERS)).unwrap(), created);
    assert_eq!(cloud.run(eks.list_access_entries("prod")).unwrap(), [ADMIN, DEVELOPERS]);
    let change = AccessEntryChange { username: Some("dev:{{SessionName}}".to_owned()), kubernetes_groups: None };
    let changed = cloud.run(eks.update_access_entry("prod", DEVELOPERS, &change)).unwrap();
    assert_eq!(changed.username.as_deref(), Some("dev:{{SessionName}}"));
    assert_eq!(changed.kubernetes_groups, ["dev"]);

    let scopes = [AccessScope::Namespace { namespaces: vec!["dev-*".to_owned()] }, AccessScope::Cluster];
    for scope in scopes {
        cloud.run(eks.associate_policy("prod", DEVELOPERS, VIEW, &scope)).unwrap();
        let policies = cloud.run(eks.list_associated_policies("prod", DEVELOPERS)).unwrap();
        assert_eq!((policies.len(), policies[0].policy_arn.as_str()), (1, VIEW));
        assert_eq!(policies[0].access_scope, scope);
    }
    cloud.run(eks.disassociate_policy("prod", DEVELOPERS, VIEW)).unwrap();
    assert!(cloud.run(eks.list_associated_policies("prod", DEVELOPERS)).unwrap().is_empty());
    cloud.run(eks.delete_access_entry("prod", DEVELOPERS)).unwrap();
    let error = cloud.run(eks.describe_access_entry("prod", DEVELOPERS)).unwrap_err();
    assert_eq!(error.reason, EksErrorReason::NotFound);
}

#[test]
fn eks_lists_are_read_from_all_pages() {
    let cloud = Cloud::new();
    for number in 0..7 {
        cloud.aws.grant("prod", REGION, &format!("arn:aws:iam::{ACCOUNT}:role/r{number}"), "x", &[]);
    }
    cloud.aws.set_page_size(3);
    assert_eq!(cloud.run(cloud.eks().list_access_entries("prod")).unwrap().len(), 8);
    let policies = cloud.run(cloud.eks().list_access_policies()).unwrap();
    assert!(policies.iter().any(|policy| policy.arn == VIEW && policy.name == "AmazonEKSViewPolicy"));
    assert_eq!(cloud.aws.calls(Op::ListAccessPolicies), 3);
}

#[test]
fn eks_error_has_the_reason_of_its_code() {
    let cloud = Cloud::new();
    let eks = cloud.eks();
    let create = |new: &NewAccessEntry| cloud.run(eks.create_access_entry("prod", new)).unwrap_err();
    assert_eq!(create(&entry_of(ADMIN)).reason, EksErrorReason::InUse);
    let session = create(&entry_of("arn:aws:sts::111122223333:assumed-role/developers/dev"));
    assert_eq!(session.reason, EksErrorReason::InvalidParameter);
    assert!(session.error.message.contains("invalid principal"), "{session}");
    let masters = NewAccessEntry { kubernetes_groups: vec!["system:masters".to_owned()], ..entry_of(DEVELOPERS) };
    assert_eq!(create(&masters).reason, EksErrorReason::InvalidParameter);
    let absent = cloud.run(eks.list_access_entries("none")).unwrap_err();
    assert_eq!(absent.reason, EksErrorReason::NotFound);

    cloud.aws.deny(ADMIN, "eks:CreateAccessEntry");
    let denied = create(&entry_of(DEVELOPERS)).reason;
    let (action, resource) = ("eks:CreateAccessEntry", "arn:aws:eks:eu-west-1:111122223333:cluster/prod");
    let expected = EksErrorReason::Denied { action: action.to_owned(), resource: Some(resource.to_owned()) };
    assert_eq!(denied, expected);

    let headers = vec![("retry-after".to_owned(), "60".to_owned())];
    let body = br#"{"message":"Rate exceeded","__type":"ThrottlingException"}"#.to_vec();
    cloud.aws.fault(Op::ListAccessEntries, Fault::Raw { status: 429, headers, body });
    let throttled = cloud.run(eks.list_access_entries("prod")).unwrap_err();
    assert_eq!(throttled.reason, EksErrorReason::Throttled);
    let limit = Fault::error(400, "ResourceLimitExceededException", "too many");
    cloud.aws.fault(Op::ListAccessEntries, limit);
    assert_eq!(cloud.run(eks.list_access_entries("prod")).unwrap_err().reason, EksErrorReason::LimitExceeded);
    cloud.aws.set_authentication_mode("prod", REGION, "CONFIG_MAP");
    assert_eq!(cloud.run(eks.list_access_entries("prod")).unwrap_err().reason, EksErrorReason::InvalidRequest);
}

#[test]
fn eks_throttled_call_is_repeated() {
    let cloud = Cloud::new();
    cloud.aws.fault(Op::CreateAccessEntry, Fault::Throttle.times(2));
    cloud.run(cloud.eks().create_access_entry("prod", &entry_of(DEVELOPERS))).unwrap();
    let tokens: Vec<String> =
        cloud.aws.log_of(Op::CreateAccessEntry).iter().map(|call| call.params["clientRequestToken"].clone()).collect();
    assert_eq!(tokens.len(), 3);
    assert!(tokens.iter().all(|token| *token == tokens[0]), "one token for all attempts: {tokens:?}");
}

#[test]
fn eks_authentication_mode_is_updated() {
    let cloud = Cloud::new();
    let eks = cloud.eks();
    cloud.aws.set_update_polls(1);
    let update = cloud.run(eks.update_authentication_mode("prod", AuthenticationMode::Api)).unwrap();
    assert_eq!(update.status, UpdateStatus::InProgress);
    let second = cloud.run(eks.update_authentication_mode("prod", AuthenticationMode::Api)).unwrap_err();
    assert_eq!(second.reason, EksErrorReason::InUse);
    let status = || cloud.run(eks.describe_update("prod", &update.id)).unwrap().status;
    assert_eq!([status(), status()], [UpdateStatus::InProgress, UpdateStatus::Successful]);
    let cluster = cloud.run(eks.describe_cluster_retrying("prod")).unwrap();
    assert_eq!(cluster.authentication_mode(), AuthenticationMode::Api);
    assert_eq!(cluster.arn.as_deref(), Some("arn:aws:eks:eu-west-1:111122223333:cluster/prod"));
    let back = cloud.run(eks.update_authentication_mode("prod", AuthenticationMode::ConfigMap)).unwrap_err();
    assert_eq!(back.reason, EksErrorReason::InvalidParameter);
}

#[test]
fn iam_lookup_finds_the_arn_with_its_path() {
    let cloud = Cloud::new();
    let iam = cloud.iam();
    let Lookup::Found(role) = cloud.run(iam.get_role("developers")).unwrap() else { panic!("no role") };
    assert!(role.arn == DEVELOPERS && role.id.starts_with("AROA"), "{role:?}");
    let Lookup::Found(user) = cloud.run(iam.get_user("dev")).unwrap() else { panic!("no user") };
    assert_eq!(user.arn, "arn:aws:iam::111122223333:user/dev");
    assert_eq!(cloud.run(iam.get_role("none")).unwrap(), Lookup::NotFound);
    cloud.aws.deny(ADMIN, "iam:GetRole");
    assert_eq!(cloud.run(iam.get_role("developers")).unwrap(), Lookup::Denied { action: "iam:GetRole" });
}

#[test]
fn kubernetes_config_map_is_created_replaced_and_conflicts() {
    let cloud = Cloud::new();
    let kubernetes = cloud.kubernetes(&cloud.session);
    let read = || cloud.run(kubernetes.config_map("kube-system", "aws-auth")).unwrap();
    assert_eq!(read(), None);
    let mut data = BTreeMap::from([("mapRoles".to_owned(), "- rolearn: x\r\n # é\n".to_owned())]);
    let new = ConfigMap::new("kube-system", "aws-auth", &data);
    let created = cloud.run(kubernetes.create_config_map(&new)).unwrap();
    assert_eq!(read(), Some(created.clone()));
    assert_eq!(created.data(), data);
    let twice = cloud.run(kubernetes.create_config_map(&created)).unwrap_err();
    assert!(matches!(twice, KubernetesError::AlreadyExists { .. }), "{twice:?}");

    // A ConfigMap of the largest size, whose quotes JSON escapes.
    data.insert("mapUsers".to_owned(), "\"'".repeat(500_000));
    let replaced = cloud.run(kubernetes.replace_config_map(&created.with_data(&data))).unwrap();
    assert_eq!((read(), replaced.data()), (Some(replaced.clone()), data.clone()));
    let old = cloud.run(kubernetes.replace_config_map(&created)).unwrap_err();
    assert!(matches!(old, KubernetesError::Conflict { .. }), "{old:?}");
    let unversioned = cloud.run(kubernetes.replace_config_map(&new)).unwrap_err();
    assert!(matches!(unversioned, KubernetesError::Invalid { .. }), "{unversioned:?}");
    cloud.api.remove_aws_auth();
    let gone = cloud.run(kubernetes.replace_config_map(&replaced)).unwrap_err();
    assert!(matches!(gone, KubernetesError::NotFound { .. }), "{gone:?}");
    let restored = cloud.run(kubernetes.create_config_map(&replaced)).unwrap();
    assert_eq!(restored.data(), data);
}

#[test]
fn kubernetes_denied_unknown_and_unreachable_are_typed() {
    let cloud = Cloud::new();
    let session = cloud.aws.session(DEVELOPERS, "dev", Duration::from_hours(1));
    let stranger = cloud.kubernetes(&session);
    let read = |client: &KubernetesClient| cloud.run(client.config_map("kube-system", "aws-auth")).unwrap_err();
    assert_eq!(read(&stranger), KubernetesError::Unauthorized);
    cloud.aws.grant("prod", REGION, DEVELOPERS, "dev", &[]);
    let KubernetesError::Forbidden { reason } = read(&stranger) else { panic!("not denied") };
    assert!(reason.contains("User \"dev\" cannot get resource \"configmaps\""), "{reason}");
    let other = ApiServer::start(Clock::system(), &cloud.aws, "other", REGION);
    let pinned = cloud.kubernetes_with(other.ca_pem(), "k8s-aws-v1.x".to_owned());
    assert!(matches!(read(&pinned), KubernetesError::Unreachable { .. }));
    assert!(cloud.api.tokens().iter().all(|token| token != "k8s-aws-v1.x"), "the other CA gets no token");
}

#[test]
fn kubernetes_response_above_the_limit_is_an_error() {
    let cloud = Cloud::new();
    cloud.api.set_aws_auth(&[("mapRoles", &"x".repeat(5 * 1024 * 1024))]);
    let client = cloud.kubernetes(&cloud.session);
    let error = cloud.run(client.config_map("kube-system", "aws-auth")).unwrap_err();
    assert!(matches!(error, KubernetesError::InvalidResponse { .. }), "{error:?}");
}

#[test]
fn kubernetes_reviews_and_bindings_are_read() {
    let cloud = Cloud::new();
    let admin = cloud.kubernetes(&cloud.session);
    let user = cloud.run(admin.self_subject_review()).unwrap();
    assert_eq!(
        (user.username.as_str(), user.groups.as_slice()),
        ("admin", &["system:masters", "system:authenticated"].map(str::to_owned)[..])
    );
    assert_eq!(user.extra["canonicalArn"], ["arn:aws:iam::111122223333:role/admin"]);

    let list = AccessQuestion { verb: "list".to_owned(), resource: "pods".to_owned(), ..AccessQuestion::default() };
    assert!(cloud.run(admin.self_subject_access_review(&list)).unwrap().allowed);
    let dev = UserInfo { username: "dev".to_owned(), groups: vec!["view".to_owned()], ..UserInfo::default() };
    let answer = cloud.run(admin.subject_access_review(&dev, &list)).unwrap();
    assert!(answer.allowed && answer.reason.contains("ClusterRoleBinding \"view\""), "{answer:?}");
    let delete = AccessQuestion { verb: "delete".to_owned(), ..list };
    assert!(!cloud.run(admin.subject_access_review(&dev, &delete)).unwrap().allowed);

    for number in 0..300 {
        cloud.api.bind(None, &format!("b{number}"), "view", &[("Group", "dev")]);
    }
    cloud.api.bind(Some("shop"), "local", "edit", &[("User", "ann")]);
    let bindings = cloud.run(admin.cluster_role_bindings()).unwrap();
    assert!(bindings.len() == 303 && bindings.iter().all(|binding| binding.namespace.is_none()), "{}", bindings.len());
    let local = cloud.run(admin.role_bindings(None)).unwrap();
    assert_eq!((local.len(), local[0].namespace.as_deref(), local[0].role.as_str()), (1, Some("shop"), "edit"));
    assert_eq!(local[0].subjects[0].name, "ann");
    assert!(cloud.run(admin.role_bindings(Some("default"))).unwrap().is_empty());
    assert!(cloud.run(admin.namespace_exists("default")).unwrap());
    assert!(!cloud.run(admin.namespace_exists("none")).unwrap());
}
