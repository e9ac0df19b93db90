//! The STS hosts that a token may name.
//!
//! Source: aws-iam-authenticator's verifier accepts the STS hosts of every region that its AWS SDK knows in the
//! partition of the cluster. The table is that of the SDK's partitions, 2026.

struct Partition {
    id: &'static str,
    suffix: &'static str,
    /// Some partitions have no dual-stack names.
    dual_stack: Option<&'static str>,
    regions: &'static [&'static str],
}

const PARTITIONS: [Partition; 8] = [
    Partition {
        id: "aws",
        suffix: "amazonaws.com",
        dual_stack: Some("api.aws"),
        regions: &[
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
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ],
    },
    Partition {
        id: "aws-cn",
        suffix: "amazonaws.com.cn",
        dual_stack: Some("api.amazonwebservices.com.cn"),
        regions: &["cn-north-1", "cn-northwest-1"],
    },
    Partition {
        id: "aws-us-gov",
        suffix: "amazonaws.com",
        dual_stack: Some("api.aws"),
        regions: &["us-gov-east-1", "us-gov-west-1"],
    },
    Partition {
        id: "aws-eusc",
        suffix: "amazonaws.eu",
        dual_stack: Some("api.amazonwebservices.eu"),
        regions: &["eusc-de-east-1"],
    },
    Partition { id: "aws-iso", suffix: "c2s.ic.gov", dual_stack: None, regions: &["us-iso-east-1", "us-iso-west-1"] },
    Partition {
        id: "aws-iso-b",
        suffix: "sc2s.sgov.gov",
        dual_stack: None,
        regions: &["us-isob-east-1", "us-isob-west-1"],
    },
    Partition { id: "aws-iso-e", suffix: "cloud.adc-e.uk", dual_stack: None, regions: &["eu-isoe-west-1"] },
    Partition {
        id: "aws-iso-f",
        suffix: "csp.hci.ic.gov",
        dual_stack: None,
        regions: &["us-isof-east-1", "us-isof-south-1"],
    },
];

/// Returns whether a cluster in `region` accepts tokens for this host: a host of its own partition, or the global host
/// in `aws` only.
pub(crate) fn accepts(region: &str, host: &str) -> bool {
    let Some(partition) = PARTITIONS.iter().find(|partition| partition.regions.contains(&region)) else {
        panic!("{region} is not a region that the harness knows: see partition.rs");
    };
    if host == "sts.amazonaws.com" {
        return partition.id == "aws";
    }
    let Some((service, rest)) = host.split_once('.') else { return false };
    let Some((region, suffix)) = rest.split_once('.') else { return false };
    ["sts", "sts-fips"].contains(&service)
        && partition.regions.contains(&region)
        && (suffix == partition.suffix || partition.dual_stack == Some(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sts_host_of_own_partition_accepted() {
        for (region, host, expected) in [
            ("eu-west-1", "sts.eu-west-1.amazonaws.com", true),
            ("eu-west-1", "sts.us-east-2.amazonaws.com", true),
            ("eu-west-1", "sts-fips.us-east-2.amazonaws.com", true),
            ("eu-west-1", "sts.eu-west-1.api.aws", true),
            ("eu-west-1", "sts-fips.us-east-1.api.aws", true),
            ("eu-west-1", "sts.amazonaws.com", true),
            ("eu-west-1", "sts.amazonaws.com:443", false),
            ("eu-west-1", "sts.mars-east-1.amazonaws.com", false),
            ("eu-west-1", "sts.cn-north-1.amazonaws.com.cn", false),
            ("eu-west-1", "sts.us-gov-west-1.amazonaws.com", false),
            ("eu-west-1", "sts.eu-west-1.amazonaws.com.evil.example", false),
            ("eu-west-1", "evil.sts.eu-west-1.amazonaws.com", false),
            ("eu-west-1", "ec2.eu-west-1.amazonaws.com", false),
            ("eu-west-1", "vpce-0a1b-2c3d.sts.eu-west-1.vpce.amazonaws.com", false),
            ("eu-west-1", "127.0.0.1", false),
            ("cn-north-1", "sts.cn-northwest-1.amazonaws.com.cn", true),
            ("cn-north-1", "sts.cn-north-1.api.amazonwebservices.com.cn", true),
            ("cn-north-1", "sts.amazonaws.com", false),
            ("us-gov-west-1", "sts.us-gov-east-1.amazonaws.com", true),
            ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu", true),
            ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov", true),
            ("us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov", true),
        ] {
            assert_eq!(accepts(region, host), expected, "{host} for a cluster in {region}");
        }
    }
}
