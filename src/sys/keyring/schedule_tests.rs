//! The schedule, as two servers on one store follow it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Change, change, rotate_due};
use crate::answer::{Answer, Data, Refusal};
use crate::audit::event::{Event, Word};
use crate::commit::testing::Deployed;
use crate::commit::{Attempt, Committer, Txn, testing};
use crate::time::Timestamp;

const DAY: Duration = Duration::from_hours(24);

enum Step {
    Set(Change),
    Due,
}

#[async_trait]
impl Attempt for Step {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let done = match self {
            Self::Set(to) => change(&root, *to, txn).await,
            Self::Due => {
                rotate_due(&root, txn).await.map(|done| if done { Answer::Data(Data::new(None)) } else { Answer::Empty })
            }
        };
        txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("test"), String::new()), done.is_err());
        done
    }
}

struct Replica(Arc<Committer>);

impl Replica {
    async fn of(deployed: &Deployed) -> Self {
        Self(Arc::new(Committer::start(deployed.tenants().await).unwrap()))
    }

    async fn set(&self, enabled: Option<bool>, interval: Option<Duration>) {
        self.0.run(Arc::new(Step::Set(Change { enabled, interval, max_operations: None }))).await.unwrap();
    }

    /// Whether it was due.
    async fn rotates(&self) -> bool {
        !matches!(self.0.run(Arc::new(Step::Due)).await.unwrap(), Answer::Empty)
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
