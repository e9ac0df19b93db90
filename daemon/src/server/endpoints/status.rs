//! `GET /v1/status`

use crate::agent::Agent;
use crate::server::answer::Answer;

pub(super) fn answer(agent: &Agent) -> Answer {
    Answer::json(&agent.status())
}
