//! Many tokens, and as many that have expired: what a start costs with them, and whether expiry keeps up beside requests, in memory that does not
//! grow. A thousand of each; with `STRONGROOM_TEST_FULL=1` a million. The figures are printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use strongroom::answer::{Answer, Refusal};
use strongroom::audit::event::{Event, Word};
use strongroom::auth::token::entry::TokenKind;
use strongroom::auth::token::lifetime::Wish;
use strongroom::auth::token::{NewToken, mint};
use strongroom::commit::{Attempt, Committer, Seals, Tenants, Txn};
use strongroom::mount::LeaseTtl;
use strongroom::storage::Store;
use strongroom::sys::erasure::ErasureSettings;
use strongroom::time::{Clock, ManualClock, SystemClock};

use crate::support::client::Client;
use crate::support::fixture::{mount, put, token};
use crate::support::in_process::{InProcess, TOKEN, guard, seals, sqlite};
use crate::support::postgres::Database;
use crate::support::process::PATIENCE;
use crate::support::server::{Server, storage_stanza};
use crate::support::{database, full, say};

/// Tokens made in one commit.
const TOGETHER: usize = 100;

/// Tokens of each sort.
fn tokens() -> usize {
    if full() { 1_000_000 } else { 1_000 }
}

/// Makes tokens without a parent.
struct Make {
    ttl: Duration,
}

#[async_trait]
impl Attempt for Make {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        for _ in 0..TOGETHER {
            let new = NewToken {
                kind: TokenKind::Service,
                chosen: None,
                parent: None,
                policies: vec!["default".to_owned()],
                meta: None,
                display_name: "token".to_owned(),
                path: "auth/token/create".to_owned(),
                role: None,
                entity_id: String::new(),
                bound_cidrs: Vec::new(),
                certificate: None,
                login: None,
                factors: Vec::new(),
                limits: LeaseTtl::USUAL,
                wish: Wish { ttl_seconds: self.ttl.as_secs(), period_seconds: 0, explicit_max_ttl_seconds: 0 },
                uses: None,
                renewable: true,
            };
            mint(txn, &root, new).await?;
        }
        let event = Event::of_job(txn.now(), root.id(), Word::new("make"), "tokens".to_owned());
        txn.conclude(&root, &event, false);
        Ok(Answer::Empty)
    }
}

/// A deployment with as many tokens that live as that have expired. A clock that was behind made the latter: nobody waits for them to expire.
async fn prepare(store: &Arc<dyn Store>) {
    let first = InProcess::new(store, guard(&["main"]), ErasureSettings::default());
    first.initialise(0, 0).await;
    first.end().await;
    let behind = ManualClock::new(strongroom::time::Timestamp(SystemClock.now().0 - 7_200_000_000_000));
    // What is decided again is decided by the store's clock: those that are to have expired are made one after another.
    let clocks: [(Arc<dyn Clock>, u64, usize); 2] = [(Arc::new(behind), 3_600, 1), (Arc::new(SystemClock), 86_400, 5)];
    for (clock, ttl, at_once) in clocks {
        let seals = Seals { epoch: 0, list: seals(&["main"]) };
        let tenants = Tenants::open(Arc::clone(store), seals, clock, LeaseTtl::USUAL, Arc::default()).await.unwrap();
        let committer = Committer::start(tenants).unwrap();
        for _ in 0..tokens() / TOGETHER / at_once {
            let make = |_| committer.run(Arc::new(Make { ttl: Duration::from_secs(ttl) }));
            assert!(join_all((0..at_once).map(make)).await.iter().all(Result::is_ok));
        }
        committer.stop().await;
    }
    store.close().await;
}

/// Makes it, and starts a server on it.
fn started(store: impl Future<Output = Arc<dyn Store>>, stanza: &str) -> Server {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let since = Instant::now();
    runtime.block_on(async { prepare(&store.await).await });
    say(&format!("{} tokens were made in {:?}", 2 * tokens(), since.elapsed()));
    let seal = |folder: &Path| {
        let key = folder.join("main.key");
        fs::write(&key, [&b"main"[..], &[0; 28]].concat()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        format!("{stanza}\nseal \"static\" \"main\" {{\n  key_file = \"{}\"\n}}", key.display())
    };
    let since = Instant::now();
    let server = Server::configured(seal, "", 200);
    let took = since.elapsed();
    say(&format!("a start takes {took:?}, and {} MiB", resident(&server) >> 10));
    assert!(!full() || took < Duration::from_secs(3), "{took:?}");
    server
}

/// Resident memory, KiB.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process_id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The times of reads, one after another, until told to stop.
fn reads(root: &Client, stop: &AtomicBool) -> Vec<Duration> {
    let mut session = root.session().unwrap();
    let mut times = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let since = Instant::now();
        let reply = session.send("GET", "/v1/secret/data/read", &[], b"").unwrap();
        times.push(since.elapsed());
        assert!([200, 503].contains(&reply.status), "{}", reply.status);
    }
    times.sort();
    times
}

