//! Documents that IAM does not write.

use proptest::prelude::*;
use serde_json::json;

use super::{SESSION, SSO_SESSION, USER, caller, facts};
use crate::trust_policy::TrustPolicy;

/// JSON with the elements of policies in any place and of any type.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let words = [
        "Allow",
        "Deny",
        "*",
        "sts:AssumeRole",
        "sts:TagSession",
        USER,
        "111122223333",
        "true",
        "${aws:username}",
        "${",
        "3600",
        "arn:*",
    ];
    let keys = [
        "Statement",
        "Effect",
        "Principal",
        "NotPrincipal",
        "AWS",
        "Action",
        "NotAction",
        "Condition",
        "StringLike",
        "Bool",
        "Null",
        "NumericLessThan",
        "ForAllValues:StringNotEqualsIfExists",
        "sts:ExternalId",
        "aws:MultiFactorAuthAge",
        "aws:RequestTag/team",
        "aws:PrincipalArn",
        "Sid",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        proptest::sample::select(words.to_vec()).prop_map(|word| json!(word)),
        ".{0,8}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let key = proptest::sample::select(keys.to_vec()).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            proptest::collection::vec((key, inner), 0..6)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Any JSON is an error or a verdict, and each problem is one line without control characters.
    #[test]
    fn judge_any_json_gives_a_verdict(statements in any_json(), arn in proptest::sample::select(vec![USER, SESSION, SSO_SESSION])) {
        let document = json!({ "Statement": statements });
        let caller = caller(arn);
        let policy = TrustPolicy::parse(&document.to_string()).unwrap();
        for problem in policy.judge(&facts(&caller)).problems {
            prop_assert!(!problem.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn parse_any_text_is_a_value_or_an_error(text in ".{0,200}") {
        let _ = TrustPolicy::parse(&text);
    }
}
