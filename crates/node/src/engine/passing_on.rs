//! Requests that another node coordinates: sent there, and coordinated here for others.

use henge_coordinator::OpId;
use henge_ring::{NodeId, Token};
use henge_rpc::Message;
use henge_store::Key;

use super::{
    Consistency, Engine, Now, Placement, Slot, Ticket,
    forward::{decode_outcome, decode_request, encode_outcome, encode_request},
    operation::{Asker, FORWARDED, Forwarding, InFlight, Origin, Then, Waiting, failed},
    rules,
    touches::covered,
};
use crate::{Failure, Operation, Outcome, Request, Shortage, Unready, rotation::Step};

/// How many nodes a read is passed on to before it fails.
const MOST_ATTEMPTS: u8 = 3;

impl Engine {
    /// Coordinates the request here, or passes it on to a node that holds the key.
    pub(super) fn route(&mut self, now: Now, request: &Request<'_>, asker: Asker) {
        let n = usize::from(self.parts.defaults.n).min(self.parts.ring.members().len());
        let consistency = match self.consistency(request, n) {
            Ok(consistency) => consistency,
            Err(failure) => return self.complete(asker.ticket, failed(failure)),
        };
        let key = Key::new(request.key);
        let astray = self.astray();
        if let Some(why) = astray
            && self.parts.clock.is_timeless()
        {
            // Whoever asked would judge by this node's time whether what others show has expired.
            return self.complete(asker.ticket, failed(Failure::NotReady(why)));
        }
        if matches!(request.operation, Operation::Get)
            && astray.is_none()
            && self.begin_usual_read(now, key, &consistency, asker)
        {
            return;
        }
        if astray.is_none() && self.is_covered_usually(now, request, key, &consistency, asker) {
            return self.complete(asker.ticket, covered());
        }
        let placement = self.place_for(key, &consistency);
        let here = placement.own.is_some() && self.filled && astray.is_none();
        let for_another = asker.ticket.sink == FORWARDED;
        let is_conditional = rules::needs_one_decider(&request.operation);
        let decider = is_conditional.then(|| self.decider(&placement)).flatten();
        match decider {
            Some(decider) if decider != self.me && !for_another => {
                return self.pass_on(now, request, &consistency, asker, decider);
            }
            // Another node decides it in the sets that are active here. (Where both count in the same, it
            // was asked because it cannot be reached from there.)
            Some(decider) if decider != self.me && self.from_elsewhere => {
                let failure = Failure::NotReady(Unready::Moving);
                return self.complete(asker.ticket, failed(failure));
            }
            _ if here => {}
            _ if for_another => {
                let unready = match self.filled {
                    true => Unready::Moving,
                    false => Unready::Filling,
                };
                let failure = Failure::NotReady(astray.unwrap_or(unready));
                return self.complete(asker.ticket, failed(failure));
            }
            _ => match self.coordinator_for(&placement, None) {
                Some(target) => return self.pass_on(now, request, &consistency, asker, target),
                None if let Some(why) = astray => {
                    return self.complete(asker.ticket, failed(Failure::NotReady(why)));
                }
                None => {
                    let read = request.operation.is_read();
                    let needed = if read {
                        consistency.r()
                    } else {
                        consistency.w()
                    };
                    let why = Shortage::NoCoordinator;
                    let failure = Failure::Failed {
                        needed,
                        got: 0,
                        why,
                    };
                    return self.complete(asker.ticket, failed(failure));
                }
            },
        }
        if is_conditional && now.mono_ms < self.parts.clock.decides_from_ms() {
            return self.hold(now, request, &consistency, asker);
        }
        match request.operation {
            Operation::Get => self.begin_read(now, key, placement, &consistency, asker, None),
            Operation::GetAfter { ref context } => {
                let then = Some(Box::new(Then::Show((**context).clone())));
                self.begin_read(now, key, placement, &consistency, asker, then);
            }
            Operation::GetWithin { max_staleness_ms } => {
                self.begin_bounded_read(now, key, placement, &consistency, asker, max_staleness_ms);
            }
            Operation::Rotate(Step::Whole) => {
                let then = Some(Box::new(Then::Whole));
                self.begin_read(now, key, placement, &consistency, asker, then);
            }
            _ => self.begin_write(now, (request, key), placement, &consistency, asker, false),
        }
    }

    pub(super) fn place_for(&self, key: Key<'_>, consistency: &Consistency) -> Placement {
        let sloppy = consistency.mode() == super::Mode::Sloppy;
        self.place(self.partition(key), sloppy)
    }

    /// A conditional write waits until all peers know that this node's clock is right: until then one of
    /// them may decide the same key. ([`henge_membership::ClockGuard::decides_from_ms`].)
    #[cold]
    fn hold(&mut self, now: Now, request: &Request<'_>, consistency: &Consistency, asker: Asker) {
        let waiting = Waiting {
            asker,
            request: encode_request(request),
            needed: consistency.w(),
            deadline_ms: now.mono_ms + u64::from(consistency.deadline_ms()),
        };
        let until_ms = self.parts.clock.decides_from_ms().min(waiting.deadline_ms);
        if let Err(busy) = self.operations.insert(InFlight::Held(waiting), until_ms) {
            let in_flight = busy.in_flight as u64;
            self.complete(asker.ticket, failed(Failure::Busy { in_flight }));
        }
    }

