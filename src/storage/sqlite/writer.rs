//! The one connection that writes, and what it knows of the tenants' newest rows.

use std::collections::HashMap;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteArguments;

use super::super::cells::{self, Place};
use super::super::plan::Plan;
use super::super::{FEED_ROWS_MAX, Feed, Known, StoreError, Structural, TenantKeys, TenantState};
use super::script;
use crate::id::TenantId;

/// How many tenants' newest rows are remembered; past it all are forgotten.
const HEADS_MAX: usize = 4096;

const HEAD: &str = "SELECT t.state, t.generation, l.seq, l.first_index, l.count, l.time, l.prev_root, l.root, l.frontier, l.changed, \
    l.group_id, l.mac FROM tenant t LEFT JOIN log l ON l.tenant_id = t.tenant_id \
    AND l.seq = (SELECT max(seq) FROM log WHERE tenant_id = ?1) WHERE t.tenant_id = ?1";
const FEED: &str = "SELECT seq, prev_root, changed FROM log WHERE tenant_id = ?1 AND seq > ?2 ORDER BY seq";

/// The writing connection. Whoever holds it is alone: nothing changes under them, with or without a transaction.
pub(super) struct Writer {
    connection: SqliteConnection,
    /// Newest rows, as committed. There is no other writer, so they stay true.
    heads: HashMap<TenantId, Feed>,
    /// A script may have been left in the middle (its future was dropped, or it failed).
    unsettled: bool,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self { connection, heads: HashMap::new(), unsettled: false }
    }

    /// The connection, with no transaction open on it.
    pub(super) async fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if self.unsettled {
            self.heads.clear();
            // No transaction is open when the script ended by itself: that answer is an error too, and as good.
            if let Err(error) = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await
                && error.as_database_error().is_none()
            {
                return Err(error.into());
            }
            self.unsettled = false;
        }
        Ok(&mut self.connection)
    }

    pub(super) fn forget(&mut self, tenant: TenantId) {
        self.heads.remove(&tenant);
    }

    /// What happened in a tenant since `known`.
    pub(super) async fn feed(&mut self, known: Known) -> Result<Feed, StoreError> {
        let mut feed = self.head(known.tenant).await?;
        let newest = feed.seq();
        // Whoever has the writer is alone with all tenants: the flag only keeps both stores to one rule.
        feed.locked = known.locked;
        feed.complete = known.seq == newest;
        if known.seq > 0 && known.seq < newest && newest - known.seq <= FEED_ROWS_MAX as u64 {
            let connection = self.connection().await?;
            let rows = sqlx::query(FEED).bind(&known.tenant.0[..]).bind(cells::stored(known.seq)?).fetch_all(connection).await?;
            feed.changed = rows.iter().map(|row| cells::feed_row(known.tenant, row, 0)).collect::<Result<_, _>>()?;
            feed.complete = feed.changed.len() as u64 == newest - known.seq;
        }
        Ok(feed)
    }

    async fn head(&mut self, tenant: TenantId) -> Result<Feed, StoreError> {
        self.connection().await?;
        if let Some(feed) = self.heads.get(&tenant) {
            return Ok(feed.clone());
        }
        let connection = &mut self.connection;
        let Some(row) = sqlx::query(HEAD).bind(&tenant.0[..]).fetch_optional(connection).await? else {
            return Ok(Feed::default());
        };
        let place = Place { table: "tenant", row: &tenant.0 };
        let feed = Feed {
            state: Some(place.parsed(&row, 0, "state", TenantState::from_code)?),
            generation: place.number(&row, 1, "generation")?,
            tail: cells::tail(tenant, &row, 2)?,
            ..Feed::default()
        };
        if self.heads.len() >= HEADS_MAX {
            self.heads.clear();
        }
        self.heads.insert(tenant, feed.clone());
        Ok(feed)
    }

    /// Applies a group and commits it.
    pub(super) async fn apply(&mut self, plan: Plan, structural: Vec<Structural>) -> Result<(), StoreError> {
        let (text, arguments) = script::script(&plan, !structural.is_empty())?;
        self.connection().await?;
        self.unsettled = true;
        if let Err(error) = self.run(text, arguments, &structural).await {
            self.settle(&plan, error).await?;
        }
        self.unsettled = false;
        for change in &structural {
            self.heads.remove(&change.tenant());
        }
        for (tenant, row) in plan.logs {
            if let Some(head) = self.heads.get_mut(&tenant) {
                head.tail = Some(row.tail);
            }
        }
        Ok(())
    }

    /// After a failure: rolls back, and looks whether the group is there all the same (the disk failed after it was written).
    async fn settle(&mut self, plan: &Plan, error: StoreError) -> Result<(), StoreError> {
        let StoreError::Unavailable(cause) = error else { return Err(error) };
        let Some((tenant, row)) = plan.logs.first() else { return Err(StoreError::Unavailable(cause)) };
        match self.head(*tenant).await {
            Ok(head) if head.tail.as_ref() == Some(&row.tail) => Ok(()),
            Ok(_) => Err(StoreError::Unavailable(cause)),
            Err(_) => Err(StoreError::Unknown(cause)),
        }
    }

    async fn run(&mut self, text: &'static str, arguments: SqliteArguments, structural: &[Structural]) -> Result<(), StoreError> {
        if !structural.is_empty() {
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
            for change in structural {
                change_tenant(&mut self.connection, change).await?;
            }
        }
        sqlx::query_with(text, arguments).execute(&mut self.connection).await?;
        Ok(())
    }
}

