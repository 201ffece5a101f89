//! The states of the model and the steps between them.

use std::hash::{Hash, Hasher};

use twox_hash::XxHash3_64;

use super::{
    Flaw, Pair,
    rules::{Knowledge, Rules},
};

/// How many nodes there are.
pub(super) const NODES: usize = 5;
const R: usize = 2;
const W: usize = 2;
/// max(R, W).
pub(super) const WANTED: u8 = 2;

/// What a pair of changes does to the set.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The set in each view: without either event, with the first, with the second, with both.
    pub(super) sets: [[usize; 3]; 4],
    /// Who knows of each event first.
    proposers: [usize; 2],
    /// Who is lost with the first event.
    pub(super) lost: Option<usize>,
    /// Who writes.
    coordinator: usize,
}

impl Shape {
    pub(super) fn of(pair: Pair, coordinator: usize) -> Self {
        let old = [0, 1, 2];
        let (sets, proposers) = match pair {
            Pair::JoinJoin | Pair::ReplaceJoin => ([old, [3, 1, 2], [0, 4, 2], [3, 4, 2]], [3, 4]),
            Pair::JoinLeave => ([old, [3, 1, 2], [0, 1, 4], [3, 1, 4]], [3, 2]),
            Pair::LeaveLeave => ([old, [3, 1, 2], [0, 3, 2], [3, 4, 2]], [0, 1]),
        };
        Self {
            sets,
            proposers,
            lost: (pair == Pair::ReplaceJoin).then_some(0),
            coordinator,
        }
    }
}

/// An answer on its way to a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Answer {
    from: u8,
    to: u8,
    source: u8,
    has_write: bool,
    told: Knowledge,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    knows: Knowledge,
    has_write: bool,
    /// For which transfer it has read which members: from, to, members.
    read: Option<(u8, u8, u8)>,
    answer: Option<Answer>,
}

/// The write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Write {
    /// Counts in these assignments, and was kept by these nodes.
    UnderWay {
        counted: u8,
        kept: u8,
    },
    Acknowledged,
}

/// One state of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    nodes: [Node; NODES],
    /// The events that have happened.
    events: u8,
    write: Write,
}

fn views(bits: u8) -> impl Iterator<Item = usize> {
    (0..4).filter(move |view| bits >> view & 1 == 1)
}

impl State {
    /// Everybody knows the first view, and the write sets out.
    pub(super) fn first(shape: &Shape, rules: &mut Rules) -> Self {
        let mut node = Node::default();
        node.knows.views = 1;
        let counted = rules.follow(shape.coordinator, node.knows).active;
        Self {
            nodes: [node; NODES],
            events: 0,
            write: Write::UnderWay { counted, kept: 0 },
        }
    }

    pub(super) fn hash(&self) -> u64 {
        let mut hasher = XxHash3_64::with_seed(0);
        Hash::hash(self, &mut hasher);
        hasher.finish()
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.write == Write::Acknowledged
    }

    /// Whether some node could now read at quorum, in every set that it counts, without the write.
    pub(super) fn may_be_missed(&self, shape: &Shape, rules: &mut Rules) -> bool {
        (0..NODES)
            .filter(|it| self.lives(shape, *it))
            .any(|reader| {
                let counted = rules.follow(reader, self.nodes[reader].knows).active;
                views(counted).all(|view| {
                    let blind = shape.sets[view].iter().filter(|replica| {
                        let node = &self.nodes[**replica];
                        self.lives(shape, **replica)
                            && !node.has_write
                            && rules.admits(**replica, node.knows, counted)
                    });
                    blind.count() >= R
                })
            })
    }

    fn lives(&self, shape: &Shape, node: usize) -> bool {
        shape.lost != Some(node) || self.events & 1 == 0
    }

    /// Every state that one step leads to.
    pub(super) fn successors(&self, shape: &Shape, rules: &mut Rules, next: &mut Vec<Self>) {
        for event in (0..2).filter(|event| self.events >> event & 1 == 0) {
            let mut then = *self;
            then.events |= 1 << event;
            let news = Knowledge {
                views: 1 << (1 << event),
                ..Knowledge::default()
            };
            then.hear(shape.proposers[event], news, rules);
            next.push(then);
        }
        for node in (0..NODES).filter(|it| self.lives(shape, *it)) {
            for other in (0..NODES).filter(|it| *it != node && self.lives(shape, *it)) {
                let mut then = *self;
                then.hear(other, self.nodes[node].knows, rules);
                next.push(then);
            }
            self.ask_sources(shape, rules, node, next);
            self.take_answer(rules, node, next);
        }
        self.ask_replicas(shape, rules, next);
        // What changes nothing leads nowhere new.
        next.retain(|then| then != self);
    }

