//! The schedule, as two servers on one store follow it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Change, change, rotate_due};
use crate::answer::{Answer, Data, Refusal};
use crate::audit::event::{Event, Word};
use crate::commit::testing::Deployed;
use crate::commit::{Attempt, Committer, Tenant, Txn, testing};
use crate::id::TenantId;
use crate::time::Timestamp;

const DAY: Duration = Duration::from_hours(24);

enum What {
    Make(&'static str),
    Set(Change),
    Due,
    Rotate,
}

/// In the root, or in a namespace below it.
struct Step {
    tenant: Arc<Tenant>,
    what: What,
}

#[async_trait]
impl Attempt for Step {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        // The root is loaded anew when another server has changed its keys.
        let tenant = if self.tenant.parent().is_some() { Arc::clone(&self.tenant) } else { txn.tenants().root() };
        let tenant = &tenant;
        let done = match &self.what {
            What::Make(name) => txn.create_child(tenant, name, BTreeMap::new(), None).await.map(|_| Answer::Empty),
            What::Set(to) => change(tenant, *to, txn).await,
            What::Rotate => txn.rotate_keyring(tenant, false).await.map(|()| Answer::Empty),
            What::Due => rotate_due(tenant, txn).await.map(|done| match done {
                Some("1 wrapping key rotated") => Answer::Data(Data::new(None)),
                _ => Answer::Empty,
            }),
        };
        txn.conclude(tenant, &Event::of_job(txn.now(), tenant.id(), Word::new("test"), String::new()), done.is_err());
        done
    }
}

struct Replica(Arc<Committer>);

impl Replica {
    async fn of(deployed: &Deployed) -> Self {
        Self(Arc::new(Committer::start(deployed.tenants().await).unwrap()))
    }

    async fn step(&self, tenant: Arc<Tenant>, what: What) -> Answer {
        self.0.run(Arc::new(Step { tenant, what })).await.unwrap()
    }

    async fn set(&self, enabled: Option<bool>, interval: Option<Duration>) {
        self.set_in(self.0.tenants().root(), enabled, interval).await;
    }

    async fn set_in(&self, tenant: Arc<Tenant>, enabled: Option<bool>, interval: Option<Duration>) {
        self.step(tenant, What::Set(Change { enabled, interval, max_operations: None })).await;
    }

    /// Whether it was due.
    async fn rotates(&self) -> bool {
        !matches!(self.step(self.0.tenants().root(), What::Due).await, Answer::Empty)
    }

    /// The namespace, if its keys are open here.
    fn loaded(&self, id: TenantId) -> Option<Arc<Tenant>> {
        self.0.tenants().all().into_iter().find(|tenant| tenant.id() == id)
    }

    /// The namespace, opened now.
    async fn opened(&self, path: &[&str]) -> Arc<Tenant> {
        let tenants = self.0.tenants();
        let mut here = tenants.root();
        for name in path {
            let children = tenants.children(&here).await.unwrap();
            let child = children.into_iter().find(|child| child.name == *name).unwrap().namespace.tenant;
            here = tenants.open_child(&here, name, child).await.unwrap().unwrap();
        }
        here
    }

    /// A round of the jobs; whether the namespace was rotated in it.
    async fn round(&self, id: TenantId) -> bool {
        self.wrap_all().await;
        let Some(tenant) = self.loaded(id) else { return false };
        !matches!(self.step(tenant, What::Due).await, Answer::Empty)
    }

    fn version(&self) -> u32 {
        self.0.tenants().root().keyring().wrapping_key_version()
    }

    async fn wrap_all(&self) {
        while testing::upkeep(&self.0).await {}
    }
}

#[tokio::test]
async fn a_key_is_rotated_when_it_is_due_by_one_server_and_once() {
    let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_001)).await;
    let (one, other) = (Replica::of(&deployed).await, Replica::of(&deployed).await);
    one.set(None, Some(DAY)).await;
    assert!(!one.rotates().await && !other.rotates().await);
    deployed.clock.advance(DAY.checked_sub(Duration::from_secs(1)).unwrap());
    assert!(!one.rotates().await && !other.rotates().await, "a second is left");
    deployed.clock.advance(Duration::from_secs(1));
    let (first, second) = tokio::join!(one.rotates(), other.rotates());
    assert!(first ^ second, "{first} {second}");
    assert!(!one.rotates().await && !other.rotates().await, "not twice");
    one.wrap_all().await;
    // A server has the keys that others made with its next request.
    assert!(!one.rotates().await);
    assert_eq!((one.version(), one.0.tenants().root().keyring().wrapping_keys()), (2, 1));

    // Nothing is due while it is switched off, and what was missed is done once.
    other.set(Some(false), None).await;
    deployed.clock.advance(DAY * 3);
    assert!(!one.rotates().await);
    one.set(Some(true), None).await;
    assert!(other.rotates().await && !other.rotates().await);
    // As long as values are being wrapped anew, the next one waits.
    deployed.clock.advance(DAY);
    assert!(!one.rotates().await);
    one.wrap_all().await;
    assert!(one.rotates().await);
    one.set(None, Some(Duration::ZERO)).await;
    deployed.clock.advance(DAY * 9);
    one.wrap_all().await;
    assert!(!one.rotates().await);
}

#[tokio::test]
async fn a_namespace_that_nobody_asks_for_is_rotated_when_it_is_due() {
    let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_001)).await;
    let first = Replica::of(&deployed).await;
    for path in [&["a"][..], &["b", "below"]] {
        for (depth, name) in path.iter().enumerate() {
            first.step(first.opened(&path[..depth]).await, What::Make(name)).await;
        }
        let tenant = first.opened(path).await;
        let id = tenant.id();
        first.set_in(tenant, None, Some(DAY)).await;
        assert!(!first.round(id).await);

        // A server that has started since opens it when its time has come, and no earlier.
        let next = Replica::of(&deployed).await;
        deployed.clock.advance(DAY.checked_sub(Duration::from_secs(1)).unwrap());
        assert!(!next.round(id).await && next.loaded(id).is_none(), "a second is left");
        deployed.clock.advance(Duration::from_secs(1));
        assert!(next.round(id).await, "{path:?}");
        next.wrap_all().await;
        assert_eq!(next.opened(path).await.keyring().wrapping_key_version(), 2);

        // One that was made by hand counts: what is due then is due later.
        deployed.clock.advance(DAY / 2);
        next.step(next.opened(path).await, What::Rotate).await;
        next.wrap_all().await;
        let last = Replica::of(&deployed).await;
        deployed.clock.advance(DAY / 2);
        assert!(!last.round(id).await, "half a day is left");
        deployed.clock.advance(DAY / 2);
        let last = Replica::of(&deployed).await;
        assert!(last.round(id).await, "{path:?}");

        // Without a schedule nobody opens it.
        last.wrap_all().await;
        last.set_in(last.opened(path).await, Some(false), None).await;
        let idle = Replica::of(&deployed).await;
        deployed.clock.advance(DAY * 9);
        assert!(!idle.round(id).await && idle.loaded(id).is_none());
    }
}
