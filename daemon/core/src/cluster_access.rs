//! Who may enter an EKS cluster: access entries, the ConfigMap aws-auth, and plans that change them.
//!
//! Everything here is computed from what a caller has read from EKS, IAM and the Kubernetes API. The modules are listed in
//! the order in which data flows; each uses only those above it.

pub mod principal;

pub mod aws_auth;

pub mod reading;

pub mod change;
