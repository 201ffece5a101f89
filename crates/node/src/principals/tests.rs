//! The index as a lattice: whatever order its writes arrive in, no entry is missed and no logout undone.

use std::collections::BTreeSet;

use henge_versioning::{ActorId, HlcTime, Merge, NEVER, RecordRef, Stamp, delta, merge};
use proptest::prelude::*;

use super::{index::Index, *};
use crate::{
    Condition, Expiry, FieldWrites, Options,
    hidden::{self, Hidden},
};

fn stamp(time: u64, actor: u64) -> Stamp {
    Stamp {
        time: HlcTime(time),
        actor: ActorId(actor),
    }
}

fn parse(record: &[u8]) -> RecordRef<'_> {
    RecordRef::parse(record).expect("a record")
}

fn join(one: &mut Vec<u8>, other: &[u8]) {
    let mut both = Vec::new();
    match merge(one, other, &mut both).expect("records") {
        Merge::Unchanged => {}
        Merge::Incoming => *one = other.to_vec(),
        Merge::Joined => *one = both,
    }
}

/// One replica, which coordinates as its own actor.
#[derive(Clone, Default)]
struct Replica(Option<Vec<u8>>);

impl Replica {
    fn learn(&mut self, delta: &[u8]) {
        match &mut self.0 {
            Some(record) => join(record, delta),
            None => self.0 = Some(delta.to_vec()),
        }
    }

    fn write(&mut self, fields: &FieldWrites<'_>, stamp: Stamp, now_ms: u64) -> Option<Vec<u8>> {
        let (mut delta, present) = (Vec::new(), self.0.as_deref().map(parse));
        let applied = decide_entries(fields, present, stamp, now_ms, &mut delta);
        applied.then(|| {
            self.learn(&delta);
            delta
        })
    }

    fn sessions(&self) -> BTreeSet<String> {
        let index = self.0.as_deref().map(parse);
        let entries = index.iter().flat_map(entries);
        entries
            .map(|it| String::from_utf8_lossy(it.session).into_owned())
            .collect()
    }

