//! `POST /v1/config/reload`

use crate::agent::Agent;
use crate::server::answer::Answer;

pub(super) fn answer(agent: &Agent) -> Answer {
    agent.reload();
    Answer::json(&agent.config_status())
}
