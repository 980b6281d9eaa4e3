//! An open server without listeners, on a store of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom::commit::{Committer, KeyringTimes};
use strongroom::crypto::RootKey;
use strongroom::mount::LeaseTtl;
use strongroom::outbound::Outbound;
use strongroom::seal::{LocalSeal, Seal};
use strongroom::secret::SecretText;
use strongroom::sink::Sinks;
use strongroom::storage::Store;
use strongroom::storage::sqlite::SqliteStore;
use strongroom::sys::barrier::{Barrier, Guard, InitRequest, Open, Settings};
use strongroom::sys::erasure::ErasureSettings;
use strongroom::time::{Clock, SystemClock};

use crate::postgres::Database;

/// The server; its tables end with it.
pub(crate) struct Deployed {
    pub(crate) name: &'static str,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) root_token: String,
    open: Arc<Open>,
    barrier: Barrier,
    tables: Tables,
}

enum Tables {
    File(PathBuf),
    Database(Database),
}

impl Deployed {
    pub(crate) async fn on_sqlite(file: &Path) -> Self {
        let store = SqliteStore::open(file, Arc::new(SystemClock)).await.unwrap();
        Self::on(Arc::new(store), Tables::File(file.to_owned())).await
    }

    pub(crate) async fn on_postgres() -> Self {
        let database = Database::new();
        let store = database.store().await;
        Self::on(Arc::new(store), Tables::Database(database)).await
    }

    async fn on(store: Arc<dyn Store>, tables: Tables) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let seal: Arc<dyn Seal> = Arc::new(LocalSeal::static_key("static", RootKey::generate()));
        let sinks = Arc::new(Sinks::new(Vec::new(), &Outbound::new(&[], true)).unwrap());
        let settings = Settings {
            name: "bench".to_owned(),
            dev: false,
            lease_ttl: LeaseTtl::USUAL,
            api_addr: String::new(),
            keyring_times: KeyringTimes::ENDLESS,
            sinks,
            archive: None,
            backups: None,
            erasure: ErasureSettings::default(),
            anchors: Arc::default(),
            witnesses: Arc::default(),
        };
        let barrier = Barrier::new(Arc::clone(&store), clock, Guard::Auto(vec![seal]), settings);
        let root_token = "bench-root".to_owned();
        let request = InitRequest { shares: 0, threshold: 0 };
        barrier.initialise(&request, Some(SecretText::new(root_token.clone()))).await.unwrap();
        let open = barrier.open().unwrap();
        Self { name: store.kind(), store, root_token, open, barrier, tables }
    }

    pub(crate) fn committer(&self) -> &Committer {
        self.open.committer()
    }

    /// Events in the log of the root namespace.
    pub(crate) async fn events(&self) -> u64 {
        let tenants = self.committer().tenants();
        tenants.newest_row(tenants.root().id()).await.unwrap().map_or(0, |row| row.end())
    }

    /// The database as it lies on the disk: file and write-ahead log, or the log's table with its indexes.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.tables {
            Tables::File(file) => {
                let ahead = PathBuf::from(format!("{}-wal", file.display()));
                [file, &ahead].into_iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum()
            }
            Tables::Database(database) => database
                .sql("postgres", "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname = 'log'")
                .trim()
                .parse()
                .unwrap(),
        }
    }

    pub(crate) async fn close(&self) {
        self.barrier.seal().await;
        self.store.close().await;
    }
}