fn percentiles(times: &[Duration]) -> String {
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    format!("p50 {:?}, p99 {:?}, longest {:?} of {}", at(50), at(99), at(100), times.len())
}

/// Waits until so few records are left that expire or have expired; `left` counts them.
fn until(what: &str, most: i64, mut left: impl FnMut() -> i64) {
    let (since, mut before) = (Instant::now(), (Instant::now(), i64::MAX));
    loop {
        let now = left();
        if now <= most {
            return say(&format!("{what}: {:?}", since.elapsed()));
        }
        if now < before.1 {
            before = (Instant::now(), now);
        }
        assert!(before.0.elapsed() < 4 * PATIENCE, "{what}: {now} are left, and none goes");
        std::thread::sleep(Duration::from_millis(if full() { 1_000 } else { 50 }));
    }
}

/// Expiry beside requests. `expired` counts what is past its time, `all` all records.
fn expire(server: &Server, trouble: impl FnOnce(&Client), mut expired: impl FnMut() -> i64, mut all: impl FnMut() -> i64) {
    let root = Client::new(&server.target()).with_token(TOKEN);
    mount(&root, "secret");
    put(&root, "read", &serde_json::json!({"k": "v"}));
    let (stop, memory) = (AtomicBool::new(false), resident(server));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| reads(&root, &stop));
        trouble(&root);
        until("what had expired is gone", 0, &mut expired);
        stop.store(true, Ordering::SeqCst);
        say(&format!("reads meanwhile: {}", percentiles(&reading.join().unwrap())));
    });
    // Each token that lives has a row, its accessor's and its lease's; besides them there is little. Those of the dead go, too.
    let most = i64::try_from(3 * tokens()).unwrap() + 200;
    until("the rows of dead tokens are gone", most, &mut all);
    let now = resident(server);
    say(&format!("memory went from {} to {} MiB", memory >> 10, now >> 10));
    assert!(now < memory + (256 << 10), "memory went from {memory} to {now} KiB");
    // Those that live do.
    let made = token(&root, &serde_json::json!({"policies": ["default"]}));
    root.with_token(&made.text).call("GET", "auth/token/lookup-self", None).expect(200);
    assert!(all() >= i64::try_from(3 * tokens()).unwrap());
}

const EXPIRED: &str = "expires_at IS NOT NULL AND expires_at <=";

#[test]
fn expired_tokens_go_beside_requests_on_sqlite() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (store, folder) = runtime.block_on(sqlite());
    let file = folder.path().join("store.db");
    let server = started(async { store }, &format!("storage \"sqlite\" {{\n  path = \"{}\"\n}}", file.display()));
    let count = |condition: &str| {
        let sql = format!("SELECT count(*) FROM record WHERE {condition}");
        database::Database::open(&file).number(&sql)
    };
    let now = SystemClock.now().0;
    expire(&server, |_| {}, || count(&format!("{EXPIRED} {now}")), || count("true"));
}

/// And a full disk in the middle: expiry stops with everything else, and goes on.
#[test]
fn expired_tokens_go_beside_requests_and_after_a_full_disk_on_postgresql() {
    let database = Database::on_a_small_disk();
    let store = async { Arc::new(database.store().await) as Arc<dyn Store> };
    let server = started(store, &storage_stanza(&database));
    let count = |condition: &str| {
        let sql = format!("SELECT count(*) FROM strongroom.record WHERE {condition}");
        database.sql("postgres", &sql).trim().parse::<i64>().unwrap()
    };
    let full_disk = |root: &Client| {
        database.fill_disk(true);
        let since = Instant::now();
        while root.call("POST", "secret/data/other", Some(&serde_json::json!({"data": {"k": "v".repeat(10_000)}}))).status != 503
        {
            assert!(since.elapsed() < PATIENCE, "the disk has room");
        }
        database.fill_disk(false);
    };
    let now = SystemClock.now().0;
    expire(&server, full_disk, || count(&format!("{EXPIRED} {now}")), || count("true"));
}
