//! Properties of chains: what is put in comes out, and costs are what they are said to be.

use henge_versioning::{ActorId, HlcTime, Stamp, delta};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

type Row = (Vec<u8>, Vec<u8>, u64);

fn record(len: usize) -> Vec<u8> {
    let stamp = Stamp {
        time: HlcTime::new(1, 0),
        actor: ActorId(1),
    };
    let mut out = Vec::new();
    delta::begin(&mut out, stamp, 1_000, &vec![len as u8; len]);
    out
}

/// One to eight entries with different keys, digests of any kind.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let records = (0..300_usize).prop_map(record);
    vec((vec(any::<u8>(), 0..200), records, any::<u64>()), 1..8).prop_map(|mut rows| {
        rows.sort();
        rows.dedup_by(|a, b| a.0 == b.0);
        rows
    })
}

fn unlimited() -> Account {
    Account::new(u64::MAX, 0)
}

/// The rows as a chain, charged to `account`.
fn chained(rows: &[Row], account: &Account) -> Chain {
    let (key, record, digest) = &rows[0];
    account
        .charge(Entry::cost_of(key, record))
        .expect("there is no limit");
    let mut chain = Chain::One(Entry::new(key, record, *digest));
    for (key, record, digest) in &rows[1..] {
        chain
            .push(key, record, *digest, account)
            .expect("there is no limit");
    }
    chain
}

fn unchained(chain: &Chain) -> Vec<Row> {
    let row = |entry: &Entry| {
        let record = entry.stored().bytes.to_vec();
        (entry.key().to_vec(), record, entry.digest())
    };
    chain.entries().iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_put_in_comes_out(rows in rows()) {
        prop_assert_eq!(unchained(&chained(&rows, &unlimited())), rows);
    }

    #[test]
    fn one_entry_lies_in_the_slot_and_more_in_a_list(rows in rows()) {
        let chain = chained(&rows, &unlimited());
        prop_assert_eq!(matches!(chain, Chain::One(_)), rows.len() == 1);
    }

    #[test]
    fn the_account_is_charged_what_the_chain_costs(rows in rows()) {
        let account = unlimited();
        let chain = chained(&rows, &account);
        prop_assert_eq!(account.usage().bytes, chain.cost());
    }

    #[test]
    fn each_key_finds_its_own_entry(rows in rows(), other in vec(any::<u8>(), 0..9)) {
        let chain = chained(&rows, &unlimited());
        for (key, _, digest) in &rows {
            prop_assert_eq!(chain.find(key).map(Entry::digest), Some(*digest));
            prop_assert_eq!(chain.digest(key), Some(*digest));
        }
        let is_known = rows.iter().any(|row| row.0 == other);
        prop_assert_eq!(chain.find(&other).is_some(), is_known);
    }

    #[test]
    fn overwriting_with_the_same_length_is_replacing(rows in rows(), pick in any::<Index>(),
                                                     len in 0..300_usize) {
        let (mut chain, at) = (chained(&rows, &unlimited()), pick.index(rows.len()));
        let (key, before, _) = &rows[at];
        let after = record(len);
        let entry = chain.find_mut(key).expect("it is there");
        let fits = entry.overwrite(&after, 42);
        prop_assert_eq!(fits, before.len() == after.len());
        let mut expected = rows.clone();
        if fits {
            expected[at] = (key.clone(), after, 42);
        }
        prop_assert_eq!(unchained(&chain), expected);
    }

    #[test]
    fn it_holds_its_own_record_and_no_other(len in 0..40_usize, other in 0..40_usize,
                                            digest in 0..2_u64) {
        let entry = Entry::new(b"key", &record(len), 0);
        prop_assert_eq!(entry.holds(&record(other), digest), len == other && digest == 0);
    }

    #[test]
    fn retaining_keeps_what_is_named(rows in rows(), odd in any::<bool>()) {
        let wanted = |digest: u64| (digest % 2 == 1) == odd;
        let expected: Vec<_> = rows.iter().filter(|row| wanted(row.2)).cloned().collect();
        let mut chain = chained(&rows, &unlimited());
        prop_assert_eq!(chain.retain(|entry| wanted(entry.digest())), !expected.is_empty());
        if !expected.is_empty() {
            prop_assert_eq!(&unchained(&chain), &expected);
            prop_assert_eq!(chain.cost(), chained(&expected, &unlimited()).cost());
            prop_assert_eq!(matches!(chain, Chain::One(_)), expected.len() == 1);
        }
    }

    #[test]
    fn what_the_account_refuses_changes_nothing(rows in rows(), short in 1..100_u64) {
        let mut chain = chained(&rows, &unlimited());
        let (before, key) = (unchained(&chain), [7; 201]);
        let count = rows.len();
        let cost = Entry::cost_of(&key, b"record") + list_cost(count + 1) - list_cost(count);
        let account = Account::new(cost - short, 0);
        prop_assert!(chain.push(&key, b"record", 1, &account).is_err());
        prop_assert_eq!((unchained(&chain), account.usage().bytes), (before, 0));
    }
}

#[test]
fn an_entry_takes_four_bytes_beside_key_and_record() {
    let entry = Entry::new(&[0; 40], &record(512), 1);
    assert_eq!(entry.packed().len(), 4 + 40 + record(512).len());
}
