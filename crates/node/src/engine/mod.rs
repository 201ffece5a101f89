//! The engine: one machine per data thread that coordinates, replicates and owes.
//!
//! A request enters by [`Engine::submit`]. If this node holds a replica of the key it coordinates:
//! a write is decided, stamped and merged locally in one locked step and its delta is appended to
//! the open batch of every other replica; a read shows its own digest to as many others as R asks
//! for, and those that hold the same say only so. Otherwise one node that does hold the key
//! coordinates, and its outcome comes back. The driver calls, in any order and as often as it
//! likes, `submit`, `receive_batch`, `receive_replies`, `peer_up`, `peer_down` and `tick`, and
//! after each round hands out [`Engine::take_batches`] and [`Engine::take_completions`].
//!
//! Nothing here costs a task, a timer or a channel per operation, and nothing does I/O or reads a
//! clock. *Architecture invariants:* an acknowledgement is counted only for a place of the key's
//! preference list, once per place; a stamp leaves this node only after the store holds what it
//! stamps; what a failed write might have left behind is answered as *unknown*.

use std::sync::{Arc, atomic::AtomicU64};

use henge_coordinator::{
    Asked, Consistency, Defaults, HedgeBudget, HedgePolicy, Mode, OperationLimits, Operations,
    PlaceInfo, PlaceSet,
};
use henge_repair::sketch::SketchKey;
use henge_ring::{NodeId, Partition, Ring, Token};
use henge_store::{Key, Store};
use henge_versioning::{ActorId, Clock};
use slab::Slab;
use smallvec::SmallVec;

use crate::{
    Bucket, Buckets, Done, Failure, Outcome, Request,
    transition::{Snapshot, Transition},
};

mod bounded_reads;
mod calls;
mod coordinate_read;
mod coordinate_write;
mod counters;
mod forward;
mod handing_over;
mod handoff;
mod in_motion;
mod operation;
mod pages;
mod passing_on;
mod peers;
mod placement;
mod probing;
mod ranking;
mod replica;
mod rules;
mod sampling;
mod showing;
mod telling;
mod touches;

pub use counters::{Count, Counters};
pub(crate) use forward::{decode_request, encode_request};
pub use probing::Measured;
pub use sampling::PeerMeasured;

use operation::{Asker, FORWARDED, InFlight, Origin, failed};
use peers::{Peers, Slot};
use placement::{Placement, Placements};

/// The two clocks, read once per tick by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds since some start: time-outs.
    pub mono_ms: u64,
    /// Microseconds since the last of them, below 1,000: latencies.
    pub mono_sub_us: u16,
    /// Milliseconds since 1970: stamps and deadlines of data.
    pub wall_ms: u64,
}

impl Now {
    /// Monotonic microseconds since the same start.
    #[inline]
    pub fn mono_us(&self) -> u64 {
        self.mono_ms * 1_000 + u64::from(self.mono_sub_us)
    }
}

/// Where an outcome goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Which registered sink; `u16::MAX` is the engine's own.
    pub sink: u16,
    /// Chosen by the sink.
    pub token: u64,
}

/// What an engine is made of.
#[derive(Clone)]
pub struct EngineParts {
    /// This node.
    pub node: NodeId,
    /// How many times it has started with this id. A number used before must not be used again.
    pub boot: u64,
    /// N, R, W, mode and deadline of requests that say nothing else.
    pub defaults: Defaults,
    /// When a read asks one replica more.
    pub hedge: HedgePolicy,
    /// Longest value accepted, in bytes.
    pub max_value: usize,
    /// Longest key accepted, in bytes.
    pub max_key: usize,
    /// The most by which a session may end earlier than a touch asked for, in milliseconds; 0: not at all.
    pub touch_slack_ms: u64,
    /// The store, shared by the node's engines.
    pub store: Arc<dyn Store>,
    /// The clock, shared by the node's engines.
    pub clock: Arc<Clock>,
    /// The ring at start.
    pub ring: Arc<Ring>,
    /// What is known of partitions that move, shared by the node's engines.
    pub transition: Arc<Transition>,
    /// The number of this engine among the node's. Number 0 moves partitions.
    pub thread: usize,
    /// Bucket rules, but for those that the log holds.
    pub buckets: Arc<Buckets>,
    /// Grows whenever the store forgets sibling sets (their time was over). A node that has
    /// forgotten what it wrote under a key must not number its values again under the same actor:
    /// this number is part of the actor that writes siblings.
    pub forgotten_siblings: Arc<AtomicU64>,
    /// Where to count.
    pub counters: Arc<Counters>,
    /// The cluster's secret for comparing what a newcomer has with what a source has.
    pub sketch: SketchKey,
}

