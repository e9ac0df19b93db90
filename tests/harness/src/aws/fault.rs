//! Scripted faults: what fails, how often, and for which role.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;

use super::op::Op;

/// A fault of one call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Delays the response by this much real time.
    Delay(Duration),
    /// Holds the response until the test opens the gate.
    Hold(Gate),
    /// Responds "Rate exceeded": 400 from STS, 429 from EKS.
    Throttle,
    /// Responds with this status and `ServiceUnavailable`.
    Status(u16),
    /// Responds with an error in the format of the service, with any text: hostile text too.
    Error {
        /// HTTP status.
        status: u16,
        /// `AccessDenied`, `RegionDisabled`, …
        code: String,
        /// The message.
        message: String,
    },
    /// Truncates the body of the correct response.
    Truncated(Cut),
    /// Responds with 200 and an empty body.
    Empty200,
    /// Responds with 200 and the login page of a captive portal.
    Html,
    /// Responds with anything: redirects, compression bombs, other XML roots, 50 MB.
    Raw {
        /// HTTP status.
        status: u16,
        /// Headers, sent unchanged.
        headers: Vec<(String, String)>,
        /// The body, sent unchanged.
        body: Vec<u8>,
    },
    /// Offsets the `Date` header. Signatures are verified with the unchanged time; to change that, start the AWS with
    /// a clock of its own.
    DateSkew(SignedDuration),
    /// Closes the connection without a response.
    Reset,
    /// Sends the body of the correct response in chunks.
    SlowBytes {
        /// Bytes per chunk.
        bytes: usize,
        /// Real time before each chunk.
        every: Duration,
    },
    /// Issues a session with this lifetime, whatever the request asks for; zero: it has expired already.
    ExpiresIn(Duration),
    /// Responds to AssumeRole or AssumeRoleWithWebIdentity with this assumed-role ARN.
    WrongRole(String),
    /// Responds with this text as `Expiration`, or without that element for `None`.
    Expiration(Option<String>),
    /// Applies all of these: a delay and then a throttle, a skew and a truncation.
    All(Vec<Fault>),
}

/// How a truncated response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// `Content-Length` is the length of the truncated body: HTTP is valid, the XML is not.
    TruncatedLength,
    /// Chunked encoding with a proper end: HTTP is valid, the XML is not.
    Chunked,
    /// `Content-Length` is the full length, and the connection closes early.
    ConnectionCloses,
}

impl Fault {
    /// Applies to the next `n` matching calls.
    pub fn times(self, n: usize) -> Script {
        Script { left: Some(n), ..self.into() }
    }

    /// Applies to every matching call until [`clear_faults`](super::AwsHandle::clear_faults).
    pub fn forever(self) -> Script {
        Script { left: None, ..self.into() }
    }

    /// Applies only to calls of this role: the role to assume, or the caller's role.
    pub fn for_role(self, arn: &str) -> Script {
        Script::from(self).for_role(arn)
    }

    /// An error in the format of the service.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error { status, code: code.to_owned(), message: message.to_owned() }
    }
}

/// A fault with its count and its role.
#[derive(Clone, Debug)]
pub struct Script {
    fault: Fault,
    /// `None`: without limit.
    left: Option<usize>,
    role: Option<String>,
}

impl Script {
    /// Only calls about this role: the one to assume, or the one that calls.
    #[must_use]
    pub fn for_role(self, arn: &str) -> Self {
        Self { role: Some(arn.to_owned()), ..self }
    }
}

impl From<Fault> for Script {
    /// Applies once.
    fn from(fault: Fault) -> Self {
        Self { fault, left: Some(1), role: None }
    }
}

