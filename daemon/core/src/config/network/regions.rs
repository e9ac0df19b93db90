//! The regions of AWS. A region becomes a part of host names, so another one has to be allowed (V1): a typing error is found before
//! any call.

use rolecall_protocol::{KNOWN_REGIONS, Region, similar_names};

/// Errors with a message if a region is neither known nor among `extra`.
pub(super) fn check(region: &Region, extra: &[Region]) -> Result<(), String> {
    if KNOWN_REGIONS.contains(&region.as_str()) || extra.contains(region) {
        return Ok(());
    }
    let near = similar_names(region.as_str(), KNOWN_REGIONS.iter().copied());
    let near = near.first().map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
    Err(format!("unknown region \"{region}\"; {near}A new region is allowed with extra_regions in [network]"))
}
