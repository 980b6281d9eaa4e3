//! Servers in this process: everything but their listeners, on a store that a test may stand in front of.

use std::panic::Location;
use std::sync::Arc;

use serde_json::{Value, json};
use strongroom::answer::{Answer, Refusal};
use strongroom::audit::merkle::Frontier;
use strongroom::auth::signed::Issuers;
use strongroom::commit::{Committer, KeyringTimes, Seals, Tenants};
use strongroom::crypto::RootKey;
use strongroom::id::TenantId;
use strongroom::mount::LeaseTtl;
use strongroom::outbound::Outbound;
use strongroom::request::{Body, Credential, Errand, Incoming, NoHeaders, Outcome, Shared, handle};
use strongroom::seal::{LocalSeal, Seal};
use strongroom::secret::{SecretBytes, SecretText};
use strongroom::storage::Store;
use strongroom::storage::sqlite::SqliteStore;
use strongroom::sys::barrier::{Barrier, BarrierError, Guard, InitRequest, Settings};
use strongroom::sys::erasure::ErasureSettings;
use strongroom::time::{Clock, SystemClock};

use super::postgres::Database;

/// The root token of every deployment here.
pub(crate) const TOKEN: &str = "in-process-root-token-0123456789";

/// A key that every server has which is given this name.
pub(crate) fn seal(name: &str) -> Arc<dyn Seal> {
    let secret = SecretBytes::new([name.as_bytes(), &[0; 32]].concat()[..32].to_vec());
    Arc::new(LocalSeal::static_key(name, RootKey::from_secret(&secret).unwrap()))
}

pub(crate) fn seals(names: &[&str]) -> Vec<Arc<dyn Seal>> {
    names.iter().map(|name| seal(name)).collect()
}

pub(crate) fn guard(names: &[&str]) -> Guard {
    Guard::Auto(seals(names))
}

/// An empty SQLite store in a folder that ends with it.
pub(crate) async fn sqlite() -> (Arc<dyn Store>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db"), Arc::new(SystemClock)).await.unwrap();
    (Arc::new(store), folder)
}

/// An empty PostgreSQL store.
pub(crate) async fn postgresql() -> (Arc<dyn Store>, Database) {
    let database = Database::new();
    (Arc::new(database.store().await), database)
}

/// Makes a deployment on an empty store. No server of it is left.
pub(crate) async fn deploy(store: &Arc<dyn Store>) {
    let first = InProcess::new(store, guard(&["main"]), ErasureSettings::default());
    first.initialise(0, 0).await;
    first.end().await;
}

/// A request of somebody.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Empty for the root namespace.
    pub(crate) namespace: &'a str,
    /// Empty for nobody.
    pub(crate) token: &'a str,
    pub(crate) wrap_ttl: Option<&'a str>,
    pub(crate) body: Option<Value>,
}

impl<'a> Ask<'a> {
    /// With the root token.
    pub(crate) fn root(method: &'a str, path: &'a str, body: Option<Value>) -> Self {
        Self { method, path, namespace: "", token: TOKEN, wrap_ttl: None, body }
    }

    fn incoming(self) -> Incoming {
        let (path, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        Incoming {
            id: "00000000-0000-0000-0000-000000000000".into(),
            method: self.method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            namespace: (!self.namespace.is_empty()).then(|| self.namespace.to_owned()),
            credential: Credential::Token(SecretText::new(self.token.to_owned())),
            wrap_ttl: self.wrap_ttl.map(str::to_owned),
            receipt: false,
            passcodes: Vec::new(),
            if_none_match: None,
            content_type: None,
            headers: Box::new(NoHeaders),
            body: Body::Whole(SecretBytes::new(self.body.map_or_else(Vec::new, |body| body.to_string().into_bytes()))),
            remote: ([127, 0, 0, 1], 0).into(),
            certificate: None,
            spans: None,
        }
    }
}

/// A server without its background work: nothing happens but what it is asked for.
pub(crate) struct Quiet {
    committer: Committer,
    shared: Arc<Shared>,
}

impl Quiet {
    /// Opened with seals of these names.
    pub(crate) async fn new(store: &Arc<dyn Store>, names: &[&str]) -> Self {
        Self::at(store, names, Arc::new(SystemClock)).await
    }

