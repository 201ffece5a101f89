//! Histories as people write them: one line per operation, for the checker's own tests.
//!
//! ```text
//! expect C1
//! 1-3   A put siblings:x a : ok
//! 4-6   A get siblings:x : a as seen
//! 7-9   B put siblings:x b ctx=seen : ok
//! phase quiesced 40
//! 50-51 Z get siblings:x : a
//! ```
//!
//! Times are milliseconds. A client is a session. The answer stands after the colon: `ok`, `failed`
//! or `unknown`; for a read what it showed, or `nothing`. `as` names an operation, so that `ctx=`
//! can refer to the context that came with it, a write of a read or a read of a write. `until=` is a deadline. `r=`, `w=`, `n=`, `strict` and `sloppy` override
//! the quorum of one operation (strict 2 of 3). The other lines are `phase NAME TIME`,
//! `fault NAME fired=COUNT`, `replica KEY NODE owner|stranger DIGEST|nothing`, `hints NODE COUNT`,
//! `limit NAME VALUE`, `expect good` or `expect CODE…`, and comments after `#`.

use std::collections::HashMap;

use crate::{
    checker::Limits,
    history::{
        Action, Element, Entry, Fault, Hints, History, Micros, Op, OpId, Outcome, Phase, PhaseMark,
        Quorum, Replica,
    },
};

/// A history with what the checker is expected to say of it.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// What happened.
    pub history: History,
    /// What it is held to.
    pub limits: Limits,
    /// The codes of the rules that it breaks, sorted; none for a good one.
    pub expected: Vec<String>,
}

/// A line could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TranscriptError {
    /// Its number, from 1.
    pub line: usize,
    /// What was expected there.
    pub what: String,
}

type Parsed<T> = Result<T, String>;

/// Reads a transcript.
pub fn parse(text: &str) -> Result<Transcript, TranscriptError> {
    let mut parser = Parser::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("");
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((first, rest)) = words.split_first() {
            parser.line(first, rest).map_err(|what| TranscriptError {
                line: number + 1,
                what,
            })?;
        }
    }
    parser.transcript.expected.sort();
    Ok(parser.transcript)
}

#[derive(Default)]
struct Parser {
    transcript: Transcript,
    elements: HashMap<String, Element>,
    clients: HashMap<String, u32>,
    named: HashMap<String, OpId>,
    next: OpId,
}

impl Parser {
    fn line(&mut self, first: &str, rest: &[&str]) -> Parsed<()> {
        let entry = match first {
            "expect" => {
                let codes = rest.iter().filter(|code| **code != "good");
                self.transcript
                    .expected
                    .extend(codes.map(|code| (*code).to_owned()));
                return Ok(());
            }
            "limit" => return limit(&mut self.transcript.limits, rest),
            "phase" => phase(rest)?,
            "fault" => fault(rest)?,
            "replica" => replica(rest)?,
            "hints" => hints(rest)?,
            times => Entry::Op(self.op(times, rest)?),
        };
        self.transcript.history.entries.push(entry);
        Ok(())
    }

    fn op(&mut self, times: &str, rest: &[&str]) -> Parsed<Op> {
        let (from, to) = times.split_once('-').ok_or("expected FROM-TO")?;
        let colon = rest
            .iter()
            .position(|word| *word == ":")
            .ok_or("expected `: answer`")?;
        let (asked, answer) = (&rest[..colon], &rest[colon + 1..]);
        let [client, verb, key, arguments @ ..] = asked else {
            return Err("expected CLIENT VERB KEY".to_owned());
        };
        self.next += 1;
        let id = self.next;
        let mut options = Asked::default();
        let mut element = None;
        for word in arguments {
            if !options.take(word)? {
                element = Some(self.element(word));
            }
        }
        let context = options
            .context
            .map(|label| self.label(&label))
            .transpose()?;
        let action = match *verb {
            "get" => context.map_or(Action::Get, |write| Action::GetAfter { write }),
            "put" => Action::Put {
                element: element.ok_or("expected an element")?,
                context,
                expires: options.until,
            },
            "delete" => Action::Delete { context },
            "touch" => Action::Touch {
                expires: options.until.ok_or("expected until=")?,
            },
            _ => return Err(format!("{verb:?} is no operation")),
        };
        let clients = self.clients.len() as u32;
        let session = *self.clients.entry((*client).to_owned()).or_insert(clients);
        Ok(Op {
            id,
            session,
            node: 0,
            key: (*key).to_owned(),
            action,
            quorum: options.quorum,
            invoked: millis(from)?,
            returned: millis(to)?,
            outcome: self.outcome(id, answer),
        })
    }

