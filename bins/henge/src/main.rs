//! Henge in one binary: a node, a cluster on this machine, and the operator's commands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod ask;
mod bucket;
mod client;
mod dev;
mod export;
mod flags;
mod members;
mod quorum;
mod repair;
mod ring;
mod serve;
mod status;

// A node keeps millions of small records: this allocator is a quarter cheaper on them than the
// system's, because it uses huge pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A session store for clusters: keys live on N nodes, reads and writes wait for R and W of them.
#[derive(Parser)]
#[command(
    name = "henge",
    version,
    after_help = "\
Try it:
  henge dev                                  three nodes on this machine
  redis-cli -p 7379 set sess:a hi ex 60      write on one node ...
  redis-cli -p 7389 get sess:a               ... read on another
  henge set sess:a hi --w 3 --receipt        wait for all three, and see who has it
  henge explain sess:a                       what each replica holds
  henge ring                                 who owns what, and how evenly
  henge quorum                               what each R and W costs and risks"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole cluster on this machine, for trying and developing
    Dev(dev::Dev),
    /// Run one node
    Serve(Box<serve::Serve>),
    /// Read a key
    Get(ask::Get),
    /// Write a key
    Set(ask::Set),
    /// Destroy a key
    Del(ask::Del),
    /// Give a key a new lifetime
    Touch(ask::Touch),
    /// Show what each replica of a key holds
    Explain(ask::Explain),
    /// Show which node owns how much
    Ring(ring::ShowRing),
    /// Show what each R and W costs and risks: latency, staleness, availability
    Quorum(quorum::ShowQuorum),
    /// Show the nodes: up or down, load, memory
    Status(status::Status),
    /// Show and change buckets: the rules for keys that share a prefix
    Bucket(bucket::Bucket),
    /// Compare replicas now and repair what differs
    Repair(repair::Repair),
    /// Print a node's own records, or part of them
    Export(export::Export),
    /// Let a member leave the cluster
    Leave(members::Leave),
    /// Give a member another share of the partitions
    Reweight(members::Reweight),
    /// Say that a member stands in another zone
    Zone(members::Rezone),
    /// Show what a further node would take, and how to start it
    Join(members::Join),
    /// Show what a node in a member's place would fetch, and how to start it
    Replace(members::Replace),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Dev(dev) => dev.run(),
        Command::Serve(serve) => serve.run(),
        Command::Get(get) => client::block_on(get.run()),
        Command::Set(set) => client::block_on(set.run()),
        Command::Del(del) => client::block_on(del.run()),
        Command::Touch(touch) => client::block_on(touch.run()),
        Command::Explain(explain) => client::block_on(explain.run()),
        Command::Ring(ring) => client::block_on(ring.run()),
        Command::Quorum(quorum) => client::block_on(quorum.run()),
        Command::Status(status) => client::block_on(status.run()),
        Command::Bucket(bucket) => client::block_on(bucket.run()),
        Command::Repair(repair) => client::block_on(repair.run()),
        Command::Export(export) => client::block_on(export.run()),
        Command::Leave(leave) => client::block_on(leave.run()),
        Command::Reweight(reweight) => client::block_on(reweight.run()),
        Command::Zone(rezone) => client::block_on(rezone.run()),
        Command::Join(join) => client::block_on(join.run()),
        Command::Replace(replace) => client::block_on(replace.run()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("henge: {error:#}");
            ExitCode::from(2)
        }
    }
}
