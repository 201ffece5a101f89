//! The laws of read repair.

use proptest::prelude::*;

use super::*;

const NEVER: u64 = u64::MAX;

fn answers() -> impl Strategy<Value = Vec<Answered>> {
    let one = (any::<bool>(), prop::option::of(0u64..4));
    prop::collection::vec(one, 0..7).prop_map(|all| {
        let with_number = (0u16..).zip(all);
        with_number
            .map(|(node, (primary, held))| Answered {
                node,
                primary,
                held,
            })
            .collect()
    })
}

proptest! {
    /// Exactly the primaries that hold something else are repaired.
    #[test]
    fn names_the_primaries_that_differ(answers in answers(), digest in 0u64..4) {
        let merged = Merged { digest, horizon_ms: NEVER };
        let named = read_repair(&answers, &merged, 1_000, 0);
        for replica in &answers {
            let behind = replica.held != Some(digest);
            prop_assert_eq!(named.contains(&replica.node), behind && replica.primary);
        }
    }

    /// Repair is finished by doing it: after the named nodes have the record nobody is named.
    #[test]
    fn once_is_enough(mut answers in answers(), digest in 0u64..4) {
        let merged = Merged { digest, horizon_ms: NEVER };
        for node in read_repair(&answers, &merged, 0, 0) {
            answers[usize::from(node)].held = Some(digest);
        }
        prop_assert!(read_repair(&answers, &merged, 0, 0).is_empty());
    }

    /// What nobody can see any more is sent to nobody.
    #[test]
    fn nothing_is_sent_past_the_horizon(
        answers in answers(),
        horizon_ms in 0u64..1_000,
        late in 1u64..1_000,
        skew_ms in 0u64..500,
    ) {
        let merged = Merged { digest: 9, horizon_ms };
        let wall = horizon_ms + skew_ms + late;
        prop_assert!(read_repair(&answers, &merged, wall, skew_ms).is_empty());
        let at_the_edge = read_repair(&answers, &merged, horizon_ms + skew_ms, skew_ms);
        let primaries = answers.iter().filter(|replica| replica.primary).count();
        prop_assert_eq!(at_the_edge.len(), primaries);
    }
}

#[test]
fn a_replica_without_the_record_is_behind() {
    let answers = [
        Answered {
            node: 4,
            primary: true,
            held: Some(7),
        },
        Answered {
            node: 1,
            primary: true,
            held: None,
        },
        Answered {
            node: 8,
            primary: false,
            held: None,
        },
    ];
    let merged = Merged {
        digest: 7,
        horizon_ms: NEVER,
    };
    assert_eq!(read_repair(&answers, &merged, 0, 0).as_slice(), [1]);
}
