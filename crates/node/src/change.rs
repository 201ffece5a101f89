//! Changes of the ring that an operator decides: what they would do, and making them.

use std::collections::BTreeMap;

use henge_repair::transfer::{Span, TransferLimits};
use henge_ring::{ChangeId, Endpoints, Impact, Log, Member, NodeId, Op, Ring, Token, Weight, Zone};

use crate::{Handle, PeerInfo, TransitionStatus};

/// A page of a transfer, in bytes: what an estimate counts with.
const PAGE: u64 = 64 << 10;

/// Rings under which somebody may serve when a change that ends another one is still taken: those of
/// the change under way, and of one that was to end it already. Each may add a set in which every
/// operation on a moving partition has to count.
const MOST_VIEWS: u64 = 3;

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A member leaves; it serves until its data is elsewhere.
    Leave(NodeId),
    /// A member gets another share of the partitions.
    Reweight(NodeId, Weight),
    /// A member stands elsewhere than it said.
    Rezone(NodeId, Zone),
    /// A member that leaves, or has left, stays: it keeps what it still holds and fetches the rest.
    Stay(NodeId),
    /// A further node joins. Only shown: a node joins by itself.
    Join(Weight, Zone),
    /// A new node takes the places of this one. Only shown: a node does so by itself, on its address.
    Replace(NodeId),
}

/// What a change does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangePlan {
    /// Who holds how much before and after, and what moves.
    pub impact: Impact,
    /// The members of the present ring, and whoever else is one afterwards.
    pub members: BTreeMap<NodeId, Member>,
    /// Bytes that move: replicas that move times the size of one.
    pub bytes: u64,
    /// How long that takes, by the pace of the nodes.
    pub span: Span,
    /// The id that stands for the node that is to come, if one is.
    pub newcomer: Option<NodeId>,
    /// Whether the change was made.
    pub applied: bool,
}

/// Why a change is refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// The ring has no such member.
    #[error("{} is no member", .0.short())]
    Stranger(NodeId),
    /// It has not left.
    #[error("{} has not left", .0.short())]
    NotLeft(NodeId),
    /// A node that left and is down has lost its memory, or comes back under this id with an old one.
    #[error(
        "{} cannot be reached: only a node that still runs can stay, another one joins", .0.short()
    )]
    Unreachable(NodeId),
    /// Nobody would be left.
    #[error("the last member cannot leave")]
    LastMember,
    /// Nobody else can do that for a node.
    #[error("a node comes by itself: start it with `henge serve --join`")]
    ByItself,
    /// Changes at once multiply the sets in which every operation has to count.
    #[error("{in_motion} partitions still move: wait until they have arrived")]
    InMotion {
        /// How many.
        in_motion: u64,
    },
    /// The node does not serve.
    #[error("this node does not serve yet")]
    NotReady,
}

impl Change {
    /// The member that it is about.
    fn member(&self) -> Option<NodeId> {
        match self {
            Self::Leave(node)
            | Self::Reweight(node, _)
            | Self::Rezone(node, _)
            | Self::Replace(node) => Some(*node),
            Self::Join(..) | Self::Stay(_) => None,
        }
    }

    /// Whether one node can make it for another.
    fn can_be_made(&self) -> bool {
        !matches!(self, Self::Join(..) | Self::Replace(_))
    }

    /// Whether it ends what another change began: a leave of a node that cannot finish its join, a
    /// leave that is taken back. Such a change does not wait for the other one.
    fn ends_another(&self) -> bool {
        matches!(self, Self::Leave(_) | Self::Stay(_))
    }

    /// The event; `None`: there is nothing to come back.
    fn op(&self, newcomer: NodeId, log: &Log) -> Option<Op> {
        Some(match self.clone() {
            Self::Leave(node) => Op::Leave { node },
            Self::Reweight(node, weight) => Op::SetWeight { node, weight },
            Self::Rezone(node, zone) => Op::SetZone { node, zone },
            Self::Stay(node) => {
                let member = Ring::as_it_left(log, &node)?;
                Op::Return {
                    node,
                    weight: member.weight,
                    zone: member.zone,
                    endpoints: member.endpoints,
                }
            }
            Self::Join(weight, zone) => Op::Join {
                node: newcomer,
                weight,
                zone,
                endpoints: nowhere(),
            },
            Self::Replace(old) => Op::Replace {
                old,
                new: newcomer,
                endpoints: nowhere(),
            },
        })
    }
}

/// An id that no node has, for one that is still to come.
fn free_id(ring: &Ring) -> NodeId {
    let taken = |id: &NodeId| ring.index_of(id).is_some() || ring.has_departed(id);
    let mut number = u128::MAX;
    while taken(&NodeId(number.to_be_bytes())) {
        number -= 1;
    }
    NodeId(number.to_be_bytes())
}

