//! The part of the Kubernetes API that kubectl needs to list pods and to show the current user, and that cluster access needs:
//! ConfigMaps, bindings and reviews.

mod discovery;
pub(super) mod objects;
pub(super) mod response;
mod review;
pub(super) mod router;
mod table;
mod write;
