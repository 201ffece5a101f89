//! One run: what a seed makes of a few members, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use foca::{Member, State};
use henge_membership::{Effect, Swim, SwimPolicy};
use henge_ring::NodeId;

use super::{
    Planted,
    frame::{Frame, Life},
    heard::{Age, Heard},
};
use crate::sim::Rng;

/// When faults end, in milliseconds: half a dozen deaths, each with time for its rumours.
const FAULTY_MS: u64 = 40_000;

/// How long the members then have to find each other again. The dead are called every five seconds, two
/// of them at a time.
const QUIET_MS: u64 = 40_000;

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rules that were broken, in words.
    pub broken: Vec<String>,
    /// How many processes were started anew.
    pub restarts: u64,
    /// How often a member declared another down, and that one was alive: it had been cut off, or lost
    /// too many frames.
    pub false_deaths: u64,
    /// How often a member heard that another had refuted a suspicion.
    pub refuted: u64,
    /// How often a member heard of another's next life.
    pub reborn: u64,
}

impl Verdict {
    /// Whether no rule was broken, and there was something that might have broken one.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty() && self.reborn > 0
    }
}

/// How frames fare, each in so many of a thousand cases.
struct Weather {
    lost: u32,
    doubled: u32,
    held_up: u32,
}

enum Event {
    Frame(Vec<u8>),
    Tick,
    /// A member looks at its link to another.
    Look(usize),
    /// A suspicion of its own has had its time: see [`Planted::RefutationIgnored`].
    Conclude(NodeId, Age),
    Dies,
    Starts,
    /// The members are split, by these sides.
    Split(Vec<u8>),
    /// Links of one pair.
    Cut(usize),
    Mend(usize),
}

/// What a member knows of its links: each life of a link has its own number.
type Links = BTreeMap<usize, u64>;

/// A member, running or not.
struct Seat {
    id: NodeId,
    boot: u64,
    swim: Option<Swim>,
    /// As it signs.
    own: Life,
    tick_at: u64,
    links: Links,
    heard: Heard,
}

struct Run {
    rng: Rng,
    now_ms: u64,
    seats: Vec<Seat>,
    sides: Vec<u8>,
    /// Pairs that cannot reach each other, the lower number first.
    cut: BTreeSet<(usize, usize)>,
    /// How often each pair's connection was lost.
    lost: BTreeMap<(usize, usize), u64>,
    weather: Weather,
    queue: BTreeMap<(u64, u64), (usize, Event)>,
    queued: u64,
    planted: Option<Planted>,
    verdict: Verdict,
}

/// Plays one seed: the same seed tells the same.
pub fn play(seed: u64, planted: Option<Planted>) -> Verdict {
    let mut run = Run::draw(seed, planted);
    run.until(FAULTY_MS);
    run.weather = Weather {
        lost: 0,
        doubled: 0,
        held_up: 0,
    };
    run.until(FAULTY_MS + QUIET_MS);
    run.all_hold_all_to_be_up();
    for heard in run.seats.iter().map(|it| &it.heard) {
        run.verdict.refuted += heard.refuted;
        run.verdict.reborn += heard.reborn;
    }
    run.verdict
}

fn id(number: usize) -> NodeId {
    NodeId([number as u8 + 1; 16])
}