    /// It has waited long enough: it is decided in the time that is left, here or wherever that is to be
    /// done by now.
    pub(super) fn held_due(&mut self, now: Now, id: OpId) {
        let Some(InFlight::Held(waiting)) = self.operations.remove(id) else {
            return;
        };
        let left_ms = waiting.deadline_ms.saturating_sub(now.mono_ms);
        let Some(mut request) = decode_request(&waiting.request).filter(|_| left_ms > 0) else {
            let (needed, got) = (waiting.needed, 0);
            let why = Shortage::Silent;
            let failure = Failure::Failed { needed, got, why };
            return self.complete(waiting.asker.ticket, failed(failure));
        };
        request.options.timeout_ms = Some(left_ms);
        // Meanwhile the key may have moved, and who asked may have known.
        self.from_elsewhere = waiting.asker.ticket.sink == FORWARDED;
        self.route(now, &request, waiting.asker);
        self.from_elsewhere = false;
    }

    /// The one node that decides conditional writes of a key: its first reachable primary.
    pub(super) fn decider(&self, placement: &Placement) -> Option<Slot> {
        let reachable = placement.reachable.iter();
        reachable
            .filter_map(|place| placement.places.get(usize::from(place)))
            .find(|info| !info.is_fallback() && !self.is_astray(info.node))
            .map(|info| info.node)
    }

    /// Why this node must not coordinate, its clock being wrong.
    #[inline]
    pub(super) fn astray(&self) -> Option<Unready> {
        Unready::of_clock(&self.parts.clock)
    }

    /// Whether a node is known to have a wrong clock. It remains a replica, since neither a merge nor a
    /// record that is shown as it is takes a clock.
    fn is_astray(&self, node: Slot) -> bool {
        match node == self.me {
            true => self.parts.clock.astray_ms().is_some(),
            false => self.peers.is_astray(node),
        }
    }

    /// A peer's clock is wrong, or right again: it coordinates nothing meanwhile.
    pub fn peer_astray(&mut self, peer: NodeId, astray: bool) {
        let slot = self.peers.slot_or_new(peer);
        self.peers.set_astray(slot, astray);
    }

    /// Whether a peer's clock is known to be wrong.
    pub fn knows_astray(&self, peer: NodeId) -> bool {
        self.peers
            .slot(&peer)
            .is_some_and(|slot| self.peers.is_astray(slot))
    }

    /// A reachable node that holds the key, other than `not`; one with a wrong clock if there is no
    /// other, for it may be right again.
    pub(super) fn coordinator_for(&self, placement: &Placement, not: Option<Slot>) -> Option<Slot> {
        let nodes = placement.reachable.iter().filter_map(|place| {
            let node = placement.places.get(usize::from(place))?.node;
            (node != self.me && Some(node) != not).then_some(node)
        });
        let turn = |node: Slot| (self.operations.len() as u16).wrapping_add(node) % 7;
        nodes.min_by_key(|node| (self.peers.is_astray(*node), turn(*node)))
    }

    pub(super) fn pass_on(
        &mut self,
        now: Now,
        request: &Request<'_>,
        consistency: &Consistency,
        asker: Asker,
        target: Slot,
    ) {
        self.parts.counters.forwards.add(1);
        // The other node gives up first, so that its answer, not our silence, reaches the client.
        let deadline_ms = now.mono_ms + u64::from(consistency.deadline_ms()) + 50;
        let forwarding = Forwarding {
            asker,
            target,
            request: encode_request(request),
            is_read: request.operation.is_read(),
            attempts: 1,
        };
        match self
            .operations
            .insert(InFlight::Forward(forwarding), deadline_ms)
        {
            Ok(id) => self.send_forward(id),
            Err(busy) => {
                let failure = Failure::Busy {
                    in_flight: busy.in_flight as u64,
                };
                self.complete(asker.ticket, failed(failure));
            }
        }
    }

    fn send_forward(&mut self, id: OpId) {
        let Some(InFlight::Forward(forwarding)) = self.operations.get_mut(id) else {
            return;
        };
        let (target, request) = (forwarding.target, std::mem::take(&mut forwarding.request));
        let under = self.in_motion.then(|| decode_request(&request));
        if let Some(under) = under.flatten().and_then(|it| self.under(it.key)) {
            self.peers.send(target, &under.message());
        }
        let message = Message::Forward {
            op: id.0,
            request: &request,
        };
        self.peers.send(target, &message);
        if let Some(InFlight::Forward(forwarding)) = self.operations.get_mut(id) {
            forwarding.request = request;
        }
    }

