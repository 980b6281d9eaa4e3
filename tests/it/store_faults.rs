//! Every call of the store that a request makes fails in turn: before it has any effect, when it is done and only its answer is lost, or
//! it hangs until the client has given up and is done afterwards. The first call, then the second, until there is none left.
//!
//! What a client was told holds, whatever it was not told is there wholly or not at all, doing it again leads to the same, and the server
//! goes on. The servers are the real ones without listeners and background work, in this process, on the real stores.

mod fault;
mod jobs;
mod logins;
mod namespaces;
mod play;
mod references;
mod secrets;
mod tokens;
mod transit;
mod wrapping;

use crate::support::in_process;

/// Makes one test per store of each scenario.
macro_rules! both {
    ($($module:ident::$name:ident,)*) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let (store, _folder) = super::in_process::sqlite().await;
                    super::play::every_call(&store, super::$module::$name).await;
                }
            )*
        }

        mod postgresql {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let (store, _database) = super::in_process::postgresql().await;
                    super::play::every_call(&store, super::$module::$name).await;
                }
            )*
        }
    };
}

both! {
    secrets::a_write_is_there_wholly_or_not_at_all,
    secrets::a_check_and_set_is_done_once,
    secrets::a_deletion_is_done_or_not,
    tokens::a_token_is_used_and_revoked_as_it_was_answered,
    tokens::a_policy_holds_as_soon_as_it_is_answered,
    wrapping::what_was_put_away_is_taken_out_once,
    references::a_reference_is_resolved_as_often_as_it_may_be,
    namespaces::a_namespace_is_made_and_deleted_wholly_or_not_at_all,
    logins::a_secret_id_is_good_for_one_login,
    transit::what_was_encrypted_opens,
}
