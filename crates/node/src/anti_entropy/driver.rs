//! The repair thread: carries out what the machine of anti-entropy says.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use henge_repair::{
    anti_entropy::{AntiEntropy, Settings, Time},
    sketch::SketchKey,
};
use henge_ring::NodeId;
use tokio::sync::{mpsc, watch};

use super::{Question, StoreReplica};
use crate::{
    Handle,
    shared::{Phase, Shared},
};

/// How often it looks at the board and at what is due.
const TICK: Duration = Duration::from_millis(50);

/// A question of this node's that is under way; yields its number and the answer, if there is one.
type Asking = Pin<Box<dyn Future<Output = (u64, Option<Bytes>)>>>;

/// See the module.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    handle: Handle,
    inbox: mpsc::Receiver<Question>,
    machine: AntiEntropy,
    replica: StoreReplica,
    asking: FuturesUnordered<Asking>,
    patience: Duration,
    /// The version of what moves that the machine knows.
    followed: u64,
}

impl Driver {
    /// Of this node. `secret` is the cluster's, for this purpose.
    pub(crate) fn new(
        shared: Arc<Shared>,
        handle: Handle,
        inbox: mpsc::Receiver<Question>,
        secret: &[u8; 32],
    ) -> Self {
        let settings = Settings {
            interval_ms: shared.config.anti_entropy_interval_ms,
            bytes_per_s: shared.config.repair_rate,
            ..Settings::default()
        };
        let info = &shared.info;
        let life = shared.log_life();
        let (store, clock) = (Arc::clone(&shared.store), Arc::clone(&shared.clock));
        let key = SketchKey::new(secret);
        let now = time(&shared);
        Self {
            machine: AntiEntropy::new(info.id, key, settings, life, now),
            replica: StoreReplica::new(store, clock, life),
            asking: FuturesUnordered::new(),
            patience: Duration::from_millis(settings.patience_ms),
            followed: 0,
            shared,
            handle,
            inbox,
        }
    }

    /// Runs until the node stops.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // An error means that the node was dropped, which stops it too.
                _ = stopped.wait_for(|stop| *stop) => return,
                Some(question) = self.inbox.recv() => self.answer(question),
                Some((number, answer)) = self.asking.next(), if !self.asking.is_empty() => {
                    let now = self.now();
                    self.machine.answered(now, &mut self.replica, number, answer.as_deref());
                }
                _ = ticks.tick() => self.tick(),
            }
            for (peer, number, bytes) in self.machine.take_questions() {
                self.asking.push(self.ask(peer, number, bytes.into()));
            }
        }
    }

    fn now(&mut self) -> Time {
        let now = time(&self.shared);
        self.replica.set_wall_ms(now.wall_ms);
        now
    }

    fn tick(&mut self) {
        let now = self.now();
        // Before it serves, a node fetches what it owns from all others; anti-entropy is for after. And
        // what counts is decided by the asker's clock.
        if self.shared.condition().is_some() {
            return;
        }
        let news = self.shared.repair.take_news();
        news.gone
            .iter()
            .for_each(|peer| self.machine.peer_down(*peer));
        for peer in news.came_up {
            self.machine.peer_up(now, peer);
        }
        for (peer, partition) in news.owed {
            self.machine.compare_soon(peer, partition);
        }
        if news.round_wanted {
            self.machine.start_round(now);
        }
        self.follow();
        let ring = self.shared.ring();
        self.machine.tick(now, &ring, &mut self.replica);
        let progress = self.machine.progress(now);
        self.shared.repair.show(self.machine.totals(), progress);
    }

    /// Learns what moves.
    fn follow(&mut self) {
        let version = self.shared.transition.version();
        if std::mem::replace(&mut self.followed, version) != version {
            self.machine.set_moving(self.shared.transition.moving());
        }
    }

    /// Not answering is an answer too: the peer tries again in its next round.
    fn answer(&mut self, question: Question) {
        if self.shared.phase() != Phase::Serving {
            return;
        }
        self.follow();
        let now = self.now();
        let ring = self.shared.ring();
        let Question {
            peer,
            bytes,
            answer,
        } = question;
        let replica = &mut self.replica;
        let bytes = self.machine.answer(now, &ring, replica, peer, &bytes);
        // The asker's link may have gone meanwhile.
        let _ = answer.send(bytes.into());
    }

    /// Sends a question over a link of one of the data threads.
    fn ask(&self, peer: NodeId, number: u64, question: Bytes) -> Asking {
        let (handle, patience) = (self.handle.clone(), self.patience);
        Box::pin(async move {
            let asked = handle.on_data_thread(move |node| async move {
                let link = node.shard().link(&peer)?;
                link.reconcile(question, patience).await.ok()
            });
            let answer = asked.await.flatten();
            (number, answer.filter(|bytes| !bytes.is_empty()))
        })
    }
}

fn time(shared: &Shared) -> Time {
    let now = shared.clocks.now();
    Time {
        mono_ms: now.mono_ms,
        wall_ms: now.wall_ms,
    }
}