    fn index(&self) -> Index {
        Index::of(self.0.as_deref().map(parse).as_ref())
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// A login is entered by this replica; those in the mask hear of it.
    Enter(usize, u8),
    /// This replica ends the life that it knows.
    End(usize, u8),
    /// This replica lets go of a session that is gone.
    Forget(usize, usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..3usize, 0..8u8).prop_map(|(at, heard)| Act::Enter(at, heard)),
        1 => (0..3usize, 0..8u8).prop_map(|(at, heard)| Act::End(at, heard)),
        3 => (0..3usize, 0..40usize).prop_map(|(at, which)| Act::Forget(at, which)),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Three actors write, partly without hearing of each other. In the end all is merged: every
    /// session that was entered in the last life, or in one that nobody ended, is listed, unless it was
    /// let go; and a session is admitted exactly if no logout was made of its life.
    #[test]
    fn no_entry_is_missed_and_no_logout_undone(acts in acts()) {
        let mut replicas = vec![Replica::default(); 3];
        let mut deltas = Vec::new();
        let (mut entered, mut gone) = (Vec::<(String, u64)>::new(), BTreeSet::new());
        let mut ended = BTreeSet::new();
        for (act, turn) in acts.iter().zip(1u64..) {
            let now_ms = turn * SETTLED_MS;
            let (made, heard) = match act {
                Act::Enter(at, heard) => {
                    let session = format!("sess:{turn}");
                    let fields = FieldWrites::from_iter([(session.as_bytes(), Some(&b""[..]))]);
                    let life = replicas[*at].index().next_entry();
                    let made = replicas[*at].write(&fields, stamp(turn, *at as u64 + 1), now_ms);
                    prop_assert!(made.is_some());
                    prop_assert!(replicas[*at].index().admits(life));
                    entered.push((session.clone(), life));
                    (made, *heard)
                }
                Act::End(at, heard) => {
                    let known = replicas[*at].0.clone();
                    let Some(known) = known.filter(|it| !parse(it).is_dead()) else { continue };
                    let life = parse(&known).epoch();
                    let mut made = Vec::new();
                    delta::bury(&mut made, life, NEVER);
                    replicas[*at].learn(&made);
                    ended.insert(life.time.0);
                    (Some(made), *heard)
                }
                Act::Forget(at, which) => {
                    let Some((session, _)) = entered.get(*which).cloned() else { continue };
                    let fields = FieldWrites::from_iter([(session.as_bytes(), None)]);
                    let made = replicas[*at].write(&fields, stamp(turn, *at as u64 + 1), now_ms);
                    if made.is_some() {
                        gone.insert(session.clone());
                    }
                    (made, 0)
                }
            };
            if let Some(made) = made {
                for (replica, bit) in replicas.iter_mut().zip(0..) {
                    if heard >> bit & 1 == 1 {
                        replica.learn(&made);
                    }
                }
                deltas.push(made);
            }
        }
        let mut all = Replica::default();
        deltas.iter().rev().for_each(|delta| all.learn(delta));
        let mut forwards = Replica::default();
        deltas.iter().for_each(|delta| forwards.learn(delta));
        prop_assert_eq!(&all.0, &forwards.0, "in any order");
        let (index, listed) = (all.index(), all.sessions());
        for (session, life) in &entered {
            if ended.contains(life) {
                prop_assert!(!index.admits(*life), "{} was logged out", session);
                prop_assert!(index.has_logged_out(*life));
            }
            if index.admits(*life) && !gone.contains(session) {
                prop_assert!(listed.contains(session), "{} is missed: {:?}", session, listed);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_owner_or_none_and_owners_come_back(
        life in any::<u64>(),
        principal in prop::collection::vec(any::<u8>(), 0..300),
        value in prop::collection::vec(any::<u8>(), 0..20),
        named in any::<bool>(),
    ) {
        let owner = Owner { life, principal: &principal };
        let hidden = owner.encode();
        let name: &[u8] = if named { b"name" } else { b"" };
        let plain = [(name, Some(&value[..]))];
        let both = [(name, Some(&value[..])), (b"\0\0principal", Some(&hidden[..]))];
        let (mut shown, mut whole) = (Vec::new(), Vec::new());
        delta::put_fields(&mut shown, stamp(1, 0), stamp(9, 9), Some(77), &plain);
        delta::put_fields(&mut whole, stamp(1, 0), stamp(9, 9), Some(77), &both);
        prop_assert_eq!(Hidden::of(&whole).and_then(|it| it.owner), Some(owner));
        prop_assert_eq!(Hidden::of(&shown), None);
        prop_assert_eq!(hidden::visible(&whole), Some(shown));
    }
}

#[test]
fn an_entry_goes_only_when_it_is_settled_and_an_index_has_its_most() {
    let mut replica = Replica::default();
    let enter =
        |session: &'static str| FieldWrites::from_iter([(session.as_bytes(), Some(&b""[..]))]);
    let forget = |session: &'static str| FieldWrites::from_iter([(session.as_bytes(), None)]);
    assert!(replica.write(&enter("a"), stamp(1, 1), 1_000).is_some());
    let early = 1_000 + SETTLED_MS - 1;
    assert!(
        replica.write(&forget("a"), stamp(2, 1), early).is_none(),
        "it may be on its way"
    );
    assert!(
        replica
            .write(&forget("a"), stamp(3, 2), early + 1)
            .is_none(),
        "another's slot"
    );
    assert!(
        replica
            .write(&forget("a"), stamp(4, 1), early + 1)
            .is_some()
    );
    let value = |number: u32| [&[0; 8], format!("session {number}").as_bytes()].concat();
    let slot = |number: u32| [&2u64.to_be_bytes()[..], &number.to_be_bytes()].concat();
    let slots: Vec<_> = (0..MOST_SESSIONS as u32)
        .map(|it| (slot(it), value(it)))
        .collect();
    let fields: Vec<_> = slots
        .iter()
        .map(|(name, value)| (&name[..], Some(&value[..])))
        .collect();
    let mut full = Vec::new();
    delta::put_fields(&mut full, stamp(1, 0), stamp(5, 2), Some(NEVER), &fields);
    replica.learn(&full);
    assert_eq!(replica.sessions().len(), MOST_SESSIONS);
    assert!(
        replica
            .write(&enter("one more"), stamp(6, 2), early)
            .is_none()
    );
    assert!(
        replica
            .write(&enter("session 7"), stamp(7, 2), early)
            .is_some(),
        "it has its slot"
    );
}

#[test]
fn only_the_node_itself_may_name_what_is_reserved() {
    let request = |key: &'static [u8], name: &'static [u8]| Request {
        key,
        operation: Operation::PutFields {
            fields: FieldWrites::from_iter([(name, None)]),
            expiry: crate::Expiry::Keep,
        },
        options: Options::default(),
    };
    for allowed in [
        request(b"sess:1", b"\0x"),
        request(b"\0", b"a"),
        request(b"", b"a"),
    ] {
        assert_eq!(refuse_reserved(&allowed), Ok(()));
    }
    for refused in [
        request(b"\0principal:a", b"x"),
        request(b"sess:1", b"\0\0principal"),
        request(b"sess:1", b""),
    ] {
        assert!(matches!(
            refuse_reserved(&refused),
            Err(Failure::Invalid(_))
        ));
    }
    let replaced = Request {
        operation: Operation::ReplaceField {
            name: b"\0\0principal",
            before: None,
            after: b"x",
        },
        ..request(b"sess:1", b"")
    };
    let modified = |field| Request {
        operation: Operation::Modify {
            field,
            by: crate::Modification::Add(1),
            expiry: Expiry::Keep,
            condition: Condition::Always,
        },
        ..request(b"sess:1", b"")
    };
    assert!(refuse_reserved(&modified(Some(b"\0\0principal"))).is_err());
    assert_eq!(refuse_reserved(&modified(None)), Ok(()));
    assert!(refuse_reserved(&replaced).is_err());
    assert!(index_key(&[]).is_err() && index_key(&[0; MAX_PRINCIPAL + 1]).is_err());
    assert!(is_index(
        &index_key(&[0xff; MAX_PRINCIPAL]).expect("short enough")
    ));
}
