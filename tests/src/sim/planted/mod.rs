//! Mistakes made on purpose, to see that the simulator notices them.
//!
//! None of them is in the product: each is made where the simulator stands in for something that the
//! engine must be able to rely on, or wraps it. These places are
//!
//! * the messages between nodes ([`messages`], [`pages`]): what a replica did not do but says it did,
//!   what was not told, what was told twice;
//! * the store under an engine ([`store`]): what is lost, dropped or shown late;
//! * the host that starts engines and sweeps for them ([`host`]): boot numbers, clocks, tombstones;
//! * the door ([`host`]): what becomes of a client's request and of its answer.
//!
//! Rules of the transfer protocol are left out one by one in `crates/repair/tests/explorer` and in
//! [`crate::transitions`], which drive the real machines below the engine.

pub(super) mod host;
pub(super) mod messages;
pub(super) mod pages;
pub(super) mod store;

/// One mistake. What each breaks and what must notice it stands in the [exam](crate::exam)'s table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The name of a node is all that names its dots: nothing of it changes at a restart or when the
    /// store has forgotten something.
    NodeAsActor,
    /// Two nodes run on copies of one state directory: the second one writes under the first one's id,
    /// each in the boot that it has counted. Messages still find both, because in a real cluster the two
    /// would not get this far: a hello is refused by whoever has the id that it names
    /// (`HelloError::SelfConnection` in `crates/rpc`). What that refusal protects is seen here.
    OneIdTwice,
    /// A node that lost its store goes on as the actor that it was.
    ActorKeptAfterWipe,
    /// A store says that it has written before it is on disk: a crash takes the last writes back.
    AckBeforeSync,
    /// The same, in a node that numbers its dots by what its store says.
    StampBeforeSync,
    /// A hint is dropped when it is sent.
    HintDroppedBeforeAck,
    /// Answers are counted, not the places that gave them.
    RespondersCounted,
    /// A tombstone goes as soon as the sweeper sees it.
    TombstoneReaped,
    /// A tombstone goes after a fixed time, however long the session may live.
    GraceTooShort,
    /// A tombstone goes when all owners have it, whatever hints there are.
    ReapedWhenOwnersHaveIt,
    /// Transfers leave tombstones out.
    TombstoneNotMoved,
    /// A read takes a replica's tombstone for nothing at all.
    TombstoneUnread,
    /// A newcomer takes a transfer for finished that has brought nothing.
    SwitchedBeforeTransfer,
    /// A newcomer gets no live writes while its partition moves.
    JoinerWithoutWrites,
    /// A node that leaves takes its hints for delivered.
    HintLostOnLeave,
    /// A write's context counts only if it covers all that the replica holds.
    VectorInsteadOfDots,
    /// A store drops one of two concurrent siblings.
    SiblingDropped,
    /// A deadline is what the node's own clock makes of it.
    DeadlineByLocalClock,
    /// A touch is taken by the one replica that it comes to, by what that one holds: it neither reads
    /// at a quorum nor waits until a quorum has it.
    BlindTouches,
    /// A node that comes back has lost part of its store and does not know.
    RecoveryTruncates,
    /// Anti-entropy compares what it saw first and not what is there.
    StaleComparison,
    /// A client is told *failed* where nobody knows.
    FailedForUnknown,
    /// A read's token is not looked at.
    TokenIgnored,
    /// A replica serves whoever asks, under whatever ring.
    FenceOff,
    /// A newcomer pulls from one member of the old set.
    OneSource,
    /// A message that was lost counts as answered.
    LostCountsAsKept,
    /// Of two records the one with the later stamp stays whole.
    LastWriterWins,
    /// A repair overwrites what is there.
    RepairOverwrites,
    /// A passed-on request that arrives twice is carried out twice.
    ForwardRepeated,
    /// One node's clock is off by three times the bound, and nodes believe their clocks.
    ClockBeyondBound,
    /// A node believes its machine's wall clock, whatever it says.
    ClockGuardOff,
    /// A node acknowledges other nodes' writes and does not keep them.
    LyingReplica,
    /// A login does not say in the session whose it is: then no read looks into the principal's index.
    OwnerForgotten,
    /// A node that died comes back empty and says nothing of it.
    SilentLoss,
}