/// See the module's text.
pub struct Engine {
    parts: EngineParts,
    actor: ActorId,
    /// Whose name siblings are numbered under: this node's, in this boot. See [`Engine::mint_as`].
    minter: (NodeId, u64),
    /// This node's own slot.
    me: Slot,
    /// Whether the store may be read as a replica: not while it is being filled.
    filled: bool,
    peers: Peers,
    /// Each partition's placement when every primary can be reached: the usual case, made once per
    /// ring.
    usual: Placements,
    /// The same with this node's own place first.
    usual_reads: Placements,
    /// The built-in buckets with what the ring's log says of buckets.
    buckets: Buckets,
    /// What requests get that ask for nothing in particular, by the number of the key's bucket.
    usual_consistency: Vec<Option<Consistency>>,
    /// The longest value that every bucket takes, in bytes.
    always_taken: usize,
    operations: Operations<InFlight>,
    hedges: HedgeBudget,
    ranking: ranking::Ranking,
    sampling: sampling::Sampling,
    probes: probing::ProbeState,
    hints: henge_repair::Hints,
    /// Whether hints and read repair are left out: see [`Engine::leave_it_to_anti_entropy`].
    neither_hints_nor_read_repair: bool,
    /// Requests coordinated here for other nodes.
    origins: Slab<Origin>,
    /// Reads that wait for a look at what hidden fields name.
    checks: showing::Checks,
    /// Modifications of sessions with hidden fields that wait to be told.
    tellings: Slab<telling::Telling>,
    confirmed_reads: bounded_reads::ConfirmedReads,
    touches: touches::Touches,
    completions: Vec<(Ticket, Outcome)>,
    due: Vec<henge_coordinator::OpId>,
    delta: Vec<u8>,
    /// Tokens of the batch at hand.
    tokens: Vec<Token>,
    spare: Vec<Vec<u8>>,
    /// What requests have to heed.
    snapshot: Arc<Snapshot>,
    /// Whether any partition moves.
    in_motion: bool,
    /// The tag under which the batch at hand was sent.
    sender_tag: u64,
    /// The sets in which the next message counts, if it says so.
    under: Option<SmallVec<[u64; 4]>>,
    /// The next write was decided by its sender.
    decided: bool,
    /// The request at hand comes from a node that counts its key in other sets than this one.
    from_elsewhere: bool,
    /// Operations that a replica refused because one of the two knows more.
    stale: Vec<(henge_coordinator::OpId, Slot)>,
    calls: std::collections::BTreeMap<u64, calls::Call>,
    questions: Vec<(NodeId, u64, Vec<u8>)>,
    next_call: u64,
    gossip_at_ms: u64,
    handing_over: Option<handing_over::HandingOver>,
}

/// How many spare buffers are kept, and how large one may be: enough for a deep pipeline of
/// ordinary sessions, without holding on to what one huge value needed.
const SPARE_BUFFERS: usize = 256;
const SPARE_BYTES: usize = 8 * 1024;

impl Engine {
    /// An engine without links: every peer starts down.
    pub fn new(parts: EngineParts, now: Now) -> Self {
        let mut peers = Peers::new(Arc::clone(&parts.counters));
        let me = peers.slot_or_new(parts.node);
        peers.adopt(&parts.ring);
        let mut engine = Self {
            actor: ActorId::derive(parts.node.0, parts.boot),
            minter: (parts.node, parts.boot),
            me,
            filled: true,
            peers,
            operations: Operations::new(OperationLimits::default(), now.mono_ms),
            hedges: HedgeBudget::new(&parts.hedge),
            ranking: ranking::Ranking::new(parts.hedge),
            sampling: sampling::Sampling::new(),
            probes: probing::ProbeState::new(),
            hints: henge_repair::Hints::new(henge_repair::HintLimits {
                partition_bits: parts.ring.bits(),
                ..henge_repair::HintLimits::default()
            }),
            neither_hints_nor_read_repair: false,
            origins: Slab::new(),
            checks: showing::Checks::default(),
            tellings: Slab::new(),
            confirmed_reads: bounded_reads::ConfirmedReads::default(),
            touches: touches::Touches::default(),
            completions: Vec::new(),
            due: Vec::new(),
            delta: Vec::new(),
            tokens: Vec::new(),
            spare: Vec::new(),
            usual: Placements::default(),
            usual_reads: Placements::default(),
            buckets: Buckets::clone(&parts.buckets),
            usual_consistency: Vec::new(),
            always_taken: 0,
            snapshot: Arc::default(),
            in_motion: false,
            sender_tag: 0,
            under: None,
            decided: false,
            from_elsewhere: false,
            stale: Vec::new(),
            calls: std::collections::BTreeMap::new(),
            questions: Vec::new(),
            next_call: 0,
            gossip_at_ms: 0,
            handing_over: None,
            parts,
        };
        engine.plan();
        if engine.parts.thread == 0 {
            engine.parts.transition.with(|transfer| transfer.resume());
        }
        engine.adopt(now);
        engine
    }