/// Where a node listens that is still to come. Addresses decide no placement.
fn nowhere() -> Endpoints {
    Endpoints {
        peer: String::new(),
        resp: String::new(),
        http: String::new(),
    }
}

impl Handle {
    /// How far partitions that move have come, as this node knows it.
    pub fn transition(&self) -> TransitionStatus {
        self.shared().transition.status()
    }

    /// Bytes of one replica of one partition, on average, judged by what this node holds.
    pub fn replica_bytes(&self) -> u64 {
        let ring = self.ring();
        let own = ring.index_of(&self.info().id);
        let held = own.map_or(0, |own| ring.load(own)) as u64;
        self.usage().bytes / held.max(1)
    }

    /// What a change would do, if a replica of a partition has `replica_bytes` on average; with
    /// `apply`, makes it. The data moves in the background: [`Handle::transition`] tells how far it is.
    ///
    /// # Errors
    /// [`ChangeRefused`]; nothing was changed.
    pub fn change(
        &self,
        change: &Change,
        replica_bytes: u64,
        apply: bool,
    ) -> Result<ChangePlan, ChangeRefused> {
        let before = self.ring();
        self.admit(change, &before, apply)?;
        let newcomer = free_id(&before);
        let mut log = self.shared().log();
        let op = change.op(newcomer, &log);
        let seed = format!("{}{:?}{change:?}", self.info().id, log.tag());
        let name = ChangeId(Token::of(seed.as_bytes()).0);
        let events = log.propose(self.info().id, name, op);
        log.extend(events.iter().cloned());
        let after = before.advance(&log);
        let impact = Impact::between(&before, &after);
        let members = after.members().iter().chain(before.members());
        let mut plan = ChangePlan {
            bytes: impact.moved.saturating_mul(replica_bytes),
            span: self.span(&impact, replica_bytes),
            impact,
            members: members.map(|it| (it.id, it.clone())).collect(),
            newcomer: (!change.can_be_made()).then_some(newcomer),
            applied: false,
        };
        if apply && let Some(ring) = self.shared().edit_log(|log| log.extend(events)) {
            tracing::info!(?change, moves = plan.impact.moved, "the ring is changed");
            self.publish(&ring);
            plan.applied = true;
        }
        Ok(plan)
    }

    fn admit(&self, change: &Change, ring: &Ring, apply: bool) -> Result<(), ChangeRefused> {
        if !self.is_ready() {
            return Err(ChangeRefused::NotReady);
        }
        if let Some(node) = change.member()
            && ring.index_of(&node).is_none()
        {
            return Err(ChangeRefused::Stranger(node));
        }
        if let Change::Stay(node) = change {
            self.admit_return(*node, ring)?;
        }
        if ring.members().len() == 1 && matches!(change, Change::Leave(_)) {
            return Err(ChangeRefused::LastMember);
        }
        if !apply {
            return Ok(());
        }
        if !change.can_be_made() {
            return Err(ChangeRefused::ByItself);
        }
        let status = self.transition();
        let in_motion = status.in_motion;
        let is_taken = change.ends_another() && status.views <= MOST_VIEWS;
        match in_motion == 0 || is_taken {
            true => Ok(()),
            false => Err(ChangeRefused::InMotion { in_motion }),
        }
    }

    /// A node that has left may come back while it runs: it has its id since it started, and its memory
    /// with it.
    fn admit_return(&self, node: NodeId, ring: &Ring) -> Result<(), ChangeRefused> {
        if !ring.has_departed(&node) {
            return Err(ChangeRefused::NotLeft(node));
        }
        let runs = |peer: &PeerInfo| peer.id == node && peer.up;
        match node == self.info().id || self.peers().iter().any(runs) {
            true => Ok(()),
            false => Err(ChangeRefused::Unreachable(node)),
        }
    }

    /// What the busiest node has to do: at least what it receives, and at least its part of all that
    /// goes in and out. How much each source gives is not known before.
    fn span(&self, impact: &Impact, replica_bytes: u64) -> Span {
        let sources = u64::from(self.defaults().r.max(self.defaults().w)).max(1);
        let most = TransferLimits::default().bytes_per_second;
        // The second and later sources cost a page that says what differs.
        let pages = replica_bytes.div_ceil(PAGE).max(1) + sources - 1;
        let nodes = impact.nodes.len().max(1) as u64;
        let received = impact.nodes.values().map(|it| it.receives).max();
        let busiest = received
            .unwrap_or(0)
            .max((2 * impact.moved).div_ceil(nodes));
        let bytes = busiest.saturating_mul(replica_bytes);
        Span::of(bytes, busiest.saturating_mul(pages), most)
    }
}
