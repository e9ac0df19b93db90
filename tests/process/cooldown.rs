//! A hanging daemon, and the repeated plugin runs of one kubectl.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::fixture::{Fixture, error_line, kill};

/// Fault matrix row 18.
#[test]
fn token_six_runs_with_stopped_daemon_wait_once() {
    let fixture = Fixture::added();
    fixture.token().assert_ok();
    let marker = fixture.socket().with_extension("cooldown");
    assert!(!marker.exists(), "no call has failed yet");
    let pid = fixture.daemon_pid();
    kill("STOP", pid);
    let said: Vec<_> = (0..6).map(|_| fixture.token()).collect();
    kill("CONT", pid);
    for said in &said {
        let line = error_line(said, 3);
        assert_eq!(line, "rolecall: prod: the agent did not answer within 10 s. Run: rolecall agent restart");
    }
    // The first run waits the client's whole deadline. The others find the marker that it left beside the socket.
    let later: Duration = said[1..].iter().map(|said| said.elapsed).sum();
    assert!(later < said[0].elapsed, "first {:?}, all others {later:?}", said[0].elapsed);
    assert_eq!(marker.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // After any answer of the daemon, clients wait for their whole deadline again.
    fixture.rolecall(&["status"]).assert_ok();
    assert!(!marker.exists());
    fixture.token().assert_ok();
    assert!(!marker.exists());
}
