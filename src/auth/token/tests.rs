//! Tokens over the real commit path and the embedded store: what lives, what dies, and when.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::auth::{Origin, policies};
use crate::commit::testing::Deployed;
use crate::commit::{Attempt, Committer, Place, Txn, testing};
use crate::engine::table::{Call, Match, Verb, find};
use crate::fields::{Fields, Query};
use crate::id::MountId;
use crate::mount::Engine;
use crate::path::Path;
use crate::policy::PolicyRecord;
use crate::record::{Kind, SYSTEM};
use crate::secret::SecretText;
use crate::time::{ManualClock, Timestamp};

#[path = "tests/expiry.rs"]
mod expired;
#[path = "tests/kinds.rs"]
mod kinds;
#[path = "tests/shown.rs"]
mod shown;

/// A token with this policy may do everything with tokens that needs no sudo.
const MAKER: &str = r#"path "auth/token/*" { capabilities = ["create", "read", "update", "list"] }"#;

/// Where the requests of these tests come from.
const ORIGIN: Origin = Origin { address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), presented: None };

struct World {
    committer: Arc<Committer>,
    clock: Arc<ManualClock>,
    root: String,
    _deployed: Deployed,
}

/// What a request of these tests is.
#[derive(Clone)]
enum Step {
    /// Make the root token, a policy `maker` and a namespace `team1`.
    Start,
    /// Call `auth/token/`.
    Call { namespace: bool, token: String, verb: Verb, path: &'static str, body: String },
    /// Clear away what is dead in the root.
    Tidy,
    /// Clear away some of what is below tokens that were ended.
    Sweep,
    /// End the tokens whose leases are under a prefix.
    RevokePath(&'static str),
    /// Clear away what was ended by path.
    ClearPaths,
    /// Count what lists tokens by path and by the token above.
    Rows,
}

#[async_trait]
impl Attempt for Step {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let outcome = self.decide(txn).await;
        let event = Event::of_job(txn.now(), root.id(), Word::new("test"), String::new());
        txn.conclude(&root, &event, outcome.is_err());
        outcome
    }
}

impl Step {
    async fn decide(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        match self {
            Self::Start => {
                let record =
                    PolicyRecord::parse("maker", MAKER.to_owned()).map_err(|error| Refusal::invalid(error.to_string()))?;
                txn.put(&root, &policies::address("maker"), &record, None).await?;
                txn.create_child(&root, "team1", std::collections::BTreeMap::new(), None).await?;
                root_token(txn, &root, Some(&SecretText::new("dev-root".to_owned()))).await?;
                Ok(Answer::Empty)
            }
            Self::Tidy => revoke::tidy(txn, &[root], None, 100).await.map(|_| Answer::Empty),
            Self::Sweep => Ok(Answer::data(crate::json::Json::value(&revoke::sweep(txn, &root).await?))),
            Self::RevokePath(prefix) => revoke::revoke_path(txn, &root, (*prefix).to_owned()).await.map(|()| Answer::Empty),
            Self::ClearPaths => {
                let mut walk = revoke::clear_paths(txn, &root, None).await?.1;
                while walk.is_some() {
                    walk = revoke::clear_paths(txn, &root, walk).await?.1;
                }
                Ok(Answer::Empty)
            }
            Self::Rows => {
                let leases = lease::list(txn, &root, "auth/token/create/").await?.len();
                let remains = txn.names(&root, Kind::TokenChild, SYSTEM, entry::REMAINS).await?.len();
                Ok(Answer::data(crate::json::Json::value(&(leases + remains))))
            }
            Self::Call { namespace, token, verb, path, body } => {
                let token = SecretText::new(token.clone());
                let mut chain = vec![root];
                let mut caller = authenticate(txn, &chain, &token, &ORIGIN).await?;
                let mut prefix = String::new();
                if *namespace {
                    let Some((tenant, _)) = txn.child(&chain[0].clone(), "team1").await? else { return Err(Refusal::NotFound) };
                    chain.push(tenant);
                    prefix = caller.as_ref().map_or_else(String::new, |_| "team1/".to_owned());
                    if caller.is_none() {
                        caller = authenticate(txn, &chain, &token, &ORIGIN).await?;
                    }
                }
                let below = *namespace && prefix.is_empty();
                let caller = caller.ok_or(Refusal::NoToken)?;
                let caller = Caller {
                    chain: chain.clone(),
                    prefix,
                    namespace: if below { "team1/".into() } else { String::new() },
                    ..caller
                };
                run_row(&caller, *verb, path, body, txn).await
            }
        }
    }
}

async fn run_row(caller: &Caller, verb: Verb, path: &str, body: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let (path, query) = (Path::new(path).unwrap(), Query::parse("").unwrap());
    let operation = {
        let fields = Fields::parse(body.as_bytes(), None)?;
        let Match::Row(row, captures) = find(TABLE, verb, &path) else { return Err(Refusal::UnsupportedPath) };
        (row.parse)(&Call { verb, path: &path, captures, query: &query, fields: &fields })?
    };
    let mount = testing::mount(Engine::Token, MountId([1; 16]));
    let tenant = Arc::clone(caller.chain.last().unwrap());
    let place = Place { tenant, mount, path: "auth/token/".to_owned() };
    run(operation, &place, caller, txn).await
}

impl World {
    async fn new() -> Self {
        let deployed = Deployed::at(Timestamp(1_800_000_000_000_000_000)).await;
        let committer = Arc::new(Committer::start(deployed.tenants().await).unwrap());
        committer.run(Arc::new(Step::Start)).await.unwrap();
        Self { committer, clock: Arc::clone(&deployed.clock), root: "dev-root".to_owned(), _deployed: deployed }
    }

