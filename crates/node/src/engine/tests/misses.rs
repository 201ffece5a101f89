//! Reads of keys that nobody holds.

use super::*;
use crate::buffers;

/// Found by reading: the buffer that a read takes for its record went back only when a record was
/// found, so that misses emptied the pool.
#[test]
fn a_miss_gives_its_record_buffer_back() {
    let mut cluster = Cluster::new(3);
    for options in [
        Options::default(),
        quorum(1, 1), // answered here, without asking anybody
        Options {
            receipt: true,
            ..Options::default()
        },
    ] {
        while buffers::record().capacity() > 0 {}
        buffers::take_back(Vec::with_capacity(1_234));
        let missed = cluster.with(1, "nowhere", Operation::Get, options);
        assert_eq!(missed.expect("answered").record, None);
        assert!(buffers::record().capacity() >= 1_234, "{options:?}");
    }
}
