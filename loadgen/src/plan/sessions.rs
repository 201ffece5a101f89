//! The life of web sessions: login, reads, touches, changes, logout, and a look that it is gone.
//!
//! Each virtual user belongs to one connection and has at most one operation under way, so that the
//! history of a session is exact. A change is a read followed by a write, as web frameworks do it.
//! A session whose fate is in doubt (login, or logout, of unknown outcome) is left alone and its user
//! logs in anew; ids are never reused.

use super::{Common, Evidence, Kind, Op, Outcome, Plan, read_op, write_op};
use crate::{
    history::{History, Millis, Verdict},
    rng::{Rng, fresh_seed},
};

/// Destroyed sessions remembered per connection, to be looked at again; older ones are forgotten.
const GRAVEYARD: usize = 20_000;

/// How often each step is taken in the middle of a session's life; only the proportions matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weights {
    pub(crate) read: u32,
    pub(crate) touch: u32,
    pub(crate) change: u32,
    pub(crate) logout: u32,
    /// Looks at sessions destroyed earlier.
    pub(crate) ghost: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            read: 65,
            touch: 20,
            change: 10,
            logout: 3,
            ghost: 2,
        }
    }
}

impl std::str::FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut weights = Self {
            read: 0,
            touch: 0,
            change: 0,
            logout: 0,
            ghost: 0,
        };
        for part in text.split(',') {
            let (name, number) = part
                .split_once('=')
                .ok_or(format!("{part:?} is not name=weight"))?;
            let number = number
                .parse::<u16>()
                .map_err(|_| format!("{number:?} is not a weight"))?;
            let slot = match name {
                "read" => &mut weights.read,
                "touch" => &mut weights.touch,
                "change" => &mut weights.change,
                "logout" => &mut weights.logout,
                "ghost" => &mut weights.ghost,
                _ => {
                    return Err(format!(
                        "{name:?} is not read, touch, change, logout or ghost"
                    ));
                }
            };
            *slot = number.into();
        }
        if weights.total() == weights.ghost {
            return Err("some weight besides ghost must be above 0".to_owned());
        }
        Ok(weights)
    }
}

impl Weights {
    fn total(&self) -> u32 {
        self.read + self.touch + self.change + self.logout + self.ghost
    }
}

/// What a user does next:
///
/// ```text
/// Out --login ok--> In --change: read ok--> Changing --write--> In
///  ^                 \--logout ok--> Left --ghost look--> Out
///  \--- login or logout in doubt, session expired -----------/
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Out,
    In,
    Changing,
    Left,
}

#[derive(Default)]
struct User {
    stage: Stage,
    busy: bool,
    /// The read under way is the first half of a change.
    wants_change: bool,
    key: u64,
    history: History,
}

/// The sessions of one connection's users.
pub(crate) struct SessionsPlan {
    common: Common,
    users: Vec<User>,
    weights: Weights,
    rng: Rng,
    next_key: u64,
    graves: Vec<Evidence>,
    next_grave: usize,
    /// Only log in, until every user is in.
    only_login: bool,
}

/// Marks an operation on a grave in [`Op::slot`]; the rest of the number is the grave's index.
const GRAVE: u32 = 1 << 31;

impl SessionsPlan {
    /// `connection` makes the session ids of this plan its own.
    /// With `only_login` the plan ends when every user is in, until [`Plan::begin_load`].
    pub(crate) fn new(
        common: Common,
        users: u32,
        weights: Weights,
        connection: u32,
        only_login: bool,
    ) -> Self {
        Self {
            common,
            users: (0..users.max(1)).map(|_| User::default()).collect(),
            weights,
            rng: Rng::new(fresh_seed() ^ u64::from(connection)),
            next_key: u64::from(connection) << 40,
            graves: Vec::new(),
            next_grave: 0,
            only_login,
        }
    }

    fn free_user(&mut self) -> Option<usize> {
        let count = self.users.len();
        let start = self.rng.below(count as u32) as usize;
        let in_turn = (start..count).chain(0..start);
        let only_login = self.only_login;
        in_turn.into_iter().find(|index| {
            let user = &self.users[*index];
            !user.busy && (!only_login || user.stage == Stage::Out)
        })
    }

    fn login(&mut self, index: usize, now: Millis) -> Op {
        self.next_key += 1;
        let user = &mut self.users[index];
        user.key = self.next_key;
        user.history = History::default();
        write_op(Kind::Login, user.key, index as u32, &mut user.history, now)
    }