    /// The same with a clock of its own.
    pub(crate) async fn at(store: &Arc<dyn Store>, names: &[&str], clock: Arc<dyn Clock>) -> Self {
        let seals = Seals { epoch: 0, list: seals(names) };
        let tenants = Tenants::open(Arc::clone(store), seals, clock, LeaseTtl::USUAL, Arc::default()).await;
        let committer = Committer::start(tenants.unwrap()).unwrap();
        Self { committer, shared: shared() }
    }

    /// Status and body of the answer, null when there is none.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> (u16, Value) {
        let Outcome { answer, errand, .. } = handle(&self.committer, &self.shared, ask.incoming()).await;
        match errand {
            Some(Errand::AuditLog(reading)) => shown(reading.answer(self.committer.tenants()).await),
            _ => shown(answer),
        }
    }

    /// The same of a request with the root token, which has to have this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16, (method, path): (&str, &str), body: Option<Value>) -> impl Future<Output = Value> {
        let from = Location::caller();
        async move {
            let (found, answer) = self.ask(Ask::root(method, path, body)).await;
            assert_eq!(found, status, "{from}: {method} {path}: {answer}");
            answer
        }
    }

    pub(crate) async fn look(&self, namespace: &str, path: &str) -> (u16, Value) {
        self.ask(Ask { namespace, ..Ask::root("GET", path, None) }).await
    }

    pub(crate) async fn end(self) {
        self.committer.stop().await;
    }
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Issuers::new(Outbound::new(&[], false))))
}

/// A server.
pub(crate) struct InProcess {
    pub(crate) barrier: Arc<Barrier>,
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
}

impl InProcess {
    /// A server that is not open yet.
    pub(crate) fn new(store: &Arc<dyn Store>, guard: Guard, erasure: ErasureSettings) -> Self {
        let settings = Settings {
            name: "in process".to_owned(),
            dev: false,
            lease_ttl: LeaseTtl::USUAL,
            api_addr: String::new(),
            keyring_times: KeyringTimes::ENDLESS,
            sinks: Arc::default(),
            archive: None,
            erasure,
            anchors: Arc::default(),
            witnesses: Arc::default(),
            backups: None,
        };
        let barrier = Arc::new(Barrier::new(Arc::clone(store), Arc::new(SystemClock), guard, settings));
        Self { barrier, store: Arc::clone(store), shared: shared() }
    }

    /// Makes the deployment; the shares as they are answered.
    pub(crate) async fn initialise(&self, shares: u8, threshold: u8) -> Vec<String> {
        let token = SecretText::new(TOKEN.to_owned());
        let made = self.barrier.initialise(&InitRequest { shares, threshold }, Some(token)).await.unwrap();
        let made: Value = serde_json::from_slice(made.json().expose()).unwrap();
        let name = if self.barrier.opens_itself() { "recovery_keys" } else { "keys" };
        made[name].as_array().into_iter().flatten().map(|share| share.as_str().unwrap().to_owned()).collect()
    }

    /// The server is gone, and with it whatever it was about to do.
    pub(crate) async fn end(self) {
        self.barrier.seal().await;
    }

    /// A request with the root token: status and body, null when there is none. 503 while it is sealed.
    pub(crate) async fn call(&self, method: &str, namespace: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let Some(open) = self.barrier.open() else { return (503, Value::Null) };
        let incoming = Ask { namespace, ..Ask::root(method, path, body) }.incoming();
        let Outcome { answer, errand, .. } = handle(open.committer(), &self.shared, incoming).await;
        let answer = match errand {
            Some(Errand::Ceremony(step)) => {
                let done = self.barrier.ceremony(step).await;
                done.map(|json| json.map_or(Answer::Empty, Answer::data)).map_err(BarrierError::refusal)
            }
            Some(Errand::AuditLog(reading)) => reading.answer(open.committer().tenants()).await,
            _ => answer,
        };
        shown(answer)
    }

