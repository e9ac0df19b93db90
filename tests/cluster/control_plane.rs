//! etcd, kube-apiserver and aws-iam-authenticator on loopback, and the embedded AWS that the authenticator calls.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rolecall_harness::{AccessKey, Aws, Clock, Cluster, Daemon, Output, OverTls, Proxy, Sandbox, TokenSpec, within};
use serde_json::{Value, json};

use crate::certificates::{Authority, CertificateFiles, service_account_key};
use crate::kubeconfig;
use crate::programs::{Programs, skipped};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const CLUSTER: &str = "prod";
pub(crate) const REGION: &str = "eu-west-1";
/// A second region with the same cluster: STS has FIPS endpoints in it.
pub(crate) const FIPS_REGION: &str = "us-east-1";

/// The names that the embedded STS has a certificate for: those of the regions of the tests.
const STS_NAMES: [&str; 6] = [
    "*.eu-west-1.amazonaws.com",
    "*.eu-west-1.api.aws",
    "*.us-east-1.amazonaws.com",
    "*.us-east-1.api.aws",
    "*.cn-north-1.amazonaws.com.cn",
    "*.us-gov-west-1.amazonaws.com",
];
/// An API server on two busy cores starts within 30 s.
const START_TIMEOUT: Duration = Duration::from_mins(3);
/// A port that was free may be taken by another program before the server binds it.
const START_ATTEMPTS: usize = 3;

static SHARED: Mutex<Weak<ControlPlane>> = Mutex::new(Weak::new());

/// A running control plane. Dropping it kills its processes and deletes its files.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    authenticator: Daemon,
    api_server: Daemon,
    etcd: Daemon,
    proxy: Proxy,
    _sts: OverTls,
    sts_ca: PathBuf,
    pub(crate) aws: Aws,
    pub(crate) url: String,
    pub(crate) ca_pem: String,
    ca_file: PathBuf,
    administrator: PathBuf,
    programs: Programs,
    sandbox: Sandbox,
    files: AtomicUsize,
}

