//! The asking side of one partition and one peer: a machine that is fed answers.
//!
//! [`Session::begin`] gives the first question; each answer goes to [`Session::handle`], which
//! merges what came into the local replica and gives the next question, until there is none. A
//! session that is dropped halfway has done no harm: what it merged is merged.

use std::collections::{BTreeSet, VecDeque};

use henge_ring::Partition;
use serde_bytes::ByteBuf;

use super::{Answer, Ask, Mark, Records, Refusal, Replica, Took, Wanted, Words, answer, limits};
use crate::{
    sketch::{Decoder, Difference, Symbol},
    snapshot::{Member, Snapshots},
};

/// Coded symbols asked for at first: enough for four keys that have changed.
const FIRST_SYMBOLS: usize = 12;

/// What a session needs of its own node.
pub struct Local<'a> {
    /// This node's copy.
    pub replica: &'a mut dyn Replica,
    /// What it looked like when it was asked before.
    pub snapshots: &'a mut Snapshots,
}

/// How a session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The peer was away, or we were: with its log from here on.
    Log(Mark),
    /// Its roll-up differed from ours: with a sketch.
    Sketch,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this.
    Ask(Ask),
    /// Nothing more: the session is over.
    Done(Findings),
}

/// What a session found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Up to where this node is level with the peer's log now; `None` where something could not be
    /// kept or was not to be had.
    pub level: Option<Mark>,
    /// Records whose digests were compared one by one; those that coded symbols compare are not
    /// counted.
    pub listed: u64,
    /// Coded symbols that came.
    pub symbols: u64,
    /// Records that the peer sent and that were news here.
    pub pulled: u64,
    /// Records that were sent to the peer.
    pub pushed: u64,
    /// Records that could not be kept, here or there.
    pub refused: u64,
}

/// Why a session ends early. Another one may be begun at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Abort {
    /// The peer does not have the snapshot any more that the session began with.
    #[error("the peer's snapshot is gone")]
    Stale,
    /// The peer does not answer this.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// The answer does not belong to the question, or leads nowhere.
    #[error("the peer's answer does not fit")]
    Unexpected,
}

enum Stage {
    /// Going through the peer's log from here on.
    Log(Mark),
    /// Taking in coded symbols; the peer's snapshot, once it is known, and how many to ask for.
    Sketch {
        decoder: Box<Decoder>,
        snapshot: Option<u64>,
        ask: usize,
    },
    /// Going through the peer's records after this token.
    List(Option<u64>),
    /// Fetching what is wanted, then going on.
    Fetch(Resume),
    /// Sending what the peer lacks.
    Push,
}

impl Stage {
    /// The beginning of a sketch, and this side's members.
    fn sketch(partition: Partition, at_ms: u64, local: &mut Local<'_>) -> (Self, Vec<Member>) {
        let key = local.snapshots.key().clone();
        let snapshot = local.snapshots.current(local.replica, partition, at_ms);
        let own = snapshot.members().to_vec();
        let ids = own.iter().map(|member| member.id).collect();
        let stage = Self::Sketch {
            decoder: Box::new(Decoder::new(ids, key)),
            snapshot: None,
            ask: FIRST_SYMBOLS,
        };
        (stage, own)
    }
}

#[derive(Clone, Copy)]
enum Resume {
    Log(Mark),
    List(u64),
    /// All that the peer has to show has been seen.
    End,
}

/// Records to be fetched.
enum Missing {
    /// By token and digest.
    Listed(VecDeque<(u64, u64)>),
    /// By id, of the peer's snapshot with this word.
    Ids(u64, VecDeque<u64>),
}

/// See the [module](self).
pub struct Session {
    partition: Partition,
    at_ms: u64,
    stage: Stage,
    /// This side's members when it began; empty unless they were needed.
    own: Vec<Member>,
    missing: Missing,
    /// Tokens under which the peer lacks something, and how many keys of the first were sent.
    lacking: BTreeSet<u64>,
    sent_of_first: usize,
    /// Where the peer's log ended when it first looked.
    head: Option<Mark>,
    /// Whether everything that the peer sent is here now.
    kept_all: bool,
    findings: Findings,
}

impl Session {
    /// A session about this partition, at this instant of our wall clock, with its first question.
    pub fn begin(
        partition: Partition,
        at_ms: u64,
        how: Begin,
        local: &mut Local<'_>,
    ) -> (Self, Ask) {
        let (stage, own) = match how {
            Begin::Log(mark) => (Stage::Log(mark), Vec::new()),
            Begin::Sketch => Stage::sketch(partition, at_ms, local),
        };
        let session = Self {
            partition,
            at_ms,
            stage,
            own,
            missing: Missing::Listed(VecDeque::new()),
            lacking: BTreeSet::new(),
            sent_of_first: 0,
            head: None,
            kept_all: true,
            findings: Findings::default(),
        };
        let ask = session.question();
        (session, ask)
    }

