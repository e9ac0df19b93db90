//! What few profiles have, in an AssumeRole.

use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use rolecall_protocol::{PolicyArn, TagKey, TagValue};

use rolecall_core::config::inputs::StepInputs;

/// The request with what few profiles have.
pub(super) fn with(request: AssumeRoleFluentBuilder, inputs: &StepInputs) -> AssumeRoleFluentBuilder {
    // Fails for a tag that has no key, or no value.
    let tag = |(key, value): (&TagKey, &TagValue)| Tag::builder().key(key.as_str()).value(value.as_str()).build().ok();
    let policy = |arn: &PolicyArn| PolicyDescriptorType::builder().arn(arn.as_str()).build();
    request
        .set_source_identity(inputs.source_identity.as_ref().map(ToString::to_string))
        .set_tags(some(inputs.tags.iter().filter_map(tag).collect()))
        .set_transitive_tag_keys(some(inputs.transitive_tags.iter().map(ToString::to_string).collect()))
        .set_policy_arns(some(inputs.policy_arns.iter().map(policy).collect()))
        .set_policy(inputs.policy.clone())
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}
