//! The contract of the port `Store`, sentence by sentence, run against every adapter and, for Redis, in every topology.
//! Knows no adapter's inside.

#[cfg(test)]
mod embedded;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod log;
#[cfg(test)]
#[expect(unreachable_pub, reason = "it is the harness of the whole system that shares it")]
#[path = "../../../tests/harness/ports.rs"]
mod ports;
#[cfg(test)]
mod projects;
#[cfg(test)]
mod random;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod register;
#[cfg(test)]
mod samples;
#[cfg(test)]
#[expect(dead_code, reason = "tests of faults use more of it")]
mod server;
#[cfg(test)]
#[expect(dead_code, reason = "tests of faults use more of it")]
#[path = "../servers/mod.rs"]
mod servers;
#[cfg(test)]
mod topologies;
#[cfg(test)]
mod transfer;

/// Runs each claim against each adapter.
macro_rules! contract {
    ($($module:ident: $($claim:ident)+;)+) => {
        mod memory_store {
            use issuer::adapters::store::memory::MemoryStore;

            $($(
                #[tokio::test]
                async fn $claim() {
                    super::$module::$claim(&MemoryStore::default()).await;
                }
            )+)+
        }

        mod embedded_in_memory {
            use issuer::adapters::store::{embedded::EmbeddedStore, seal::Seal};

            $($(
                #[tokio::test]
                async fn $claim() {
                    super::$module::$claim(&EmbeddedStore::in_memory(Seal::new(&[1; 32])).unwrap()).await;
                }
            )+)+
        }

        mod embedded_store {
            use crate::samples::Folder;

            $($(
                #[tokio::test]
                async fn $claim() {
                    let folder = Folder::new();
                    super::$module::$claim(&folder.open()).await;
                }
            )+)+
        }

        mod redis_store {
            use crate::server::RedisServer;

            $($(
                #[tokio::test]
                async fn $claim() {
                    let server = RedisServer::start();
                    super::$module::$claim(&server.open().await).await;
                }
            )+)+
        }

        /// Every claim in turn, each in a realm of its own: several servers take a while to start.
        pub(crate) async fn every_claim(settings: &issuer::adapters::store::redis::RedisSettings) {
            $($({
                let realm = stringify!($claim).replace('_', "-");
                let store = server::open(settings, &realm).await.unwrap();
                Box::pin($module::$claim(&store)).await;
            })+)+
        }
    };
}

contract! {
    log:
        a_new_store_holds_nothing
        an_append_stands_where_the_log_ended
        the_runs_behind_a_sequence_lead_to_the_end
        an_append_elsewhere_is_told_where_the_log_ends
        an_append_that_would_take_the_log_back_changes_nothing
        a_project_changes_in_the_step_that_appends
        a_project_of_another_version_stops_the_append
        of_steps_that_wait_together_only_those_that_conflict_fail
        the_base_of_an_append_counts_in_a_new_epoch_only
        a_new_epoch_replaces_the_one_before
        a_long_new_epoch_stands_as_a_whole
        an_append_of_no_entries_moves_the_log_time
        the_log_time_never_goes_back
        a_trim_forgets_every_entry_up_to_its_base
        a_trim_at_or_before_the_base_or_of_another_epoch_changes_nothing
        a_log_goes_on_after_everything_was_trimmed
        the_audit_mark_is_the_one_heard_last;
    ledger:
        a_token_is_recorded_at_the_end_of_the_log
        without_a_log_nothing_is_recorded
        a_project_of_another_version_is_not_recorded_against
        a_used_idempotency_key_is_answered_before_anything_else
        a_token_id_that_stands_is_never_recorded_again
        pages_are_newest_first_and_of_those_asked_for
        the_records_that_expired_first_are_forgotten_first
        an_idempotency_key_is_forgotten_with_its_record
        a_number_is_never_given_twice;
    projects:
        a_project_is_created_once
        projects_come_in_pages_in_the_order_of_their_ids
        an_organisation_sees_what_it_owns_or_works_on
        limits_and_key_roles_follow_the_version_that_stands;
    register:
        rows_of_the_register_keep_the_longer_limits_and_what_was_acknowledged
        a_row_is_removed_only_while_it_is_of_the_same_hello
        a_round_shows_what_stands
        a_round_that_finds_too_little_writes_nothing
        a_round_takes_over_what_its_own_followers_acknowledged
        an_issuer_is_taken_out_with_its_rows_if_it_did_nothing_more;
    transfer:
        what_is_taken_in_is_what_was_given_out
        into_a_store_that_holds_anything_nothing_is_taken
        an_import_that_was_not_finished_is_told_and_begun_anew;
}
