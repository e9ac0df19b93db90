//! AWS and a cluster, for all programs: STS under its real name, over TLS.
//!
//! A token names the host of STS, so the programs have to sign for the real one. A proxy on loopback leads every connection
//! to the embedded AWS. Its certificate is signed by a CA that the environment of the programs names, and the configuration
//! of Rolecall.

use rolecall_harness::{AccessKey, ApiServer, Aws, Clock, Op, OverTls, Proxy, Role, Sandbox, TokenSpec};

pub(super) const CLUSTER: &str = "prod";
pub(super) const REGION: &str = "eu-west-1";
pub(super) const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
/// The AWS profile with an access key.
pub(super) const KEYS: &str = "work";

const ACCOUNT: &str = "111122223333";
const HOSTS: [&str; 3] = ["sts.eu-west-1.amazonaws.com", "sts.amazonaws.com", "eks.eu-west-1.amazonaws.com"];

pub(super) struct World {
    pub(super) aws: Aws,
    pub(super) api: ApiServer,
    pub(super) user: AccessKey,
    tls: OverTls,
    proxy: Proxy,
}

impl World {
    /// The user may enter the cluster directly and with the role.
    pub(super) fn new() -> Self {
        let clock = Clock::system();
        let aws = Aws::start(clock.clone());
        let user = aws.add_user(ACCOUNT, "dev");
        aws.add_role(Role::new(ROLE).trusts(&user.arn));
        let api = ApiServer::start(clock, &aws, CLUSTER, REGION);
        aws.add_cluster(api.cluster());
        for principal in [ROLE, &user.arn] {
            aws.grant(CLUSTER, REGION, principal, "developer", &["system:masters"]);
        }
        let tls = aws.over_tls(&HOSTS);
        let proxy = Proxy::start(tls.addr(), None);
        Self { aws, api, user, tls, proxy }
    }

    pub(super) fn proxy(&self) -> String {
        format!("http://{}", self.proxy.addr())
    }

    /// Returns a token of the user, which is valid for 15 minutes.
    pub(super) fn static_token(&self) -> String {
        TokenSpec::new(&self.user, REGION, CLUSTER, self.aws.clock().now()).mint()
    }

    /// Returns a sandbox with the AWS profile [`KEYS`], these sections of `~/.aws/config`, and the CA.
    pub(super) fn sandbox(&self, aws_config: &str) -> Sandbox {
        let sandbox = Sandbox::without_process_sampler();
        let AccessKey { id, secret, .. } = &self.user;
        sandbox.write("home/.aws/config", &format!("[profile {KEYS}]\nregion = {REGION}\n{aws_config}"));
        sandbox.write(
            "home/.aws/credentials",
            &format!("[{KEYS}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
        );
        sandbox.write("home/ca.pem", self.tls.ca_pem());
        sandbox
    }

    /// The variables that lead a program to the embedded AWS. Those of Go and of Python differ.
    pub(super) fn environment(&self, sandbox: &Sandbox) -> Vec<(String, String)> {
        let ca = sandbox.home().join("ca.pem").display().to_string();
        [
            ("HTTPS_PROXY", self.proxy()),
            ("https_proxy", self.proxy()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
            ("SSL_CERT_FILE", ca.clone()),
            ("AWS_CA_BUNDLE", ca),
            ("AWS_STS_REGIONAL_ENDPOINTS", "regional".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Returns the number of calls of STS so far.
    pub(super) fn sts_calls(&self) -> StsCalls {
        let by_cluster = self.api.sts_calls();
        let calls: usize =
            [Op::AssumeRole, Op::GetSessionToken, Op::GetCallerIdentity].map(|op| self.aws.calls(op)).iter().sum();
        StsCalls { by_programs: calls.saturating_sub(by_cluster), by_cluster }
    }
}

/// Numbers of calls of STS.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct StsCalls {
    pub(super) by_programs: usize,
    /// Those of the API server, which sends the tokens to STS.
    pub(super) by_cluster: usize,
}

impl StsCalls {
    pub(super) fn since(self, before: Self) -> Self {
        Self { by_programs: self.by_programs - before.by_programs, by_cluster: self.by_cluster - before.by_cluster }
    }

    pub(super) fn add(&mut self, more: Self) {
        self.by_programs += more.by_programs;
        self.by_cluster += more.by_cluster;
    }
}
