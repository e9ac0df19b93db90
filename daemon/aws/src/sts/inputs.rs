//! The optional inputs of AssumeRole: tags, policies and source identity.

use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};
use rolecall_protocol::{PolicyArn, TagKey, TagValue};

use rolecall_core::config::inputs::StepInputs;

/// Adds the optional inputs to a request.
pub(super) fn with_optional(request: AssumeRoleFluentBuilder, inputs: &StepInputs) -> AssumeRoleFluentBuilder {
    // `build` errors for a tag without a key or value; these have both.
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
