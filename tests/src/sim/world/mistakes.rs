//! Mistakes on purpose that concern more than one message: see [`super::super::planted`].

use henge_store::{Key, Store};

use super::{
    super::{
        node::{Input, Output},
        planted::{Planted, host, messages, pages},
    },
    World,
};

impl<A> World<A> {
    /// Makes the planted mistake of what a node gives in return for an input.
    pub(super) fn spoil(
        &mut self,
        planted: Planted,
        node: usize,
        input: &Input,
        output: &mut Output,
    ) {
        messages::answer(planted, &mut output.replies);
        pages::answer(planted, &mut output.call_answer);
        for (_, outcome) in &mut output.completions {
            host::report(planted, outcome);
        }
        match (planted, input) {
            (Planted::HintDroppedBeforeAck, Input::Tick | Input::Up(_)) => {
                self.take_for_kept(node, output);
            }
            (Planted::HintLostOnLeave, Input::Tick | Input::Up(_))
                if self.ring.has_departed(&self.ids[node]) =>
            {
                self.take_for_kept(node, output);
                output.batches.retain(|(_, it)| !messages::has_writes(it));
            }
            (Planted::ReapedWhenOwnersHaveIt, Input::Tick) => self.reap_what_all_have(node),
            (Planted::RespondersCounted, Input::Replies { from, bytes, .. }) => {
                let kept = messages::acknowledgements(bytes);
                let others = self.others(node).filter(|other| other != from);
                for other in others.collect::<Vec<_>>() {
                    self.tell_again(node, other, kept.clone());
                }
            }
            _ => {}
        }
    }

    /// The node takes the writes that it is about to send for kept.
    fn take_for_kept(&mut self, node: usize, output: &Output) {
        for (to, batch) in &output.batches {
            self.tell_again(node, self.number(*to), messages::as_if_kept(batch));
        }
    }

    /// A node hears answers that its peer never gave.
    pub(super) fn tell_again(&mut self, node: usize, from: usize, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        // Not as an input of its own, which would have mistakes of its own.
        let replies = Input::Replies {
            from,
            generation: self.network.generation(node, from),
            bytes,
        };
        let (ids, mut output) = (&self.ids, Output::default());
        self.nodes[node].handle(self.now, &replies, |peer| ids[peer], &mut output);
        let completions = output.completions.into_iter();
        let ended = completions.map(|(ticket, outcome)| (node, ticket.token, Box::new(outcome)));
        self.ended.extend(ended);
        for (to, bytes) in output.batches {
            let to = self.number(to);
            let generation = self.network.generation(node, to);
            let batch = Input::Batch {
                from: node,
                generation,
                bytes,
            };
            self.send(node, to, batch);
        }
    }

    /// Tombstones that every owner holds go everywhere but where hints wait.
    fn reap_what_all_have(&mut self, node: usize) {
        let store = &self.nodes[node].store;
        for (key, digest) in host::tombstones(store, self.nodes[node].swept()) {
            let Ok(name) = std::str::from_utf8(&key) else {
                continue;
            };
            let owners = self.owners(name);
            let key = Key::new(&key);
            let has = |owner: &usize| self.nodes[*owner].store.digest(key) == Some(digest);
            if owners.iter().all(has) {
                for owner in owners {
                    self.nodes[owner].store.remove(key, digest);
                }
            }
        }
    }
}
