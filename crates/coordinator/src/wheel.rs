//! A hashed timer wheel (Varghese and Lauck, 1987, scheme 6): setting and cancelling are O(1), and
//! a tick costs what is due in it.
//!
//! Time is cut into ticks; each tick maps to one of [`SLOTS`] lists, around and around. A deadline
//! further away than one turn lies in the list of its tick among nearer ones and is passed over
//! until its turn comes. Timers are small numbers (slots of a table) and the lists are threaded
//! through one array indexed by them, so that nothing is allocated once the array has grown to the
//! most timers ever set at once.

/// Lists of the wheel: with ticks of 5 ms one turn is 20 s, so that a deadline of a second or two,
/// the usual case, is visited once. A power of two.
const SLOTS: usize = 4_096;

/// Marks the end of a list, and a timer that is in none.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
    /// The tick at which it is due; `None` when it is not set.
    tick: Option<u64>,
}

const UNSET: Link = Link {
    prev: NONE,
    next: NONE,
    tick: None,
};

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

#[derive(Debug)]
pub(crate) struct Wheel {
    links: Vec<Link>,
    lists: Box<[List]>,
    /// One bit per list: whether it has a timer. Lets `next` skip empty lists by words.
    occupied: Box<[u64]>,
    tick_ms: u64,
    /// The last tick that was served: every timer that is set is due later than this.
    served: u64,
}

impl Wheel {
    pub(crate) fn new(tick_ms: u32, now_ms: u64) -> Self {
        let tick_ms = u64::from(tick_ms);
        Self {
            links: Vec::new(),
            lists: vec![
                List {
                    head: NONE,
                    tail: NONE
                };
                SLOTS
            ]
            .into_boxed_slice(),
            occupied: vec![0; SLOTS / 64].into_boxed_slice(),
            tick_ms,
            served: now_ms / tick_ms,
        }
    }

    /// Sets or moves a timer. Rounded up to a tick, so that it never comes early; a deadline in a
    /// tick already served comes with the next one.
    pub(crate) fn set(&mut self, timer: usize, deadline_ms: u64) {
        self.cancel(timer);
        if timer >= self.links.len() {
            self.links.resize(timer + 1, UNSET);
        }
        let tick = deadline_ms.div_ceil(self.tick_ms).max(self.served + 1);
        let slot = slot_of(tick);
        let tail = std::mem::replace(&mut self.lists[slot].tail, timer as u32);
        self.links[timer] = Link {
            prev: tail,
            next: NONE,
            tick: Some(tick),
        };
        match tail {
            NONE => self.lists[slot].head = timer as u32,
            tail => self.links[tail as usize].next = timer as u32,
        }
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Takes a timer out; one that is not set stays so.
    pub(crate) fn cancel(&mut self, timer: usize) {
        let Some(link) = self.links.get_mut(timer) else {
            return;
        };
        let Link {
            prev,
            next,
            tick: Some(tick),
        } = std::mem::replace(link, UNSET)
        else {
            return;
        };
        let slot = slot_of(tick);
        match prev {
            NONE => self.lists[slot].head = next,
            prev => self.links[prev as usize].next = next,
        }
        match next {
            NONE => self.lists[slot].tail = prev,
            next => self.links[next as usize].prev = prev,
        }
        if self.lists[slot].head == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// Serves every tick up to `now_ms`: takes the due timers out and tells `due` each. A clock that
    /// goes back serves nothing.
    pub(crate) fn advance(&mut self, now_ms: u64, mut due: impl FnMut(usize)) {
        let now = now_ms / self.tick_ms;
        // After a long sleep one turn visits every list; more would visit them again.
        let visits = now.saturating_sub(self.served).min(SLOTS as u64);
        let first = self.served + 1;
        for tick in first..first + visits {
            let mut timer = self.lists[slot_of(tick)].head;
            while timer != NONE {
                let Link { next, tick, .. } = self.links[timer as usize];
                if tick.is_some_and(|tick| tick <= now) {
                    self.cancel(timer as usize);
                    due(timer as usize);
                }
                timer = next;
            }
        }
        self.served = self.served.max(now);
    }

    /// The time of the nearest list that has a timer: at most one turn away, and no later than the
    /// first timer's own.
    pub(crate) fn next(&self) -> Option<u64> {
        let first = slot_of(self.served + 1);
        let words = SLOTS / 64;
        // The first word twice: its upper bits first, its lower bits after a full turn.
        (0..=words).find_map(|step| {
            let word = (first / 64 + step) % words;
            let bits = self.occupied[word]
                & if step == 0 {
                    u64::MAX << (first % 64)
                } else {
                    !0
                };
            (bits != 0).then(|| {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - first) % SLOTS;
                (self.served + 1 + ahead as u64) * self.tick_ms
            })
        })
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests;