fn number(id: NodeId) -> usize {
    usize::from(id.0[0]) - 1
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl Run {
    fn draw(seed: u64, planted: Option<Planted>) -> Self {
        let mut rng = Rng::new(seed ^ 0x676f_7373_6970); // "gossip"
        let count = rng.between(4, 8) as usize;
        let mut odds = |most: u64| match rng.chance(500) {
            true => rng.between(1, most) as u32,
            false => 0,
        };
        let weather = Weather {
            lost: odds(150),
            doubled: odds(150),
            held_up: odds(150),
        };
        let seat = |number| Seat {
            id: id(number),
            boot: 0,
            swim: None,
            own: Life {
                node: id(number),
                generation: 0,
            },
            tick_at: u64::MAX,
            links: Links::new(),
            heard: Heard::default(),
        };
        let mut run = Self {
            rng,
            now_ms: 0,
            seats: (0..count).map(seat).collect(),
            sides: vec![0; count],
            cut: BTreeSet::new(),
            lost: BTreeMap::new(),
            weather,
            queue: BTreeMap::new(),
            queued: 0,
            planted,
            verdict: Verdict::default(),
        };
        for member in 0..count {
            run.plan(0, member, Event::Starts);
        }
        run.plan_faults();
        run
    }

    /// Processes that die and start again, splits, and single links that break. All end in time.
    fn plan_faults(&mut self) {
        let count = self.seats.len();
        let mut at = self.rng.between(5_000, 8_000);
        while at < FAULTY_MS - 2_000 {
            let member = self.rng.below(count as u64) as usize;
            let end = (at + self.rng.between(200, 8_000)).min(FAULTY_MS);
            match self.rng.below(4) {
                0 => {
                    let sides = (0..count).map(|_| self.rng.below(2) as u8).collect();
                    self.plan(at, member, Event::Split(sides));
                    self.plan(end, member, Event::Split(vec![0; count]));
                }
                1 => {
                    let other = (member + 1 + self.rng.below(count as u64 - 1) as usize) % count;
                    self.plan(at, member, Event::Cut(other));
                    self.plan(end, member, Event::Mend(other));
                }
                _ => {
                    self.plan(at, member, Event::Dies);
                    self.plan(end, member, Event::Starts);
                }
            }
            at += self.rng.between(1_000, 6_000);
        }
    }

    fn plan(&mut self, at: u64, member: usize, event: Event) {
        self.queued += 1;
        self.queue.insert((at, self.queued), (member, event));
    }

    fn until(&mut self, end: u64) {
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= end
        {
            self.now_ms = entry.key().0;
            let (member, event) = entry.remove();
            self.happens(member, event);
        }
        self.now_ms = end;
    }

    fn happens(&mut self, member: usize, event: Event) {
        match event {
            Event::Frame(bytes) => self.frame(member, &bytes),
            Event::Tick if self.seats[member].tick_at == self.now_ms => {
                self.seats[member].tick_at = u64::MAX;
                let effects = self.act(member, Swim::tick);
                self.found(member, &effects);
                self.carry_out(member, effects);
            }
            Event::Tick => {} // one that was planned sooner, or of an earlier process
            Event::Look(other) => self.look(member, other),
            Event::Conclude(suspect, age) => self.conclude(member, suspect, age),
            Event::Dies => {
                self.seats[member].swim = None;
                self.notice(member);
            }
            Event::Starts => self.start(member),
            Event::Split(sides) => {
                self.sides = sides;
                (0..self.seats.len()).for_each(|member| self.notice(member));
            }
            Event::Cut(other) => {
                self.cut.insert(pair(member, other));
                self.notice_pair(member, other);
            }
            Event::Mend(other) => {
                self.cut.remove(&pair(member, other));
                self.notice_pair(member, other);
            }
        }
    }

    fn start(&mut self, member: usize) {
        if self.seats[member].swim.is_some() {
            return; // it died twice and starts once
        }
        let (seed, count) = (self.rng.next(), self.seats.len());
        let seat = &mut self.seats[member];
        seat.boot += 1;
        self.verdict.restarts += u64::from(seat.boot > 1);
        let mut swim = Swim::new(seat.id, seat.boot, SwimPolicy::default(), seed);
        swim.set_members(count);
        seat.swim = Some(swim);
        seat.own.generation = seat.boot << 16;
        seat.tick_at = u64::MAX;
        seat.links.clear();
        self.verdict.refuted += seat.heard.refuted;
        self.verdict.reborn += seat.heard.reborn;
        seat.heard = Heard::default();
        self.notice(member);
    }

    fn is_up(&self, member: usize) -> bool {
        self.seats[member].swim.is_some()
    }

    /// Nobody has a link to itself: the library, told of an earlier life of its own member, may call that
    /// one, as it calls all that are down.
    fn linked(&self, a: usize, b: usize) -> bool {
        a != b
            && self.is_up(a)
            && self.is_up(b)
            && self.sides[a] == self.sides[b]
            && !self.cut.contains(&pair(a, b))
    }

    /// Something has become of a member's links.
    fn notice(&mut self, member: usize) {
        for other in (0..self.seats.len()).filter(|it| *it != member) {
            self.notice_pair(member, other);
        }
    }

    /// Whatever connection a pair had is lost; both find out in their own time what there is now.
    fn notice_pair(&mut self, a: usize, b: usize) {
        *self.lost.entry(pair(a, b)).or_default() += 1;
        for (member, other) in [(a, b), (b, a)] {
            let at = self.now_ms + self.rng.between(20, 1_500);
            self.plan(at, member, Event::Look(other));
        }
    }

    fn look(&mut self, member: usize, other: usize) {
        if !self.is_up(member) {
            return;
        }
        let life = self.lost[&pair(member, other)];
        let had = self.seats[member].links.get(&other).copied();
        if had.is_some_and(|had| had != life) {
            self.seats[member].links.remove(&other);
            let suspect = id(other);
            if let (Some(Planted::RefutationIgnored), Some(age)) =
                (self.planted, self.seats[member].heard.newest(suspect))
            {
                let at = self.now_ms + SwimPolicy::default().refute_within_ms;
                self.plan(at, member, Event::Conclude(suspect, age));
            }
            let effects = self.act(member, |swim, now, effects| {
                swim.lost(suspect, now, effects)
            });
            self.found(member, &effects);
            self.carry_out(member, effects);
        }
        if self.linked(member, other) && self.seats[member].links.insert(other, life) != Some(life)
        {
            let effects = self.act(member, |swim, now, _| swim.meet(id(other), now));
            self.carry_out(member, effects);
        }
    }

    /// Lets a running member do something. It ticks when it wants to.
    fn act(
        &mut self,
        member: usize,
        what: impl FnOnce(&mut Swim, u64, &mut Vec<Effect>),
    ) -> Vec<Effect> {
        let (now, mut effects) = (self.now_ms, Vec::new());
        let seat = &mut self.seats[member];
        let Some(swim) = &mut seat.swim else {
            return effects;
        };
        what(swim, now, &mut effects);
        if let Some(at) = swim.deadline().map(|at| at.max(now))
            && at < seat.tick_at
        {
            seat.tick_at = at;
            self.plan(at, member, Event::Tick);
        }
        effects
    }

    /// A frame reaches a member, if it runs.
    fn frame(&mut self, member: usize, bytes: &[u8]) {
        let Some(frame) = Frame::read(bytes).filter(|_| self.is_up(member)) else {
            return;
        };
        let taken = match self.planted {
            Some(Planted::OlderLifeBelieved) => self.believed(member, &frame).write(),
            _ => None,
        };
        let (source, own) = (frame.header.src.node, self.seats[member].own);
        let mut understood = Ok(());
        let effects = self.act(member, |swim, now, effects| {
            let bytes = taken.as_deref().unwrap_or(bytes);
            understood = swim.receive(source, bytes, now, effects);
        });
        if let Err(error) = understood {
            self.broken(member, &format!("{error}"));
        }
        for node in down(&effects) {
            let heard = &self.seats[member].heard;
            if let Err(broken) = heard.death_of_a_later_life_needs_news_of_it(node, &frame) {
                self.broken(member, &broken);
            }
        }
        let seat = &mut self.seats[member];
        let up = seat.swim.as_ref().and_then(|swim| swim.is_up(source));
        seat.heard.listen(own, &frame, up == Some(true));
        self.count_deaths(&effects);
        self.carry_out(member, effects);
    }

    /// The frame as a member takes it that knows no order of lives and incarnations.
    fn believed(&self, member: usize, frame: &Frame) -> Frame {
        let seat = &self.seats[member];
        let mut frame = frame.clone();
        for it in frame.news.iter_mut().flatten() {
            let node = it.id().node;
            let told = (it.id().generation, it.incarnation());
            if let Some(known) = seat.heard.newest(node)
                && node != seat.id
                && told < known
            {
                let generation = known.0;
                *it = Member::new(Life { node, generation }, known.1, it.state());
            }
        }
        frame
    }

    /// The member declares its suspect down, whatever it has heard since.
    fn conclude(&mut self, member: usize, suspect: NodeId, age: Age) {
        let seat = &self.seats[member];
        let Some(swim) = &seat.swim else { return };
        let speaks =
            |it: &&Seat| it.id != suspect && it.id != seat.id && swim.is_up(it.id) == Some(true);
        let Some(speaker) = self.seats.iter().find(speaks).map(|it| it.id) else {
            return;
        };
        let Some((generation, incarnation)) = seat.heard.newest(speaker) else {
            return;
        };
        let life = Life {
            node: suspect,
            generation: age.0,
        };
        // As if somebody whom it trusts had said so: there is no other way in from outside.
        let source = Life {
            node: speaker,
            generation,
        };
        let said = Member::new(life, age.1, State::Down);
        let Some(bytes) = Frame::new(source, incarnation, seat.own, said).write() else {
            return;
        };
        let effects = self.act(member, |swim, now, effects| {
            let understood = swim.receive(speaker, &bytes, now, effects);
            debug_assert_eq!(understood, Ok(()));
        });
        self.found(member, &effects);
        self.carry_out(member, effects);
    }

    /// What a member found out by itself.
    fn found(&mut self, member: usize, effects: &[Effect]) {
        down(effects).for_each(|node| self.seats[member].heard.declares(node));
        self.count_deaths(effects);
    }

    fn count_deaths(&mut self, effects: &[Effect]) {
        let alive = down(effects).filter(|node| self.is_up(number(*node)));
        self.verdict.false_deaths += alive.count() as u64;
    }

    fn carry_out(&mut self, member: usize, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Send { to, frame } = effect {
                self.send(member, number(to), frame);
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let Some(frame) = Frame::read(&bytes) else {
            return self.broken(from, "sends what is no frame");
        };
        let seat = &mut self.seats[from];
        seat.own = frame.header.src;
        if let Err(broken) = seat.heard.no_refuted_suspicion_ends_in_death(&frame) {
            self.broken(from, &broken);
        }
        if !self.linked(from, to) {
            return;
        }
        let late = self.now_ms + self.rng.between(1, 10_000);
        if self.rng.chance(self.weather.doubled) {
            self.plan(late, to, Event::Frame(bytes.clone()));
        }
        if self.rng.chance(self.weather.lost) {
            return;
        }
        let soon = self.now_ms + self.rng.between(1, 30);
        let at = match self.rng.chance(self.weather.held_up) {
            true => late,
            false => soon,
        };
        self.plan(at, to, Event::Frame(bytes));
    }

    fn all_hold_all_to_be_up(&mut self) {
        for member in 0..self.seats.len() {
            for other in (0..self.seats.len()).filter(|it| *it != member) {
                let swim = self.seats[member].swim.as_ref();
                let up = swim.and_then(|swim| swim.is_up(id(other)));
                if up != Some(true) {
                    let node = id(other);
                    self.broken(member, &format!("does not hold {} to be up", node.short()));
                }
            }
        }
    }

    fn broken(&mut self, member: usize, what: &str) {
        let text = format!("at {} ms n{}: {what}", self.now_ms, member + 1);
        self.verdict.broken.push(text);
    }
}

/// Who is held to be down from now on.
fn down(effects: &[Effect]) -> impl Iterator<Item = NodeId> {
    effects.iter().filter_map(|effect| match effect {
        Effect::Down(node) => Some(*node),
        _ => None,
    })
}
