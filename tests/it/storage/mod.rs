//! The store: the same bodies against both databases, through the trait, and what is particular to each.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod archive;
mod bodies;
mod erasure;
mod heads;
mod injection;
mod leases;
mod plans;
mod postgres;
mod sample;
mod sqlite;

macro_rules! both {
    ($($bodies:ident::$name:ident,)*) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    let fixture = super::sqlite::Fixture::new().await;
                    super::$bodies::$name(&fixture.store).await;
                }
            )*
        }

        mod on_postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    let fixture = super::postgres::Fixture::new().await;
                    super::$bodies::$name(&fixture.store).await;
                }
            )*
        }
    };
}

both! {
    archive::only_archived_rows_below_the_newest_checkpoint_lose_their_events,
    archive::an_erased_tenant_stays_until_its_archive_is_gone,
    bodies::deployment_is_made_once,
    bodies::rows_come_back_as_they_went,
    bodies::a_group_changes_all_its_tenants_or_none,
    bodies::large_groups_are_applied_whole,
    bodies::positions_belong_to_their_snapshot,
    bodies::feeds_tell_what_happened_since,
    bodies::names_are_listed_by_directory,
    bodies::records_come_in_the_order_of_their_keys,
    bodies::expired_records_are_found_earliest_first,
    bodies::misuse_is_refused_and_changes_nothing,
    bodies::dropped_groups_give_their_locks_back,
    bodies::keys_are_replaced_whole,
    bodies::closed_stores_are_unavailable,
    erasure::erasing_destroys_keys_then_rows,
    erasure::only_erasing_tenants_are_erased,
    heads::heads_are_appended_at_the_end_only,
    heads::a_cosignature_is_kept_once,
    leases::what_was_begun_under_a_lease_that_has_passed_on_is_refused,
    leases::where_tenants_stand_is_told_of_many_at_once,
    erasure::leaf_hashes_and_checkpoints_of_an_erased_tenant_stay,
}
