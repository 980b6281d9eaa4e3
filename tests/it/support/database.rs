//! The store's own tables, read and changed past the server, as whoever has the database can.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use strongroom::id::TenantId;
use strongroom::storage::sqlite::SqliteStore;
use strongroom::storage::{LogRow, Store};
use strongroom::time::SystemClock;

use super::postgres;

/// The tables of either store, as far as tests for both need them.
pub(crate) enum Tables {
    Sqlite(Database, std::path::PathBuf),
    Postgres(Rc<postgres::Database>),
}

impl Tables {
    pub(super) fn sqlite(file: &Path) -> Self {
        Self::Sqlite(Database::open(file), file.to_owned())
    }

    /// The one number that a query answers with.
    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        match self {
            Self::Sqlite(database, _) => database.number(sql),
            Self::Postgres(database) => on_postgresql(database, sql).trim().parse().unwrap(),
        }
    }

    /// Events in all logs together.
    pub(crate) fn events(&mut self) -> i64 {
        self.number("SELECT coalesce(sum(count), 0) FROM log")
    }

    /// All records, ordered by tenant and key.
    pub(crate) fn rows(&mut self) -> Vec<Record> {
        match self {
            Self::Sqlite(database, _) => database.records(),
            Self::Postgres(database) => {
                let columns = "encode(tenant_id, 'hex'), encode(key, 'hex'), encode(dir, 'hex'), expires_at, encode(name, 'hex'), encode(sealed, 'hex')";
                let text = on_postgresql(database, &format!("SELECT {columns} FROM record ORDER BY tenant_id, key"));
                text.lines().map(Record::parse).collect()
            }
        }
    }

    /// Runs statements.
    pub(crate) fn run(&mut self, sql: &str) {
        match self {
            Self::Sqlite(database, _) => database.run(sql).unwrap(),
            Self::Postgres(database) => drop(on_postgresql(database, sql)),
        }
    }

    /// Bytes as the store's SQL has them.
    pub(crate) fn literal(&self, bytes: &[u8]) -> String {
        let text = HEXLOWER.encode(bytes);
        match self {
            Self::Sqlite(..) => format!("x'{text}'"),
            Self::Postgres(_) => format!("'\\x{text}'::bytea"),
        }
    }

    /// The condition that holds for one record.
    pub(crate) fn place(&self, record: &Record) -> String {
        format!("tenant_id = {} AND key = {}", self.literal(&record.tenant), self.literal(&record.key))
    }

    /// Puts these bytes into one column of a record.
    pub(crate) fn overwrite(&mut self, record: &Record, column: &str, bytes: &[u8]) {
        self.run(&format!("UPDATE record SET {column} = {} WHERE {}", self.literal(bytes), self.place(record)));
    }

    /// The whole log of every tenant, read through the store in pages of `page` rows. The server must be stopped.
    pub(crate) fn logs(&mut self, page: usize) -> Vec<Vec<LogRow>> {
        let tenants: Vec<Vec<u8>> = match self {
            Self::Sqlite(database, _) => database.bytes("SELECT tenant_id FROM tenant"),
            Self::Postgres(database) => {
                let text = on_postgresql(database, "SELECT encode(tenant_id, 'hex') FROM tenant");
                text.lines().map(|line| HEXLOWER.decode(line.as_bytes()).unwrap()).collect()
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store: Box<dyn Store> = match self {
                Self::Sqlite(_, file) => Box::new(SqliteStore::open(file, Arc::new(SystemClock)).await.unwrap()),
                Self::Postgres(database) => Box::new(database.store().await),
            };
            let mut logs = Vec::new();
            for tenant in tenants {
                logs.push(log(&*store, TenantId(tenant.try_into().unwrap()), page).await);
            }
            store.close().await;
            logs
        })
    }
}

/// As the database's administrator, whom no row security stops.
fn on_postgresql(database: &postgres::Database, sql: &str) -> String {
    database.sql("postgres", &format!("SET search_path = strongroom; {sql}"))
}

async fn log(store: &dyn Store, tenant: TenantId, page: usize) -> Vec<LogRow> {
    let mut rows: Vec<LogRow> = Vec::new();
    loop {
        let next = store.log(tenant, rows.len() as u64 + 1, page).await.unwrap();
        assert!(next.len() <= page);
        if next.is_empty() {
            return rows;
        }
        rows.extend(next);
    }
}

/// A row of `record`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) tenant: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) directory: Vec<u8>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) name: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
}

impl Record {
    /// Whether some directory lists it.
    pub(crate) fn is_listed(&self) -> bool {
        self.directory.iter().any(|byte| *byte != 0)
    }

    /// Reads a line that PostgreSQL printed.
    fn parse(line: &str) -> Self {
        let cells: Vec<&str> = line.split('|').collect();
        let bytes = |at: usize| HEXLOWER.decode(cells[at].as_bytes()).unwrap();
        Self {
            tenant: bytes(0),
            key: bytes(1),
            directory: bytes(2),
            expires_at: cells[3].parse().ok(),
            name: bytes(4),
            sealed: bytes(5),
        }
    }
}

/// A connection to a server's SQLite file. The server may be running.
pub(crate) struct Database {
    runtime: tokio::runtime::Runtime,
    /// There until it is dropped.
    connection: Option<SqliteConnection>,
}

impl Database {
    /// Opens the file.
    pub(crate) fn open(file: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(std::time::Duration::from_secs(10));
        let connection = runtime.block_on(SqliteConnection::connect_with(&options)).unwrap();
        Self { runtime, connection: Some(connection) }
    }

    /// Runs statements; the database's own words when it refuses.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), String> {
        let done = self.runtime.block_on(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(self.connection.as_mut().unwrap()));
        done.map(drop).map_err(|error| error.to_string())
    }

    /// The one number that a query answers with.
    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        self.runtime.block_on(query.fetch_one(self.connection.as_mut().unwrap())).unwrap()
    }

    /// The first column of every row, as bytes.
    pub(crate) fn bytes(&mut self, sql: &str) -> Vec<Vec<u8>> {
        let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        self.runtime.block_on(query.fetch_all(self.connection.as_mut().unwrap())).unwrap()
    }

    fn records(&mut self) -> Vec<Record> {
        let sql = "SELECT tenant_id, key, dir, expires_at, name, sealed FROM record ORDER BY tenant_id, key";
        let rows = self.runtime.block_on(sqlx::query(sql).fetch_all(self.connection.as_mut().unwrap())).unwrap();
        let read = |row: &sqlx::sqlite::SqliteRow| Record {
            tenant: row.get(0),
            key: row.get(1),
            directory: row.get(2),
            expires_at: row.get(3),
            name: row.get(4),
            sealed: row.get(5),
        };
        rows.iter().map(read).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Closed here and now: the server that comes next must be alone with the file.
        if let Some(connection) = self.connection.take() {
            let _ = self.runtime.block_on(connection.close());
        }
    }
}

/// The records of `after` whose keys are not in `before`.
pub(crate) fn added(before: &[Record], after: &[Record]) -> Vec<Record> {
    let known = |record: &Record| before.iter().any(|old| (&old.tenant, &old.key) == (&record.tenant, &record.key));
    after.iter().filter(|record| !known(record)).cloned().collect()
}