    async fn call(
        &self,
        namespace: bool,
        token: &str,
        verb: Verb,
        path: &'static str,
        body: &str,
    ) -> Result<serde_json::Value, Refusal> {
        let step = Step::Call { namespace, token: token.to_owned(), verb, path, body: body.to_owned() };
        let json = match self.committer.run(Arc::new(step)).await? {
            Answer::Auth { auth, warnings } => format!(r#"{{"auth":{},"warnings":{}}}"#, text(&auth), warnings.len()),
            Answer::Data(data) => data.data.as_ref().map_or_else(|| "null".to_owned(), text),
            _ => "null".to_owned(),
        };
        Ok(serde_json::from_str(&json).unwrap())
    }

    async fn write(&self, token: &str, path: &'static str, body: &str) -> Result<serde_json::Value, Refusal> {
        self.call(false, token, Verb::Write, path, body).await
    }

    async fn create(&self, token: &str, body: &str) -> String {
        let made = self.write(token, "create", body).await.unwrap();
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    async fn lives(&self, token: &str) -> bool {
        match self.call(false, token, Verb::Read, "lookup-self", "").await {
            Ok(_) => true,
            Err(Refusal::NoToken) => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn accessors(&self) -> usize {
        let listed = self.call(false, &self.root, Verb::List, "accessors", "").await.unwrap();
        listed["keys"].as_array().unwrap().len()
    }

    async fn number(&self, step: Step) -> u64 {
        match self.committer.run(Arc::new(step)).await.unwrap() {
            Answer::Data(data) => text(&data.data.unwrap()).parse().unwrap(),
            _ => 0,
        }
    }

    async fn sweep(&self) -> u64 {
        self.number(Step::Sweep).await
    }

    async fn rows(&self) -> u64 {
        self.number(Step::Rows).await
    }

    async fn revoke_path(&self, prefix: &'static str) {
        self.number(Step::RevokePath(prefix)).await;
    }

    async fn clear_paths(&self) {
        self.number(Step::ClearPaths).await;
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn text(json: &crate::json::Json) -> String {
    String::from_utf8(json.expose().to_vec()).unwrap()
}

fn said(outcome: Result<serde_json::Value, Refusal>) -> String {
    match outcome {
        Err(Refusal::Invalid(text) | Refusal::Forbidden(text)) => text,
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_tree_dies_with_its_root_and_its_rows_with_it() {
    let world = World::new().await;
    let a = world.create(&world.root, r#"{"policies":"maker"}"#).await;
    let b = world.create(&a, "").await;
    let c = world.create(&b, "").await;
    let orphan = world.write(&b, "create-orphan", "").await.unwrap();
    let orphan = orphan["auth"]["client_token"].as_str().unwrap().to_owned();
    assert!(world.lives(&c).await && world.accessors().await == 5);
    world.write(&world.root, "revoke", &format!(r#"{{"token":"{a}"}}"#)).await.unwrap();
    for dead in [&a, &b, &c] {
        assert!(!world.lives(dead).await);
    }
    assert!(world.lives(&orphan).await, "an orphan outlives its maker");
    assert_eq!(world.accessors().await, 2);
    assert_eq!(said(world.write(&world.root, "lookup", &format!(r#"{{"token":"{b}"}}"#)).await), "bad token");
}

#[tokio::test]
async fn children_of_a_released_token_are_orphans() {
    let world = World::new().await;
    let a = world.create(&world.root, r#"{"policies":"maker"}"#).await;
    let b = world.create(&a, "").await;
    let c = world.create(&b, "").await;
    assert_eq!(
        said(world.write(&b, "revoke-orphan", &format!(r#"{{"token":"{a}"}}"#)).await),
        "root or sudo privileges required to revoke and orphan"
    );
    world.write(&world.root, "revoke-orphan", &format!(r#"{{"token":"{a}"}}"#)).await.unwrap();
    assert!(!world.lives(&a).await && world.lives(&b).await && world.lives(&c).await);
    for (token, orphan) in [(&b, true), (&c, false)] {
        let shown = world.call(false, token, Verb::Read, "lookup-self", "").await.unwrap();
        assert_eq!(shown["orphan"], orphan);
    }
    world.write(&b, "revoke-self", "").await.unwrap();
    assert!(!world.lives(&c).await);
}

#[tokio::test]
async fn uses_are_counted_and_the_last_one_succeeds() {
    let world = World::new().await;
    let token = world.create(&world.root, r#"{"policies":"maker","num_uses":3}"#).await;
    assert_eq!(said(world.write(&token, "create", "").await), "restricted use token cannot generate child tokens");
    let shown = world.call(false, &token, Verb::Read, "lookup-self", "").await.unwrap();
    assert_eq!(shown["num_uses"], 1, "the refused request counted too");
    assert_eq!(said(world.write(&token, "renew-self", "").await), "token not found", "the last use cannot bring it back");
    assert!(!world.lives(&token).await);
    assert_eq!(world.accessors().await, 1);
}

#[tokio::test]
async fn tokens_expire_with_their_parents_and_are_cleared_away() {
    let world = World::new().await;
    let parent = world.create(&world.root, r#"{"policies":"maker","ttl":"60s"}"#).await;
    let child = world.create(&parent, r#"{"ttl":"1h"}"#).await;
    world.pass(59);
    assert!(world.lives(&parent).await && world.lives(&child).await);
    world.pass(1);
    assert!(!world.lives(&parent).await && !world.lives(&child).await);
    assert_eq!(world.accessors().await, 3, "rows go later");
    world.committer.run(Arc::new(Step::Tidy)).await.unwrap();
    assert_eq!(world.accessors().await, 2, "a row that has expired is opened by the job of expiry first");
    testing::upkeep(&world.committer).await;
    world.committer.run(Arc::new(Step::Tidy)).await.unwrap();
    assert_eq!(world.accessors().await, 1);
}

#[tokio::test]
async fn renewals_extend_up_to_the_maximum() {
    let world = World::new().await;
    let token = world.create(&world.root, r#"{"policies":"maker","ttl":"60s","explicit_max_ttl":"100s"}"#).await;
    world.pass(50);
    let renewed = world.write(&token, "renew-self", "").await.unwrap();
    assert_eq!((&renewed["auth"]["lease_duration"], &renewed["warnings"]), (&50.into(), &1.into()));
    world.pass(49);
    let shown = world.call(false, &token, Verb::Read, "lookup-self", "").await.unwrap();
    assert_eq!((&shown["ttl"], &shown["creation_ttl"], &shown["explicit_max_ttl"]), (&1.into(), &60.into(), &100.into()));
    assert!(shown["last_renewal"].is_string());
    world.pass(1);
    assert!(!world.lives(&token).await);
    let root = world.root.clone();
    assert_eq!(said(world.write(&root, "renew-self", "").await), "invalid lease ID");
    let fixed = world.create(&root, r#"{"policies":"maker","renewable":false}"#).await;
    assert_eq!(said(world.write(&fixed, "renew-self", "").await), "lease is not renewable");
}

#[tokio::test]
async fn without_sudo_nothing_beyond_the_makers_own_is_given() {
    let world = World::new().await;
    let maker = world.create(&world.root, r#"{"policies":"maker"}"#).await;
    for (body, text) in [
        (r#"{"policies":"operator"}"#, "child policies must be subset of parent"),
        (r#"{"policies":"root"}"#, "child policies must be subset of parent"),
        (r#"{"id":"mine"}"#, "root or sudo privileges required to specify token id"),
        (r#"{"no_parent":true}"#, "root or sudo privileges required to create orphan token"),
        (r#"{"period":"1h"}"#, "root or sudo privileges required to create periodic token"),
    ] {
        assert_eq!(said(world.write(&maker, "create", body).await), text);
    }
    let mine = world.create(&world.root, r#"{"id":"mine","policies":"nope"}"#).await;
    assert!(mine == "mine" && world.lives("mine").await);
    assert_eq!(said(world.write(&world.root, "create", r#"{"id":"mine"}"#).await), "cannot create a token with a duplicate ID");
    let expiring = world.create(&world.root, r#"{"ttl":"1h"}"#).await;
    assert_eq!(said(world.write(&expiring, "create", "").await), "expiring root tokens cannot create non-expiring root tokens");
}

#[tokio::test]
async fn tokens_of_a_namespace_stay_in_it_and_die_with_their_parent_above() {
    let world = World::new().await;
    let admin = world.create(&world.root, r#"{"ttl":"1h"}"#).await;
    let made = world.call(true, &admin, Verb::Write, "create", r#"{"policies":"maker"}"#).await.unwrap();
    let (token, accessor) = (made["auth"]["client_token"].as_str().unwrap(), made["auth"]["accessor"].as_str().unwrap());
    assert!(token.starts_with("s.") && token.len() == 26 + 11 && accessor.len() == 24 + 11);
    let shown = world.call(true, token, Verb::Read, "lookup-self", "").await.unwrap();
    assert_eq!((&shown["namespace_path"], &shown["policies"]), (&"team1/".into(), &serde_json::json!(["default", "maker"])));
    assert!(!world.lives(token).await, "it is nothing in the root");
    let by_accessor = format!(r#"{{"accessor":"{accessor}"}}"#);
    assert_eq!(said(world.write(&world.root, "lookup-accessor", &by_accessor).await), "invalid accessor");
    let shown = world.call(true, &world.root, Verb::Write, "lookup-accessor", &by_accessor).await.unwrap();
    assert_eq!((&shown["id"], &shown["namespace_path"]), (&"".into(), &"team1/".into()));
    let root_below = world.call(true, &world.root, Verb::Write, "create", r#"{"policies":"root"}"#).await;
    assert_eq!(said(root_below), "root tokens may not be created from a parent namespace");
    world.write(&admin, "revoke-self", "").await.unwrap();
    assert!(matches!(world.call(true, token, Verb::Read, "lookup-self", "").await, Err(Refusal::NoToken)));
}