    /// Which partition it is about.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Takes in the answer to the last question.
    ///
    /// # Errors
    /// If the session cannot go on.
    pub fn handle(&mut self, answer: Answer, local: &mut Local<'_>) -> Result<Next, Abort> {
        match (&self.stage, answer) {
            (_, Answer::Stale) => return Err(Abort::Stale),
            (_, Answer::Refused(why)) => return Err(Abort::Refused(why)),
            (Stage::Log(_), Answer::Gap) => {
                (self.stage, self.own) = Stage::sketch(self.partition, self.at_ms, local);
            }
            (
                Stage::Log(mark),
                Answer::Listed {
                    head,
                    entries,
                    next,
                },
            ) => {
                let mark = *mark;
                self.log_came(mark, head, &entries, next, local)?;
            }
            (
                Stage::Sketch { .. },
                Answer::Symbols {
                    head,
                    snapshot,
                    members,
                    symbols,
                },
            ) => {
                self.head.get_or_insert(head);
                self.symbols_came(snapshot, members, &symbols.symbols())?;
            }
            (
                Stage::List(after),
                Answer::Listed {
                    head,
                    entries,
                    next,
                },
            ) => {
                let after = *after;
                self.head.get_or_insert(head);
                self.list_came(after, &entries, next, local)?;
            }
            (Stage::Fetch(resume), Answer::Records { records, done }) => {
                let resume = *resume;
                self.records_came(resume, &records, done, local)?;
            }
            (Stage::Push, Answer::Taken { refused, .. }) => {
                self.findings.refused += u64::from(refused);
            }
            _ => return Err(Abort::Unexpected),
        }
        if let Stage::Push = self.stage {
            return Ok(self.push(local));
        }
        Ok(Next::Ask(self.question()))
    }

    /// The question of the present stage.
    fn question(&self) -> Ask {
        let (partition, at_ms) = (self.partition.0, self.at_ms);
        match &self.stage {
            Stage::Log(mark) => Ask::Changes {
                partition,
                at_ms,
                life: mark.life,
                since: mark.position,
            },
            Stage::Sketch {
                decoder,
                snapshot,
                ask,
            } => Ask::Symbols {
                partition,
                at_ms,
                snapshot: *snapshot,
                from: decoder.symbols() as u32,
                count: *ask as u32,
            },
            Stage::List(after) => Ask::List {
                partition,
                at_ms,
                after: *after,
            },
            Stage::Fetch(_) | Stage::Push => Ask::Records {
                partition,
                at_ms,
                wanted: self.missing.page(),
            },
        }
    }

    fn log_came(
        &mut self,
        mark: Mark,
        head: Mark,
        entries: &Words,
        next: Option<u64>,
        local: &Local<'_>,
    ) -> Result<(), Abort> {
        let resume = match next {
            None => {
                self.head = Some(head);
                Resume::End
            }
            Some(position) if position > mark.position && head.life == mark.life => {
                Resume::Log(Mark { position, ..mark })
            }
            Some(_) => return Err(Abort::Unexpected),
        };
        self.compare(entries, local.replica);
        self.fetch(resume);
        Ok(())
    }

    fn symbols_came(&mut self, word: u64, members: u64, symbols: &[Symbol]) -> Result<(), Abort> {
        let Stage::Sketch {
            decoder,
            snapshot,
            ask,
        } = &mut self.stage
        else {
            return Err(Abort::Unexpected);
        };
        if snapshot.is_some_and(|known| known != word) || symbols.len() != *ask {
            return Err(Abort::Unexpected);
        }
        *snapshot = Some(word);
        self.findings.symbols += symbols.len() as u64;
        let (have, own) = (decoder.symbols() + symbols.len(), decoder.own_len());
        match decoder.add(symbols) {
            Ok(Some(difference)) => self.decoded(word, &difference),
            // A list of everything would by now have been no longer; or the symbols are of no set.
            Ok(None) if have >= most_symbols(own, members) => self.stage = Stage::List(None),
            Err(_) => self.stage = Stage::List(None),
            Ok(None) => {
                // The sizes alone show that the difference is at least so large.
                let lopsided = (own as u64).abs_diff(members) as usize;
                let enough = (lopsided + lopsided / 2).saturating_sub(have);
                let room = most_symbols(own, members) - have;
                *ask = (have / 2).max(enough).clamp(1, room.min(limits::SYMBOLS));
            }
        }
        Ok(())
    }

    fn decoded(&mut self, word: u64, difference: &Difference) {
        self.missing = Missing::Ids(word, difference.theirs.iter().copied().collect());
        for id in &difference.ours {
            if let Ok(at) = self.own.binary_search_by_key(id, |member| member.id) {
                self.lacking.insert(self.own[at].token);
            }
        }
        self.fetch(Resume::End);
    }

