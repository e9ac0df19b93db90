//! The check of one credential: role, cluster, region and expiry.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::profiles::{CLUSTERS, ProfileSpec};
use super::setup::Setup;
use crate::clock::Clock;
use crate::encoding::parse_query;

/// The lifetime of a token for kubectl.
const TOKEN_TTL: SignedDuration = SignedDuration::from_mins(14);
/// A token expires this long before its session.
const TOKEN_MARGIN: SignedDuration = SignedDuration::from_mins(1);
/// The daemon knows AWS's time to a few seconds, and the check itself takes a moment.
const SLACK: SignedDuration = SignedDuration::from_secs(8);

/// A token, taken apart.
struct Decoded {
    host: String,
    key_id: String,
    region: String,
}

/// Checks a credential of this profile, which arrived just now. `ahead` is how far the daemon's wall clock is ahead of
/// the machine's. Returns when the session that signed it ends, by AWS's clock.
pub(super) fn check(
    setup: &Setup,
    profile: &ProfileSpec,
    credential: &Value,
    ahead: SignedDuration,
) -> Result<SystemTime, String> {
    let text = |name: &str| credential["status"][name].as_str().ok_or_else(|| format!("no status.{name}"));
    let (token, expiration) = (text("token")?, text("expirationTimestamp")?);
    let decoded = decode(token).ok_or("the token is not a presigned URL")?;
    let (region, session) = (profile.region(), setup.aws.expiry_of(&decoded.key_id));
    let session = session.ok_or_else(|| format!("STS has issued no session with the key {}", decoded.key_id))?;
    let expected_host = format!("sts.{region}.amazonaws.com");
    if (decoded.region.as_str(), &decoded.host) != (region, &expected_host) {
        return Err(format!("signed for {} at {}, not for {region}", decoded.region, decoded.host));
    }
    let session_left = time_left(setup.aws.clock().now(), session);
    check_expiry(expiration, session_left, ahead)?;
    match setup.clusters[profile.cluster].username(token) {
        Ok(user) if user == profile.username() => Ok(session),
        Ok(user) => Err(format!("its user is {user}, not {}", profile.username())),
        // The session may have ended since the answer.
        Err(_) if session_left < SLACK => Ok(session),
        Err(error) => {
            let (cluster, _) = CLUSTERS[profile.cluster];
            Err(format!("cluster {cluster} in {region} rejects it: {error} (session: {session_left:#} left)"))
        }
    }
}

fn check_expiry(expiration: &str, session_left: SignedDuration, ahead: SignedDuration) -> Result<(), String> {
    let at: Timestamp = expiration.parse().map_err(|_| format!("{expiration} is not a time"))?;
    let left = time_left(Clock::system().now(), at.into()) - ahead;
    // In the last minute of its session a token is valid, and its expiry has passed.
    let has_valid_expiry = left.is_positive() || session_left < TOKEN_MARGIN + SLACK;
    if !has_valid_expiry || session_left.is_negative() {
        return Err(format!("it expired {:#} ago; the session has {session_left:#} left", -left));
    }
    if left > TOKEN_TTL.min(session_left - TOKEN_MARGIN) + SLACK {
        return Err(format!("it claims {left:#}; the session has {session_left:#} left"));
    }
    Ok(())
}

fn decode(token: &str) -> Option<Decoded> {
    let url = URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.")?).ok()?;
    let url = String::from_utf8(url).ok()?;
    let (place, query) = url.strip_prefix("https://")?.split_once('?')?;
    let (_, scope) = parse_query(query).into_iter().find(|(name, _)| name == "X-Amz-Credential")?;
    let mut scope = scope.split('/').map(str::to_owned);
    let (key_id, _date, region) = (scope.next()?, scope.next()?, scope.next()?);
    Some(Decoded { host: place.trim_end_matches('/').to_owned(), key_id, region })
}

/// Returns the time from `now` to `end`, negative if that has passed.
fn time_left(now: SystemTime, end: SystemTime) -> SignedDuration {
    let signed = |length: Duration| SignedDuration::try_from(length).expect("tests stay within centuries");
    end.duration_since(now).map_or_else(|passed| -signed(passed.duration()), signed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::{AccessKey, TokenSpec};
    use crate::soak::profiles::PROFILES;
    use crate::soak::{SoakLength, SoakOptions};
    use crate::time::rfc3339;

    #[test]
    fn token_of_another_role_cluster_or_region_found() {
        let program = || "/bin/true".into();
        let setup = Setup::new(&SoakOptions {
            client: program(),
            daemon: program(),
            seed: 0,
            length: SoakLength::EachFaultOnce,
            callers: 1,
        });
        let now = setup.aws.clock().now();
        let profile = PROFILES.iter().find(|profile| profile.name == "prod-dev").unwrap();
        let other = PROFILES.iter().find(|profile| profile.name == "prod-admin").unwrap();
        let session = |profile: &ProfileSpec| setup.aws.session(&profile.role_arn(), "dev", Duration::from_hours(1));
        let checked = |key: &AccessKey, region: &str, cluster: &str| {
            let token = TokenSpec::new(key, region, cluster, now).mint();
            let expires = rfc3339(now + Duration::from_mins(14));
            let credential = json!({ "status": { "token": token, "expirationTimestamp": expires } });
            check(&setup, profile, &credential, SignedDuration::ZERO)
        };
        let key = session(profile);
        let ends = checked(&key, "eu-west-1", "prod").unwrap();
        // The session was issued after `now`.
        assert!(ends.duration_since(now + Duration::from_hours(1)).unwrap() < Duration::from_mins(1));
        let error = |checked: Result<SystemTime, String>| checked.unwrap_err();
        assert!(error(checked(&session(other), "eu-west-1", "prod")).starts_with("its user is "));
        assert!(error(checked(&key, "us-east-2", "prod")).starts_with("signed for us-east-2"));
        assert!(error(checked(&key, "eu-west-1", "staging")).contains("rejects it"));
        setup.aws.remove_key(&key.id);
        assert!(error(checked(&key, "eu-west-1", "prod")).starts_with("STS has issued no session"));
    }

    #[test]
    fn token_shows_its_key_region_and_host() {
        let key = AccessKey { id: "ASIAX".into(), secret: "s".into(), arn: String::new(), session_token: None };
        let token = TokenSpec::new(&key, "us-east-2", "prod", Clock::system().now()).mint();
        let decoded = decode(&token).unwrap();
        assert_eq!(
            [decoded.key_id, decoded.region, decoded.host],
            ["ASIAX", "us-east-2", "sts.us-east-2.amazonaws.com"]
        );
        assert!(decode("k8s-aws-v1.AAAA").is_none());
    }

    #[test]
    fn expiry_has_to_be_ahead_and_within_the_session() {
        let at = |seconds: i64| {
            let now = Clock::system().now();
            let by = Duration::from_secs(seconds.unsigned_abs());
            rfc3339(if seconds < 0 { now - by } else { now + by })
        };
        let check = |expiry: i64, session: i64, ahead: i64| {
            check_expiry(&at(expiry), SignedDuration::from_secs(session), SignedDuration::from_secs(ahead)).is_ok()
        };
        assert!(check(840, 3600, 0));
        assert!(!check(900, 3600, 0), "longer than 14 min");
        assert!(!check(-5, 3600, 0), "expired");
        assert!(!check(600, 500, 0), "longer than its session");
        assert!(check(-20, 40, 0), "in the last minute of its session");
        assert!(!check(-60, -1, 0), "its session has expired");
        assert!(check(840 + 7200, 3600, 7200), "by the clock of the machine");
        assert!(!check(840, 3600, 7200));
    }
}
