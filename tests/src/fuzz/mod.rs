//! Fuzzing on stable Rust: seeded mutation of a corpus, and laws that every input must keep.
//!
//! A [`Target`] takes bytes from outside, does with them what the product would, asserts what must
//! hold whatever they are, and tells in one number *what kind of thing happened*. Inputs that made
//! something new happen join the corpus: behaviour takes the place of the branch counters that an
//! instrumented build would have. A panic, an input slower than [`SLOWEST`] and an input that
//! allocates more than [`MOST_BYTES`] are failures; each is reported with what replays it.
//!
//! Left out: instrumentation, and with it the reach of a real fuzzing engine into deep decoders.
//! Well-formed seeds and targets that build their input from structure make up for part of it.

mod mutate;
pub use mutate::Mutator;

mod run;
pub use run::{Failure, Measure, Options, Report, replay, run};

mod bytes;
mod doors;
mod engine;
mod frames;
mod hello;
mod records;
mod repair;
mod rings;

use crate::sim::Rng;
use std::time::Duration;

/// The longest that one input may take. Generous: a busy machine must not make it fail.
pub const SLOWEST: Duration = Duration::from_secs(1);

/// The most that one input may allocate at a time, in bytes. No input is longer than 64 KiB, and
/// nothing may reserve what an input only announces.
pub const MOST_BYTES: u64 = 64 << 20;

/// What became of one input, as a number: equal for inputs with which the same happened.
pub type Behaviour = u64;

/// Runs one input. Made anew for each thread, so that it may hold what is expensive to make.
pub type Run = Box<dyn FnMut(&[u8], &mut Rng) -> Behaviour>;

/// Something that takes bytes from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is fed, and what must hold.
    pub about: &'static str,
    /// Longest input, in bytes.
    pub longest: usize,
    /// Well-formed inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Byte strings that mean something in this format.
    pub tokens: &'static [&'static [u8]],
    /// Makes what runs inputs.
    pub make: fn() -> Run,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    bytes::RESP,
    bytes::REPLY,
    bytes::MESSAGES,
    bytes::REPLIES,
    bytes::CONTEXT,
    records::RECORD,
    repair::QUESTION,
    repair::ANSWERS,
    rings::LOG,
    engine::FORWARD,
    engine::ENGINE,
    frames::FRAMES,
    hello::HELLO,
    doors::CONFIG,
    doors::HTTP,
];

/// Gathers what happened into a [`Behaviour`]: kinds as they are, counts by their magnitude.
#[derive(Default)]
struct Signature(u64);

impl Signature {
    /// Something happened.
    fn note(&mut self, what: impl AsRef<[u8]>) -> &mut Self {
        self.0 = twox_hash::XxHash3_64::oneshot_with_seed(self.0, what.as_ref());
        self
    }

    /// Something happened so many times, or was so long: its number of binary digits.
    fn size(&mut self, size: usize) -> &mut Self {
        self.note([(usize::BITS - size.leading_zeros()) as u8])
    }

    fn behaviour(&self) -> Behaviour {
        self.0
    }
}

/// The text of an error without its numbers, which would make every input a new behaviour.
fn kind(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Takes an input apart into its parts: each a length (u16, little endian) and its bytes. The last
/// is what there is.
fn parts(mut input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk() {
        let (part, rest) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
        parts.push(part);
        input = rest;
    }
    parts
}

/// The reverse of [`parts`].
fn join<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    let mut input = Vec::new();
    for part in parts.iter().map(AsRef::as_ref) {
        // Seeds are small; a longer one would only be cut.
        input.extend_from_slice(&(part.len() as u16).to_le_bytes());
        input.extend_from_slice(part);
    }
    input
}