    /// The coordinator's answer came back. Of another node than the one asked last, it counts for
    /// nothing: a read may have been passed on since.
    pub(super) fn forward_answered(&mut self, from: NodeId, op: u64, outcome: &[u8]) {
        let Some(InFlight::Forward(forwarding)) = self.operations.get(OpId(op)) else {
            return;
        };
        if self.peers.id(forwarding.target) != from {
            return;
        }
        let target = forwarding.target;
        let outcome = decode_outcome(outcome);
        // Sooner than its next ping would tell.
        if let Some(Err(Failure::NotReady(Unready::Clock { .. }))) =
            outcome.as_ref().map(|outcome| &outcome.result)
        {
            self.peers.set_astray(target, true);
        }
        let unready = outcome
            .as_ref()
            .is_some_and(|outcome| matches!(outcome.result, Err(Failure::NotReady(_))));
        if unready && self.pass_on_again(OpId(op)) {
            return;
        }
        let Some(InFlight::Forward(forwarding)) = self.operations.remove(OpId(op)) else {
            return;
        };
        let outcome = outcome.unwrap_or_else(|| {
            self.parts.counters.bad_messages.add(1);
            failed(forwarding.silence())
        });
        self.complete(forwarding.asker.ticket, outcome);
    }

    /// The coordinator has just joined or come back: another one may be asked. Not for a write: of a
    /// message that the network doubled, the second copy may be carried out though the first was
    /// answered so (seed 700169).
    fn pass_on_again(&mut self, id: OpId) -> bool {
        let Some(InFlight::Forward(forwarding)) = self.operations.get(id) else {
            return false;
        };
        if !forwarding.is_read || forwarding.attempts >= MOST_ATTEMPTS {
            return false;
        }
        let Some(target) = self.next_coordinator(id, forwarding.target) else {
            return false;
        };
        if let Some(InFlight::Forward(forwarding)) = self.operations.get_mut(id) {
            forwarding.target = target;
            forwarding.attempts += 1;
        }
        self.send_forward(id);
        true
    }

    /// The coordinator's link went down. A read goes to another node; a write may have happened.
    pub(super) fn forward_lost(&mut self, id: OpId, lost: Slot) {
        let Some(InFlight::Forward(forwarding)) = self.operations.get_mut(id) else {
            return;
        };
        if forwarding.target != lost {
            return;
        }
        let again = forwarding.is_read && forwarding.attempts < MOST_ATTEMPTS;
        let next = again.then(|| self.next_coordinator(id, lost)).flatten();
        let Some(InFlight::Forward(forwarding)) = self.operations.get_mut(id) else {
            return;
        };
        if let Some(target) = next {
            forwarding.target = target;
            forwarding.attempts += 1;
            return self.send_forward(id);
        }
        self.forward_due(id);
    }

    fn next_coordinator(&mut self, id: OpId, lost: Slot) -> Option<Slot> {
        let InFlight::Forward(forwarding) = self.operations.get(id)? else {
            return None;
        };
        let request = decode_request(&forwarding.request)?;
        let partition = self.partition(Key::new(request.key));
        let placement = self.place(partition, true);
        self.coordinator_for(&placement, Some(lost))
    }

    /// No answer: a read has failed, a write may have happened.
    pub(super) fn forward_due(&mut self, id: OpId) {
        if let Some(InFlight::Forward(forwarding)) = self.operations.remove(id) {
            self.complete(forwarding.asker.ticket, failed(forwarding.silence()));
        }
    }

    /// A request that another node forwarded.
    pub(super) fn coordinate_for(&mut self, now: Now, from: NodeId, op: u64, request: &[u8]) {
        let Some(request) = decode_request(request) else {
            self.parts.counters.bad_messages.add(1);
            return;
        };
        let token = self.origins.insert(Origin { node: from, op }) as u64;
        let ticket = Ticket {
            sink: FORWARDED,
            token,
        };
        // Who passed it on has checked it.
        self.from_elsewhere = self.is_asked_from_elsewhere(Token::of(request.key));
        if self.from_elsewhere {
            self.ask_news(now, from);
        }
        self.submit_own(now, &request, ticket);
        self.from_elsewhere = false;
    }

    /// The outcome of a request coordinated for another node, on its way back.
    pub(super) fn return_outcome(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(origin) = self.origins.try_remove(ticket.token as usize) else {
            return;
        };
        let Some(slot) = self.peers.slot(&origin.node) else {
            return;
        };
        if self.peers.is_up(slot) {
            let outcome = encode_outcome(outcome);
            let message = Message::Forwarded {
                op: origin.op,
                outcome: &outcome,
            };
            self.peers.send(slot, &message);
        }
    }
}

impl Forwarding {
    fn silence(&self) -> Failure {
        match self.is_read {
            true => Failure::Failed {
                needed: 1,
                got: 0,
                why: Shortage::Silent,
            },
            false => Failure::Unknown { needed: 1, got: 0 },
        }
    }
}
