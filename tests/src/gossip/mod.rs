//! Gossip in bad company: a few members that lose, repeat, delay and reorder each other's frames, die
//! and start again, are split and lose single links, all of it as a seed decides.
//!
//! ```text
//! cargo run --profile quick -p henge-tests --bin gossip -- --seeds 10000
//! ```
//! What is real: [`Swim`](henge_membership::Swim) with the library under it. What watches
//! (`heard.rs`) reads the frames on their way and holds every death that a member declares against what
//! that member has been told:
//!
//! * by what came in a frame nobody is declared down who is known to live a later life: the death of a
//!   process does not kill the one that was started after it;
//! * by its own suspicion nobody declares a member down that has refuted it since;
//! * at the end, when everything has been mended for a while, each holds each other to be up.
//!
//! That a death which another member found outranks a denial that came too late is SWIM as it was
//! published: the member comes back under its next generation. It is no violation here.
//!
//! The exam makes two mistakes ([`Planted`]) at the seam between our code and the library. They are made
//! outside of both, in what a member is handed.

mod frame;
mod heard;
mod run;

pub use run::{Verdict, play};

/// A mistake made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// News of an earlier life of a member, or of a lower incarnation, is taken for news of the present
    /// one: it is handed to the library under the highest number that this member has heard.
    OlderLifeBelieved,
    /// A member that suspected another when their link was lost goes through with it when the time is
    /// over, and does not look whether it has been refuted.
    RefutationIgnored,
}
