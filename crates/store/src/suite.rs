//! One test suite for every engine behind [`Store`] (feature `suite`).
//!
//! Each function takes a factory, makes the stores it needs, and panics where one breaks the
//! trait's contract. [`engine_suite!`](crate::engine_suite) makes a `#[test]` of each:
//!
//! ```ignore
//! henge_store::engine_suite!(|limits| std::sync::Arc::new(MyEngine::new(limits)));
//! ```
//!
//! Random histories are compared with [`Reference`], which passes the suite too.

use std::sync::Arc;

use crate::{Limits, Store};

mod records;

mod reference;
pub use reference::Reference;

mod model;
pub use model::it_answers_as_the_reference;

mod merging;
pub use merging::{
    merging_again_changes_nothing, merging_in_any_order_gives_one_record,
    merging_what_is_no_record_changes_nothing,
};

mod threads;
pub use threads::{
    a_change_in_the_log_can_be_read, a_scan_shows_what_stays_while_others_write,
    a_sweep_spares_what_is_extended_meanwhile, no_update_is_lost_between_threads,
};

mod scanning;
pub use scanning::{
    a_scan_goes_on_from_its_cursor, a_scan_keeps_to_its_partition,
    partitions_that_do_not_exist_are_empty,
};

mod sweeping;
pub use sweeping::{
    a_life_cut_short_is_kept_for_the_grace, a_record_is_removed_as_it_was_seen,
    a_sweep_counts_the_siblings_it_took, a_sweep_takes_what_is_due_and_nothing_else,
    a_sweep_tells_what_it_gave_back, swept_tables_give_their_memory_back,
};

mod filling;
pub use filling::{
    a_full_store_lets_go_of_the_shortest_records, a_full_store_lets_records_shrink,
    a_full_store_refuses_and_keeps_what_it_has, a_longer_record_is_weighed_by_its_growth,
    the_op_log_never_takes_the_place_of_records,
};

mod logging;
pub use logging::{each_change_is_logged_once_in_order, the_log_forgets_the_oldest_and_says_so};

mod crowding;
pub use crowding::{keys_of_one_token_are_kept_apart, too_many_keys_of_one_token_are_refused};

/// Makes an empty engine with the given limits.
pub type Make<'a> = &'a dyn Fn(Limits) -> Arc<dyn Store>;

/// Makes a `#[test]` of each part of the [suite](crate::suite), for the engine that the expression
/// (a function or closure of type `Fn(Limits) -> Arc<dyn Store>`) makes.
#[macro_export]
macro_rules! engine_suite {
    ($make:expr) => {
        $crate::engine_suite! { $make;
            it_answers_as_the_reference,
            merging_again_changes_nothing,
            merging_in_any_order_gives_one_record,
            merging_what_is_no_record_changes_nothing,
            no_update_is_lost_between_threads,
            a_change_in_the_log_can_be_read,
            a_scan_shows_what_stays_while_others_write,
            a_sweep_spares_what_is_extended_meanwhile,
            a_scan_goes_on_from_its_cursor,
            a_scan_keeps_to_its_partition,
            partitions_that_do_not_exist_are_empty,
            a_sweep_takes_what_is_due_and_nothing_else,
            a_life_cut_short_is_kept_for_the_grace,
            a_sweep_counts_the_siblings_it_took,
            a_sweep_tells_what_it_gave_back,
            swept_tables_give_their_memory_back, a_record_is_removed_as_it_was_seen,
            a_full_store_lets_go_of_the_shortest_records,
            a_full_store_lets_records_shrink,
            a_full_store_refuses_and_keeps_what_it_has,
            a_longer_record_is_weighed_by_its_growth,
            the_op_log_never_takes_the_place_of_records,
            each_change_is_logged_once_in_order,
            the_log_forgets_the_oldest_and_says_so,
            keys_of_one_token_are_kept_apart,
            too_many_keys_of_one_token_are_refused,
        }
    };
    ($make:expr; $($case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                $crate::suite::$case(&$make);
            }
        )*
    };
}
