//! The partitions of AWS and their regions.

use rolecall_protocol::Region;

/// The partitions besides `aws`: the prefix of their regions (`partitions.json` in botocore), their name, and a region that
/// is enabled in every account.
const PARTITIONS: [(&str, &str, &str); 7] = [
    ("cn-", "aws-cn", "cn-north-1"),
    ("us-gov-", "aws-us-gov", "us-gov-west-1"),
    ("eusc-", "aws-eusc", "eusc-de-east-1"),
    ("us-iso-", "aws-iso", "us-iso-east-1"),
    ("us-isob-", "aws-iso-b", "us-isob-east-1"),
    ("eu-isoe-", "aws-iso-e", "eu-isoe-west-1"),
    ("us-isof-", "aws-iso-f", "us-isof-south-1"),
];

/// Returns the partition of a region.
#[must_use]
pub fn partition(region: &Region) -> &'static str {
    let found = PARTITIONS.iter().find(|(prefix, ..)| region.as_str().starts_with(prefix));
    found.map_or("aws", |(_, partition, _)| partition)
}

/// Returns the region of a partition that is enabled in every account, for services without regions.
#[must_use]
pub fn home_region(region: &Region) -> Region {
    match PARTITIONS.iter().find(|(prefix, ..)| region.as_str().starts_with(prefix)) {
        Some((.., home)) => home.parse().unwrap_or_else(|_| region.clone()),
        None => Region::us_east_1(),
    }
}
