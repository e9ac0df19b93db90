//! `GET /v1/status`

use crate::agent::Agent;
use crate::server::answer::Answer;

pub(super) async fn answer(agent: &Agent) -> Answer {
    agent.study().await;
    Answer::json(&agent.status())
}
