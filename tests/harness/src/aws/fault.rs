//! Faults that a test scripts: what goes wrong, how often, and for whom.

use std::collections::HashMap;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;

use super::op::Op;

/// Something that goes wrong with one call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The answer comes this much later, in real time; everything else goes its way.
    Delay(Duration),
    /// The answer waits until the test opens the gate.
    Hold(Gate),
    /// "Rate exceeded": 400 from STS, 429 from EKS.
    Throttle,
    /// A 5xx (or any other status) with `ServiceUnavailable`.
    Status(u16),
    /// An error of the service's own shape, with any text: hostile text too.
    Error {
        /// HTTP status.
        status: u16,
        /// `AccessDenied`, `RegionDisabled`, …
        code: String,
        /// What it says.
        message: String,
    },
    /// The true answer, cut in the middle of its body.
    Truncated(Cut),
    /// 200 and nothing.
    Empty200,
    /// 200 and a captive portal's login page.
    Html,
    /// Any answer at all: redirects, compressed bombs, other roots, 50 MB.
    Raw {
        /// HTTP status.
        status: u16,
        /// Put in as they are.
        headers: Vec<(String, String)>,
        /// Put in as it is.
        body: Vec<u8>,
    },
    /// The `Date` header is this much off; the verifying of signatures is not (for that, give AWS a clock of its own).
    DateSkew(SignedDuration),
    /// The connection closes without an answer.
    Reset,
    /// The true answer's body, this many bytes at a time.
    SlowBytes {
        /// Size of a chunk.
        bytes: usize,
        /// Real time before each chunk.
        every: Duration,
    },
    /// AssumeRole, or another call that gives a session, succeeds with one that ends after this, whatever was asked for;
    /// zero: it has ended already.
    ExpiresIn(Duration),
    /// AssumeRole, or AssumeRoleWithWebIdentity, succeeds and says that it assumed this ARN.
    WrongRole(String),
    /// A call of STS that gives a session succeeds with this text as `Expiration`, or, with `None`, without that element.
    Expiration(Option<String>),
    /// All of these at once: a delay and then a throttle, a skew and a cut.
    All(Vec<Fault>),
}

/// How a cut answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// `Content-Length` is that of the cut text: the message is whole, the XML is not.
    LengthOfTheCut,
    /// No `Content-Length` (chunked), properly ended: again only the XML is broken.
    NoLength,
    /// `Content-Length` is that of the whole, and the connection closes early.
    ConnectionCloses,
}

impl Fault {
    /// The next `n` matching calls.
    pub fn times(self, n: usize) -> Script {
        Script { left: Some(n), ..self.into() }
    }

    /// Every matching call until [`clear_faults`](super::AwsHandle::clear_faults).
    pub fn forever(self) -> Script {
        Script { left: None, ..self.into() }
    }

    /// Only calls about this role: the one to assume, or the one that calls.
    pub fn for_role(self, arn: &str) -> Script {
        Script::from(self).for_role(arn)
    }

    /// An error with the service's own shape.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error { status, code: code.to_owned(), message: message.to_owned() }
    }
}

/// A fault with how often and for whom.
#[derive(Clone, Debug)]
pub struct Script {
    fault: Fault,
    /// `None`: for ever.
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
    /// Once.
    fn from(fault: Fault) -> Self {
        Self { fault, left: Some(1), role: None }
    }
}

/// A gate that held answers wait at. Clones are the same gate; it starts shut.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A shut gate.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everything through, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Shuts it again, for calls to come.
    pub fn shut(&self) {
        self.0.send_replace(false);
    }

    /// Returns once the gate is open.
    pub(crate) async fn wait(&self) {
        let opened = self.0.subscribe().wait_for(|open| *open).await.map(|_| ());
        opened.expect("we hold a sender ourselves");
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// The queues, one per operation.
#[derive(Debug, Default)]
pub(crate) struct Faults(HashMap<Op, Vec<Script>>);

impl Faults {
    pub(crate) fn push(&mut self, op: Op, script: Script) {
        self.0.entry(op).or_default().push(script);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The first scripted fault that matches, counted down. `roles` are those that the call is about.
    pub(crate) fn take(&mut self, op: Op, roles: &[&str]) -> Option<Fault> {
        let queue = self.0.get_mut(&op)?;
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
    fn a_queue_is_taken_in_order_and_counted_down() {
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
}