    pub(crate) async fn expect(&self, status: u16, (method, namespace, path): (&str, &str, &str), body: Option<Value>) -> Value {
        let (found, answer) = self.call(method, namespace, path, body).await;
        assert_eq!(found, status, "{method} {namespace}/{path}: {answer}");
        answer
    }

    /// A namespace with some secrets; its id.
    pub(crate) async fn namespace(&self, name: &str, secrets: usize) -> TenantId {
        self.namespace_in("", name, secrets).await
    }

    /// The same below another one.
    pub(crate) async fn namespace_in(&self, parent: &str, name: &str, secrets: usize) -> TenantId {
        self.expect(200, ("POST", parent, &format!("sys/namespaces/{name}")), None).await;
        let shown = self.expect(200, ("GET", parent, &format!("sys/namespaces/{name}")), None).await;
        let (kv, path) = (json!({"type": "kv", "options": {"version": "2"}}), format!("{parent}/{name}"));
        let path = path.trim_start_matches('/');
        self.expect(204, ("POST", path, "sys/mounts/secret"), Some(kv)).await;
        for number in 0..secrets {
            let body = json!({"data": {"number": number}});
            self.expect(200, ("POST", path, &format!("secret/data/{number}")), Some(body)).await;
        }
        TenantId::parse(shown["data"]["uuid"].as_str().unwrap()).unwrap()
    }

    /// Every secret of `namespace` is what it was.
    pub(crate) async fn reads(&self, name: &str, secrets: usize) {
        for number in 0..secrets {
            let read = self.expect(200, ("GET", name, &format!("secret/data/{number}")), None).await;
            assert_eq!(read["data"]["data"], json!({"number": number}));
        }
    }

    /// The log of a namespace: every row extends the one before it, and every event in it opens and is what its leaf says.
    pub(crate) async fn log_verifies(&self, name: &str, tenant: TenantId) {
        let tree = chained(&*self.store, tenant).await;
        let mut found = 0;
        while found < tree.size() {
            let path = format!("sys/audit-log?order=asc&since_index={found}&limit=1000");
            let page = self.expect(200, ("GET", name, &path), None).await;
            let events = page["data"]["events"].as_array().unwrap().len();
            assert!(events > 0, "{found} of {} events: {page}", tree.size());
            found += u64::try_from(events).unwrap();
        }
    }
}

/// The tree of a tenant's log, every row of which must extend the one before it.
pub(crate) async fn chained(store: &dyn Store, tenant: TenantId) -> Frontier {
    let mut tree = Frontier::new();
    let mut next = 1;
    loop {
        let rows = store.log(tenant, next, 1_000).await.unwrap();
        let Some(last) = rows.last() else { return tree };
        next = last.tail.seq + 1;
        for row in rows {
            assert_eq!(row.tail.prev_root, tree.root(), "row {}", row.tail.seq);
            row.leaves.as_chunks::<32>().0.iter().for_each(|leaf| tree.push(*leaf));
            assert_eq!((row.tail.root, &row.tail.frontier), (tree.root(), &tree.to_bytes()), "row {}", row.tail.seq);
        }
    }
}

fn shown(answer: Result<Answer, Refusal>) -> (u16, Value) {
    match answer {
        Ok(answer) => {
            let status = answer.status();
            let body = answer.into_body("").map_or(Value::Null, |json| serde_json::from_slice(json.expose()).unwrap());
            (status, body)
        }
        Err(refusal) => (refusal.status(), json!({"errors": [format!("{refusal:?}")]})),
    }
}
