//! Retries of signed calls that AWS throttled or failed to handle.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::ErrorMetadata;
use backon::{ExponentialBuilder, Retryable};

use crate::error::{AwsError, AwsErrorKind};
use crate::signed_call::{self, Request, Target};

/// Attempts after the first, while AWS throttles. With the delays below, the last one starts after 16 to 32 s.
const MAX_RETRIES: usize = 8;
/// Attempts after the first for a failed server and for a clock that the response of AWS has corrected.
const MAX_OTHER_RETRIES: usize = 2;
/// The delay before the first retry; it doubles with each retry, and gets up to as much again at random.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
/// The longest delay before a retry, without its random part.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that is waited for. After a longer one, the call fails.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// A failed signed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallError {
    /// The class and the message.
    pub(crate) error: AwsError,
    /// The code of the service, if the response had one.
    pub(crate) code: Option<String>,
}

impl From<SdkError<ErrorMetadata, HttpResponse>> for CallError {
    fn from(error: SdkError<ErrorMetadata, HttpResponse>) -> Self {
        let code = match &error {
            SdkError::ServiceError(error) => error.err().code().map(str::to_owned),
            _ => None,
        };
        Self { error: AwsError::from_sdk(&error), code }
    }
}

/// Sends a call once, as [`signed_call::send`] does.
pub(crate) async fn send_once<T>(
    config: &SdkConfig,
    target: Target<'_>,
    request: Request,
    read: fn(&[u8]) -> Result<T, BoxError>,
) -> Result<T, CallError>
where
    T: std::fmt::Debug + Send + Sync + 'static,
{
    // In a box because the future has many kilobytes.
    Box::pin(signed_call::send(config, target, request, read)).await.map_err(CallError::from)
}

/// Sends a call, and again while AWS throttles it. A failed server is asked two more times. The request must be
/// idempotent.
pub(crate) async fn send_with_retries<T>(
    config: &SdkConfig,
    target: Target<'_>,
    request: Request,
    read: fn(&[u8]) -> Result<T, BoxError>,
) -> Result<T, CallError>
where
    T: std::fmt::Debug + Send + Sync + 'static,
{
    with_retries(|| send_once(config, target.clone(), request.clone(), read)).await
}

async fn with_retries<T, F>(attempt: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let backoff = ExponentialBuilder::new()
        .with_min_delay(MIN_BACKOFF)
        .with_max_delay(MAX_BACKOFF)
        .with_max_times(MAX_RETRIES)
        .with_jitter();
    let mut others = 0;
    let may_retry = move |failed: &CallError| match failed.error.kind {
        _ if failed.error.retry_after.is_some_and(|wait| wait > MAX_RETRY_AFTER) => false,
        AwsErrorKind::Throttled => true,
        AwsErrorKind::ServerFailed | AwsErrorKind::Clock => {
            others += 1;
            others <= MAX_OTHER_RETRIES
        }
        _ => false,
    };
    let at_least_retry_after = |failed: &CallError, delay: Option<Duration>| {
        delay.map(|delay| delay.max(failed.error.retry_after.unwrap_or_default()))
    };
    attempt.retry(backoff).when(may_retry).adjust(at_least_retry_after).await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    /// Returns the number of attempts and the time that they take, if the first `failures` attempts fail.
    async fn attempts(failures: usize, kind: AwsErrorKind, retry_after: Option<Duration>) -> (usize, Duration, bool) {
        let (count, start) = (Cell::new(0), Instant::now());
        let outcome = with_retries(|| async {
            count.set(count.get() + 1);
            let error = AwsError { retry_after, ..AwsError::new(kind, "x") };
            if count.get() <= failures { Err(CallError { error, code: None }) } else { Ok(()) }
        });
        let is_ok = outcome.await.is_ok();
        (count.get(), start.elapsed(), is_ok)
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_call_is_retried_with_growing_delays() {
        let (count, time, is_ok) = attempts(4, AwsErrorKind::Throttled, None).await;
        assert!(count == 5 && is_ok);
        assert!(time >= Duration::from_secs(3) && time < Duration::from_secs(7), "{time:?}");
        let (count, time, is_ok) = attempts(usize::MAX, AwsErrorKind::Throttled, None).await;
        assert!(count == 1 + MAX_RETRIES && !is_ok);
        assert!(time < Duration::from_secs(40), "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_waited_for_if_short() {
        let (count, time, is_ok) = attempts(1, AwsErrorKind::Throttled, Some(Duration::from_secs(7))).await;
        assert!(count == 2 && is_ok && time >= Duration::from_secs(7), "{count} {time:?}");
        let (count, time, is_ok) = attempts(1, AwsErrorKind::Throttled, Some(Duration::from_mins(1))).await;
        assert!(count == 1 && !is_ok && time < Duration::from_secs(1), "{count} {time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn failed_server_is_asked_three_times_and_a_denial_once() {
        assert_eq!(attempts(usize::MAX, AwsErrorKind::ServerFailed, None).await.0, 3);
        assert_eq!(attempts(usize::MAX, AwsErrorKind::Clock, None).await.0, 3);
        for kind in [AwsErrorKind::Denied, AwsErrorKind::Unreachable, AwsErrorKind::NotFound, AwsErrorKind::Rejected] {
            assert_eq!(attempts(usize::MAX, kind, None).await.0, 1, "{kind:?}");
        }
    }
}