    fn list_came(
        &mut self,
        after: Option<u64>,
        entries: &Words,
        next: Option<u64>,
        local: &Local<'_>,
    ) -> Result<(), Abort> {
        if next.is_some_and(|next| after.is_some_and(|after| next <= after)) {
            return Err(Abort::Unexpected);
        }
        let key = local.snapshots.key();
        let ids = entries.pairs().map(|(token, digest)| key.id(token, digest));
        let theirs: BTreeSet<u64> = ids.collect();
        let covered = |token| {
            after.is_none_or(|after| token > after) && next.is_none_or(|next| token <= next)
        };
        let lacks = |member: &&Member| covered(member.token) && !theirs.contains(&member.id);
        let tokens = self.own.iter().filter(lacks).map(|member| member.token);
        self.lacking.extend(tokens);
        self.compare(entries, local.replica);
        self.fetch(next.map_or(Resume::End, Resume::List));
        Ok(())
    }

    /// Notes which of the listed records are not here.
    fn compare(&mut self, entries: &Words, replica: &dyn Replica) {
        self.findings.listed += entries.pairs().count() as u64;
        let missing = entries
            .pairs()
            .filter(|(token, digest)| !answer::holds(replica, *token, *digest));
        self.missing = Missing::Listed(missing.collect());
    }

    /// Fetches what is missing, if anything is, before going on.
    fn fetch(&mut self, resume: Resume) {
        self.stage = match resume {
            _ if !self.missing.is_empty() => Stage::Fetch(resume),
            Resume::Log(mark) => Stage::Log(mark),
            Resume::List(after) => Stage::List(Some(after)),
            Resume::End => Stage::Push,
        };
    }

    fn records_came(
        &mut self,
        resume: Resume,
        records: &Records,
        done: u32,
        local: &mut Local<'_>,
    ) -> Result<(), Abort> {
        if done == 0 {
            return Err(Abort::Unexpected);
        }
        let until_ms = self.at_ms.saturating_add(local.snapshots.rule().margin_ms);
        for (key, record) in records {
            let token = henge_ring::Token::of(key).0;
            match local.replica.take(self.partition, key, record, until_ms) {
                Took::Ahead => drop(self.lacking.insert(token)),
                Took::Refused => {
                    self.kept_all = false;
                    self.findings.refused += 1;
                }
                // Both sides hold the same now.
                took @ (Took::Merged | Took::Same) => {
                    self.lacking.remove(&token);
                    self.findings.pulled += u64::from(took == Took::Merged);
                }
                Took::Past => {}
            }
        }
        self.missing.drop_first(done as usize);
        self.fetch(resume);
        Ok(())
    }

    /// The next page of what the peer lacks; at the end, what was found.
    fn push(&mut self, local: &Local<'_>) -> Next {
        let (mut records, mut bytes) = (Records::new(), 0);
        while let Some(&token) = self.lacking.first() {
            let (mut nth, skip) = (0, self.sent_of_first);
            let mut is_full = false;
            local.replica.at(token, &mut |key, record, _| {
                is_full |= bytes >= limits::RECORD_BYTES;
                if nth >= skip && !is_full {
                    bytes += key.len() + record.len();
                    records.push((ByteBuf::from(key), ByteBuf::from(record)));
                    self.sent_of_first = nth + 1;
                }
                nth += 1;
            });
            if is_full {
                break;
            }
            self.lacking.pop_first();
            self.sent_of_first = 0;
        }
        if records.is_empty() {
            return Next::Done(self.found());
        }
        self.findings.pushed += records.len() as u64;
        Next::Ask(Ask::Take {
            partition: self.partition.0,
            at_ms: self.at_ms,
            records,
        })
    }

    fn found(&self) -> Findings {
        Findings {
            level: self.head.filter(|_| self.kept_all),
            ..self.findings
        }
    }
}

/// Coded symbols from which on a list of everything is no longer.
fn most_symbols(own: usize, theirs: u64) -> usize {
    let theirs = usize::try_from(theirs).unwrap_or(usize::MAX);
    own.max(theirs)
        .clamp(2 * FIRST_SYMBOLS, limits::ALL_SYMBOLS)
}

impl Missing {
    fn is_empty(&self) -> bool {
        match self {
            Self::Listed(entries) => entries.is_empty(),
            Self::Ids(_, ids) => ids.is_empty(),
        }
    }

    fn page(&self) -> Wanted {
        match self {
            Self::Listed(entries) => {
                let page = entries.iter().take(limits::ENTRIES);
                Wanted::Listed(Words::of_pairs(page.copied()))
            }
            Self::Ids(word, ids) => {
                let page = ids.iter().take(limits::ENTRIES);
                Wanted::Ids(*word, Words(page.copied().collect()))
            }
        }
    }

    fn drop_first(&mut self, count: usize) {
        match self {
            Self::Listed(entries) => drop(entries.drain(..count.min(entries.len()))),
            Self::Ids(_, ids) => drop(ids.drain(..count.min(ids.len()))),
        }
    }
}
