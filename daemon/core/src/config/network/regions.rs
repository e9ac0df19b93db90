//! The regions of AWS. A region becomes a part of host names, so another one has to be allowed (V1): a typing error is found before
//! any call.

use rolecall_protocol::{Region, similar_names};

/// The regions of all partitions (`partitions.json` of botocore).
const KNOWN: [&str; 46] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
];

/// Errors with a message if a region is neither known nor among `extra`.
pub(super) fn check(region: &Region, extra: &[Region]) -> Result<(), String> {
    if KNOWN.contains(&region.as_str()) || extra.contains(region) {
        return Ok(());
    }
    let near = similar_names(region.as_str(), KNOWN.iter().copied());
    let near = near.first().map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
    Err(format!("unknown region \"{region}\"; {near}A new region is allowed with extra_regions in [network]"))
}
