//! Leases, and the servers that have them. What keeps them is one statement each time, so that no server that hangs holds a row.

use sqlx::postgres::PgRow;

use super::super::cells::{self, Place, stored};
use super::super::lease::LAPSE;
use super::super::{Beat, Census, Fence, Outlook, Replica, StoreError};
use super::PostgresStore;
use super::migrate::VERSION;
use super::session::{Purpose, Session, within};
use crate::id::{ReplicaId, TenantId};
use crate::time::Timestamp;

const OUTLOOK: &str = "SELECT t.tenant_id, coalesce(l.seq, 0), coalesce(l.time, 0), coalesce(l.size, 0), coalesce(c.size, 0), r.expires_at \
    FROM unnest($1::bytea[]) AS known(id) JOIN strongroom.tenant t ON t.tenant_id = known.id AND t.state = 0 \
    LEFT JOIN LATERAL (SELECT n.seq, n.time, n.first_index + n.count AS size FROM strongroom.log n WHERE n.tenant_id = known.id \
    ORDER BY n.seq DESC LIMIT 1) l ON true \
    LEFT JOIN LATERAL (SELECT n.size FROM strongroom.checkpoint n WHERE n.tenant_id = known.id ORDER BY n.size DESC LIMIT 1) c ON true \
    LEFT JOIN LATERAL (SELECT n.expires_at FROM strongroom.record n WHERE n.tenant_id = known.id AND n.expires_at IS NOT NULL \
    ORDER BY n.expires_at LIMIT 1) r ON true";

impl PostgresStore {
    pub(super) async fn say_beat(&self, beat: &Beat) -> Result<Census, StoreError> {
        let mut session = Session::plain(&self.link).await?;
        let saying = sqlx::query("SELECT strongroom.beat($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(&beat.replica.0[..])
            .bind(&beat.api_addr)
            .bind(&beat.hostname)
            .bind(&beat.version)
            .bind(stored(beat.asked)?)
            .bind(beat.wants.iter().map(|lease| lease.word()).collect::<Vec<_>>())
            .bind(i64::try_from(LAPSE.as_nanos()).unwrap_or(i64::MAX))
            .bind(stored(VERSION as u64)?)
            .bind(&beat.quotas);
        within(saying.execute(session.connection()?)).await?;
        // Only now: what this server has by these is its own for as long as it is heard of in time.
        let text = "SELECT replica_id, api_addr, hostname, version, asked, since, heard, quotas FROM strongroom.replica \
             ORDER BY replica_id";
        let replicas: Vec<PgRow> = within(sqlx::query(text).fetch_all(session.connection()?)).await?;
        let text = "SELECT name, holder, epoch FROM strongroom.lease WHERE holder IS NOT NULL ORDER BY name";
        let leases: Vec<PgRow> = within(sqlx::query(text).fetch_all(session.connection()?)).await?;
        session.give_back();
        Ok(Census {
            replicas: replicas.iter().map(replica).collect::<Result<_, _>>()?,
            leases: leases.iter().filter_map(|row| cells::lease(row).transpose()).collect::<Result<_, _>>()?,
        })
    }

    pub(super) async fn delete_replica(&self, replica: ReplicaId) -> Result<(), StoreError> {
        let mut session = Session::plain(&self.link).await?;
        let leaving = sqlx::query("DELETE FROM strongroom.replica WHERE replica_id = $1").bind(&replica.0[..]);
        within(leaving.execute(session.connection()?)).await?;
        session.give_back();
        Ok(())
    }

    pub(super) async fn read_outlook(&self, tenants: &[TenantId]) -> Result<Vec<Outlook>, StoreError> {
        if tenants.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = Session::open(&self.link, &self.key, Purpose::Read, tenants).await?;
        let ids: Vec<&[u8]> = tenants.iter().map(|tenant| &tenant.0[..]).collect();
        let rows: Vec<PgRow> = within(sqlx::query(OUTLOOK).bind(ids).fetch_all(session.connection()?)).await?;
        session.release();
        let place = Place { table: "tenant", row: &[] };
        rows.iter().map(|row| cells::outlook(TenantId(place.array(row, 0, "tenant_id")?), row, 1)).collect()
    }
}

impl Session {
    /// Refuses when the lease has passed on; otherwise it does not until this transaction has ended.
    pub(super) async fn under(&mut self, fence: Option<Fence>) -> Result<(), StoreError> {
        let Some(fence) = fence else { return Ok(()) };
        if self.holds(fence).await? { Ok(()) } else { Err(StoreError::Fenced(fence.lease)) }
    }

    pub(super) async fn holds(&mut self, fence: Fence) -> Result<bool, StoreError> {
        let asking = sqlx::query("SELECT 1 FROM strongroom.lease WHERE name = $1 AND holder = $2 AND epoch = $3 FOR SHARE")
            .bind(fence.lease.word())
            .bind(&fence.holder.0[..])
            .bind(stored(fence.epoch)?)
            .fetch_optional(self.connection()?);
        Ok(within(asking).await?.is_some())
    }
}

fn replica(row: &PgRow) -> Result<Replica, StoreError> {
    let place = Place { table: "replica", row: &[] };
    Ok(Replica {
        id: ReplicaId(place.array(row, 0, "replica_id")?),
        api_addr: place.text(row, 1, "api_addr")?,
        hostname: place.text(row, 2, "hostname")?,
        version: place.text(row, 3, "version")?,
        asked: place.number(row, 4, "asked")?,
        since: Timestamp(place.number(row, 5, "since")?),
        heard: Timestamp(place.number(row, 6, "heard")?),
        quotas: place.bytes(row, 7, "quotas")?,
    })
}
