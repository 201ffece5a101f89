//! One run: what is going to happen, drawn from a seed, and what comes of it.

use std::collections::BTreeMap;

use henge_node::Outcome;
use henge_versioning::RecordRef;

use super::Policy;
use crate::{
    history::{Micros, Quorum},
    sim::{Ask, Convergence, Notice, Rng, START_MS, Setting, Weather, What, World},
};

/// Three replicas, and one that stands in.
const NODES: usize = 4;

/// How far two nodes' clocks may be apart.
const SKEW_MS: u64 = 500;

const SECOND: Micros = 1_000_000;

/// What is written at the login. Later changes have later numbers.
const LOGIN: u64 = 1;

/// When the nodes have found each other.
const BEGIN: Micros = SECOND;

/// When everything is mended.
const MENDED: Micros = 24 * SECOND;

/// Links are up again, and hints delivered, this long after.
const SETTLED: Micros = 3 * SECOND;

const KEY: &str = "sess:one";

/// Something that a run is reminded of.
#[derive(Clone, Debug)]
enum Act {
    Login,
    Change(usize),
    Touch(usize),
    Logout(usize),
    Look(usize),
    LastLook(usize),
    Cut(Vec<(usize, usize)>),
    Mend(Vec<(usize, usize)>),
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// No logout was acknowledged, or the session never began: nothing was tried.
    Untried,
    /// The session stayed away.
    Away,
    /// It came back.
    Back(Resurrection),
}

/// A read that saw a destroyed session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resurrection {
    /// Microseconds between the logout's acknowledgement and the read's answer.
    pub after: Micros,
    /// The node that was asked.
    pub node: usize,
}

struct Run {
    world: World<Act>,
    rng: Rng,
    quorum: Quorum,
    ttl_ms: u64,
    asked: BTreeMap<u64, (Act, Micros)>,
    next: u64,
    began: bool,
    logged_out: Option<Micros>,
    back: Option<Resurrection>,
}

/// Plays one seed: the same seed tells the same under the same policy and quorum.
pub fn play(seed: u64, policy: Policy, quorum: Quorum) -> Told {
    let mut run = Run::draw(seed, policy, quorum);
    while let Some(notice) = run.world.next(MENDED + SETTLED + 2 * SECOND) {
        match notice {
            Notice::Alarm(act) => run.act(act),
            Notice::Completed { token, outcome, .. } => run.told(token, *outcome),
        }
        if run.back.is_some() {
            break;
        }
    }
    match (run.back, run.began && run.logged_out.is_some()) {
        (_, false) => Told::Untried,
        (None, true) => Told::Away,
        (Some(back), true) => Told::Back(back),
    }
}

impl Run {
    fn draw(seed: u64, policy: Policy, quorum: Quorum) -> Self {
        let mut rng = Rng::new(seed);
        let setting = setting(&mut rng, policy);
        let mut run = Self {
            world: World::new(setting),
            quorum,
            ttl_ms: rng.between(4_000, 9_000),
            rng,
            asked: BTreeMap::new(),
            next: 1,
            began: false,
            logged_out: None,
            back: None,
        };
        run.plan();
        run
    }

    /// Draws who does what, and what is cut meanwhile.
    fn plan(&mut self) {
        self.world.alarm(BEGIN, Act::Login);
        let logout = BEGIN + self.rng.between(SECOND / 2, 5 * SECOND);
        let at = self.node();
        self.world.alarm(logout, Act::Logout(at));
        // The other tab writes around the logout, now before, now after it and now at once.
        for _ in 0..self.rng.between(1, 4) {
            let (near, node) = (
                self.rng.between(logout - SECOND / 2, logout + SECOND / 2),
                self.node(),
            );
            self.world.alarm(near, Act::Change(node));
        }
        // It is polled all the while, and its owner looks.
        let mut touch = BEGIN + SECOND / 4;
        while touch < MENDED + SETTLED {
            let (touched, looked) = (self.node(), self.node());
            self.world.alarm(touch, Act::Touch(touched));
            self.world.alarm(touch + SECOND / 8, Act::Look(looked));
            touch += self.rng.between(SECOND / 4, 2 * SECOND);
        }
        for _ in 0..self.rng.between(1, 3) {
            self.isolate(logout);
        }
        for node in 0..NODES {
            self.world
                .alarm(MENDED + SETTLED + SECOND, Act::LastLook(node));
        }
    }