    /// Takes over a new ring, as long as the cluster is being founded. Later rings come from the
    /// transition.
    pub fn set_ring(&mut self, ring: Arc<Ring>) {
        if self.snapshot.tag == 0 {
            self.take_ring(ring);
        }
    }

    fn take_ring(&mut self, ring: Arc<Ring>) {
        self.peers.adopt(&ring);
        self.parts.ring = ring;
        self.confirmed_reads.forget();
        self.touches.forget();
        self.plan();
    }

    /// Works out what depends on the ring alone.
    fn plan(&mut self) {
        let ring = Arc::clone(&self.parts.ring);
        let places = usize::from(self.parts.defaults.n).min(ring.members().len());
        self.buckets = self.parts.buckets.with(ring.buckets());
        let usual = |bucket| {
            let places = u8::try_from(places).ok()?;
            let defaults = self.defaults_of(bucket);
            defaults.resolve(&Asked::default(), places).ok()
        };
        self.usual_consistency = self.buckets.iter().map(usual).collect();
        let limits = self.buckets.iter().map(|it| self.longest_value(it));
        self.always_taken = limits.min().unwrap_or(self.parts.max_value);
        let usual = ring
            .partitions()
            .map(|partition| self.look_up(partition, |_| true));
        self.usual = usual.collect();
        self.usual_reads = self.usual.clone();
        self.usual_reads
            .different
            .iter_mut()
            .for_each(coordinate_read::own_place_first);
    }

    /// Whether this node's store may answer reads of other nodes and coordinate. A node that lost
    /// its data must not until it has fetched it: it would answer "absent" for what was
    /// acknowledged.
    pub fn set_filled(&mut self, filled: bool) {
        self.filled = filled;
    }

    /// The link to a peer came up.
    pub fn peer_up(&mut self, now: Now, peer: NodeId) {
        let slot = self.peers.slot_or_new(peer);
        self.peers.set_up(slot, true);
        self.ranking.link_up(slot, now);
        self.hints.target_up(peer);
        self.deliver_hints(now);
        self.ask_news(now, peer);
    }

    /// The link to a peer went down: what was in flight to it will not be answered.
    pub fn peer_down(&mut self, now: Now, peer: NodeId) {
        let Some(slot) = self.peers.slot(&peer) else {
            return;
        };
        self.peers.set_up(slot, false);
        self.ranking.link_down(slot, now);
        self.sampling.lost(slot);
        self.hints.target_down(peer, now.mono_ms);
        if self.has_departed(&peer) {
            self.hints.target_up(peer); // its hints are for others now
        }
        let waiting: Vec<_> = self.operations.iter_mut().map(|(id, _)| id).collect();
        for id in waiting {
            match self.operations.get_mut(id) {
                Some(InFlight::Read(_)) => self.read_lost(now, id, slot),
                Some(InFlight::Write(_)) => self.write_lost(now, id, slot),
                Some(InFlight::Forward(_)) => self.forward_lost(id, slot),
                Some(InFlight::Hint(hint)) if hint.target == slot => {
                    self.operations.remove(id);
                }
                // Whom it asked is not looked up: one probe less.
                Some(InFlight::Probe(_)) => self.give_up_probe(id),
                Some(InFlight::Hint(_) | InFlight::Held(_)) | None => {}
            }
        }
    }

    /// A client's request. Its outcome appears in [`Engine::take_completions`], perhaps at once.
    pub fn submit(&mut self, now: Now, request: &Request<'_>, ticket: Ticket) {
        let asker = Asker {
            ticket,
            receipt: request.options.receipt,
        };
        if let Err(failure) = self.check_request(request) {
            return self.complete(asker.ticket, failed(failure));
        }
        self.route(now, request, asker);
    }

