//! What counts as held, and what becomes of work that was begun under a lease which has passed on.

use async_trait::async_trait;

use super::*;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::commit::testing::Deployed;
use crate::commit::{Attempt, Committer, Txn};
use crate::storage::LAPSE;
use crate::time::ManualClock;

const NOW: Timestamp = Timestamp(1_795_251_600_000_000_001);

/// Writes one event.
struct Step(&'static str);

#[async_trait]
impl Attempt for Step {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("step"), self.0.to_owned()), false);
        Ok(Answer::Empty)
    }
}

fn census(holder: ReplicaId, epoch: u64, asked: u64) -> Census {
    let lease = |lease| Fence { lease, holder, epoch };
    let text = String::new;
    let replica = |id| Replica {
        id,
        api_addr: text(),
        hostname: text(),
        version: text(),
        asked,
        since: NOW,
        heard: NOW,
        quotas: Vec::new(),
    };
    Census { replicas: vec![replica(holder)], leases: LeaseName::ALL.map(lease).to_vec() }
}

#[test]
fn a_lease_counts_for_less_than_it_takes_others_to_get_it() {
    assert!(VALID < LAPSE && PAUSE + WAIT <= VALID, "a word may be late without a gap");
    let clock = Arc::new(ManualClock::new(NOW));
    let leases = Leases::new(Arc::clone(&clock) as Arc<dyn Clock>, true);
    assert!(leases.held(LeaseName::Archive).is_none(), "before it was heard of");
    let began = clock.uptime();
    // The answer takes its time: what counts is when the question was asked.
    clock.advance(Duration::from_secs(2));
    assert_eq!(leases.heard(began, census(leases.id, 4, 0)), Some(Wake::Now));
    let held = leases.held(LeaseName::Archive).unwrap();
    assert_eq!((held.fence().epoch, held.is_valid()), (4, true));
    clock.advance(Duration::from_secs(1));
    assert!(leases.held(LeaseName::Archive).is_none() && !held.is_valid(), "the machine may have slept");
    leases.heard(clock.uptime(), census(leases.id, 4, 0));
    assert!(held.is_valid(), "nobody else had it");
    leases.heard(clock.uptime(), census(leases.id, 6, 0));
    assert!(!held.is_valid() && leases.held(LeaseName::Archive).is_some(), "somebody else had it");
    leases.heard(clock.uptime(), census(ReplicaId::random(), 7, 0));
    assert!(leases.held(LeaseName::Archive).is_none());
}

#[test]
fn what_another_server_was_asked_is_told_once() {
    let clock = Arc::new(ManualClock::new(NOW));
    let (leases, other) = (Leases::new(Arc::clone(&clock) as Arc<dyn Clock>, true), ReplicaId::random());
    leases.heard(clock.uptime(), census(other, 1, 3));
    assert_eq!(leases.heard(clock.uptime(), census(other, 1, 3)), None, "that was before this one came");
    assert_eq!(leases.heard(clock.uptime(), census(other, 1, 4)), Some(Wake::Everything));
    assert_eq!(leases.heard(clock.uptime(), census(other, 1, 4)), None);
}

#[tokio::test]
async fn work_under_a_lease_that_has_passed_on_is_not_committed() {
    let deployed = Deployed::at(NOW).await;
    let tenants = deployed.tenants().await;
    let committer = Arc::new(Committer::start(Arc::clone(&tenants)).unwrap());
    let held = tenants.leases().held(LeaseName::Upkeep).unwrap();
    committer.run_under(Some(&held), Arc::new(Step("in time"))).await.unwrap();

    // Another server has it; this one has not heard of that yet.
    let other = deployed.tenants().await;
    assert!(held.is_valid());
    let root = tenants.root();
    let before = root.position();
    // Together, so that they are one group: requests go on.
    let (refused, done) =
        tokio::join!(committer.run_under(Some(&held), Arc::new(Step("too late"))), committer.run(Arc::new(Step("a request"))),);
    assert!(matches!(refused, Err(Refusal::Unavailable(_))));
    done.unwrap();
    let rows = tenants.log_rows(root.id(), before + 1, 9).await.unwrap();
    let events: Vec<Vec<u8>> = rows.iter().flat_map(|row| root.events(row).unwrap()).collect();
    let text: Vec<String> = events.into_iter().map(|event| String::from_utf8_lossy(&event).into_owned()).collect();
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(text[0].contains("a request"), "{text:?}");

    // It hears of it, and the other one works.
    let theirs = other.leases().held(LeaseName::Upkeep).unwrap();
    assert_eq!(theirs.fence().epoch, held.fence().epoch + 1);
    let committer = Committer::start(Arc::clone(&other)).unwrap();
    committer.run_under(Some(&theirs), Arc::new(Step("by the other one"))).await.unwrap();
}