    /// One or two nodes are cut off for a while, mostly over the logout.
    fn isolate(&mut self, logout: Micros) {
        let first = self.node();
        let mut side = vec![first];
        if self.rng.chance(400) {
            side.push((first + 1 + self.rng.below(NODES as u64 - 1) as usize) % NODES);
        }
        let paths: Vec<(usize, usize)> = (0..NODES)
            .filter(|node| !side.contains(node))
            .flat_map(|node| side.iter().flat_map(move |it| [(node, *it), (*it, node)]))
            .collect();
        let from = self.rng.between(logout - SECOND / 2, logout + SECOND);
        let long = self.rng.between(SECOND / 2, 18 * SECOND);
        self.world.alarm(from, Act::Cut(paths.clone()));
        self.world
            .alarm((from + long).min(MENDED), Act::Mend(paths));
    }

    fn node(&mut self) -> usize {
        self.rng.below(NODES as u64) as usize
    }

    fn act(&mut self, act: Act) {
        let (node, what) = match &act {
            Act::Cut(paths) => return self.world.cut(paths),
            Act::Mend(paths) => return self.world.mend(paths),
            Act::Login => (0, What::PutField(LOGIN, Some(self.deadline()))),
            Act::Change(node) => (*node, What::PutField(1 + self.next, None)),
            Act::Touch(node) => (*node, What::Touch(self.deadline())),
            Act::Logout(node) => (*node, What::Logout),
            Act::Look(node) | Act::LastLook(node) => (*node, What::Get),
        };
        let ask = Ask {
            key: KEY.to_owned(),
            what,
            quorum: self.quorum,
            timeout_ms: 500,
            after: None,
        };
        let token = self.next;
        self.next += 1;
        self.asked.insert(token, (act, self.world.now));
        self.world.ask(node, ask, token);
    }

    /// When a session that is prolonged now ends, by a clock that is right.
    fn deadline(&self) -> u64 {
        START_MS + self.world.now / 1000 + self.ttl_ms
    }

    fn told(&mut self, token: u64, outcome: Outcome) {
        let Some((act, asked)) = self.asked.remove(&token) else {
            return;
        };
        match act {
            Act::Login => self.began |= outcome.result.is_ok(),
            Act::Logout(node) => match outcome.result {
                Ok(_) => self.logged_out = self.logged_out.or(Some(self.world.now)),
                // The user clicks again, and whatever stands before the nodes chooses another.
                Err(_) => {
                    let again = self.world.now + SECOND / 5;
                    self.world.alarm(again, Act::Logout((node + 1) % NODES));
                }
            },
            Act::Look(node) | Act::LastLook(node) => {
                let last = matches!(act, Act::LastLook(_));
                self.looked(node, asked, last, &outcome);
            }
            Act::Change(_) | Act::Touch(_) | Act::Cut(_) | Act::Mend(_) => {}
        }
    }

    fn looked(&mut self, node: usize, asked: Micros, last: bool, outcome: &Outcome) {
        let Some(logout) = self.logged_out else {
            return;
        };
        let sees_all = self.quorum.r + self.quorum.w > self.quorum.n && self.quorum.strict;
        if asked > logout && (sees_all || last) && shows_login(outcome, self.world.now) {
            self.back = Some(Resurrection {
                after: self.world.now - logout,
                node,
            });
        }
    }
}

/// Whether the session's first life is shown, by a clock that is as late as clocks may be.
fn shows_login(outcome: &Outcome, now: Micros) -> bool {
    let Ok(done) = &outcome.result else {
        return false;
    };
    let record = done
        .record
        .as_deref()
        .and_then(|it| RecordRef::parse(it).ok());
    let name = format!("f{LOGIN}");
    let by_now = START_MS + now / 1000 + SKEW_MS;
    record.is_some_and(|it| it.is_live(by_now) && it.field(name.as_bytes()).is_some())
}

fn setting(rng: &mut Rng, policy: Policy) -> Setting {
    let half = SKEW_MS / 2;
    let skew = |rng: &mut Rng| rng.between(0, SKEW_MS) as i64 - half as i64;
    let low = rng.between(100, 2_000);
    Setting {
        seed: rng.next(),
        n: 3,
        skew_ms: (0..NODES).map(|_| skew(rng)).collect(),
        founders: NODES,
        sources: 2,
        weather: Weather {
            delay: (low, low + rng.between(100, 50_000)),
            loss: rng.below(30) as u32,
            doubled: rng.below(30) as u32,
            held_up: rng.below(50) as u32,
        },
        detect: rng.between(100, 1_000) * 1000,
        reconnect: rng.between(20, 300) * 1000,
        tick: 50_000,
        keep_text: false,
        planted: policy.planted(),
        convergence: if rng.chance(250) {
            Convergence::Everything
        } else {
            Convergence::WithoutAntiEntropy
        },
    }
}
