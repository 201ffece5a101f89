//! The op log against the plain list of everything that was ever appended.

use proptest::prelude::*;

use super::*;

fn filled(count: u64, max_entries: usize, account: &Account) -> OpLog {
    let mut log = OpLog::default();
    (0..count).for_each(|n| log.append(Token(n * 3), max_entries, account));
    log
}

fn unlimited() -> Account {
    Account::new(u64::MAX, 0)
}

proptest! {
    #[test]
    fn it_holds_the_latest_changes_and_names_the_gap(
        count in 0..400_u64, max_entries in 0..200_usize, from in 0..450_u64, limit in 0..50_usize,
    ) {
        let log = filled(count, max_entries, &unlimited());
        let oldest = count.saturating_sub(max_entries as u64);
        let answer = log.changes(from, limit);
        if (oldest..=count).contains(&from) {
            let expected: Vec<_> = (from..count)
                .take(limit)
                .map(|seq| Change { seq, token: Token(seq * 3) })
                .collect();
            prop_assert_eq!(answer, Ok(expected));
        } else {
            prop_assert_eq!(answer, Err(OpLogGap { oldest, asked: from }));
        }
    }

    #[test]
    fn it_takes_what_it_says_and_no_more_than_its_share(
        count in 0..3000_u64, share in 0..9000_u64,
    ) {
        let account = unlimited();
        let log = filled(count, OpLog::entries_in(share), &account);
        prop_assert_eq!(account.usage().bytes, cost(log.ring.len()));
        prop_assert!(account.usage().bytes <= share);
    }

    #[test]
    fn where_memory_is_short_it_forgets_earlier(count in 0..3000_u64, limit in 0..9000_u64) {
        let account = Account::new(limit, 0);
        let log = filled(count, usize::MAX, &account);
        prop_assert!(account.usage().bytes <= limit);
        let kept = u64::from(log.len);
        prop_assert_eq!(log.oldest + kept, count);
        prop_assert_eq!(log.changes(log.oldest, usize::MAX).map(|all| all.len() as u64), Ok(kept));
    }
}

#[test]
fn an_idle_log_takes_nothing() {
    let account = unlimited();
    let log = filled(0, 1000, &account);
    assert_eq!(account.usage().bytes, 0);
    assert_eq!(log.changes(0, 10), Ok(Vec::new()));
    assert_eq!(
        log.changes(1, 10),
        Err(OpLogGap {
            oldest: 0,
            asked: 1
        })
    );
}

#[test]
fn a_full_log_allocates_no_more() {
    let account = unlimited();
    let mut log = filled(1000, 100, &account);
    let (bytes, capacity) = (account.usage().bytes, log.ring.len());
    (0..1000).for_each(|n| log.append(Token(n), 100, &account));
    assert_eq!((account.usage().bytes, log.ring.len()), (bytes, capacity));
}

#[test]
fn a_log_that_has_turned_round_can_still_grow() {
    let account = unlimited();
    let mut log = filled(100, 7, &account);
    (100..120).for_each(|n| log.append(Token(n * 3), 1000, &account));
    let changes = log.changes(93, usize::MAX).expect("it kept seven");
    let tokens: Vec<_> = changes.iter().map(|change| change.token.0 / 3).collect();
    assert_eq!(tokens, (93..120).collect::<Vec<_>>());
}
