//! Erasing tenants, a chunk of rows at a time, each behind the one before.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::cells::{Place, limit as rows_limit};
use super::super::{Fence, StoreError};
use super::PostgresStore;
use crate::id::TenantId;

/// How long one chunk may take.
const ERASE_WAIT: Duration = Duration::from_mins(1);

/// Tenants of which it is known how far erasing has come; past it all begin at their first row again.
const ERASING_MAX: usize = 64;

/// How far erasing has come, of tenants that this server is erasing.
#[derive(Default)]
pub(super) struct Erasing(Mutex<HashMap<TenantId, Reached>>);

/// The last record and the last log row that are gone.
#[derive(Clone, PartialEq, Eq)]
struct Reached {
    key: Vec<u8>,
    seq: i64,
}

impl Reached {
    const NOTHING: Self = Self { key: Vec::new(), seq: -1 };
}

impl Erasing {
    fn note(&self, tenant: TenantId, now: Reached) {
        let mut reached = self.reached();
        if reached.len() >= ERASING_MAX {
            reached.clear();
        }
        reached.insert(tenant, now);
    }

    fn reached(&self) -> MutexGuard<'_, HashMap<TenantId, Reached>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PostgresStore {
    pub(super) async fn erase_rows(&self, tenant: TenantId, limit: usize, under: Option<Fence>) -> Result<u64, StoreError> {
        let reached = self.erasing.reached().remove(&tenant);
        if let Some(after) = reached {
            let deleted = self.erase_after(tenant, after, limit, under).await?;
            if deleted > 0 {
                return Ok(deleted);
            }
        }
        // Nothing is behind: from the beginning once more, so that the tenant goes when nothing is left of it.
        self.erase_after(tenant, Reached::NOTHING, limit, under).await
    }

    async fn erase_after(&self, tenant: TenantId, after: Reached, limit: usize, under: Option<Fence>) -> Result<u64, StoreError> {
        let mut session = self.open(&[tenant], &[tenant]).await?;
        session.under(under).await?;
        let erasing = sqlx::query("SELECT gone, last_key, last_seq FROM strongroom.erase_next($1, $2, $3, $4)")
            .bind(&tenant.0[..])
            .bind(rows_limit(limit))
            .bind(&after.key)
            .bind(after.seq)
            .fetch_one(session.connection()?);
        let row = match tokio::time::timeout(ERASE_WAIT, erasing).await {
            Ok(Err(sqlx::Error::Database(answer))) if answer.code().as_deref() == Some("SR002") => {
                return Err(StoreError::Misused("rows of a tenant that is not erasing"));
            }
            Ok(row) => row?,
            Err(_) => return Err(StoreError::unavailable("erasing took too long: use smaller chunks")),
        };
        session.commit().await?;
        let place = Place { table: "tenant", row: &tenant.0 };
        let (gone, now) = (
            place.number(&row, 0, "gone")?,
            Reached { key: place.bytes(&row, 1, "last_key")?, seq: place.number(&row, 2, "last_seq")? },
        );
        if gone > 0 && now != Reached::NOTHING {
            self.erasing.note(tenant, now);
        }
        Ok(gone)
    }
}
