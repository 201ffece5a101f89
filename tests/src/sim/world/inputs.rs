//! What reaches nodes, looked at from outside.

use henge_rpc::{Message, Messages};

use super::super::{describe, node::Input};

/// Whether a batch carries a client's request. What replicas tell each other may come twice; a
/// request that did would be carried out twice. Links do not repeat, and the engine does not either.
pub(super) fn asks_to_coordinate(message: &Input) -> bool {
    let Input::Batch { bytes, .. } = message else {
        return false;
    };
    Messages::new(bytes).any(|message| matches!(message, Ok(Message::Forward { .. })))
}

/// An input for people.
pub(super) fn text_of(input: &Input) -> String {
    match input {
        Input::Batch { from, bytes, .. } => format!("<- n{} {}", from + 1, describe::batch(bytes)),
        Input::Replies { from, bytes, .. } => {
            format!("<- n{} {}", from + 1, describe::replies(bytes))
        }
        Input::Up(other) => format!("link to n{} is up", other + 1),
        Input::Down(other) => format!("link to n{} is down", other + 1),
        Input::Ask(ask, token) => format!("asked #{token} {}", describe::ask(ask)),
        Input::AskOwn { step, token, .. } => {
            format!("asked #{token} {}", String::from_utf8_lossy(&step.key()))
        }
        Input::Question { from, bytes, .. } => {
            format!("<- n{} {}", from + 1, describe::question(bytes))
        }
        Input::Answer { from, bytes, .. } => {
            format!("<- n{} {}", from + 1, describe::answer(bytes))
        }
        Input::Call { from, .. } => format!("<- n{} asks about moving partitions", from + 1),
        Input::CallAnswer { from, .. } => {
            format!("<- n{} answers about moving partitions", from + 1)
        }
        Input::Tick => "tick".to_owned(),
    }
}
