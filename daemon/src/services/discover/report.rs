//! The progress of a search, and what could not be searched.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rolecall_protocol::{DiscoverStep, DiscoveredCluster, ErrorBody, ErrorCode, Region};
use tokio::sync::mpsc::Sender;

/// Sends the steps of a search.
pub(super) struct Report<'a> {
    steps: &'a Sender<DiscoverStep>,
    done: AtomicUsize,
    total: AtomicUsize,
}

/// A region that could not be searched.
pub(super) struct FailedRegion {
    pub(super) region: Region,
    pub(super) error: ErrorBody,
}

impl<'a> Report<'a> {
    pub(super) fn new(steps: &'a Sender<DiscoverStep>) -> Self {
        Self { steps, done: AtomicUsize::new(0), total: AtomicUsize::new(0) }
    }

    /// Adds parts that will be searched.
    pub(super) fn expect(&self, parts: usize) {
        self.total.fetch_add(parts, Ordering::Relaxed);
    }

    /// Reports that parts have been searched. A client that does not read misses it.
    pub(super) fn searched(&self, parts: usize, what: String) {
        let done = self.done.fetch_add(parts, Ordering::Relaxed) + parts;
        let total = self.total.load(Ordering::Relaxed);
        let _ = self.steps.try_send(DiscoverStep::Progress { done, total, what });
    }

    /// Sends a cluster.
    pub(super) async fn found(&self, cluster: DiscoveredCluster) {
        self.send(DiscoverStep::Found { cluster: Box::new(cluster) }).await;
    }

    /// Sends that nothing can be searched with an identity.
    pub(super) async fn skip_identity(&self, label: &str, regions: usize, error: ErrorBody) {
        self.skip(label.to_owned(), error).await;
        self.searched(regions, label.to_owned());
    }

    /// Sends which regions could not be searched with an identity, once for each kind of error. If a region of several is closed
    /// to the account, AWS rejects there the credentials that it accepts elsewhere: such a region is not reported.
    pub(super) async fn skip_regions(&self, label: &str, failed: Vec<FailedRegion>, of: usize) {
        let is_rejected_everywhere =
            failed.len() == of && failed.iter().all(|failed| failed.error.code == ErrorCode::SourceUnavailable);
        let mut by_kind: BTreeMap<String, (Vec<Region>, ErrorBody)> = BTreeMap::new();
        for FailedRegion { region, error } in failed {
            if error.code == ErrorCode::SourceUnavailable && !is_rejected_everywhere {
                continue;
            }
            by_kind.entry(error.code.to_string()).or_insert_with(|| (Vec::new(), error)).0.push(region);
        }
        for (mut regions, error) in by_kind.into_values() {
            regions.sort();
            let what = if regions.len() == of && of > 1 {
                label.to_owned()
            } else {
                let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
                format!("{label}, {}", names.join(", "))
            };
            self.skip(what, error).await;
        }
    }

    /// Sends that a part cannot be searched.
    pub(super) async fn skip(&self, what: String, error: ErrorBody) {
        self.send(DiscoverStep::Skipped { what, error }).await;
    }

    /// A client that has left ends the search elsewhere.
    async fn send(&self, step: DiscoverStep) {
        let _ = self.steps.send(step).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(region: &str, code: ErrorCode) -> FailedRegion {
        FailedRegion { region: region.parse().unwrap(), error: ErrorBody::new(code, "no") }
    }

    #[tokio::test]
    async fn skip_regions_are_grouped_and_closed_ones_left_out() {
        let skipped = async |regions: Vec<FailedRegion>, of| {
            let (sender, mut steps) = tokio::sync::mpsc::channel(8);
            Report::new(&sender).skip_regions("work", regions, of).await;
            drop(sender);
            let mut found = Vec::new();
            while let Some(DiscoverStep::Skipped { what, .. }) = steps.recv().await {
                found.push(what);
            }
            found
        };
        let denied = |region| failed(region, ErrorCode::AccessDenied);
        let closed = |region| failed(region, ErrorCode::SourceUnavailable);
        assert_eq!(skipped(vec![denied("us-east-2"), denied("eu-west-1")], 2).await, ["work"]);
        assert_eq!(
            skipped(vec![denied("us-east-2"), closed("ap-east-1"), denied("eu-west-1")], 4).await,
            ["work, eu-west-1, us-east-2"]
        );
        assert_eq!(skipped(vec![closed("us-east-2"), closed("eu-west-1")], 2).await, ["work"]);
        assert!(skipped(vec![], 2).await.is_empty());
    }
}
