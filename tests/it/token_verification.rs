//! STS checks a token as the API server of a cluster does.

use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::token;
use rolecall_core::config::inputs::EndpointVariant;
use rolecall_harness::Op;
use rolecall_protocol::{ClusterName, Secret};

use crate::denials::account::{Account, USER, endpoint};
use crate::fixture::REGION;

const PROD: &str = "prod";

/// Mints a token of the user, changes it, and lets STS check it.
fn verified(account: &Account, cluster: &str, change: impl FnOnce(&str) -> String) -> Result<String, AwsErrorKind> {
    let cluster: ClusterName = cluster.parse().unwrap();
    let (region, now) = (REGION.parse().unwrap(), account.clients.now());
    account.run(async {
        let (session, of) = (account.session(), PROD.parse().unwrap());
        let minted = token::mint(&session, &region, EndpointVariant::default(), &of, now).await.unwrap();
        assert_eq!(minted.length(), minted.token.expose().len());
        assert!(minted.length() <= token::MAX_TOKEN_LEN);
        let changed = Secret::new(change(minted.token.expose()));
        token::verify(&account.clients, &endpoint(), &changed, &cluster).await.map_err(|error| error.kind)
    })
}

#[test]
fn token_is_verified_by_sts_as_the_api_server_does() {
    let account = Account::new(|role| role.trusts(USER));
    assert_eq!(verified(&account, PROD, str::to_owned), Ok(USER.to_owned()));
    let call = account.aws.log_of(Op::GetCallerIdentity).pop().unwrap();
    assert_eq!(call.host, "sts.eu-west-1.amazonaws.com");
    // A token is valid for one cluster.
    assert_eq!(verified(&account, "staging", str::to_owned), Err(AwsErrorKind::CredentialsRejected));
    assert_eq!(verified(&account, PROD, |_| "k8s-aws-v1.x".to_owned()), Err(AwsErrorKind::Rejected));
    account.aws.remove_key(&account.user.id);
    assert_eq!(verified(&account, PROD, str::to_owned), Err(AwsErrorKind::CredentialsRejected));
    account.aws.fault(Op::GetCallerIdentity, rolecall_harness::Fault::Html);
    assert_eq!(verified(&account, PROD, str::to_owned), Err(AwsErrorKind::InvalidResponse));
}
