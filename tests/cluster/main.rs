//! Runs Rolecall with a real control plane: etcd, kube-apiserver, and aws-iam-authenticator as its token webhook. The
//! authenticator sends tokens to the embedded STS.
//!
//! `tests/run` builds the programs from Go modules (`tests/cluster/go`) and sets `ROLECALL_TEST_CLUSTER` to their folder.
//! Without them each test is reported in a line that starts with SKIPPED; with `CI=true` that is a failure.
//!
//! The tests of a run share one control plane. A test that needs the ConfigMap aws-auth has it for itself; see
//! [`config_map::AwsAuth`].

// A test panics when an expectation fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod config_map;
mod control_plane;
mod fixture;
mod kubeconfig;
mod programs;

mod access;
mod credentials;
mod doctor;
mod mappings;
mod parser;
mod rbac;
mod tokens;
mod unauthorized;
