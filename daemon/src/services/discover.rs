//! The discover endpoint: the clusters that the user's credentials see.
//!
//! The search has three levels: `identities` lists whose credentials to use, `region` lists the clusters that one of them sees
//! in one region, and describes each. Several identities and regions are searched at the same time.

mod identities;
mod region;
mod report;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use rolecall_protocol::{DiscoverRequest, DiscoverStep, ErrorBody, ErrorCode, KNOWN_REGIONS, Region};
use tokio::sync::mpsc::Sender;

use super::config::ConfigService;
use super::error::AgentError;
use super::lock::LockService;
use crate::sessions::Sessions;
use identities::Identity;
use report::Report;
use rolecall_aws::client::Aws;
use rolecall_core::config::partition;

/// Identities whose credentials are loaded at the same time.
const MAX_PARALLEL_IDENTITIES: usize = 4;
/// Regions that are searched at the same time with one identity.
const MAX_PARALLEL_REGIONS: usize = 8;
/// The identities of one search. A larger organization is searched in parts.
const MAX_IDENTITIES: usize = 1000;

/// Searches for clusters.
pub struct DiscoverService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) lock: Arc<LockService>,
    pub(crate) sessions: Sessions,
    pub(crate) aws: Aws,
}

impl DiscoverService {
    /// Searches, and sends each step. What cannot be searched is a step, too. Ends early if its client leaves.
    pub async fn discover(&self, request: DiscoverRequest, steps: Sender<DiscoverStep>) -> Result<(), ErrorCode> {
        let search = async {
            self.lock.check_unlocked().map_err(|AgentError(error)| error)?;
            self.search(&request, &Report::new(&steps)).await
        };
        let result = tokio::select! {
            result = search => result,
            () = steps.closed() => return Ok(()),
        };
        let code = result.as_ref().map_err(|error| error.code).copied();
        let last = result.map_or_else(|error| DiscoverStep::Failed { error }, |()| DiscoverStep::Done);
        drop(steps.send(last).await);
        code
    }

    async fn search(&self, request: &DiscoverRequest, report: &Report<'_>) -> Result<(), ErrorBody> {
        let found = self.identities(request, report).await?;
        if found.identities.len() > MAX_IDENTITIES {
            let message = format!("{} identities are too many for one search", found.identities.len());
            let error = ErrorBody::new(ErrorCode::BadRequest, message);
            return Err(error.hint("Name accounts or roles: --account, --role-name."));
        }
        let regions = regions(request, found.regions);
        let searches: Vec<_> =
            found.identities.iter().map(|identity| Box::pin(self.search_with(identity, &regions, report))).collect();
        iter(searches).buffer_unordered(MAX_PARALLEL_IDENTITIES).collect::<Vec<()>>().await;
        Ok(())
    }

    /// Searches the regions of an identity's partition.
    async fn search_with(&self, identity: &Identity, regions: &[Region], report: &Report<'_>) {
        let regions: Vec<&Region> =
            regions.iter().filter(|region| partition(region) == partition(&identity.home)).collect();
        report.expect(regions.len());
        let credentials = match self.credentials(identity).await {
            Ok(credentials) => credentials,
            Err(error) => return report.skip_identity(&identity.label, regions.len(), error).await,
        };
        let searches: Vec<_> =
            regions.iter().map(|region| Box::pin(self.search_region(identity, &credentials, region, report))).collect();
        let failed: Vec<_> = iter(searches).buffer_unordered(MAX_PARALLEL_REGIONS).collect().await;
        report.skip_regions(&identity.label, failed.into_iter().flatten().collect(), regions.len()).await;
    }
}

/// Returns the regions to search: those of the request, those that the files name, or all.
fn regions(request: &DiscoverRequest, named: Vec<Region>) -> Vec<Region> {
    let all = || KNOWN_REGIONS.iter().filter_map(|name| name.parse().ok()).collect();
    match (request.all_regions, request.regions.as_slice(), named.as_slice()) {
        (true, ..) | (false, [], []) => all(),
        (false, [], _) => named,
        (false, given, _) => given.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_given_named_or_all() {
        let (dublin, ohio): (Region, Region) = ("eu-west-1".parse().unwrap(), "us-east-2".parse().unwrap());
        let of = |given: &[Region], all_regions, named: &[Region]| {
            let request = DiscoverRequest { regions: given.to_vec(), all_regions, ..DiscoverRequest::default() };
            regions(&request, named.to_vec())
        };
        assert_eq!(of(&[], false, std::slice::from_ref(&ohio)), std::slice::from_ref(&ohio));
        assert_eq!(of(std::slice::from_ref(&dublin), false, &[ohio]), [dublin]);
        assert_eq!(of(&[], false, &[]).len(), KNOWN_REGIONS.len());
        assert_eq!(of(&[], true, &["eu-west-1".parse().unwrap()]).len(), KNOWN_REGIONS.len());
    }
}
