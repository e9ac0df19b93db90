use super::*;

/// Long enough for a job that returns at once.
const PATIENT: Duration = Duration::from_mins(1);
const TIMED_OUT: WorkerError = WorkerError::TimedOut { has_begun: false, is_first: true };

/// A job that hangs until the sender is dropped.
fn hanging() -> (mpsc::Sender<()>, impl FnOnce(&mut u32, &Cancel) + Send + 'static) {
    let (open, gate) = mpsc::channel::<()>();
    (open, move |_: &mut u32, _: &Cancel| {
        let _ = gate.recv();
    })
}

#[tokio::test]
async fn thread_keeps_its_state_between_jobs() {
    let worker = BlockingWorker::<u32>::queued("test", 1);
    let count = |state: &mut u32, _: &Cancel| {
        *state += 1;
        *state
    };
    for expected in 1..4 {
        assert_eq!(worker.run(PATIENT, count).await, Ok(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn stuck_threads_are_replaced_up_to_the_limit() {
    let worker = BlockingWorker::queued("test", 2);
    let mut gates = Vec::new();
    for expected in [TIMED_OUT, TIMED_OUT, WorkerError::Busy] {
        let (open, gate) = mpsc::channel::<()>();
        gates.push(open);
        let (sender, started) = mpsc::channel();
        let job = move |_: &mut u32, _: &Cancel| {
            let _ = sender.send(());
            let _ = gate.recv();
        };
        let mut run = std::pin::pin!(worker.run(PATIENT, job));
        // A job that has not started when its caller gives up never runs, and its thread is not stuck. The paused clock
        // advances to the timeout only after the job has started.
        let result = tokio::select! {
            biased;
            result = &mut run => result,
            () = async { started.recv().unwrap() } => run.await,
        };
        assert_eq!(result, Err(expected));
    }
    tokio::time::resume();
    gates.clear();
    worker.stuck_thread_returned().await;
    assert_eq!(worker.run(PATIENT, |_, _| 7).await, Ok(7));
}

#[tokio::test]
async fn new_thread_runs_jobs_while_another_hangs() {
    let worker = BlockingWorker::queued("test", 2);
    let (_open, job) = hanging();
    assert_eq!(worker.run(Duration::ZERO, job).await, Err(TIMED_OUT));
    assert_eq!(worker.run(PATIENT, |_, _| 7).await, Ok(7));
}

#[tokio::test]
async fn job_of_a_caller_that_gave_up_changes_nothing() {
    let worker = BlockingWorker::queued("test", 1);
    let (open, gate) = mpsc::channel::<()>();
    let (sender, result) = oneshot::channel();
    let late = move |_: &mut u32, cancel: &Cancel| {
        let _ = gate.recv();
        let _ = sender.send(cancel.begin());
    };
    assert_eq!(worker.run(Duration::ZERO, late).await, Err(TIMED_OUT));
    drop(open);
    // The job may not have started: then it does not run at all.
    assert!(matches!(result.await, Ok(Err(Cancelled)) | Err(_)));
}

#[tokio::test]
async fn job_that_has_begun_may_have_an_effect() {
    let worker = BlockingWorker::<u32>::queued("test", 1);
    let (open, gate) = mpsc::channel::<()>();
    let (sender, begun) = oneshot::channel();
    let job = move |_: &mut u32, cancel: &Cancel| {
        let _ = sender.send(cancel.begin());
        let _ = gate.recv();
    };
    let mut run = std::pin::pin!(worker.run(PATIENT, job));
    tokio::select! {
        _ = &mut run => panic!("the job hangs"),
        begun = begun => assert_eq!(begun, Ok(Ok(()))),
    }
    drop(open);
    assert_eq!(run.await, Ok(()));
}

#[tokio::test]
async fn exclusive_worker_rejects_a_second_job() {
    let worker = BlockingWorker::exclusive("test");
    let (open, job) = hanging();
    assert_eq!(worker.run(Duration::ZERO, job).await, Err(WorkerError::TimedOut { has_begun: false, is_first: false }));
    assert!(worker.is_busy());
    assert_eq!(worker.run(PATIENT, |_, _| 7).await, Err(WorkerError::Busy));
    drop(open);
    worker.idle().await;
    assert_eq!(worker.run(PATIENT, |_, _| 7).await, Ok(7));
}

#[tokio::test]
async fn panic_ends_the_job_and_not_the_worker() {
    let worker = BlockingWorker::<u32>::exclusive("test");
    let result = worker.run(PATIENT, |_, _| panic!("expected by this test")).await;
    assert_eq!(result, Err::<(), _>(WorkerError::Failed("its thread has ended".to_owned())));
    assert!(!worker.is_busy());
    assert_eq!(worker.run(PATIENT, |_, _| 7).await, Ok(7));
}