impl ControlPlane {
    /// Returns the control plane of this run. Starts it if no test uses one. Returns `None`, and reports the test as
    /// skipped, if a program is missing.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        let programs = Programs::find()?;
        // The lock makes other tests wait for the start.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        if Sandbox::new().kubectl().is_none() {
            skipped("kubectl: not found");
            return None;
        }
        let started = (1..=START_ATTEMPTS).find_map(|attempt| Self::start(&programs, attempt == START_ATTEMPTS));
        let started = Arc::new(started.expect("the last attempt panics"));
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// Returns `None` if a process ended because its port is in use, unless it `is_last`.
    fn start(programs: &Programs, is_last: bool) -> Option<Self> {
        let sandbox = Sandbox::new();
        let aws = Aws::start(Clock::system());
        let sts = aws.over_tls(&STS_NAMES);
        let sts_ca = sandbox.write("pki/sts-ca.pem", sts.ca_pem());
        let proxy = Proxy::start(sts.addr(), None);
        let authority = Authority::new(&sandbox);
        let (api_port, authenticator_port) = free_ports();
        let url = format!("https://127.0.0.1:{api_port}");

        let etcd = start_etcd(programs, &sandbox);
        let user = authority.administrator(&sandbox);
        let user = json!({ "client-certificate": user.certificate, "client-key": user.key });
        let administrator = sandbox.write("administrator.json", &kubeconfig::text(&url, &authority.file, &user));
        let api_server = start_api_server(programs, &sandbox, &authority, api_port, authenticator_port);
        let ready = || {
            let is_ready = kubectl(&sandbox, &administrator, &["get", "--raw", "/readyz"]).code() == Some(0);
            (is_ready || !api_server.is_running() || !etcd.is_running()).then_some(is_ready)
        };
        if within(START_TIMEOUT, ready) != Some(true) {
            let report = format!("--- etcd\n{}\n--- kube-apiserver\n{}", etcd.stderr(), api_server.stderr());
            return retry(&report, is_last);
        }

        let certificate = authority.server(&sandbox, "authenticator");
        let authenticator =
            start_authenticator(programs, &sandbox, &certificate, authenticator_port, &administrator, &proxy, &sts_ca);
        let listening = || {
            let is_listening = authenticator.stderr().contains("listening on");
            (is_listening || !authenticator.is_running()).then_some(is_listening)
        };
        if within(START_TIMEOUT, listening) != Some(true) {
            return retry(&authenticator.stderr(), is_last);
        }

        for region in [REGION, FIPS_REGION] {
            aws.add_cluster(Cluster::new(CLUSTER, region).endpoint(&url).ca_pem(&authority.pem));
        }
        Some(Self {
            authenticator,
            api_server,
            etcd,
            proxy,
            _sts: sts,
            sts_ca,
            aws,
            url,
            ca_pem: authority.pem,
            ca_file: authority.file,
            administrator,
            programs: programs.clone(),
            sandbox,
            files: AtomicUsize::new(0),
        })
    }

    /// Runs kubectl as a member of `system:masters`.
    #[track_caller]
    pub(crate) fn as_administrator(&self, arguments: &[&str]) -> Output {
        kubectl(&self.sandbox, &self.administrator, arguments)
    }

    /// Runs kubectl as a member of `system:masters` with an object on its standard input.
    #[track_caller]
    pub(crate) fn as_administrator_with(&self, arguments: &[&str], object: &Value) -> Output {
        let mut command = kubectl_command(&self.sandbox, &self.administrator, arguments);
        self.sandbox.run_with_input(&mut command, object.to_string().as_bytes())
    }

    /// Creates objects as a member of `system:masters`.
    #[track_caller]
    pub(crate) fn create(&self, object: &Value) {
        self.as_administrator_with(&["create", "-f", "-"], object).assert_ok();
    }

    /// Runs kubectl with this token.
    #[track_caller]
    pub(crate) fn with_token(&self, token: &str, arguments: &[&str]) -> Output {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let text = kubeconfig::text(&self.url, &self.ca_file, &json!({ "token": token }));
        let file = self.sandbox.write(format!("tokens/{number}.json"), &text);
        let said = kubectl(&self.sandbox, &file, arguments);
        fs::remove_file(file).unwrap();
        said
    }

    /// Returns a token of this access key, signed now.
    pub(crate) fn token(&self, key: &AccessKey) -> String {
        TokenSpec::new(key, REGION, CLUSTER, self.aws.clock().now()).mint()
    }

    /// Returns the user that the API server reports for a new token of this access key. Errors with kubectl's message.
    pub(crate) fn whoami(&self, key: &AccessKey) -> Result<Value, String> {
        user_of(&self.with_token(&self.token(key), &WHOAMI))
    }

    /// Returns the hosts that the authenticator has called, as `HOST:PORT`.
    pub(crate) fn sts_hosts(&self) -> Vec<String> {
        self.proxy.targets()
    }

    /// Verifies a token with the authenticator's command line, for a cluster of another partition than this one's.
    /// Returns the identity.
    #[track_caller]
    pub(crate) fn verify(&self, partition: &str, cluster: &str, token: &str) -> Output {
        let mut command = authenticator_command(&self.programs, &self.sandbox, &self.proxy, &self.sts_ca);
        // The command has no other way to pass a token.
        self.sandbox.allow_secret(token);
        command.args(["verify", "--partition", partition, "-i", cluster, "-o", "json", "-t", token]);
        self.sandbox.run(&mut command)
    }

    /// Returns the log of the authenticator.
    pub(crate) fn authenticator_log(&self) -> String {
        self.authenticator.stderr()
    }
}

/// Kills the processes first, and deletes what is large: the sandbox scans its files for secrets.
impl Drop for ControlPlane {
    fn drop(&mut self) {
        for process in [&self.authenticator, &self.api_server, &self.etcd] {
            process.kill();
            process.wait_exit(START_TIMEOUT);
        }
        fs::remove_dir_all(self.sandbox.root().join("etcd")).unwrap_or_default();
    }
}

/// The arguments of kubectl that show a user.
pub(crate) const WHOAMI: [&str; 4] = ["auth", "whoami", "-o", "json"];

/// Returns the user that [`WHOAMI`] printed. Errors with kubectl's message.
pub(crate) fn user_of(said: &Output) -> Result<Value, String> {
    if said.code() == Some(0) { Ok(said.json()["status"]["userInfo"].clone()) } else { Err(said.stderr.clone()) }
}

/// Returns two ports that no program uses now. The kernel does not choose them again soon.
fn free_ports() -> (u16, u16) {
    let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let (first, second) = (listener(), listener());
    (port(&first), port(&second))
}