    fn hear(&mut self, node: usize, news: Knowledge, rules: &mut Rules) {
        let all = self.nodes[node].knows.union(news);
        let follows = rules.follow(node, all);
        let it = &mut self.nodes[node];
        it.knows = follows.knowledge;
        match (follows.pull, it.read) {
            (Some((from, to, _)), Some((f, t, _))) if (from, to) == (f, t) => {}
            (Some((from, to, _)), _) => it.read = Some((from, to, 0)),
            (None, _) => it.read = None,
        }
        self.finish_pull(node, rules);
    }

    /// A newcomer that has read enough members says so.
    fn finish_pull(&mut self, node: usize, rules: &mut Rules) {
        let follows = rules.follow(node, self.nodes[node].knows);
        if let (Some((from, to, needed)), Some((_, _, read))) =
            (follows.pull, self.nodes[node].read)
            && read.count_ones() >= u32::from(needed)
        {
            let news = Knowledge {
                synced: 1 << (16 * node as u8 + 4 * from + to),
                ..Knowledge::default()
            };
            self.hear(node, news, rules);
        }
    }

    /// A newcomer asks a member of the old set, which hears what the newcomer knows and answers.
    fn ask_sources(&self, shape: &Shape, rules: &mut Rules, node: usize, next: &mut Vec<Self>) {
        let Some((from, to, read)) = self.nodes[node].read else {
            return;
        };
        if self.nodes[node].answer.is_some() {
            return;
        }
        for &source in &shape.sets[usize::from(from)] {
            if source == node || read >> source & 1 == 1 || !self.lives(shape, source) {
                continue;
            }
            let mut then = *self;
            if !rules.has(Flaw::SnapshotBeforeFence) {
                then.hear(source, self.nodes[node].knows, rules);
            }
            let knows = then.nodes[source].knows;
            if rules.follow(source, knows).bases >> from & 1 == 0
                && !rules.has(Flaw::SnapshotBeforeFence)
            {
                next.push(then); // not yet: what it heard stays heard
                continue;
            }
            then.nodes[node].answer = Some(Answer {
                from,
                to,
                source: source as u8,
                has_write: then.nodes[source].has_write,
                told: knows,
            });
            next.push(then);
        }
    }

    /// The answer arrives.
    fn take_answer(&self, rules: &mut Rules, node: usize, next: &mut Vec<Self>) {
        let Some(answer) = self.nodes[node].answer else {
            return;
        };
        let mut then = *self;
        let it = &mut then.nodes[node];
        it.answer = None;
        it.has_write |= answer.has_write;
        if let Some((from, to, read)) = &mut it.read
            && (*from, *to) == (answer.from, answer.to)
        {
            *read |= 1 << answer.source;
        }
        then.hear(node, answer.told, rules);
        if rules.has(Flaw::SnapshotBeforeFence) {
            // The source hears of it all, but only now.
            then.hear(usize::from(answer.source), then.nodes[node].knows, rules);
        }
        next.push(then);
    }

    /// A replica gets the write's request.
    fn ask_replicas(&self, shape: &Shape, rules: &mut Rules, next: &mut Vec<Self>) {
        let Write::UnderWay { counted, kept } = self.write else {
            return;
        };
        let coordinator = shape.coordinator;
        if !self.lives(shape, coordinator) {
            return;
        }
        for replica in (0..NODES).filter(|it| kept >> it & 1 == 0 && self.lives(shape, *it)) {
            if !views(counted).any(|view| shape.sets[view].contains(&replica)) {
                continue;
            }
            let mut then = *self;
            if rules.admits(replica, self.nodes[replica].knows, counted) {
                then.nodes[replica].has_write = true;
                let kept = kept | 1 << replica;
                let holds = |view: usize| {
                    let set = shape.sets[view].iter();
                    set.filter(|node| kept >> **node & 1 == 1).count() >= W
                };
                then.write = match views(counted).all(holds) {
                    true => Write::Acknowledged,
                    false => Write::UnderWay { counted, kept },
                };
            } else {
                then.hear(coordinator, self.nodes[replica].knows, rules);
                then.hear(replica, then.nodes[coordinator].knows, rules);
                let counted = rules
                    .follow(coordinator, then.nodes[coordinator].knows)
                    .active;
                then.write = Write::UnderWay { counted, kept: 0 };
            }
            next.push(then);
        }
    }
}
