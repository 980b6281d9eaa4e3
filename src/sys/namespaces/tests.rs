//! Sealing a namespace, as two servers on one store see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::lock;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::commit::testing::Deployed;
use crate::commit::{Attempt, Committer, Tenants, Txn, testing};
use crate::id::TenantId;
use crate::time::Timestamp;

/// What is done to the namespace `team`, or below it, in one transaction of the root.
#[derive(Clone, Copy)]
enum Step {
    MakeTeam,
    MakeSub,
    Enter,
    Seal,
    Unseal,
}

#[async_trait]
impl Attempt for Step {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let outcome = match self {
            Self::MakeTeam => txn.create_child(&root, "team", BTreeMap::default(), None).await.map(|_| Answer::Empty),
            Self::Seal => lock::seal(&root, "team", txn).await,
            Self::Unseal => lock::unseal(&root, "team", txn).await,
            Self::MakeSub | Self::Enter => match txn.child(&root, "team").await {
                Err(refusal) => Err(refusal),
                Ok(None) => Err(Refusal::NotFound),
                Ok(Some((team, _))) if matches!(self, Self::MakeSub) => {
                    txn.create_child(&team, "sub", BTreeMap::default(), None).await.map(|_| Answer::Empty)
                }
                Ok(Some((team, _))) => txn.child(&team, "sub").await.map(|_| Answer::Empty),
            },
        };
        let event = Event::of_job(txn.now(), root.id(), Word::new("test"), String::new());
        txn.conclude(&root, &event, outcome.is_err());
        outcome
    }
}

struct Replica {
    tenants: Arc<Tenants>,
    committer: Arc<Committer>,
}

impl Replica {
    async fn of(deployed: &Deployed) -> Self {
        let tenants = deployed.tenants().await;
        Self { committer: Arc::new(Committer::start(Arc::clone(&tenants)).unwrap()), tenants }
    }

    async fn does(&self, step: Step) -> Result<Answer, Refusal> {
        self.committer.run(Arc::new(step)).await
    }

    /// Tenants below the root whose keys are in memory.
    fn open(&self) -> Vec<TenantId> {
        self.tenants.all().iter().filter(|tenant| tenant.parent().is_some()).map(|tenant| tenant.id()).collect()
    }
}

async fn two_replicas() -> (Replica, Replica, Deployed) {
    let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_001)).await;
    (Replica::of(&deployed).await, Replica::of(&deployed).await, deployed)
}

#[tokio::test]
async fn a_sealed_namespace_is_out_of_the_memory_of_every_server_until_it_is_unsealed() {
    let (one, other, _folder) = two_replicas().await;
    for step in [Step::MakeTeam, Step::MakeSub, Step::Enter] {
        one.does(step).await.unwrap();
    }
    other.does(Step::Enter).await.unwrap();
    assert_eq!((one.open().len(), other.open().len()), (2, 2));

    one.does(Step::Seal).await.unwrap();
    assert_eq!(one.open(), [], "the server that seals drops the keys, those below included");
    assert!(matches!(one.does(Step::Enter).await, Err(Refusal::NamespaceSealed)));
    // The other one has not heard of it, and refuses nevertheless: what it relied on is not current any more.
    assert!(matches!(other.does(Step::Enter).await, Err(Refusal::NamespaceSealed)));
    testing::upkeep(&other.committer).await;
    assert_eq!(other.open(), [], "the other server's job drops them");
    // Sealing twice is no error.
    other.does(Step::Seal).await.unwrap();

    other.does(Step::Unseal).await.unwrap();
    for replica in [&one, &other] {
        replica.does(Step::Enter).await.unwrap();
        testing::upkeep(&replica.committer).await;
        assert_eq!(replica.open().len(), 2, "nothing is left that would drop them again");
    }
}
