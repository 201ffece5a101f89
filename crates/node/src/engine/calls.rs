//! Questions between nodes about moving partitions: news, and pages of records.
//!
//! They are rare and large beside requests, so they go by the control plane: the driver carries each
//! question to the peer and brings the answer back, or says that there is none.

use henge_repair::transfer::{News, NotServed, Outline, Page, Pull};
use henge_ring::{AssignmentId, NodeId, Partition};
use serde::{Deserialize, Serialize};

use super::{Engine, Now, pages::WirePage};

/// Patience with one question, in milliseconds.
const PATIENCE_MS: u64 = 1_000;

/// How often peers that may lack something are told, in milliseconds.
const GOSSIP_MS: u64 = 100;

/// A question. The order of variants and fields is wire format: append only.
#[derive(Serialize, Deserialize)]
struct Question {
    /// Up to which version the asker has heard the other.
    have: u64,
    news: News,
    pull: Option<WirePull>,
}

#[derive(Serialize, Deserialize)]
struct WirePull {
    partition: u16,
    from: AssignmentId,
    to: AssignmentId,
    first: u64,
    outline: Outline,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    have: u64,
    news: News,
    page: Option<WirePage>,
    /// Without a page: how long to leave the answerer alone, in milliseconds; 0: ask again.
    rest_ms: u64,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Call {
    peer: NodeId,
    pull: Option<Pull>,
    until_ms: u64,
    /// Length of what it asks for, without news.
    bytes: u64,
}

impl Engine {
    /// Calls `send` with each new question: to whom, its number, its bytes. The driver reports what
    /// comes of it by [`call_answered`](Self::call_answered).
    pub fn take_calls(&mut self, send: &mut dyn FnMut(NodeId, u64, Vec<u8>)) {
        for (peer, call, question) in self.questions.drain(..) {
            send(peer, call, question);
        }
    }

    /// A peer's question. An empty answer: none can be given.
    pub fn receive_call(&mut self, now: Now, from: NodeId, question: &[u8]) -> Vec<u8> {
        let Ok(question) = postcard::from_bytes::<Question>(question) else {
            self.parts.counters.bad_messages.add(1);
            return Vec::new();
        };
        let transition = std::sync::Arc::clone(&self.parts.transition);
        transition.with(|transfer| {
            transfer.heard_by(from, question.have);
            transfer.hear(from, &question.news)
        });
        self.adopt(now);
        let served = question.pull.map(|pull| self.serve(now, from, &pull));
        let (page, rest_ms) = match served {
            Some(Ok(page)) => (Some(page), 0),
            Some(Err(NotServed::Resting { rest_ms })) => (None, rest_ms),
            Some(Err(_)) | None => (None, 0),
        };
        let answer = transition.with(|transfer| Answer {
            have: transfer.heard_of(&from),
            news: transfer.tell(&from),
            page,
            rest_ms,
        });
        let encoded = answer.map(|answer| postcard::to_allocvec(&answer));
        encoded.and_then(Result::ok).unwrap_or_default()
    }

    /// What came of a question; `None`: nothing.
    pub fn call_answered(&mut self, now: Now, call: u64, answer: Option<&[u8]>) {
        let Some(call) = self.calls.remove(&call) else {
            return;
        };
        let answer = answer.and_then(|bytes| postcard::from_bytes::<Answer>(bytes).ok());
        let transition = std::sync::Arc::clone(&self.parts.transition);
        let Some(answer) = answer else {
            if let Some(pull) = &call.pull {
                transition.with(|transfer| transfer.pull_failed(pull, now.mono_ms));
            }
            return;
        };
        transition.with(|transfer| {
            transfer.heard_by(call.peer, answer.have);
            transfer.hear(call.peer, &answer.news)
        });
        if let Some(pull) = &call.pull {
            let kept = answer.page.filter(|page| self.keep_page(now, page));
            let page = kept.map(|page| Page {
                next: page.next,
                bytes: call.bytes + size(&page),
            });
            transition.with(|transfer| match page {
                Some(page) => transfer.pulled(pull, page),
                None if answer.rest_ms > 0 => {
                    transfer.pull_refused(pull, answer.rest_ms, now.mono_ms);
                }
                None => transfer.pull_failed(pull, now.mono_ms),
            });
            transition.with(|transfer| transfer.finish_pulls());
        }
        self.adopt(now);
        self.restart_refused_by(now, call.peer);
        self.pull_more(now);
    }

