//! A sandboxed environment for the tests of Rolecall: an embedded AWS, an embedded API server, and real processes.
//!
//! The harness shares no code with the daemon, the client and their protocol. It implements every rule a second time,
//! from AWS's documentation and from the sources of aws-iam-authenticator and kubectl, so that a bug in the product
//! cannot hide in its own test.
//!
//! ```text
//! Aws (HTTP: STS, EKS) ◀── presigned URL ── ApiServer (TLS) ◀── token ── kubectl
//!   ▲                                                                      │ runs
//!   └──────────── rolecalld ◀──────────── rolecall ◀───────────────────────┘
//!
//! Clock: the time of Aws and ApiServer.   Sandbox: runs rolecalld, rolecall and kubectl.
//! ```
//!
//! ```no_run
//! use rolecall_harness::{ApiServer, Aws, Clock, Role, Sandbox};
//!
//! let clock = Clock::system();
//! let aws = Aws::start(clock.clone());
//! let dev = aws.add_user("111122223333", "dev");
//! aws.add_role(Role::new("arn:aws:iam::111122223333:role/developers").trusts(&dev.arn));
//! let api = ApiServer::start(clock, &aws, "prod", "eu-west-1");
//! aws.add_cluster(api.cluster());
//! let role = "arn:aws:iam::111122223333:role/developers";
//! aws.grant("prod", "eu-west-1", role, "dev:{{SessionName}}", &["view"]);
//!
//! let sandbox = Sandbox::new();
//! sandbox.write_aws_profile("work", &dev, &aws.endpoint());
//! let output = sandbox.run(sandbox.rolecall().args(["status"]));
//! output.assert_ok();
//! ```
//!
//! Conventions: no fixed ports; no sleeps (wait with [`AwsHandle::wait_for_calls`], or hold a response with a
//! [`Gate`]); time only from [`Clock`]. Wrong use of a test double panics with the reason.

// A panic in a test double is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod arn;
mod certificate;
mod clock;
mod encoding;
mod random;
mod secrets;
mod serve;
mod stop_on_drop;
mod time;

pub mod aws;
pub mod kube;
pub mod sandbox;
pub mod soak;

pub use aws::{
    AccessKey, Aws, AwsHandle, Call, Cluster, ContainerCredentials, Cut, DeniedBy, Fault, Gate, InstanceMetadata,
    Login, MfaDevice, Op, Outcome, OverTls, PolicyType, Role, Sso, TokenSpec,
};
pub use clock::Clock;
pub use jiff::SignedDuration;
pub use kube::ApiServer;
pub use sandbox::{
    AwsProfile, Daemon, FakeTime, Logind, Network, Notifications, Output, Proxy, Sandbox, SessionBus, TcpRelay,
    Terminal, with_entry_keys, within,
};
pub use stop_on_drop::StopOnDrop;
