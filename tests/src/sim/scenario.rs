//! Scenarios: a few commands, each followed by everything that it caused. They are read as the
//! protocol's documentation and compared as its regression test.
//!
//! ```text
//! > nodes 5                       five nodes, N=3, their links up
//! > owners KEY                    which nodes hold the key, in the ring's order
//! > NODE put KEY NUMBER [seen] [r=R] [w=W] [strict|sloppy]
//! > NODE get KEY …                the last read is what `seen` refers to
//! > NODE delete KEY …             of siblings: what was seen; of a session: log out
//! > cut NODE…                     these nodes cannot talk to the others
//! > heal                          they can
//! > crash NODE, start NODE
//! > wait MILLISECONDS
//! > show KEY                      what each node holds
//! ```
//! A network in which every message takes half a millisecond makes the transcripts steady. Lines
//! that do not begin with `>` or `#` are output.

use henge_node::{Failure, Outcome};
use henge_versioning::{RecordRef, VersionVector, siblings};

use super::{
    ask::{Ask, What},
    describe,
    network::Weather,
    node::Convergence,
    world::{Notice, Setting, World},
};
use crate::history::{Element, Quorum};

/// A command could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ScenarioError {
    /// Its number, from 1.
    pub line: usize,
    /// What was expected there.
    pub what: String,
}

/// Plays a scenario: keeps its commands and comments, and puts the output where the old one was.
///
/// # Errors
/// At the first command that is none.
pub fn play(text: &str) -> Result<String, ScenarioError> {
    let mut stage = Stage::new(5);
    let mut played = String::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.is_empty() {
            played += &format!("{line}\n");
        } else if let Some(command) = line.strip_prefix("> ") {
            played += &format!("{line}\n");
            let wrong = |what| ScenarioError {
                line: number + 1,
                what,
            };
            for said in stage.command(command).map_err(wrong)? {
                played += &format!("{said}\n");
            }
        }
    }
    Ok(played)
}

struct Stage {
    world: World<()>,
    cut: Vec<(usize, usize)>,
    seen: VersionVector,
    asked: u64,
}

/// Long enough for everything that a command causes at once.
const A_MOMENT: u64 = 10_000;

impl Stage {
    fn new(nodes: usize) -> Self {
        let setting = Setting {
            seed: 1,
            n: 3,
            skew_ms: vec![0; nodes],
            founders: nodes,
            sources: 2,
            weather: Weather {
                delay: (500, 500),
                ..Weather::FAIR
            },
            detect: 100_000,
            reconnect: 20_000,
            tick: 5_000,
            keep_text: true,
            planted: None,
            convergence: Convergence::WithoutAntiEntropy,
        };
        let mut world = World::new(setting);
        let nothing = world.next(1_000_000);
        debug_assert!(nothing.is_none(), "nobody has asked anything");
        world.trace.take_text();
        Self {
            world,
            cut: Vec::new(),
            seen: VersionVector::new(),
            asked: 0,
        }
    }

