//! Properties of packed chains: what is put in comes out, and allocations are exact.

use proptest::{collection::vec, prelude::*};

use super::*;

type Row = (Vec<u8>, Vec<u8>, u64);

/// Up to eight entries with different keys; records of lengths around each step of the encoding.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let len = prop_oneof![0..5_usize, 126..130_usize, 16_382..16_386_usize];
    let record = (any::<u8>(), len).prop_map(|(byte, len)| vec![byte; len]);
    vec((vec(any::<u8>(), 0..200), record, any::<u64>()), 0..8).prop_map(|mut rows| {
        rows.sort();
        rows.dedup_by(|a, b| a.0 == b.0);
        rows
    })
}

fn packed(rows: &[Row]) -> Box<[u8]> {
    rows.iter()
        .fold(Box::default(), |chain, (key, record, digest)| {
            splice(&chain, chain.len()..chain.len(), key, record, *digest)
        })
}

fn unpacked(chain: &[u8]) -> Vec<Row> {
    entries(chain)
        .map(|e| (e.key.to_vec(), e.record.to_vec(), e.digest))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_packed_is_unpacked(rows in rows()) {
        prop_assert_eq!(unpacked(&packed(&rows)), rows);
    }

    #[test]
    fn lengths_are_known_before_the_copy(rows in rows(), key in vec(any::<u8>(), 0..200)) {
        let chain = packed(&rows);
        let (end, record) = (chain.len()..chain.len(), [7; 300]);
        let longer = splice(&chain, end.clone(), &key, &record, 1);
        prop_assert_eq!(longer.len(), spliced_len(&chain, &end, &key, &record));
    }

    #[test]
    fn replacing_one_entry_leaves_the_others(rows in rows(), pick in any::<prop::sample::Index>(),
                                             record in vec(any::<u8>(), 0..300)) {
        prop_assume!(!rows.is_empty());
        let (chain, at) = (packed(&rows), pick.index(rows.len()));
        let span = find(&chain, &rows[at].0).unwrap().span;
        let mut expected = rows.clone();
        expected[at].1 = record.clone();
        expected[at].2 = 42;
        prop_assert_eq!(unpacked(&splice(&chain, span, &rows[at].0, &record, 42)), expected);
    }

    #[test]
    fn overwriting_in_place_is_replacing(rows in rows(), pick in any::<prop::sample::Index>()) {
        prop_assume!(!rows.is_empty());
        let (mut chain, at) = (packed(&rows), pick.index(rows.len()));
        let entry = find(&chain, &rows[at].0).unwrap();
        let (span, record) = (entry.span, vec![9; rows[at].1.len()]);
        let replaced = splice(&chain, span.clone(), &rows[at].0, &record, 42);
        overwrite(&mut chain, span, &record, 42);
        prop_assert_eq!(chain, replaced);
    }

    #[test]
    fn retaining_keeps_what_is_named(rows in rows(), odd in any::<bool>()) {
        let wanted = |digest: u64| (digest % 2 == 1) == odd;
        let kept = retain(&packed(&rows), |entry| wanted(entry.digest));
        let expected: Vec<_> = rows.into_iter().filter(|row| wanted(row.2)).collect();
        prop_assert_eq!(unpacked(&kept), expected);
    }

    #[test]
    fn any_length_is_read_back(len in any::<usize>(), shift in 0..64_u32) {
        let len = len >> shift;
        let mut out = Vec::new();
        write_len(&mut out, len);
        prop_assert_eq!(out.len(), len_len(len));
        let mut at = 0;
        prop_assert_eq!(read_len(&out, &mut at), len);
        prop_assert_eq!(at, out.len());
    }
}

#[test]
fn a_short_key_and_record_take_eleven_bytes_of_header() {
    assert_eq!(
        spliced_len(&[], &(0..0), &[0; 127], &[0; 16_383]),
        127 + 16_383 + 11
    );
    assert_eq!(
        spliced_len(&[], &(0..0), &[0; 128], &[0; 16_384]),
        128 + 16_384 + 13
    );
}