    fn step(&mut self, index: usize, now: Millis) -> Op {
        let Weights {
            read,
            touch,
            change,
            logout,
            ..
        } = self.weights;
        let draw = self.rng.below(self.weights.total());
        if draw >= read + touch + change + logout && !self.graves.is_empty() {
            return self.visit_grave(now);
        }
        let user = &mut self.users[index];
        user.busy = true;
        let slot = index as u32;
        user.wants_change = (read + touch..read + touch + change).contains(&draw);
        if (read..read + touch).contains(&draw) {
            return read_op(Kind::Touch, user.key, slot, &user.history, now);
        }
        if (read + touch + change..read + touch + change + logout).contains(&draw) {
            user.history.begin_destroy();
            return read_op(Kind::Logout, user.key, slot, &user.history, now);
        }
        read_op(Kind::Get, user.key, slot, &user.history, now)
    }

    fn visit_grave(&mut self, now: Millis) -> Op {
        let index = self.rng.below(self.graves.len() as u32);
        let grave = &self.graves[index as usize];
        read_op(Kind::Ghost, grave.key, GRAVE | index, &grave.history, now)
    }

    fn bury(&mut self, index: usize) {
        let user = &mut self.users[index];
        let grave = Evidence {
            key: user.key,
            history: std::mem::take(&mut user.history),
        };
        if self.graves.len() < GRAVEYARD {
            self.graves.push(grave);
        } else {
            self.graves[self.next_grave] = grave;
            self.next_grave = (self.next_grave + 1) % GRAVEYARD;
        }
    }

    /// A read's answer: judges it, and sends the user on.
    fn read_done(&mut self, op: &Op, value: Option<&[u8]>, now: Millis) {
        let user = &mut self.users[op.slot as usize];
        let verdict = self.common.judge(&user.history, op, value, now);
        user.stage = match (op.kind, value) {
            (Kind::Ghost, _) => Stage::Out,
            // A session that should be there is kept: the read-back tells whether it was lost.
            (_, None) if verdict == Verdict::Stale => Stage::In,
            (_, None) => Stage::Out,
            (_, Some(_)) if user.wants_change => Stage::Changing,
            (_, Some(_)) => Stage::In,
        };
    }

    fn touch_done(&mut self, op: &Op, outcome: Outcome<'_>, now: Millis) {
        let user = &mut self.users[op.slot as usize];
        self.common
            .settle_touch(&mut user.history, op, outcome, now);
    }

    fn logout_done(&mut self, op: &Op, outcome: Outcome<'_>) {
        let user = &mut self.users[op.slot as usize];
        let (known, stage) = match outcome {
            Outcome::Done(_) => (Some(true), Stage::Left),
            Outcome::Failed | Outcome::Value(_) => (Some(false), Stage::In),
            Outcome::Unknown => (None, Stage::Out),
        };
        user.history.destroyed(known);
        user.stage = stage;
    }

    fn write_done(&mut self, op: &Op, outcome: Outcome<'_>, now: Millis) {
        let user = &mut self.users[op.slot as usize];
        self.common
            .settle_write(&mut user.history, op, outcome, now);
        let stays = op.kind == Kind::Change || outcome == Outcome::Done(true);
        user.stage = if stays { Stage::In } else { Stage::Out };
    }
}

impl Plan for SessionsPlan {
    fn next(&mut self, now: Millis) -> Option<Op> {
        let index = self.free_user()?;
        let user = &mut self.users[index];
        if user.stage == Stage::In {
            return Some(self.step(index, now));
        }
        user.busy = true;
        Some(match user.stage {
            Stage::Changing => {
                user.wants_change = false;
                write_op(Kind::Change, user.key, index as u32, &mut user.history, now)
            }
            Stage::Left => read_op(Kind::Ghost, user.key, index as u32, &user.history, now),
            Stage::Out | Stage::In => self.login(index, now),
        })
    }

    fn done(&mut self, op: &Op, outcome: Outcome<'_>, now: Millis) {
        if op.slot & GRAVE != 0 {
            // The place may have been given to a younger grave meanwhile; both are destroyed.
            if let Outcome::Value(value) = outcome {
                let grave = &self.graves[(op.slot & !GRAVE) as usize];
                self.common.judge(&grave.history, op, value, now);
            }
            return;
        }
        let index = op.slot as usize;
        self.users[index].busy = false;
        match (op.kind, outcome) {
            (Kind::Login | Kind::Change, _) => self.write_done(op, outcome, now),
            (Kind::Touch, _) => self.touch_done(op, outcome, now),
            (Kind::Logout, _) => self.logout_done(op, outcome),
            (_, Outcome::Value(value)) => self.read_done(op, value, now),
            _ => {}
        }
        let looked = op.kind == Kind::Ghost && matches!(outcome, Outcome::Value(_));
        if looked {
            self.bury(index);
        }
    }

    fn begin_load(&mut self) {
        self.only_login = false;
    }

    fn harvest(&mut self) -> Vec<Evidence> {
        let users = std::mem::take(&mut self.users).into_iter();
        let open = users.map(|user| Evidence {
            key: user.key,
            history: user.history,
        });
        let mut evidence: Vec<_> = open
            .filter(|evidence| evidence.history.has_acked())
            .collect();
        evidence.append(&mut self.graves);
        evidence
    }
}
