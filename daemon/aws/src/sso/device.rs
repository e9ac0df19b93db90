//! The device flow (RFC 8628): the user approves a code on any device, and Rolecall polls AWS until then.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use rolecall_protocol::LoginFlow;

use super::client::{Grant, GrantError, SsoClient, VerificationPage};
use super::error::SsoError;
use super::token::{GrantedToken, RegisteredClient};
use crate::client::Aws;
use crate::error::AwsErrorKind;

/// A `slow_down` error adds this to the interval (RFC 8628, 3.5).
const SLOW_DOWN_INCREMENT: Duration = Duration::from_secs(5);
/// The longest time for which a code is polled. AWS's codes expire after 10 min.
const MAX_CODE_LIFETIME: Duration = Duration::from_mins(30);

/// Runs the flow. Calls `show` with the page as soon as the user can approve the login there.
pub(super) async fn run(
    aws: &Aws,
    client: &SsoClient<'_>,
    show: impl Fn(VerificationPage),
) -> Result<(RegisteredClient, GrantedToken), SsoError> {
    let registered = client.register_client(LoginFlow::Device).await?;
    let device = client.start_device_authorization(&registered).await?;
    let lifetime = device.expires_in.min(MAX_CODE_LIFETIME);
    show(VerificationPage { url: device.url, code: Some(device.user_code), expires: aws.now() + lifetime });
    let code = &device.code;
    let granted = poll(device.interval, lifetime, || client.create_token(&registered, Grant::Device { code })).await?;
    Ok((registered, granted))
}

/// Calls `request` at the interval until it succeeds, fails for good, or the lifetime of the code ends.
async fn poll<F>(
    interval: Duration,
    lifetime: Duration,
    mut request: impl FnMut() -> F,
) -> Result<GrantedToken, SsoError>
where
    F: Future<Output = Result<GrantedToken, GrantError>>,
{
    let (end, mut interval) = (Instant::now() + lifetime, interval);
    loop {
        sleep(interval).await;
        if Instant::now() >= end {
            return Err(SsoError::Expired);
        }
        match request().await {
            Ok(granted) => return Ok(granted),
            Err(GrantError::Pending) => {}
            Err(GrantError::SlowDown) => interval += SLOW_DOWN_INCREMENT,
            Err(GrantError::Aws(error)) if error.kind == AwsErrorKind::Throttled => interval += SLOW_DOWN_INCREMENT,
            // AWS answers 500 while several flows of one user are under way, and networks recover.
            Err(GrantError::Aws(error)) if error.kind.is_transient() => {
                tracing::debug!(error = error.message, "device code poll failed");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use rolecall_protocol::Secret;

    use super::*;
    use crate::error::AwsError;

    const SECOND: Duration = Duration::from_secs(1);

    fn granted() -> GrantedToken {
        GrantedToken { access: Secret::new("at".to_owned()), expires_in: Duration::from_hours(8), refresh: None }
    }

    /// The times of the polls, in seconds, and the outcome.
    async fn polled(responses: Vec<Result<GrantedToken, GrantError>>) -> (Vec<u64>, Result<(), SsoError>) {
        let start = Instant::now();
        let mut polls = Vec::new();
        let mut responses = VecDeque::from(responses);
        let outcome = poll(5 * SECOND, Duration::from_mins(10), || {
            polls.push(start.elapsed().as_secs());
            std::future::ready(responses.pop_front().unwrap_or(Err(GrantError::Pending)))
        })
        .await;
        (polls, outcome.map(drop))
    }

    #[tokio::test(start_paused = true)]
    async fn poll_slow_down_lengthens_the_interval() {
        let pending = || Err(GrantError::Pending);
        let responses = vec![pending(), Err(GrantError::SlowDown), pending(), Err(GrantError::SlowDown), Ok(granted())];
        assert_eq!(polled(responses).await, (vec![5, 10, 20, 30, 45], Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn poll_transient_error_continues_other_error_ends() {
        let down = || Err(GrantError::Aws(AwsError::new(AwsErrorKind::Unreachable, "500")));
        assert_eq!(polled(vec![down(), down(), Ok(granted())]).await, (vec![5, 10, 15], Ok(())));
        assert_eq!(polled(vec![Err(GrantError::Denied)]).await, (vec![5], Err(SsoError::Denied)));
        assert_eq!(polled(vec![Err(GrantError::Expired)]).await, (vec![5], Err(SsoError::Expired)));
        let wrong = AwsError::new(AwsErrorKind::Rejected, "InvalidGrantException");
        let response = Err(GrantError::Refused(wrong.clone()));
        assert_eq!(polled(vec![response]).await, (vec![5], Err(SsoError::Aws(wrong))));
    }

    #[tokio::test(start_paused = true)]
    async fn poll_ends_when_the_code_expires() {
        let (polls, outcome) = polled(vec![]).await;
        assert_eq!((polls.len(), polls.last(), outcome), (119, Some(&595), Err(SsoError::Expired)));
    }
}
