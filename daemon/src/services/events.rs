//! The events endpoint: what happens to sessions, plans and the agent, as a stream.

use std::sync::Arc;

use rolecall_protocol::{Event, EventKind, ProfileName};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::config::ConfigService;
use super::event_bus::EventBus;
use crate::renew::Renewer;
use crate::sessions::Sessions;
use rolecall_core::clock::Clock;
use rolecall_core::role_chain::RoleChain;

/// Streams events.
pub struct EventService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) sessions: Sessions,
    pub(crate) renewer: Renewer,
    pub(crate) bus: EventBus,
    pub(crate) clock: Clock,
}

/// The events from now on.
pub struct Events {
    service: Arc<EventService>,
    sent_hello: bool,
    loads: Receiver<RoleChain>,
    plans: Receiver<RoleChain>,
    bus: Receiver<EventKind>,
}

/// One message of one of the channels.
enum Message {
    /// A load of this chain ended.
    Load(RoleChain),
    /// The next renewal of this chain changed.
    Plan(RoleChain),
    /// Something that concerns the whole agent.
    Agent(EventKind),
}

impl EventService {
    /// Returns the events from now on. The first is `hello`.
    #[must_use]
    pub fn events(self: &Arc<Self>) -> Events {
        Events {
            sent_hello: false,
            loads: self.sessions.load_events(),
            plans: self.renewer.plan_events(),
            bus: self.bus.subscribe(),
            service: Arc::clone(self),
        }
    }

    fn load_event(&self, chain: &RoleChain) -> Option<Event> {
        let failure = self.sessions.peek(chain).last_failure;
        let kind = if failure.is_some() { EventKind::Failed } else { EventKind::Session };
        let mut event = self.chain_event(kind, chain)?;
        let profile = event.profiles.first().and_then(|name| self.config.known_profile(name));
        event.error = failure.zip(profile).map(|(failure, profile)| failure.error.body(&profile.source_name));
        Some(event)
    }

    /// Returns an event of each profile that has this chain, or `None` if no profile has it.
    fn chain_event(&self, kind: EventKind, chain: &RoleChain) -> Option<Event> {
        let profiles = self.config.profiles();
        let names: Vec<ProfileName> =
            profiles.values().filter(|profile| profile.chain == *chain).map(|profile| profile.name.clone()).collect();
        (!names.is_empty()).then(|| self.event(kind, names))
    }

    fn event(&self, kind: EventKind, profiles: Vec<ProfileName>) -> Event {
        Event { at: self.clock.stamp(self.clock.now()), event: kind, profiles, error: None }
    }
}

impl Events {
    /// Returns the next event, or `None` when the daemon stops.
    pub async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.sent_hello, true) {
            return Some(self.service.event(EventKind::Hello, vec![]));
        }
        loop {
            let event = match self.receive().await {
                Ok(Message::Load(chain)) => self.service.load_event(&chain),
                Ok(Message::Plan(chain)) => self.service.chain_event(EventKind::Plan, &chain),
                Ok(Message::Agent(kind)) => Some(self.service.event(kind, vec![])),
                Err(RecvError::Lagged(_)) => Some(self.service.event(EventKind::Missed, vec![])),
                Err(RecvError::Closed) => return None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Waits for an event other than a given token, which changes no session. Returns `false` when the daemon stops.
    pub async fn next_change(&mut self) -> bool {
        loop {
            match self.next().await {
                Some(event) if matches!(event.event, EventKind::Token | EventKind::Hello) => {}
                event => return event.is_some(),
            }
        }
    }

    async fn receive(&mut self) -> Result<Message, RecvError> {
        tokio::select! {
            chain = self.loads.recv() => chain.map(Message::Load),
            chain = self.plans.recv() => chain.map(Message::Plan),
            kind = self.bus.recv() => kind.map(Message::Agent),
        }
    }
}