    /// Deadlines, hedges, hints. Call every few milliseconds.
    pub fn tick(&mut self, now: Now) {
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        self.operations.expired(now.mono_ms, &mut due);
        for &id in &due {
            match self.operations.get_mut(id) {
                Some(InFlight::Read(_)) => self.read_due(now, id),
                Some(InFlight::Write(_)) => self.write_due(now, id),
                Some(InFlight::Forward(_)) => self.forward_due(id),
                Some(InFlight::Held(_)) => self.held_due(now, id),
                Some(InFlight::Hint(_)) => self.hint_due(now, id),
                Some(InFlight::Probe(_)) => self.give_up_probe(id),
                None => {}
            }
        }
        self.due = due;
        self.adopt(now);
        self.ask_those_who_refused(now);
        self.deliver_hints(now);
        self.tidy_found(now);
        self.sampling.tick(now);
        self.tell_pace();
        self.rank(now);
        self.move_on(now);
    }

    /// Calls `send` with each peer's gathered batch; the buffer is emptied afterwards.
    pub fn take_batches(&mut self, send: &mut dyn FnMut(NodeId, &mut Vec<u8>)) {
        self.peers.end_tick();
        self.peers.drain(&mut |peer, batch| {
            send(peer, batch);
            true
        });
    }

    /// As [`Engine::take_batches`], but only the batches that somebody waits for. The others are
    /// among them after [`Engine::end_tick`]. What `send` has no room for is handed out again.
    pub fn take_urgent_batches(&mut self, send: &mut dyn FnMut(NodeId, &mut Vec<u8>) -> bool) {
        self.peers.drain(send);
    }

    /// Ends a tick: whatever has gathered goes with the next one.
    pub fn end_tick(&mut self) {
        self.peers.end_tick();
    }

    /// Whether there is anything for [`Engine::take_batches`] or [`Engine::take_completions`].
    pub fn has_output(&self) -> bool {
        self.peers.has_batches() || !self.completions.is_empty() || !self.questions.is_empty()
    }

    /// The outcomes since the last call, in the order in which they came about. The vector handed
    /// in is emptied and swapped in, so that two vectors serve for ever.
    pub fn take_completions(&mut self, into: &mut Vec<(Ticket, Outcome)>) {
        into.clear();
        std::mem::swap(&mut self.completions, into);
    }

    /// Operations in flight.
    pub fn in_flight(&self) -> usize {
        self.operations.len()
    }

    /// Hints waiting for delivery.
    pub fn hints_waiting(&self) -> usize {
        self.hints.len()
    }

    /// Partitions in which a replica was owed a hint that was given up since the last call. A
    /// hint that cannot be kept or delivered leaves its partition to anti-entropy.
    pub fn take_owed(&mut self) -> Vec<(NodeId, Partition)> {
        let owed: Vec<_> = self.hints.owed_anti_entropy().iter().copied().collect();
        for &(target, partition) in &owed {
            self.hints.anti_entropy_done(target, partition);
        }
        owed
    }

    /// From now on no hints are kept and no replica is repaired after a read, so that nothing but
    /// anti-entropy brings replicas together. (Strict reads still bring replicas up to what they
    /// are about to answer: without that the answer could be unseen again.) For trying
    /// anti-entropy out.
    pub fn leave_it_to_anti_entropy(&mut self) {
        self.neither_hints_nor_read_repair = true;
    }