    fn command(&mut self, command: &str) -> Result<Vec<String>, String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["nodes", count] => *self = Self::new(count.parse().map_err(|_| "expected a number")?),
            ["owners", key] => {
                let owners = self.world.owners(key);
                let names: Vec<_> = owners.iter().map(|node| format!("n{}", node + 1)).collect();
                return Ok(vec![format!("  {}", names.join(" "))]);
            }
            ["show", key] => return Ok(self.show(key)),
            ["cut", nodes @ ..] => {
                let side: Vec<usize> = nodes
                    .iter()
                    .map(|name| self.node(name))
                    .collect::<Result<_, _>>()?;
                self.cut_off(&side);
                self.run(200_000);
            }
            ["heal"] => {
                self.world.mend(&std::mem::take(&mut self.cut));
                self.run(100_000);
            }
            ["crash", name] => {
                let node = self.node(name)?;
                self.world.crash(node);
                self.run(200_000);
            }
            ["start", name] => {
                let node = self.node(name)?;
                self.world.start(node);
                self.run(100_000);
            }
            ["wait", time] => {
                let time: u64 = time.parse().map_err(|_| "expected milliseconds")?;
                self.run(time * 1000);
            }
            [name, verb, key, arguments @ ..] => {
                let node = self.node(name)?;
                let ask = self.asked(verb, key, arguments)?;
                return Ok(self.ask(node, ask));
            }
            _ => return Err(format!("{command:?} is no command")),
        }
        Ok(self.trace())
    }

    fn cut_off(&mut self, side: &[usize]) {
        let nodes = self.world.nodes.len();
        for from in 0..nodes {
            let across = (0..nodes).filter(|to| side.contains(to) != side.contains(&from));
            self.cut.extend(across.map(|to| (from, to)));
        }
        self.world.cut(&self.cut.clone());
    }

    fn asked(&self, verb: &str, key: &str, arguments: &[&str]) -> Result<Ask, String> {
        let mut quorum = Quorum {
            n: 3,
            r: 2,
            w: 2,
            strict: true,
        };
        let mut element: Option<Element> = None;
        let mut context = VersionVector::new();
        for word in arguments {
            match (word.split_once('='), *word) {
                (Some(("r", count)), _) => quorum.r = count.parse().map_err(|_| "expected r=N")?,
                (Some(("w", count)), _) => quorum.w = count.parse().map_err(|_| "expected w=N")?,
                (None, "strict") => quorum.strict = true,
                (None, "sloppy") => quorum.strict = false,
                (None, "seen") => context = self.seen.clone(),
                (_, number) => {
                    element = Some(number.parse().map_err(|_| format!("what is {number:?}?"))?);
                }
            }
        }
        let wanted = element.ok_or("expected a number to put");
        let what = match (verb, key.split(':').next().unwrap_or_default()) {
            ("get", _) => What::Get,
            ("put", "siblings") => What::PutSibling(wanted?, context),
            ("put", "sess") => What::PutField(wanted?, None),
            ("put", _) => What::PutRegister(wanted?),
            ("delete", "siblings") => What::DeleteSiblings(context),
            ("delete", _) => What::Logout,
            _ => return Err(format!("{verb:?} is no operation")),
        };
        Ok(Ask {
            key: key.to_owned(),
            what,
            quorum,
            timeout_ms: 500,
            after: None,
        })
    }

    /// Asks, waits for the answer, and lets what it left behind run out.
    fn ask(&mut self, node: usize, ask: Ask) -> Vec<String> {
        self.asked += 1;
        if !self.world.ask(node, ask, self.asked) {
            return vec!["  = nobody is there".to_owned()];
        }
        let patience = self.world.now + 1_000_000;
        let answer = match self.world.next(patience) {
            Some(Notice::Completed { outcome, .. }) => self.answer(&outcome),
            _ => "no answer".to_owned(),
        };
        let mut said = self.trace();
        said.push(format!("  = {answer}"));
        self.run(A_MOMENT);
        said.extend(self.trace());
        said
    }

    fn answer(&mut self, outcome: &Outcome) -> String {
        match &outcome.result {
            Err(Failure::Unknown { .. }) => {
                let failure = outcome.result.as_ref().err().map(ToString::to_string);
                format!("unknown: {}", failure.unwrap_or_default())
            }
            Err(failure) => format!("failed: {failure}"),
            Ok(done) => match &done.record {
                Some(bytes) => {
                    let record = RecordRef::parse(bytes);
                    self.seen = record.map(siblings::context).unwrap_or_default();
                    describe::record(bytes)
                }
                None if done.absorbed => "absorbed: the session is dead".to_owned(),
                None if done.applied => "ok".to_owned(),
                None => "nothing".to_owned(),
            },
        }
    }

    fn show(&self, key: &str) -> Vec<String> {
        let held = self
            .world
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(number, node)| {
                let bytes = node.store.record(key.as_bytes())?;
                Some(format!(
                    "  n{} holds {}",
                    number + 1,
                    describe::record(&bytes)
                ))
            });
        held.collect()
    }

    fn node(&self, name: &str) -> Result<usize, String> {
        let number = name
            .strip_prefix('n')
            .and_then(|number| number.parse::<usize>().ok());
        let known = number.filter(|number| (1..=self.world.nodes.len()).contains(number));
        known
            .map(|number| number - 1)
            .ok_or(format!("{name:?} is no node"))
    }

    fn run(&mut self, time: u64) {
        let until = self.world.now + time;
        // Answers that come after their time has been given up concern nobody here.
        while self.world.next(until).is_some() {}
    }

    fn trace(&mut self) -> Vec<String> {
        self.world
            .trace
            .take_text()
            .into_iter()
            .map(|line| format!("  {}", line.trim()))
            .collect()
    }
}