/// Changes the tenants' own tables, in an open transaction.
pub(super) async fn change_tenant(connection: &mut SqliteConnection, change: &Structural) -> Result<(), StoreError> {
    match change {
        Structural::Create(new) => {
            sqlx::query("INSERT INTO tenant (tenant_id, parent, state, generation) VALUES (?1, ?2, 0, ?3)")
                .bind(&new.id.0[..])
                .bind(new.parent.as_ref().map(|parent| &parent.0[..]))
                .bind(i64::from(new.keys.generation))
                .execute(&mut *connection)
                .await?;
            insert_keys(connection, new.id, &new.keys).await
        }
        Structural::State(tenant, state) => {
            sqlx::query("UPDATE tenant SET state = ?2 WHERE tenant_id = ?1 AND state <> 2")
                .bind(&tenant.0[..])
                .bind(i64::from(state.code()))
                .execute(&mut *connection)
                .await?;
            if *state == TenantState::Erasing { delete_keys(connection, *tenant).await } else { Ok(()) }
        }
        Structural::Keys(tenant, keys) => {
            let changed = sqlx::query("UPDATE tenant SET generation = ?2 WHERE tenant_id = ?1 AND state <> 2")
                .bind(&tenant.0[..])
                .bind(i64::from(keys.generation))
                .execute(&mut *connection)
                .await?;
            if changed.rows_affected() == 0 {
                return Err(StoreError::Misused("keys for a tenant that is not there or is erasing"));
            }
            delete_keys(connection, *tenant).await?;
            insert_keys(connection, *tenant, keys).await
        }
    }
}

async fn insert_keys(connection: &mut SqliteConnection, tenant: TenantId, keys: &TenantKeys) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO tenant_keyring (tenant_id, keyring) VALUES (?1, ?2)")
        .bind(&tenant.0[..])
        .bind(&keys.keyring[..])
        .execute(&mut *connection)
        .await?;
    for wrap in &keys.wraps {
        sqlx::query("INSERT INTO tenant_key (tenant_id, seal, wrap) VALUES (?1, ?2, ?3)")
            .bind(&tenant.0[..])
            .bind(&wrap.seal)
            .bind(&wrap.wrap[..])
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn delete_keys(connection: &mut SqliteConnection, tenant: TenantId) -> Result<(), StoreError> {
    for text in ["DELETE FROM tenant_keyring WHERE tenant_id = ?1", "DELETE FROM tenant_key WHERE tenant_id = ?1"] {
        sqlx::query(text).bind(&tenant.0[..]).execute(&mut *connection).await?;
    }
    Ok(())
}
