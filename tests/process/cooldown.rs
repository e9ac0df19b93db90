//! A daemon that hangs, and kubectl that runs the plugin again and again.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::fixture::{Fixture, kill, one_line};

/// Fault matrix row 18.
#[test]
fn token_six_runs_with_stopped_daemon_wait_once() {
    let fixture = Fixture::added();
    fixture.token().assert_ok();
    let stamp = fixture.socket().with_extension("cooldown");
    assert!(!stamp.exists(), "nobody was silent yet");
    let pid = fixture.daemon_pid();
    kill("STOP", pid);
    let said: Vec<_> = (0..6).map(|_| fixture.token()).collect();
    kill("CONT", pid);
    for said in &said {
        let line = one_line(said, 3);
        assert_eq!(line, "rolecall: prod: the agent did not answer within 10 s. Run: rolecall agent restart");
    }
    // The first run waits the client's whole deadline. The others find the marker that it left beside the socket.
    let later: Duration = said[1..].iter().map(|said| said.elapsed).sum();
    assert!(later < said[0].elapsed, "first {:?}, all others {later:?}", said[0].elapsed);
    assert_eq!(stamp.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // Once the daemon has answered anybody it is waited for again, however long it takes.
    fixture.rolecall(&["status"]).assert_ok();
    assert!(!stamp.exists());
    fixture.token().assert_ok();
    assert!(!stamp.exists());
}
