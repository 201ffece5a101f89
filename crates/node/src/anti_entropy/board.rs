//! What data threads leave for the repair thread, and what that shows of itself.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use henge_repair::anti_entropy::{PeerProgress, Totals};
use henge_ring::{NodeId, Partition};
use tokio::sync::{mpsc, oneshot};

/// Questions of peers that may wait: a few from each.
const QUESTIONS: usize = 256;

/// A peer's question, and where its answer goes.
pub(crate) struct Question {
    pub(crate) peer: NodeId,
    pub(crate) bytes: Bytes,
    pub(crate) answer: oneshot::Sender<Bytes>,
}

/// What happened since the repair thread last looked.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Peers of which a link came up, whether or not others were up already: what was lost with the
    /// one before is to be caught up with.
    pub(crate) came_up: BTreeSet<NodeId>,
    /// Peers of which no link is left.
    pub(crate) gone: BTreeSet<NodeId>,
    /// Partitions in which a peer was owed a hint that was given up.
    pub(crate) owed: BTreeSet<(NodeId, Partition)>,
    /// Whether an operator wants a round.
    pub(crate) round_wanted: bool,
}

/// Shared by the data threads and the repair thread. Every part is bounded by the number of peers,
/// lanes and partitions.
#[derive(Debug)]
pub(crate) struct Board {
    questions: mpsc::Sender<Question>,
    links: Mutex<BTreeSet<(NodeId, u16)>>,
    news: Mutex<News>,
    shown: Mutex<(Totals, Vec<PeerProgress>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// An empty board, and where its questions come out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Question>) {
        let (questions, inbox) = mpsc::channel(QUESTIONS);
        let board = Self {
            questions,
            links: Mutex::default(),
            news: Mutex::default(),
            shown: Mutex::default(),
        };
        (board, inbox)
    }

    /// Hands a question over; it is dropped, and with it where its answer goes, if too many wait.
    pub(crate) fn ask(&self, question: Question) {
        let _ = self.questions.try_send(question);
    }

    /// A link to a peer came up or went down, in this lane.
    pub(crate) fn link(&self, peer: NodeId, lane: u16, up: bool) {
        let mut links = lock(&self.links);
        let mut news = lock(&self.news);
        if up {
            links.insert((peer, lane));
            news.gone.remove(&peer);
            news.came_up.insert(peer);
        } else {
            links.remove(&(peer, lane));
            if links.range((peer, 0)..=(peer, u16::MAX)).next().is_none() {
                news.came_up.remove(&peer);
                news.gone.insert(peer);
            }
        }
    }

    /// Hints for these partitions of these peers were given up.
    pub(crate) fn owe(&self, owed: impl IntoIterator<Item = (NodeId, Partition)>) {
        lock(&self.news).owed.extend(owed);
    }

    /// An operator wants a round with every peer.
    pub(crate) fn want_round(&self) {
        lock(&self.news).round_wanted = true;
    }

    pub(crate) fn take_news(&self) -> News {
        std::mem::take(&mut lock(&self.news))
    }

    pub(crate) fn show(&self, totals: Totals, peers: Vec<PeerProgress>) {
        *lock(&self.shown) = (totals, peers);
    }

    /// What it has done, and how far it is with each peer; not older than a tick.
    pub(crate) fn shown(&self) -> (Totals, Vec<PeerProgress>) {
        lock(&self.shown).clone()
    }
}
