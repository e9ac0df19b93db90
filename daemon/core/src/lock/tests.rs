//! The lock, on clocks that a test turns.

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

/// Follows tokio's time.
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

/// One that is locked.
async fn locked() -> Lock {
    let lock = lock();
    lock.set_passphrase(secret(RIGHT), None, None).await.unwrap();
    assert_eq!(lock.lock(|| {}), Ok(true));
    lock
}

async fn unlock(lock: &Lock, passphrase: &str, pid: u32) -> Result<bool, LockError> {
    lock.unlock(secret(passphrase), Some((pid, 7)), || {}).await
}

#[tokio::test(start_paused = true)]
async fn without_a_passphrase_nothing_locks() {
    let lock = lock();
    assert_eq!(lock.lock(|| panic!("nothing is forgotten")), Err(LockError::NoPassphrase));
    assert_eq!(lock.set_passphrase(secret("short"), None, None).await, Err(LockError::Length));
    assert_eq!(lock.set_passphrase(secret(&"x".repeat(1025)), None, None).await, Err(LockError::Length));
    lock.configure(LockTimes { idle: Some(MINUTE), max: None });
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!((lock.auto_lock_due(), lock.until_auto_lock()), (None, None));
    let problem = lock.status().problem.unwrap().to_string();
    assert!(problem.contains("has no effect") && problem.ends_with("Set one: rolecall lock --passphrase"), "{problem}");
    assert!(lock.serving().is_some());
    lock.record_use();
    lock.set_passphrase(secret(RIGHT), None, None).await.unwrap();
    assert_eq!(lock.status().problem, None);
    assert_eq!(lock.until_auto_lock(), Some(MINUTE), "counted from the last use");
}

