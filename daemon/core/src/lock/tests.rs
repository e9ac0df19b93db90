//! The lock, with tokio's paused clock.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use tokio::time::Instant;

use super::*;
use crate::clock::ClockSource;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const RIGHT: &str = "correct horse";

/// A clock that follows tokio's time.
#[derive(Debug)]
struct Paused(Instant);

impl ClockSource for Paused {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_hours(1) + self.0.elapsed()
    }

    fn awake(&self) -> Duration {
        self.elapsed()
    }
}

fn lock() -> Lock {
    Lock::new(Clock::new(Paused(Instant::now())))
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// Returns a locked lock.
async fn locked() -> Lock {
    let lock = lock();
    lock.set_passphrase(secret(RIGHT), None, LockClient::default()).await.unwrap();
    assert_eq!(lock.lock(|| {}), Ok(true));
    lock
}

/// A client with a session of its own.
fn client(pid: u32) -> LockClient {
    LockClient { process: Some((pid, 7)), session: Some(pid), name: Some("python3".to_owned()) }
}

async fn unlock(lock: &Lock, passphrase: &str, pid: u32) -> Result<bool, LockError> {
    lock.unlock(secret(passphrase), client(pid), || {}).await
}

#[tokio::test(start_paused = true)]
async fn lock_without_passphrase_rejected() {
    let lock = lock();
    assert_eq!(lock.lock(|| panic!("called although nothing could unlock")), Err(LockError::NoPassphrase));
    assert_eq!(lock.set_passphrase(secret("short"), None, LockClient::default()).await, Err(LockError::Length));
    assert_eq!(
        lock.set_passphrase(secret(&"x".repeat(1025)), None, LockClient::default()).await,
        Err(LockError::Length)
    );
    lock.configure(LockRules { idle: Some(MINUTE), ..LockRules::default() });
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!((lock.auto_lock_due(), lock.until_auto_lock()), (None, None));
    let problem = lock.status().problem.unwrap().to_string();
    assert!(problem.contains("has no effect") && problem.ends_with("Run: rolecall lock --passphrase"), "{problem}");
    assert!(lock.serving().is_some());
    lock.record_use();
    lock.set_passphrase(secret(RIGHT), None, LockClient::default()).await.unwrap();
    assert_eq!(lock.status().problem, None);
    assert_eq!(lock.until_auto_lock(), Some(MINUTE), "counted from the last use");
}

#[tokio::test(start_paused = true)]
async fn lock_cancels_serving_and_unlock_starts_again() {
    let lock = lock();
    lock.set_passphrase(secret(RIGHT), None, LockClient::default()).await.unwrap();
    let serving = lock.serving().unwrap();
    let (drops, starts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let close = || lock.lock(|| assert_eq!(drops.fetch_add(1, Ordering::Relaxed), 0));
    assert_eq!((close(), close()), (Ok(true), Ok(false)));
    assert!(serving.is_cancelled() && lock.serving().is_none());
    let start = || assert_eq!(starts.fetch_add(1, Ordering::Relaxed), 0);
    assert_eq!(lock.unlock(secret("wrong"), LockClient::default(), start).await, Err(LockError::Wrong));
    assert_eq!(lock.unlock(secret(RIGHT), LockClient::default(), start).await, Ok(true));
    assert!(!lock.serving().unwrap().is_cancelled());
    assert_eq!(
        lock.unlock(secret("wrong"), LockClient::default(), start).await,
        Ok(false),
        "an unlocked agent does not check the passphrase"
    );
    assert_eq!((drops.into_inner(), starts.into_inner()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn concurrent_unlocks_share_one_serving_token() {
    let lock = locked().await;
    let starts = AtomicUsize::new(0);
    let unlock = async |pid| {
        let start = || assert_eq!(starts.fetch_add(1, Ordering::Relaxed), 0);
        let unlocked = lock.unlock(secret(RIGHT), client(pid), start).await;
        (unlocked, lock.serving().unwrap())
    };
    // Both requests have seen that the agent is locked before the first one is answered.
    let ((first, serving), (second, serving_too)) = tokio::join!(unlock(1), unlock(2));
    assert_eq!((first, second), (Ok(true), Ok(false)));
    assert_eq!(lock.lock(|| {}), Ok(true));
    assert!(serving.is_cancelled() && serving_too.is_cancelled());
}

/// Fault matrix row 104.
#[tokio::test(start_paused = true)]
async fn wrong_passphrase_is_reported_after_growing_pause() {
    let lock = locked().await;
    for expected in [100, 300, 600, 1200, 2400] {
        let begin = Instant::now();
        assert_eq!(unlock(&lock, "wrong", 1).await, Err(LockError::Wrong));
        let took = begin.elapsed().as_millis();
        assert!(took <= expected + 50, "{took} ms, not {expected}");
        assert!(took >= expected / 3, "{took} ms, not {expected}");
    }
}

/// Fault matrix row 104.
#[tokio::test(start_paused = true)]
async fn parallel_attempts_limited_and_right_one_succeeds() {
    let lock = locked().await;
    let begin = Instant::now();
    let all = futures_util::future::join_all((0..20).map(|pid| unlock(&lock, "wrong", pid))).await;
    let wrong = all.iter().filter(|answer| **answer == Err(LockError::Wrong)).count();
    let busy = all.iter().filter(|answer| matches!(answer, Err(LockError::Busy { .. }))).count();
    assert_eq!((wrong, busy), (rate_limit::MAX_WAITERS, 20 - rate_limit::MAX_WAITERS));
    // While others wait, a further request is rejected with a time after which it succeeds.
    for _ in 0..3 {
        futures_util::future::join_all((0..20).map(|pid| unlock(&lock, "wrong", pid))).await;
    }
    assert_eq!(lock.failed_attempts(), 16);
    assert!(begin.elapsed() > 20 * SECOND, "{:?}", begin.elapsed());
    let begin = Instant::now();
    assert_eq!(unlock(&lock, RIGHT, 99).await, Ok(true));
    assert!(begin.elapsed() <= 10 * SECOND, "{:?}", begin.elapsed());
    assert_eq!(lock.failed_attempts(), 0);
}

/// Fault matrix row 104: the user gets in while programs of other sessions keep guessing, and a rejected request names one of them.
#[tokio::test(start_paused = true)]
async fn unlock_succeeds_while_others_keep_guessing() {
    let lock = locked().await;
    let guesser = |pid| {
        let lock = lock.clone();
        tokio::spawn(async move {
            while !matches!(unlock(&lock, "wrong", pid).await, Ok(false)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    let guessers: Vec<_> = (1..=6).map(guesser).collect();
    tokio::time::sleep(30 * SECOND).await;
    let error = unlock(&lock, "wrong", 1).await.unwrap_err().body();
    assert!(error.message.contains("; the last wrong passphrase came from process "), "{}", error.message);
    assert!(error.message.ends_with(" (python3)"), "{}", error.message);
    let begin = Instant::now();
    assert_eq!(unlock(&lock, RIGHT, 99).await, Ok(true));
    assert!(begin.elapsed() <= 11 * SECOND, "{:?}", begin.elapsed());
    for guesser in guessers {
        guesser.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn disconnected_attempt_counts_and_frees_its_place() {
    let lock = locked().await;
    for pid in 0..8 {
        // The paused clock advances only when no hash is being computed: while the result is held back.
        let disconnected = tokio::time::timeout(Duration::from_millis(50), unlock(&lock, "wrong", pid));
        assert!(disconnected.await.is_err(), "{pid}");
        tokio::time::sleep(10 * SECOND).await;
    }
    assert_eq!(lock.failed_attempts(), 8);
    assert_eq!(unlock(&lock, RIGHT, 99).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn passphrase_change_needs_current_one() {
    let lock = locked().await;
    let set = |new: &str, old: Option<&str>| lock.set_passphrase(secret(new), old.map(secret), LockClient::default());
    assert_eq!(set("battery staple", None).await, Err(LockError::Present));
    assert_eq!(set("battery staple", Some("wrong")).await, Err(LockError::Wrong));
    set("battery staple", Some(RIGHT)).await.unwrap();
    assert!(lock.serving().is_none(), "the agent stays locked");
    assert_eq!(unlock(&lock, RIGHT, 1).await, Err(LockError::Wrong));
    assert_eq!(unlock(&lock, "battery staple", 1).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn lock_file_keeps_locked_state_after_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/lock.json");
    let first = lock();
    assert!(!first.load(path.clone()));
    assert!(!path.exists(), "nothing to store yet");
    first.set_passphrase(secret(RIGHT), None, LockClient::default()).await.unwrap();
    assert!(!lock().load(path.clone()), "a passphrase is set and the agent is unlocked");
    first.lock(|| {}).unwrap();
    first.save().await;
    let second = lock();
    assert!(second.load(path.clone()));
    assert_eq!(second.status().since, first.status().since);
    assert_eq!(unlock(&second, "wrong", 1).await, Err(LockError::Wrong));
    assert_eq!(unlock(&second, RIGHT, 1).await, Ok(true));
    assert!(!lock().load(path));
}

#[tokio::test(start_paused = true)]
async fn lock_file_damaged_locks_until_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock.json");
    fs::write(&path, "{").unwrap();
    let lock = lock();
    assert!(lock.load(path.clone()));
    let body = lock.locked_error();
    assert_eq!(body.code, ErrorCode::Locked);
    for part in
        [path.to_str().unwrap(), "damaged", "Remove the file, and with it the passphrase, and run: rolecall unlock"]
    {
        assert!(body.to_string().contains(part), "{body}");
    }
    assert_eq!(lock.status().problem, Some(body));
    assert!(matches!(unlock(&lock, RIGHT, 1).await, Err(LockError::Damaged { .. })));
    assert!(matches!(
        lock.set_passphrase(secret(RIGHT), None, LockClient::default()).await,
        Err(LockError::Damaged { .. })
    ));
    fs::remove_file(&path).unwrap();
    assert_eq!(unlock(&lock, "", 1).await, Ok(true));
    assert_eq!(lock.status(), LockStatus::default());
    assert!(!path.exists());
    lock.set_passphrase(secret(RIGHT), None, LockClient::default()).await.unwrap();
    assert!(path.exists());
}

#[tokio::test(start_paused = true)]
async fn lock_file_unwritable_locks_and_keeps_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let lock = lock();
    lock.load(state.join("lock.json"));
    lock.set_passphrase(secret(RIGHT), None, LockClient::default()).await.unwrap();
    // A file instead of the folder: not even root can write below it.
    fs::rename(&state, folder.path().join("away")).unwrap();
    fs::write(&state, "").unwrap();
    assert_eq!(lock.lock(|| {}), Ok(true));
    lock.save().await;
    let problem = lock.status().problem.unwrap().to_string();
    assert!(problem.starts_with("cannot save that the agent is locked"), "{problem}");
    let changed = lock.set_passphrase(secret("battery staple"), Some(secret(RIGHT)), LockClient::default()).await;
    assert!(matches!(changed, Err(LockError::Unsaved(_))), "{changed:?}");
    // The process that replaces this one is locked, although the file says otherwise.
    let next = lock_again(&lock, folder.path().join("away/lock.json"));
    assert!(next.serving().is_none());
    fs::remove_file(&state).unwrap();
    assert_eq!(unlock(&lock, RIGHT, 1).await, Ok(true));
    assert_eq!(lock.status().problem, None);
    assert_eq!(fs::metadata(state.join("lock.json")).unwrap().permissions().mode() & 0o777, 0o600);
}

fn lock_again(before: &Lock, path: PathBuf) -> Lock {
    let next = Lock(Arc::new(Inner {
        clock: before.0.clock.clone(),
        state: Mutex::new(LockState::unlocked(before.0.clock.elapsed())),
        path: OnceLock::new(),
        disk: Mutex::default(),
        hashing: Arc::new(Semaphore::new(1)),
        changed: Notify::new(),
    }));
    assert!(!next.load(path));
    assert!(next.resume(before.timers()));
    next
}

#[tokio::test(start_paused = true)]
async fn auto_lock_is_due_by_idle_and_by_maximal_time() {
    let lock = locked().await;
    lock.configure(LockRules { idle: Some(30 * MINUTE), max: Some(60 * MINUTE), ..LockRules::default() });
    assert_eq!(lock.until_auto_lock(), None, "a locked agent does not lock by itself");
    unlock(&lock, RIGHT, 1).await.unwrap();
    tokio::time::sleep(29 * MINUTE).await;
    assert_eq!((lock.until_auto_lock(), lock.auto_lock_due()), (Some(MINUTE), None));
    // Asking whether the agent is locked does not count as a use.
    assert!(lock.serving().is_some());
    assert_eq!(lock.until_auto_lock(), Some(MINUTE));
    lock.record_use();
    assert_eq!(lock.until_auto_lock(), Some(30 * MINUTE));
    tokio::time::sleep(29 * MINUTE).await;
    lock.record_use();
    assert_eq!(lock.until_auto_lock(), Some(2 * MINUTE), "the absolute limit");
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(lock.auto_lock_due(), Some(AutoLockReason::Max(60 * MINUTE)));
    // A restart keeps the times.
    let next = self::lock();
    next.resume(lock.timers());
    assert_eq!((next.timers().used, next.status().locked), (lock.timers().used.min(next.0.clock.elapsed()), false));
}

/// Fault matrix row 104: a guesser may restart the agent, which the lock permits.
#[tokio::test(start_paused = true)]
async fn restart_keeps_the_pause_after_wrong_passphrases() {
    let folder = tempfile::tempdir().unwrap();
    let lock = locked().await;
    for attempt in 0..9 {
        assert_eq!(unlock(&lock, "wrong", attempt).await, Err(LockError::Wrong));
    }
    let next = lock_again(&lock, folder.path().join("lock.json"));
    assert_eq!(next.failed_attempts(), 9);
    // A snapshot of an older version has no such field.
    let mut older = serde_json::to_value(lock.timers()).unwrap();
    assert!(older.as_object_mut().unwrap().remove("failures").is_some());
    next.resume(serde_json::from_value(older).unwrap());
    assert_eq!(next.failed_attempts(), 0);
}
