//! The device flow (RFC 8628): a person approves a code on any device, and we ask until they have.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::SsoError;
use super::client::{Grant, GrantError, Purpose, Wire};
use super::login::Page;
use super::token::{Client, Granted};
use crate::client::Aws;
use crate::error::AwsErrorKind;

/// What a `slow_down` adds to the interval (RFC 8628, 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// No code is waited for longer. AWS's own last ten minutes.
const MAX_LIFE: Duration = Duration::from_mins(30);

/// Runs the flow to its end; `show` has the page before a person can approve it.
pub(super) async fn run(aws: &Aws, wire: &Wire<'_>, show: impl Fn(Page)) -> Result<(Client, Granted), SsoError> {
    let client = wire.register(Purpose::Device).await?;
    let device = wire.start_device(&client).await?;
    let life = device.life.min(MAX_LIFE);
    show(Page { url: device.url, code: Some(device.user_code), expires: aws.now() + life });
    let code = &device.code;
    let granted = poll(device.interval, life, || wire.token(&client, Grant::Device { code })).await?;
    Ok((client, granted))
}

async fn poll<F>(interval: Duration, life: Duration, mut ask: impl FnMut() -> F) -> Result<Granted, SsoError>
where
    F: Future<Output = Result<Granted, GrantError>>,
{
    let (end, mut interval) = (Instant::now() + life, interval);
    loop {
        sleep(interval).await;
        if Instant::now() >= end {
            return Err(SsoError::Expired);
        }
        match ask().await {
            Ok(granted) => return Ok(granted),
            Err(GrantError::Pending) => {}
            Err(GrantError::SlowDown) => interval += SLOWER,
            Err(GrantError::Aws(error)) if error.kind == AwsErrorKind::Throttled => interval += SLOWER,
            // AWS answers 500 where several flows of one person are under way; and networks come back.
            Err(GrantError::Aws(error)) if error.kind.is_transient() => {
                tracing::debug!(error = error.message, "a device code is asked for again");
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

    fn granted() -> Granted {
        Granted { access: Secret::new("at".to_owned()), life: Duration::from_hours(8), refresh: None }
    }

    /// When it asked, in seconds, and what came of it.
    async fn polled(answers: Vec<Result<Granted, GrantError>>) -> (Vec<u64>, Result<(), SsoError>) {
        let started_at = Instant::now();
        let mut asked = Vec::new();
        let mut answers = VecDeque::from(answers);
        let outcome = poll(5 * SECOND, Duration::from_mins(10), || {
            asked.push(started_at.elapsed().as_secs());
            std::future::ready(answers.pop_front().unwrap_or(Err(GrantError::Pending)))
        })
        .await;
        (asked, outcome.map(drop))
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_at_the_interval_and_slower_where_that_is_too_fast() {
        let pending = || Err(GrantError::Pending);
        let answers = vec![pending(), Err(GrantError::SlowDown), pending(), Err(GrantError::SlowDown), Ok(granted())];
        assert_eq!(polled(answers).await, (vec![5, 10, 20, 30, 45], Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_no_end_and_what_may_not_is_one() {
        let down = || Err(GrantError::Aws(AwsError::new(AwsErrorKind::Unreachable, "500")));
        assert_eq!(polled(vec![down(), down(), Ok(granted())]).await, (vec![5, 10, 15], Ok(())));
        assert_eq!(polled(vec![Err(GrantError::Denied)]).await, (vec![5], Err(SsoError::Denied)));
        assert_eq!(polled(vec![Err(GrantError::Expired)]).await, (vec![5], Err(SsoError::Expired)));
        let wrong = AwsError::new(AwsErrorKind::Rejected, "InvalidGrantException");
        let answer = Err(GrantError::Refused(wrong.clone()));
        assert_eq!(polled(vec![answer]).await, (vec![5], Err(SsoError::Aws(wrong))));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_beyond_the_codes_life() {
        let (asked, outcome) = polled(vec![]).await;
        assert_eq!((asked.len(), asked.last(), outcome), (119, Some(&595), Err(SsoError::Expired)));
    }
}
