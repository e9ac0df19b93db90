//! What happens, for whoever watches.

use std::sync::Arc;

use rolecall_protocol::{Event, EventKind, ProfileName};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::Agent;
use rolecall_core::role_chain::RoleChain;

/// Everything that happens from now on.
pub struct Events {
    agent: Arc<Agent>,
    said_hello: bool,
    sessions: Receiver<RoleChain>,
    plans: Option<Receiver<RoleChain>>,
    general: Receiver<EventKind>,
}

/// Where an event comes from.
enum Heard {
    Landed(Result<RoleChain, RecvError>),
    Planned(Result<RoleChain, RecvError>),
    General(Result<EventKind, RecvError>),
}

impl Events {
    pub(super) fn new(agent: &Arc<Agent>) -> Self {
        Self {
            said_hello: false,
            sessions: agent.sessions.load_events(),
            plans: agent.renewer.get().map(crate::renew::Renewer::plan_events),
            general: agent.general.subscribe(),
            agent: Arc::clone(agent),
        }
    }

    /// The next one; `None` when the daemon ends.
    pub async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.said_hello, true) {
            return Some(self.event(EventKind::Hello, vec![]));
        }
        loop {
            let event = match self.hear().await {
                Heard::Landed(Ok(chain)) => self.landed(&chain),
                Heard::Planned(Ok(chain)) => self.about(EventKind::Plan, &chain),
                Heard::General(Ok(happening)) => Some(self.event(happening, vec![])),
                Heard::Landed(Err(RecvError::Lagged(_)))
                | Heard::Planned(Err(RecvError::Lagged(_)))
                | Heard::General(Err(RecvError::Lagged(_))) => Some(self.event(EventKind::Missed, vec![])),
                Heard::Landed(Err(RecvError::Closed))
                | Heard::Planned(Err(RecvError::Closed))
                | Heard::General(Err(RecvError::Closed)) => return None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    async fn hear(&mut self) -> Heard {
        let plans = &mut self.plans;
        let planned = async {
            match plans {
                Some(plans) => plans.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            landed = self.sessions.recv() => Heard::Landed(landed),
            planned = planned => Heard::Planned(planned),
            general = self.general.recv() => Heard::General(general),
        }
    }

    fn landed(&self, chain: &RoleChain) -> Option<Event> {
        let last_failure = self.agent.sessions.peek(chain).last_failure;
        let mut event =
            self.about(if last_failure.is_some() { EventKind::Failed } else { EventKind::Session }, chain)?;
        let source =
            event.profiles.first().and_then(|name| self.agent.known(name)).map(|profile| profile.source_name.clone());
        event.error = last_failure.zip(source).map(|(last_failure, source)| last_failure.error.body(&source));
        Some(event)
    }

    /// An event of every profile that has this chain; what nobody has is nobody's business.
    fn about(&self, happening: EventKind, chain: &RoleChain) -> Option<Event> {
        let profiles = self.agent.profiles();
        let names: Vec<ProfileName> =
            profiles.values().filter(|profile| profile.chain == *chain).map(|profile| profile.name.clone()).collect();
        (!names.is_empty()).then(|| self.event(happening, names))
    }

    fn event(&self, event: EventKind, profiles: Vec<ProfileName>) -> Event {
        let clock = self.agent.aws.clock();
        Event { at: clock.stamp(clock.now()), event, profiles, error: None }
    }
}