    /// The ring in use.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.parts.ring
    }

    fn check_request(&self, request: &Request<'_>) -> Result<(), Failure> {
        crate::principals::refuse_reserved(request)?;
        let (length, most) = (request.key.len(), self.parts.max_key);
        if length > most {
            return Err(Failure::Invalid(format!(
                "a key has at most {most} bytes, this one {length}"
            )));
        }
        let length = request.operation.value_len();
        if length > self.always_taken {
            let bucket = self.buckets.of(request.key);
            let most = self.longest_value(bucket);
            if length > most {
                return Err(too_long(length, most));
            }
        }
        Ok(())
    }

    fn longest_value(&self, bucket: &Bucket) -> usize {
        longest_value(self.parts.max_value, bucket)
    }

    /// What requests on a bucket's keys get that do not say so themselves.
    fn defaults_of(&self, bucket: &Bucket) -> Defaults {
        let usual = self.parts.defaults;
        let mode = |strict| if strict { Mode::Strict } else { Mode::Sloppy };
        Defaults {
            // A bucket may have been made for a cluster with more replicas.
            r: bucket.r.map_or(usual.r, |r| r.min(usual.n)),
            w: bucket.w.map_or(usual.w, |w| w.min(usual.n)),
            mode: bucket.strict.map_or(usual.mode, mode),
            ..usual
        }
    }

    fn consistency(&self, request: &Request<'_>, places: usize) -> Result<Consistency, Failure> {
        let options = &request.options;
        let bucket = self.buckets.of(request.key);
        if let (Some(usual), true) = (self.usual_consistency[bucket.number], options.is_usual()) {
            return Ok(usual);
        }
        let mode = |strict| if strict { Mode::Strict } else { Mode::Sloppy };
        let asked = Asked {
            r: options.r,
            w: options.w,
            mode: options.strict.map(mode),
            deadline_ms: options.timeout_ms,
        };
        self.defaults_of(bucket)
            .resolve(&asked, u8::try_from(places).unwrap_or(u8::MAX))
            .map_err(|error| Failure::Invalid(error.to_string()))
    }

    /// The places of a partition. In strict mode every place stays with its primary; otherwise a
    /// live fallback stands for each primary that cannot be reached.
    fn place(&self, partition: Partition, sloppy: bool) -> Placement {
        let up = |slot: Slot| slot == self.me || self.peers.is_up(slot);
        if self.in_motion
            && let Some(moving) = self.snapshot.moving.get(&partition)
        {
            return self.place_jointly(moving, partition, sloppy);
        }
        match self.usual.get(partition) {
            Some(usual)
                if self.peers.all_up() || usual.places.iter().all(|place| up(place.node)) =>
            {
                usual.clone()
            }
            _ if sloppy => self.look_up(partition, up),
            _ => {
                let mut placement = self.look_up(partition, |_| true);
                let places = placement.places.iter().zip(0..);
                placement.reachable = places
                    .filter(|(place, _)| up(place.node))
                    .map(|(_, at)| at)
                    .collect();
                placement
            }
        }
    }

    /// The places of a partition when those nodes can be reached that `up` names.
    fn look_up(&self, partition: Partition, up: impl Fn(Slot) -> bool) -> Placement {
        let n = usize::from(self.parts.defaults.n);
        let list = self
            .parts
            .ring
            .preference(partition, n, |index| up(self.peers.member(index)));
        let mut placement = Placement {
            places: SmallVec::new(),
            reachable: PlaceSet::EMPTY,
            own: None,
            sets: None,
        };
        for place in list.iter() {
            let at = placement.places.len() as u8;
            let node = self.peers.member(place.node);
            if node == self.me {
                placement.own = Some(at);
            }
            if up(node) {
                placement.reachable.insert(at);
            }
            let stands_for = place.stands_for.map(|primary| self.peers.member(primary));
            placement.places.push(PlaceInfo { node, stands_for });
        }
        placement
    }

    fn complete(&mut self, ticket: Ticket, outcome: Outcome) {
        match &outcome.result {
            Ok(Done { absorbed: true, .. }) => self.parts.counters.absorbed.add(1),
            Ok(_) => {}
            Err(Failure::Unknown { .. }) => self.parts.counters.unknown.add(1),
            Err(Failure::Busy { .. }) => self.parts.counters.busy.add(1),
            Err(_) => self.parts.counters.failed.add(1),
        }
        match ticket.sink {
            ..telling::FIRST_OWN_SINK => self.completions.push((ticket, outcome)),
            FORWARDED => self.return_outcome(ticket, outcome),
            _ => self.own_step_ended(ticket, outcome),
        }
    }

    fn busy(&self) -> Option<Failure> {
        let (in_flight, most) = (self.operations.len(), OperationLimits::default().capacity);
        (in_flight >= most).then_some(Failure::Busy {
            in_flight: in_flight as u64,
        })
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS && buffer.capacity() <= SPARE_BYTES {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    fn partition(&self, key: Key<'_>) -> Partition {
        self.parts.ring.partition_of(key.token)
    }
}

/// The longest value that a bucket takes, in bytes, where the node takes `max_value`.
fn longest_value(max_value: usize, bucket: &Bucket) -> usize {
    let own = bucket.max_value.and_then(|most| usize::try_from(most).ok());
    own.map_or(max_value, |own| own.min(max_value))
}

#[cold]
fn too_long(length: usize, most: usize) -> Failure {
    Failure::Invalid(format!(
        "a value has at most {most} bytes, this one {length}"
    ))
}

#[cfg(test)]
mod tests;
