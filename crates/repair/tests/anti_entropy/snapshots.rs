//! Snapshots that are kept: never other than a scan would show.

use henge_repair::{
    sketch::SketchKey,
    snapshot::{DigestRule, Snapshot, Snapshots},
};
use henge_ring::Partition;
use proptest::prelude::*;

use crate::{
    copy::{Copy, record},
    sessions::keys,
};

const PARTITION: Partition = Partition(5);

proptest! {
    /// Whatever instants are asked for in whatever order, with writes in between and however little
    /// room there is.
    #[test]
    fn what_is_kept_is_what_a_scan_shows(
        steps in prop::collection::vec((0..300u64, prop::option::of((0..30usize, 1..300u64))), 1..80),
        room in 0..60usize,
    ) {
        let key = SketchKey::new(&[5; 32]);
        let rule = DigestRule { margin_ms: 7 };
        let mut kept = Snapshots::new(key.clone(), rule, room);
        let (mut copy, keys) = (Copy::new(1), keys(30));
        for (time, (at_ms, write)) in steps.into_iter().enumerate() {
            if let Some((number, deadline)) = write {
                copy.write(&keys[number], &record(time as u64 + 1, 1, deadline, b"v"));
            }
            let fresh = Snapshot::take(&copy, &key, rule, PARTITION, at_ms);
            let current = kept.current(&copy, PARTITION, at_ms);
            prop_assert_eq!(current.word, fresh.word);
            prop_assert_eq!(current.members(), fresh.members());
            prop_assert_eq!(current.head, fresh.head);
            let word = current.word;
            prop_assert!(kept.named(PARTITION, word).is_some(), "the last one is kept");
        }
    }
}
