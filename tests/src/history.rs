//! What happened in a run: every operation of every client, every fault, every phase.
//!
//! The simulator, the tests with real processes and the load generator all write this one format,
//! as JSON lines, and the [checker](crate::checker) reads it. It holds only what a client can know:
//! what it asked, what it was told, and when, by the harness's own monotonic clock.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

/// Names one written value. Unique in a history: seeing it tells which write is seen.
pub type Element = u64;

/// Names an operation: its number in the history.
pub type OpId = u64;

/// Microseconds since the start of the run, by the harness's monotonic clock.
pub type Micros = u64;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// A client's operation with its answer.
    Op(Op),
    /// A fault that the plan has.
    Fault(Fault),
    /// The run enters another phase.
    Phase(PhaseMark),
    /// What one node holds of one key at the end.
    Replica(Replica),
    /// How many hints a node still holds at the end.
    Hints(Hints),
}

/// One operation of one client on one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// Its number, unique in the history.
    pub id: OpId,
    /// The client session: operations of one session follow each other.
    pub session: u32,
    /// The node that was asked.
    pub node: u32,
    /// The key; its prefix tells the kind of value, see [`Kind::of`].
    pub key: String,
    /// What was asked.
    pub action: Action,
    /// With which consistency.
    pub quorum: Quorum,
    /// When the client asked.
    pub invoked: Micros,
    /// When it had its answer or gave up.
    pub returned: Micros,
    /// What it was told.
    pub outcome: Outcome,
}

/// What a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Read.
    Get,
    /// Read with the token of one's own write, which has to be seen whatever R is.
    GetAfter {
        /// The write.
        write: OpId,
    },
    /// Write one element: a sibling, a session's field, or a register's value.
    Put {
        /// The element.
        element: Element,
        /// The read whose context the write carries, or (for registers) has seen.
        context: Option<OpId>,
        /// The new deadline of the key; `None` leaves the deadline as it is.
        expires: Option<Micros>,
    },
    /// Remove what the context has seen; without a context, end the session for good.
    Delete {
        /// The read whose context the deletion carries.
        context: Option<OpId>,
    },
    /// Move the deadline and nothing else.
    Touch {
        /// The new deadline.
        expires: Micros,
    },
}

/// The consistency of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Replicas of the key.
    pub n: u8,
    /// Replies that a read waits for.
    pub r: u8,
    /// Replicas that a write waits for.
    pub w: u8,
    /// Whether only primaries count.
    pub strict: bool,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done; a read carries what it saw, in the order it was shown.
    Ok {
        /// The values of a read; empty for writes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        values: Vec<Element>,
    },
    /// It did not happen and never will.
    Failed {
        /// The error as the client saw it.
        reason: String,
    },
    /// It may or may not have happened, or may still happen.
    Unknown,
}

/// How the values under a key behave: what the checker may hold against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Fields accumulate until the session is deleted, which is for ever.
    Session,
    /// Values stay beside each other until a write that has seen them replaces them.
    Siblings,
    /// The last writer wins; the others' values are lost, and that is counted.
    Register,
}

/// A fault that was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its name.
    pub name: String,
    /// How many times it struck. A planned fault that never struck proves nothing.
    pub fired: u64,
}

/// The run enters a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseMark {
    /// When.
    pub at: Micros,
    /// Which.
    pub phase: Phase,
}

/// The phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Faults strike.
    Faults,
    /// Every fault has ended.
    Healed,
    /// The replicas had their time to converge: reads from now on are final.
    Quiesced,
}

/// What one node holds of one key when the run has quiesced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The key.
    pub key: String,
    /// The node.
    pub node: u32,
    /// Whether it is one of the key's primaries.
    pub owner: bool,
    /// Digest of the record; `None`: it holds none.
    pub digest: Option<u64>,
}

/// Hints that a node still holds when the run has quiesced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// The node.
    pub node: u32,
    /// How many.
    pub count: u64,
}

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Its lines, in the order they were recorded.
    pub entries: Vec<Entry>,
}

/// A history could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A line is not an entry.
    #[error("line {line} is not an entry of a history")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The medium failed.
    #[error("the history could not be read or written")]
    Io(#[from] std::io::Error),
}

impl Kind {
    /// The kind of a key's values, by the prefixes of the built-in buckets.
    pub fn of(key: &str) -> Self {
        match key.split_once(':') {
            Some(("siblings", _)) => Self::Siblings,
            Some(("sess", _)) => Self::Session,
            _ => Self::Register,
        }
    }
}

impl Op {
    /// Whether it was answered *ok*.
    pub fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok { .. })
    }

    /// What a successful read showed; `None` for everything else.
    pub fn shown(&self) -> Option<&[Element]> {
        match (&self.action, &self.outcome) {
            (Action::Get | Action::GetAfter { .. }, Outcome::Ok { values }) => Some(values),
            _ => None,
        }
    }
}

impl History {
    /// The operations.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Op(op) => Some(op),
            _ => None,
        })
    }

    /// When the run quiesced, if it did.
    pub fn quiesced_at(&self) -> Option<Micros> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Phase(mark) if mark.phase == Phase::Quiesced => Some(mark.at),
            _ => None,
        })
    }

    /// Writes one JSON object per line.
    pub fn write(&self, mut to: impl Write) -> Result<(), HistoryError> {
        for (number, entry) in self.entries.iter().enumerate() {
            serde_json::to_writer(&mut to, entry).map_err(|source| HistoryError::Line {
                line: number + 1,
                source,
            })?;
            to.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Reads what [`write`](Self::write) wrote. Empty lines are skipped.
    pub fn read(from: impl BufRead) -> Result<Self, HistoryError> {
        let mut entries = Vec::new();
        for (number, line) in from.lines().enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let entry = serde_json::from_str(&line).map_err(|source| HistoryError::Line {
                line: number + 1,
                source,
            })?;
            entries.push(entry);
        }
        Ok(Self { entries })
    }
}