/// A gate that holds responses. Clones are the same gate; it starts closed.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// Creates a closed gate.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Releases all held responses, and later ones.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Closes the gate for later calls.
    pub fn close(&self) {
        self.0.send_replace(false);
    }

    /// Waits until the gate is open.
    pub(crate) async fn wait(&self) {
        let opened = self.0.subscribe().wait_for(|open| *open).await.map(|_| ());
        opened.expect("this gate owns a sender");
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// Scripted faults, throttles and choosers by operation.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    scripts: HashMap<Op, Vec<Script>>,
    throttles: HashMap<Op, EveryNth>,
    choosers: HashMap<Op, Chooser>,
}

/// Decides for each call whether a fault applies. Its argument is the role to assume, or else the caller's role.
struct Chooser(Box<dyn FnMut(Option<&str>) -> Option<Fault> + Send>);

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chooser")
    }
}

/// Throttles each nth call.
#[derive(Debug)]
struct EveryNth {
    n: usize,
    calls: usize,
}

impl Faults {
    pub(crate) fn push(&mut self, op: Op, script: Script) {
        self.scripts.entry(op).or_default().push(script);
    }

    pub(crate) fn clear(&mut self) {
        self.scripts.clear();
        self.throttles.clear();
        self.choosers.clear();
    }

    pub(crate) fn choose(&mut self, op: Op, chooser: impl FnMut(Option<&str>) -> Option<Fault> + Send + 'static) {
        self.choosers.insert(op, Chooser(Box::new(chooser)));
    }

    pub(crate) fn throttle_every(&mut self, op: Op, n: usize) {
        self.throttles.insert(op, EveryNth { n: n.max(1), calls: 0 });
    }

    /// Takes the chooser's fault, or else the first matching script, which it counts down. `roles` are the roles of the
    /// call.
    pub(crate) fn take(&mut self, op: Op, roles: &[&str]) -> Option<Fault> {
        if let Some(throttle) = self.throttles.get_mut(&op) {
            throttle.calls += 1;
            if throttle.calls % throttle.n == 0 {
                return Some(Fault::Throttle);
            }
        }
        if let Some(Chooser(choose)) = self.choosers.get_mut(&op)
            && let Some(fault) = choose(roles.first().copied())
        {
            return Some(fault);
        }
        let queue = self.scripts.get_mut(&op)?;
        let at = queue.iter().position(|script| script.role.as_deref().is_none_or(|role| roles.contains(&role)))?;
        let fault = queue[at].fault.clone();
        match &mut queue[at].left {
            None => {}
            Some(left) if *left > 1 => *left -= 1,
            Some(_) => {
                queue.remove(at);
            }
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_queue_taken_in_order_counts_down() {
        let mut faults = Faults::default();
        faults.push(Op::AssumeRole, Fault::Throttle.times(2));
        faults.push(Op::AssumeRole, Fault::Empty200.for_role("r"));
        faults.push(Op::AssumeRole, Fault::Reset.forever());
        let mut take = |role: &str| faults.take(Op::AssumeRole, &[role]).map(|fault| format!("{fault:?}"));
        assert_eq!([take("x"), take("x")], [Some("Throttle".into()), Some("Throttle".into())]);
        assert_eq!(
            [take("x"), take("r"), take("r")],
            [Some("Reset".into()), Some("Empty200".into()), Some("Reset".into())]
        );
        assert!(faults.take(Op::ListClusters, &[]).is_none());
        faults.clear();
        assert!(faults.take(Op::AssumeRole, &[]).is_none());
    }

    #[test]
    fn fault_chooser_decides_for_each_call() {
        let mut faults = Faults::default();
        let mut calls = 0;
        faults.choose(Op::AssumeRole, move |role| {
            calls += 1;
            (role == Some("r") && calls > 1).then_some(Fault::Throttle)
        });
        faults.push(Op::AssumeRole, Fault::Reset.forever());
        let mut take = |role: &str| faults.take(Op::AssumeRole, &[role, "caller"]).map(|fault| format!("{fault:?}"));
        assert_eq!([take("r"), take("r"), take("x")].map(Option::unwrap), ["Reset", "Throttle", "Reset"]);
        faults.clear();
        assert!(faults.take(Op::AssumeRole, &["r"]).is_none());
    }
}