    /// Tells a peer what is new, and asks what it knows. One question at a time.
    pub(super) fn ask_news(&mut self, now: Now, peer: NodeId) {
        let asked = |call: &Call| call.peer == peer && call.pull.is_none();
        let up = self
            .peers
            .slot(&peer)
            .is_some_and(|slot| self.peers.is_up(slot));
        if up && !self.calls.values().any(asked) {
            self.call(now, peer, None);
        }
    }

    /// What is to be done now and then: by one engine of a node.
    pub(super) fn move_on(&mut self, now: Now) {
        let late = |(_, call): &(&u64, &Call)| call.until_ms <= now.mono_ms;
        let late: Vec<u64> = self
            .calls
            .iter()
            .filter(late)
            .map(|(call, _)| *call)
            .collect();
        for call in late {
            self.call_answered(now, call, None);
        }
        if self.parts.thread != 0 {
            return;
        }
        if now.mono_ms >= self.gossip_at_ms {
            self.gossip_at_ms = now.mono_ms + GOSSIP_MS;
            let transition = std::sync::Arc::clone(&self.parts.transition);
            for peer in self.peers.those_up() {
                if transition.with(|transfer| transfer.differs_from(&peer)) == Some(true) {
                    self.ask_news(now, peer);
                }
            }
            // A job that needs no source is done without an answer.
            transition.with(|transfer| transfer.finish_pulls());
        }
        self.pull_more(now);
        self.drop_more(now);
    }

    fn pull_more(&mut self, now: Now) {
        if self.parts.thread != 0 {
            return;
        }
        let transition = std::sync::Arc::clone(&self.parts.transition);
        loop {
            let peers = &self.peers;
            let up = |id: &NodeId| peers.slot(id).is_some_and(|slot| peers.is_up(slot));
            let next = transition.with(|transfer| transfer.next_pull(now.mono_ms, up));
            let Some(pull) = next.flatten() else { return };
            self.call(now, pull.source, Some(pull));
        }
    }

    fn call(&mut self, now: Now, peer: NodeId, pull: Option<Pull>) {
        let wire = pull.as_ref().map(|pull| WirePull {
            partition: pull.partition.0,
            from: pull.from,
            to: pull.to,
            first: pull.first,
            outline: self.outline(pull.partition, pull.first),
        });
        let bytes = wire.as_ref().map_or(0, size);
        let question = self.parts.transition.with(|transfer| Question {
            have: transfer.heard_of(&peer),
            news: transfer.tell(&peer),
            pull: wire,
        });
        let Some(Ok(question)) = question.map(|question| postcard::to_allocvec(&question)) else {
            return;
        };
        self.next_call += 1;
        let call = Call {
            peer,
            pull,
            until_ms: now.mono_ms + PATIENCE_MS,
            bytes,
        };
        self.calls.insert(self.next_call, call);
        self.questions.push((peer, self.next_call, question));
    }

    /// A page for a peer that pulls.
    fn serve(&mut self, now: Now, from: NodeId, wire: &WirePull) -> Result<WirePage, NotServed> {
        let transition = std::sync::Arc::clone(&self.parts.transition);
        let pull = Pull {
            partition: Partition(wire.partition),
            from: wire.from,
            to: wire.to,
            source: self.parts.node,
            first: wire.first,
        };
        let served = transition.with(|transfer| {
            let fenced = transition.all_heed(transfer.fences());
            fenced.then(|| transfer.may_serve(from, &pull, now.mono_ms))
        });
        // Where an engine has yet to take in the news: it may be asked again soon.
        served.flatten().unwrap_or(Err(NotServed::Busy))?;
        let page = self.page(pull.partition, pull.first, &wire.outline);
        let (next, bytes) = (page.next, size(&page));
        transition.with(|it| it.served(from, pull.partition, Page { next, bytes }));
        Ok(page)
    }
}

/// Length on the wire, in bytes.
fn size(message: &impl Serialize) -> u64 {
    let size = postcard::ser_flavors::Size::default();
    postcard::serialize_with_flavor(message, size).unwrap_or(0) as u64
}