fn kubectl_command(sandbox: &Sandbox, kubeconfig: &PathBuf, arguments: &[&str]) -> std::process::Command {
    let mut command = sandbox.kubectl().unwrap();
    command.arg("--kubeconfig").arg(kubeconfig).args(arguments);
    command
}

#[track_caller]
fn kubectl(sandbox: &Sandbox, kubeconfig: &PathBuf, arguments: &[&str]) -> Output {
    sandbox.run(&mut kubectl_command(sandbox, kubeconfig, arguments))
}

/// Returns `None` if a server did not start because of its port. Panics with its log for any other reason.
fn retry(log: &str, is_last: bool) -> Option<ControlPlane> {
    assert!(log.contains("address already in use") && !is_last, "the control plane does not start:\n{log}");
    None
}

/// etcd on a Unix socket. Its peer port, which no peer uses, is free.
fn start_etcd(programs: &Programs, sandbox: &Sandbox) -> Daemon {
    let socket = etcd_socket(sandbox);
    let mut command = sandbox.command(programs.path("etcd"));
    command.arg("--data-dir").arg(sandbox.root().join("etcd"));
    // A URL for peers, of which there are none; it has to be TCP.
    command.args(["--listen-client-urls", &socket, "--advertise-client-urls", "http://127.0.0.1:0"]);
    command.args(["--listen-peer-urls", "http://127.0.0.1:0", "--unsafe-no-fsync", "--log-level", "warn"]);
    sandbox.spawn_daemon(&mut command)
}

fn etcd_socket(sandbox: &Sandbox) -> String {
    format!("unix://{}", sandbox.runtime_dir().join("etcd.sock").display())
}

fn start_api_server(
    programs: &Programs,
    sandbox: &Sandbox,
    authority: &Authority,
    port: u16,
    authenticator_port: u16,
) -> Daemon {
    let certificate = authority.server(sandbox, "kube-apiserver");
    let (key, public_key) = service_account_key(sandbox);
    let authenticator = format!("https://127.0.0.1:{authenticator_port}/authenticate");
    let webhook = sandbox.write("webhook.json", &kubeconfig::text(&authenticator, &authority.file, &json!({})));
    let mut command = sandbox.command(programs.path("kube-apiserver"));
    command.args([
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        // Its controller does not run here, so pods have no service account.
        "--disable-admission-plugins=ServiceAccount",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--profiling=false",
    ]);
    command.args([format!("--etcd-servers={}", etcd_socket(sandbox)), format!("--secure-port={port}")]);
    for (option, path) in [
        ("tls-cert-file", &certificate.certificate),
        ("tls-private-key-file", &certificate.key),
        ("client-ca-file", &authority.file),
        ("service-account-key-file", &public_key),
        ("service-account-signing-key-file", &key),
        ("authentication-token-webhook-config-file", &webhook),
    ] {
        command.arg(format!("--{option}={}", path.display()));
    }
    sandbox.spawn_daemon(&mut command)
}

/// The authenticator as EKS runs it: mappings from the ConfigMap aws-auth.
fn start_authenticator(
    programs: &Programs,
    sandbox: &Sandbox,
    certificate: &CertificateFiles,
    port: u16,
    kubeconfig: &PathBuf,
    proxy: &Proxy,
    sts_ca: &PathBuf,
) -> Daemon {
    let mut command = authenticator_command(programs, sandbox, proxy, sts_ca);
    command.args(["server", "--cluster-id", CLUSTER, "--backend-mode", "EKSConfigMap", "--port", &port.to_string()]);
    command.arg("--kubeconfig").arg(kubeconfig);
    command.arg("--kubeconfig-pregenerated=true");
    // It looks for cert.pem and key.pem.
    command.arg("--state-dir").arg(certificate.certificate.parent().unwrap());
    sandbox.spawn_daemon(&mut command)
}

/// The authenticator calls STS through the proxy, and no instance metadata.
fn authenticator_command(
    programs: &Programs,
    sandbox: &Sandbox,
    proxy: &Proxy,
    sts_ca: &PathBuf,
) -> std::process::Command {
    let mut command = sandbox.command(programs.path("aws-iam-authenticator"));
    command.env("HTTPS_PROXY", format!("http://{}", proxy.addr())).env("SSL_CERT_FILE", sts_ca);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}
