//! Fuzzes the RESP decoder without a fuzzing engine: mutates a corpus with a seeded generator for
//! `FUZZ_SECONDS` (default 5), feeds each input whole and in random pieces, and asserts that both
//! agree, that every limit holds, and that nothing panics. `FUZZ_SEED` repeats a run.

use std::time::{Duration, Instant};

use henge_gateway::{DecodeLimits, Decoder, ProtocolError};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

const CORPUS: [&[u8]; 9] = [
    b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n*1\r\n$4\r\nPING\r\n",
    b"PING\r\n\r\nSET \"a b\" 'c\\'d' \"\\x41\\n\"\r\n",
    b"*0\r\n*-1\r\n*1\r\n$0\r\n\r\n",
    b"*1\r\n*1\r\n$1\r\nx\r\n",
    b"*1000000000\r\n",
    b"*1\r\n$536870912\r\n",
    b"\"unbalanced\r\n",
    b"*2\r\n$-1\r\n$9223372036854775808\r\n",
];
const TOKENS: [&[u8]; 14] = [
    b"*",
    b"$",
    b"\r\n",
    b"\r",
    b"\n",
    b"0",
    b"-1",
    b"9",
    b"1\r\n",
    b"$1\r\na\r\n",
    b"\"",
    b"'",
    b"\\x",
    b" ",
];
/// Small, so that inputs reach them.
const LIMITS: DecodeLimits = DecodeLimits {
    args: 16,
    bulk: 64,
    inline: 128,
    before_auth: false,
};
/// Longest input, in bytes.
const LONGEST: usize = 512;

type Commands = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

fn main() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("FUZZ_SECONDS").unwrap_or(5);
    let seed = number("FUZZ_SEED").unwrap_or_else(|| {
        u64::from(std::process::id()) << 32 | u64::from(Instant::now().elapsed().subsec_nanos())
    });
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut executions, mut commands, mut errors) = (0_u64, 0, 0);
    while Instant::now() < end {
        for _ in 0..256 {
            let input = mutate(&mut rng);
            let whole = decode(&[&input]);
            let pieces = cut(&input, &mut rng);
            assert_eq!(decode(&pieces), whole, "in pieces {pieces:?}");
            executions += 1;
            commands += whole.0.len();
            errors += usize::from(whole.1.is_some());
        }
    }
    println!("{executions} executions, {commands} commands, {errors} refused, 0 failures");
}

fn mutate(rng: &mut StdRng) -> Vec<u8> {
    let mut input = CORPUS[rng.random_range(0..CORPUS.len())].to_vec();
    for _ in 0..rng.random_range(0..12) {
        let at = rng.random_range(0..=input.len());
        match rng.random_range(0..5) {
            0 => drop(input.splice(at..at, TOKENS[rng.random_range(0..TOKENS.len())].to_vec())),
            1 => drop(input.splice(at..at, CORPUS[rng.random_range(0..CORPUS.len())].to_vec())),
            2 if at < input.len() => input[at] = rng.next_u32() as u8,
            3 if at < input.len() => drop(input.remove(at)),
            _ => input.truncate(at.max(input.len() / 2)),
        }
    }
    input.truncate(LONGEST);
    input
}

fn cut<'a>(mut input: &'a [u8], rng: &mut StdRng) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let (piece, rest) = input.split_at(rng.random_range(1..=input.len().min(24)));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

/// Decodes what arrives in pieces, and checks the limits of what comes out.
fn decode(pieces: &[&[u8]]) -> Commands {
    let (mut decoder, mut buffer, mut commands) = (Decoder::new(LIMITS), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.advance(&buffer) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return (commands, Some(error)),
            }
            let args: Vec<Vec<u8>> = decoder.args(&buffer).from(0).map(<[u8]>::to_vec).collect();
            assert!((1..=LIMITS.args).contains(&args.len()));
            assert!(
                args.iter()
                    .all(|arg| arg.len() <= LIMITS.bulk.max(LIMITS.inline))
            );
            commands.push(args);
            buffer.drain(..decoder.release());
        }
        buffer.drain(..decoder.skip());
    }
    (commands, None)
}
