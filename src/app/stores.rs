//! From the `storage` stanza to an open store; and what prepares a `PostgreSQL` database.

use std::path::Path;
use std::sync::Arc;

use super::{AppError, runtime};
use crate::config::Storage;
use crate::secret::SecretText;
use crate::storage::Store;
use crate::storage::postgres::{self, Migrated, PostgresStore};
use crate::storage::sqlite::SqliteStore;
use crate::time::{Clock, SystemClock};

/// Opens the store that the configuration names.
pub(super) async fn open(storage: &Storage) -> Result<Arc<dyn Store>, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(match storage {
        Storage::Sqlite { path } => Arc::new(SqliteStore::open(path, clock).await?),
        Storage::Postgres(settings) => {
            let (url, key) = (settings.connection_url.expose(), &settings.context_key_file.path);
            Arc::new(PostgresStore::connect(url, key, settings.connections_max).await?)
        }
    })
}

/// `migrate`: brings a `PostgreSQL` database to this version's schema, under its owner role.
pub fn migrate(database_url: &SecretText, context_key_file: &Path) -> Result<Migrated, AppError> {
    Ok(runtime()?.block_on(postgres::migrate(database_url.expose(), context_key_file))?)
}

/// `migrate --print-roles`: the SQL that makes the roles.
pub fn role_statements() -> &'static str {
    postgres::print_roles()
}
