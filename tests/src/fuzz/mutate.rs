//! From inputs to more inputs.

use crate::sim::Rng;

/// Numbers at which decoders go wrong.
const EDGES: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Decimal numbers at which text protocols go wrong.
const DECIMALS: [&[u8]; 10] = [
    b"0",
    b"-1",
    b"1",
    b"65536",
    b"536870912",
    b"2147483648",
    b"4294967295",
    b"9223372036854775807",
    b"9223372036854775808",
    b"99999999999999999999",
];

/// Changes inputs. All of it is decided by the numbers it is given.
pub struct Mutator {
    /// Longest input made.
    pub longest: usize,
    /// Byte strings that mean something in the format.
    pub tokens: &'static [&'static [u8]],
}

impl Mutator {
    /// A mutation of one input of the corpus; another may be spliced into it.
    ///
    /// # Panics
    /// If the corpus is empty.
    pub fn mutate(&self, corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
        let mut input = rng.pick(corpus).clone();
        // Mostly few changes: an input with many is refused at the first.
        let changes = 1 + rng.below(4) * rng.below(3);
        for _ in 0..changes {
            self.change(&mut input, corpus, rng);
            input.truncate(self.longest);
        }
        input
    }

    fn change(&self, input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
        match rng.below(12) {
            0 => flip(input, rng),
            1 => set(input, rng),
            2 => number(input, rng),
            3 => step(input, rng),
            4 => {
                let at = rng.below(input.len() as u64 + 1) as usize;
                input.truncate(at);
            }
            5 => {
                let (from, to) = range(input.len(), rng);
                input.drain(from..to);
            }
            6 => repeat(input, self.longest, rng),
            7 => swap(input, rng),
            8 if !self.tokens.is_empty() => insert(input, pick(self.tokens, rng), rng),
            9 => decimal(input, rng),
            10 => splice(input, pick(corpus, rng), rng),
            _ => {
                let bytes: Vec<u8> = (0..1 + rng.below(8)).map(|_| rng.next() as u8).collect();
                insert(input, &bytes, rng);
            }
        }
    }
}

/// One of them. (`Rng::pick` would be inferred to pick from slices of the unsized.)
fn pick<'a, T: AsRef<[u8]>>(from: &'a [T], rng: &mut Rng) -> &'a [u8] {
    rng.pick(from).as_ref()
}

fn place(input: &[u8], rng: &mut Rng) -> usize {
    rng.below(input.len() as u64) as usize
}

/// Somewhere within: mostly short.
fn range(length: usize, rng: &mut Rng) -> (usize, usize) {
    let from = rng.below(length as u64 + 1) as usize;
    let most = if rng.chance(800) { 16 } else { length };
    let length = rng.below((length - from).min(most) as u64 + 1) as usize;
    (from, from + length)
}

fn insert(input: &mut Vec<u8>, bytes: &[u8], rng: &mut Rng) {
    let at = rng.below(input.len() as u64 + 1) as usize;
    input.splice(at..at, bytes.iter().copied());
}

fn flip(input: &mut [u8], rng: &mut Rng) {
    if !input.is_empty() {
        let at = place(input, rng);
        input[at] ^= 1 << rng.below(8);
    }
}

fn set(input: &mut [u8], rng: &mut Rng) {
    if !input.is_empty() {
        let at = place(input, rng);
        input[at] = rng.next() as u8;
    }
}

/// Writes an edge over one to eight bytes, in either byte order: a length field, most likely.
fn number(input: &mut [u8], rng: &mut Rng) {
    let width = 1 << rng.below(4);
    if input.len() < width {
        return;
    }
    let at = rng.below((input.len() - width) as u64 + 1) as usize;
    let edge = *rng.pick(&EDGES);
    let (little, big) = (edge.to_le_bytes(), edge.to_be_bytes());
    let bytes = if rng.chance(700) {
        &little[..width]
    } else {
        &big[8 - width..]
    };
    input[at..at + width].copy_from_slice(bytes);
}

/// One more or one less: limits are off by one.
fn step(input: &mut [u8], rng: &mut Rng) {
    if !input.is_empty() {
        let at = place(input, rng);
        let by = if rng.chance(500) { 1 } else { u8::MAX };
        input[at] = input[at].wrapping_add(by);
    }
}

/// A piece several times over: nesting and long lists.
fn repeat(input: &mut Vec<u8>, longest: usize, rng: &mut Rng) {
    let (from, to) = range(input.len(), rng);
    if from < to {
        let times = rng.below(((longest / (to - from)) as u64).min(4096)) as usize;
        let piece = input[from..to].repeat(times);
        input.splice(to..to, piece);
    }
}

fn swap(input: &mut [u8], rng: &mut Rng) {
    if input.len() >= 2 {
        let (a, b) = (place(input, rng), place(input, rng));
        input.swap(a, b);
    }
}

/// Another number in place of one that is written in digits.
fn decimal(input: &mut Vec<u8>, rng: &mut Rng) {
    let starts: Vec<usize> = (0..input.len())
        .filter(|&at| input[at].is_ascii_digit() && (at == 0 || !input[at - 1].is_ascii_digit()))
        .collect();
    if starts.is_empty() {
        return insert(input, pick(&DECIMALS, rng), rng);
    }
    let from = *rng.pick(&starts);
    let digits = input[from..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let to = from + digits.count();
    input.splice(from..to, rng.pick(&DECIMALS).iter().copied());
}

/// The beginning of one and the end of another.
fn splice(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let keep = rng.below(input.len() as u64 + 1) as usize;
    let (from, to) = (rng.below(other.len() as u64 + 1) as usize, other.len());
    if rng.chance(500) {
        input.truncate(keep);
        input.extend_from_slice(&other[from..to]);
    } else {
        input.splice(keep..keep, other[from..to].iter().copied());
    }
}
