//! Examines the tests: makes each mistake of a table until it is noticed.
//!
//! ```text
//! exam [--seeds 10000] [--from 1] [--threads 1] [--only NAME]… [--list]
//! ```
//! `--seeds` bounds the seeds of each question. The exit status is 1 if a mistake goes unnoticed.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use henge_tests::exam::{QUESTIONS, Question};

// A run allocates at every message: with this allocator there are an eighth more runs in the same time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Makes mistakes on purpose until they are noticed.
#[derive(Parser)]
struct Options {
    /// The most seeds for each mistake.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many runs at once. The result is the same.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Only this question; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Shows the questions and asks none.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let chosen =
        |it: &&Question| options.only.is_empty() || options.only.iter().any(|name| name == it.name);
    let questions: Vec<&Question> = QUESTIONS.iter().filter(chosen).collect();
    if questions.is_empty() {
        eprintln!("no question has that name; --list shows them");
        return ExitCode::from(2);
    }
    if options.list {
        for it in questions {
            println!("{:<28} {:<12} {}", it.name, it.listed, it.breaks);
        }
        return ExitCode::SUCCESS;
    }
    let (mut unnoticed, mut runs) = (0, 0);
    let started = Instant::now();
    for question in &questions {
        let caught = question.search(options.from, options.seeds, options.threads);
        let shown = match &caught {
            Some(it) => format!("seed {:<6} after {:<6} {}", it.seed, it.seeds, it.by),
            None => format!("NOT NOTICED in {} seeds", options.seeds),
        };
        runs += caught.as_ref().map_or(options.seeds, |it| it.seeds);
        unnoticed += usize::from(caught.is_none());
        println!("{:<28} {:<12} {shown}", question.name, question.listed);
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} of {} mistakes noticed; {runs} seeds in {seconds:.1} s, {:.1} a second",
        questions.len() - unnoticed,
        questions.len(),
        runs as f64 / seconds
    );
    ExitCode::from(u8::from(unnoticed > 0))
}