#[tokio::test(start_paused = true)]
async fn locking_ends_what_is_served_and_unlocking_begins_again() {
    let lock = lock();
    lock.set_passphrase(secret(RIGHT), None, None).await.unwrap();
    let serving = lock.serving().unwrap();
    let (forgotten, starts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let close = || lock.lock(|| assert_eq!(forgotten.fetch_add(1, Ordering::Relaxed), 0));
    assert_eq!((close(), close()), (Ok(true), Ok(false)));
    assert!(serving.is_cancelled() && lock.serving().is_none());
    let begin = || assert_eq!(starts.fetch_add(1, Ordering::Relaxed), 0);
    assert_eq!(lock.unlock(secret("wrong"), None, begin).await, Err(LockError::Wrong));
    assert_eq!(lock.unlock(secret(RIGHT), None, begin).await, Ok(true));
    assert!(!lock.serving().unwrap().is_cancelled());
    assert_eq!(lock.unlock(secret("wrong"), None, begin).await, Ok(false), "it is not locked, so nothing is told");
    assert_eq!((forgotten.into_inner(), starts.into_inner()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn of_two_who_unlock_at_once_one_does_and_the_next_lock_ends_what_either_serves() {
    let lock = locked().await;
    let starts = AtomicUsize::new(0);
    let unlock = async |pid| {
        let begin = || assert_eq!(starts.fetch_add(1, Ordering::Relaxed), 0);
        let unlocked = lock.unlock(secret(RIGHT), Some((pid, 7)), begin).await;
        (unlocked, lock.serving().unwrap())
    };
    // Both are past the question whether it is locked before the first is answered.
    let ((first, serving), (second, serving_too)) = tokio::join!(unlock(1), unlock(2));
    assert_eq!((first, second), (Ok(true), Ok(false)));
    assert_eq!(lock.lock(|| {}), Ok(true));
    assert!(serving.is_cancelled() && serving_too.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn row_104_a_wrong_passphrase_is_told_late_and_later_each_time() {
    let lock = locked().await;
    for expected in [100, 300, 600, 1200, 2400] {
        let begin = Instant::now();
        assert_eq!(unlock(&lock, "wrong", 1).await, Err(LockError::Wrong));
        let took = begin.elapsed().as_millis();
        assert!(took <= expected + 50, "{took} ms, not {expected}");
        assert!(took >= expected / 3, "{took} ms, not {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn row_104_twenty_wrong_ones_in_parallel_and_the_right_one_after_them() {
    let lock = locked().await;
    let begin = Instant::now();
    let all = futures_util::future::join_all((0..20).map(|pid| unlock(&lock, "wrong", pid))).await;
    let wrong = all.iter().filter(|answer| **answer == Err(LockError::Wrong)).count();
    let busy = all.iter().filter(|answer| matches!(answer, Err(LockError::Busy(_)))).count();
    assert_eq!((wrong, busy), (rate_limit::MAX_WAITERS, 20 - rate_limit::MAX_WAITERS));
    // One that comes while the others wait for their answers is told to come later, and need not wait longer than that.
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

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_for_the_answer_has_tried_as_well_and_leaves_the_place() {
    let lock = locked().await;
    for pid in 0..8 {
        // Time goes on when no key is being derived any more, which is while the answer is held back.
        let impatient = tokio::time::timeout(Duration::from_millis(50), unlock(&lock, "wrong", pid));
        assert!(impatient.await.is_err(), "{pid}");
        tokio::time::sleep(10 * SECOND).await;
    }
    assert_eq!(lock.failed_attempts(), 8);
    assert_eq!(unlock(&lock, RIGHT, 99).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn the_passphrase_is_changed_by_who_knows_it() {
    let lock = locked().await;
    let set = |new: &str, old: Option<&str>| lock.set_passphrase(secret(new), old.map(secret), None);
    assert_eq!(set("battery staple", None).await, Err(LockError::Present));
    assert_eq!(set("battery staple", Some("wrong")).await, Err(LockError::Wrong));
    set("battery staple", Some(RIGHT)).await.unwrap();
    assert!(lock.serving().is_none(), "locked it stays");
    assert_eq!(unlock(&lock, RIGHT, 1).await, Err(LockError::Wrong));
    assert_eq!(unlock(&lock, "battery staple", 1).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_was_killed_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/lock.json");
    let first = lock();
    assert!(!first.load(path.clone()));
    assert!(!path.exists(), "nothing to keep yet");
    first.set_passphrase(secret(RIGHT), None, None).await.unwrap();
    assert!(!lock().load(path.clone()), "set, and not locked");
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
async fn a_damaged_file_is_locked_until_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock.json");
    fs::write(&path, "{").unwrap();
    let lock = lock();
    assert!(lock.load(path.clone()));
    let told = lock.locked_error();
    assert_eq!(told.code, ErrorCode::Locked);
    for part in [path.to_str().unwrap(), "damaged", "Remove that file and run: rolecall unlock"] {
        assert!(told.to_string().contains(part), "{told}");
    }
    assert_eq!(lock.status().problem, Some(told));
    assert!(matches!(unlock(&lock, RIGHT, 1).await, Err(LockError::Damaged { .. })));
    assert!(matches!(lock.set_passphrase(secret(RIGHT), None, None).await, Err(LockError::Damaged { .. })));
    fs::remove_file(&path).unwrap();
    assert_eq!(unlock(&lock, "", 1).await, Ok(true));
    assert_eq!(lock.status(), LockStatus::default());
    assert!(!path.exists());
    lock.set_passphrase(secret(RIGHT), None, None).await.unwrap();
    assert!(path.exists());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_nothing_locks_all_the_same_and_keeps_no_new_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let lock = lock();
    lock.load(state.join("lock.json"));
    lock.set_passphrase(secret(RIGHT), None, None).await.unwrap();
    // A file where the folder should be: not even root writes below it.
    fs::rename(&state, folder.path().join("away")).unwrap();
    fs::write(&state, "").unwrap();
    assert_eq!(lock.lock(|| {}), Ok(true));
    lock.save().await;
    let problem = lock.status().problem.unwrap().to_string();
    assert!(problem.starts_with("that the agent is locked does not outlast it"), "{problem}");
    let changed = lock.set_passphrase(secret("battery staple"), Some(secret(RIGHT)), None).await;
    assert!(matches!(changed, Err(LockError::Unsaved(_))), "{changed:?}");
    // The next run of the program is told, whatever the file says.
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
        state: Mutex::new(LockState::open(before.0.clock.elapsed())),
        path: OnceLock::new(),
        disk: Mutex::default(),
        turn: Arc::new(Semaphore::new(1)),
        changed: Notify::new(),
    }));
    assert!(!next.load(path));
    assert!(next.resume(before.timers()));
    next
}

#[tokio::test(start_paused = true)]
async fn it_is_due_when_it_was_not_used_or_was_used_for_too_long() {
    let lock = locked().await;
    lock.configure(LockTimes { idle: Some(30 * MINUTE), max: Some(60 * MINUTE) });
    assert_eq!(lock.until_auto_lock(), None, "it is locked");
    unlock(&lock, RIGHT, 1).await.unwrap();
    tokio::time::sleep(29 * MINUTE).await;
    assert_eq!((lock.until_auto_lock(), lock.auto_lock_due()), (Some(MINUTE), None));
    // To ask whether it is locked is no use.
    assert!(lock.serving().is_some());
    assert_eq!(lock.until_auto_lock(), Some(MINUTE));
    lock.record_use();
    assert_eq!(lock.until_auto_lock(), Some(30 * MINUTE));
    tokio::time::sleep(29 * MINUTE).await;
    lock.record_use();
    assert_eq!(lock.until_auto_lock(), Some(2 * MINUTE), "the absolute limit");
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(lock.auto_lock_due(), Some(AutoLockReason::Max(60 * MINUTE)));
    // A restart changes nothing of it.
    let next = self::lock();
    next.resume(lock.timers());
    assert_eq!((next.timers().used, next.status().locked), (lock.timers().used.min(next.0.clock.elapsed()), false));
}