    fn outcome(&mut self, id: OpId, answer: &[&str]) -> Outcome {
        let (shown, label) = match answer {
            [shown @ .., "as", label] => (shown, Some(*label)),
            shown => (shown, None),
        };
        if let Some(label) = label {
            self.named.insert(label.to_owned(), id);
        }
        match shown {
            ["ok" | "nothing"] => Outcome::Ok { values: Vec::new() },
            ["failed"] => Outcome::Failed {
                reason: "needed 2 got 1".to_owned(),
            },
            ["unknown"] => Outcome::Unknown,
            shown => Outcome::Ok {
                values: shown.iter().map(|name| self.element(name)).collect(),
            },
        }
    }

    /// Numbers elements in the order in which they appear.
    fn element(&mut self, name: &str) -> Element {
        let next = self.elements.len() as Element + 1;
        *self.elements.entry(name.to_owned()).or_insert(next)
    }

    /// The number of what is called so; `nowhere` refers to no operation at all.
    fn label(&self, label: &str) -> Parsed<OpId> {
        if label == "nowhere" {
            return Ok(0);
        }
        self.named
            .get(label)
            .copied()
            .ok_or_else(|| format!("nothing is called {label:?}"))
    }
}

/// The words after the key.
struct Asked {
    quorum: Quorum,
    context: Option<String>,
    until: Option<Micros>,
}

impl Default for Asked {
    fn default() -> Self {
        let quorum = Quorum {
            n: 3,
            r: 2,
            w: 2,
            strict: true,
        };
        Self {
            quorum,
            context: None,
            until: None,
        }
    }
}

impl Asked {
    /// Whether the word is an option; it is remembered then.
    fn take(&mut self, word: &str) -> Parsed<bool> {
        match word.split_once('=') {
            Some(("ctx", label)) => self.context = Some(label.to_owned()),
            Some(("until", at)) => self.until = Some(millis(at)?),
            Some(("n", count)) => self.quorum.n = number(count)?,
            Some(("r", count)) => self.quorum.r = number(count)?,
            Some(("w", count)) => self.quorum.w = number(count)?,
            Some((name, _)) => return Err(format!("{name:?} is no option")),
            None if word == "strict" => self.quorum.strict = true,
            None if word == "sloppy" => self.quorum.strict = false,
            None => return Ok(false),
        }
        Ok(true)
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Parsed<T> {
    word.parse().map_err(|_| format!("{word:?} is no number"))
}

fn millis(word: &str) -> Parsed<Micros> {
    Ok(number::<Micros>(word)? * 1000)
}

fn limit(limits: &mut Limits, words: &[&str]) -> Parsed<()> {
    match words {
        ["clock_bound", value] => limits.clock_bound = millis(value)?,
        ["min_acks", value] => limits.min_acks = number(value)?,
        ["seen_stays", value] => limits.seen_stays = number(value)?,
        ["disk_lost", value] => limits.disk_lost = number(value)?,
        ["owners_only", value] => limits.owners_only = number(value)?,
        ["min_ok_share", value] => limits.min_ok_share = number(value)?,
        ["longest_gap", value] => limits.longest_gap = millis(value)?,
        _ => return Err("no such limit".to_owned()),
    }
    Ok(())
}

fn phase(words: &[&str]) -> Parsed<Entry> {
    let [name, at] = words else {
        return Err("expected `phase NAME TIME`".to_owned());
    };
    let phase = match *name {
        "faults" => Phase::Faults,
        "healed" => Phase::Healed,
        "quiesced" => Phase::Quiesced,
        _ => return Err(format!("{name:?} is no phase")),
    };
    Ok(Entry::Phase(PhaseMark {
        at: millis(at)?,
        phase,
    }))
}

fn fault(words: &[&str]) -> Parsed<Entry> {
    let [name, fired] = words else {
        return Err("expected `fault NAME fired=COUNT`".to_owned());
    };
    let fired = fired.strip_prefix("fired=").ok_or("expected fired=")?;
    Ok(Entry::Fault(Fault {
        name: (*name).to_owned(),
        fired: number(fired)?,
    }))
}

fn replica(words: &[&str]) -> Parsed<Entry> {
    let [key, node, role @ ("owner" | "stranger"), digest] = words else {
        return Err("expected `replica KEY NODE owner|stranger DIGEST|nothing`".to_owned());
    };
    Ok(Entry::Replica(Replica {
        key: (*key).to_owned(),
        node: number(node)?,
        owner: *role == "owner",
        digest: if *digest == "nothing" {
            None
        } else {
            Some(number(digest)?)
        },
    }))
}

fn hints(words: &[&str]) -> Parsed<Entry> {
    let [node, count] = words else {
        return Err("expected `hints NODE COUNT`".to_owned());
    };
    Ok(Entry::Hints(Hints {
        node: number(node)?,
        count: number(count)?,
    }))
}
