//! Many tokens, and as many that have expired: what a start costs with them, and whether expiry keeps up beside requests, in memory that does not
//! grow. A thousand of each; with `STRONGROOM_TEST_FULL=1` a million, or as many as `STRONGROOM_TEST_TOKENS` says. The figures are printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use strongroom::answer::{Answer, Refusal};
use strongroom::audit::event::{Event, Word};
use strongroom::auth::token::entry::TokenKind;
use strongroom::auth::token::lifetime::Wish;
use strongroom::auth::token::{NewToken, mint};
use strongroom::commit::{Attempt, Committer, Seals, Tenants, Txn};
use strongroom::mount::LeaseTtl;
use strongroom::storage::Store;
use strongroom::time::{Clock as _, SystemClock};

use crate::support::client::Client;
use crate::support::fixture::{mount, put, token};
use crate::support::in_process::{TOKEN, deploy, seals, sqlite};
use crate::support::postgres::Database;
use crate::support::process::PATIENCE;
use crate::support::server::{Server, storage_stanza};
use crate::support::{database, full, say, tools};

/// Tokens made in one commit, and commits that are made at once: their tokens share a transaction.
const TOGETHER: usize = 50;
const AT_ONCE: usize = 20;
/// How long those live that are to have expired.
const SHORT_SECONDS: u64 = 1;
const LONG_SECONDS: u64 = 86_400;

/// Tokens of each sort.
fn tokens() -> usize {
    let said = tools::variable("STRONGROOM_TEST_TOKENS").map(|number| number.parse().unwrap());
    if full() { said.unwrap_or(1_000_000) } else { 1_000 }
}

/// How long reads are measured beside which nothing expires.
fn alone() -> Duration {
    Duration::from_millis(if full() { 10_000 } else { 200 })
}

/// Makes tokens without a parent.
struct Make {
    ttl_seconds: u64,
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
                wish: Wish { ttl_seconds: self.ttl_seconds, period_seconds: 0, explicit_max_ttl_seconds: 0 },
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

/// A deployment with as many tokens that live as that have expired.
async fn prepare(store: &Arc<dyn Store>) {
    deploy(store).await;
    let seals = Seals { epoch: 0, list: seals(&["main"]) };
    let tenants = Tenants::open(Arc::clone(store), seals, Arc::new(SystemClock), LeaseTtl::USUAL, Arc::default()).await;
    // No job runs: whatever has expired stays.
    let committer = Arc::new(Committer::start(tenants.unwrap()).unwrap());
    for ttl_seconds in [SHORT_SECONDS, LONG_SECONDS] {
        let makers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let committer = Arc::clone(&committer);
                tokio::spawn(async move {
                    for _ in 0..tokens() / TOGETHER / AT_ONCE {
                        committer.run(Arc::new(Make { ttl_seconds })).await.unwrap();
                    }
                })
            })
            .collect();
        for maker in makers {
            maker.await.unwrap();
        }
    }
    committer.stop().await;
    store.close().await;
    tokio::time::sleep(Duration::from_secs(SHORT_SECONDS)).await;
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

/// The times of reads, one after another, as long as they are wanted. Those in which the test itself counts rows do not count.
fn reads(root: &Client, wanted: impl Fn() -> bool, counting: &AtomicBool) -> Vec<Duration> {
    let mut session = root.session().unwrap();
    let mut times = Vec::new();
    while wanted() {
        let (since, disturbed) = (Instant::now(), counting.load(Ordering::SeqCst));
        let reply = session.send("GET", "/v1/secret/data/read", &[], b"").unwrap();
        if !disturbed && !counting.load(Ordering::SeqCst) {
            times.push(since.elapsed());
        }
        assert!([200, 503].contains(&reply.status), "{}", reply.status);
    }
    times.sort();
    times
}

fn percentiles(times: &[Duration]) -> String {
    if times.is_empty() {
        return "none".to_owned();
    }
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    format!("p50 {:?}, p99 {:?}, longest {:?} of {}", at(50), at(99), at(100), times.len())
}

/// Waits until so few records are left that expire or have expired; `left` counts them, which `counting` tells.
fn until(what: &str, most: i64, counting: &AtomicBool, mut left: impl FnMut() -> i64) {
    let (since, mut before) = (Instant::now(), (Instant::now(), i64::MAX));
    loop {
        counting.store(true, Ordering::SeqCst);
        let now = left();
        counting.store(false, Ordering::SeqCst);
        if now <= most {
            return say(&format!("{what}: {:?}", since.elapsed()));
        }
        if now < before.1 {
            before = (Instant::now(), now);
        }
        assert!(before.0.elapsed() < 4 * PATIENCE, "{what}: {now} are left, and none goes");
        std::thread::sleep(Duration::from_millis(if full() { 5_000 } else { 50 }));
    }
}

/// Expiry beside requests. `expired` counts what is past its time, `all` all records.
fn expire(server: &Server, trouble: impl FnOnce(&Client), mut expired: impl FnMut() -> i64, mut all: impl FnMut() -> i64) {
    let root = Client::new(&server.target()).with_token(TOKEN);
    mount(&root, "secret");
    put(&root, "read", &serde_json::json!({"k": "v"}));
    let (stop, counting, memory) = (AtomicBool::new(false), AtomicBool::new(false), resident(server));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| reads(&root, || !stop.load(Ordering::SeqCst), &counting));
        trouble(&root);
        until("what had expired is gone", 0, &counting, &mut expired);
        stop.store(true, Ordering::SeqCst);
        say(&format!("reads meanwhile: {}", percentiles(&reading.join().unwrap())));
    });
    // Each token that lives has a row, its accessor's and its lease's; besides them there is little. Those of the dead go, too.
    let most = i64::try_from(3 * tokens()).unwrap() + 200;
    until("the rows of dead tokens are gone", most, &counting, &mut all);
    let now = resident(server);
    say(&format!("memory went from {} to {} MiB", memory >> 10, now >> 10));
    assert!(now < memory + (256 << 10), "memory went from {memory} to {now} KiB");
    let since = Instant::now();
    say(&format!("reads alone: {}", percentiles(&reads(&root, || since.elapsed() < alone(), &counting))));
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
