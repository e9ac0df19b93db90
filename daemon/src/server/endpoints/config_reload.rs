//! `POST /v1/config/reload`

use crate::agent::Agent;
use crate::server::answer::Answer;

pub(super) fn answer(agent: &Agent) -> Answer {
    Answer::json(&agent.reload())
}
