//! Honest logs, as servers leave them that go away in the middle, rotate keys and have clocks that go back: copies verify.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::audit::batch;
use crate::audit::copy::{self, Writer};
use crate::commit::testing::Deployed;
use crate::time::Timestamp;

/// Writes an event, and perhaps gives the tenant a new wrapping key.
struct Step {
    rotate: bool,
}

#[async_trait]
impl Attempt for Step {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        if self.rotate {
            txn.rotate_keyring(&root, false).await?;
        }
        let event = Event::of_job(txn.now(), root.id(), Word::new("step"), "one step".to_owned());
        txn.conclude(&root, &event, false);
        Ok(Answer::Empty)
    }
}

/// Pseudo-random numbers, the same from one seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The files of a copy of the root tenant's log.
async fn copied(tenants: &Tenants, key: &SigningKey) -> BTreeMap<String, Vec<u8>> {
    let (root, mut files) = (tenants.root(), BTreeMap::new());
    let checkpoints = tenants.checkpoints(root.id(), 0..=u64::MAX, false, usize::MAX >> 1).await.unwrap();
    let newest = checkpoints.last().unwrap().clone();
    let name = origin(tenants.deployment(), root.id(), 0);
    files.insert(copy::KEY.to_owned(), format!("{}\n", LogKey::of(&name, key).unwrap()).into_bytes());
    files.insert(copy::CHECKPOINT.to_owned(), newest.note.clone());
    files.extend(checkpoints.into_iter().map(|found| (format!("{}{}", copy::CHECKPOINTS, found.size), found.note)));
    let (mut writer, mut seq) = (Writer::default(), 1);
    let mut put = |name: &str, bytes: &[u8]| -> Result<(), Infallible> {
        files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    };
    while writer.size() < newest.size {
        let rows = tenants.log_rows(root.id(), seq, ROWS).await.unwrap();
        seq = rows.last().unwrap().tail.seq + 1;
        for row in rows.iter().filter(|row| row.tail.first_index < newest.size) {
            let opened = root.keyring().open_batch(&row.batch).unwrap();
            for event in batch::decode(opened.expose()).unwrap() {
                let Ok(()) = writer.push(&event, &mut put);
            }
        }
    }
    let Ok(()) = writer.finish(&mut put);
    files
}

async fn honest(seed: u64) {
    let mut numbers = Numbers(seed);
    let begin = Timestamp(1_795_251_600_000_000_001);
    let deployed = Deployed::at(begin).await;
    let mut left = Vec::new();
    for _ in 0..=numbers.below(5) {
        deployed.clock.set(Timestamp(begin.0 + i64::try_from(numbers.below(200_000)).unwrap() * 1_000_000_000));
        let committer = Arc::new(Committer::start(deployed.tenants().await).unwrap());
        let mut signer = Signer::new(Arc::clone(&committer));
        // A server that does not know the newest keys yet signs in a later round.
        drop(signer.round().await);
        for _ in 0..=numbers.below(3) {
            let steps: Vec<_> = (0..=numbers.below(60))
                .map(|_| {
                    let (committer, step) = (Arc::clone(&committer), Step { rotate: numbers.below(40) == 0 });
                    tokio::spawn(async move { committer.run(Arc::new(step)).await })
                })
                .collect();
            // Some servers sign and go away while requests are on their way.
            if numbers.below(2) == 0 {
                for step in steps {
                    // One that met keys which its server did not know yet may be refused.
                    drop(step.await.unwrap());
                }
            } else {
                left.extend(steps);
            }
            if numbers.below(3) > 0 {
                drop(signer.round().await);
            }
        }
        if numbers.below(2) == 0 {
            committer.stop().await;
        }
    }
    for step in left {
        // A stopped server refuses what came too late.
        drop(step.await.unwrap());
    }
    let tenants = deployed.tenants().await;
    let committer = Arc::new(Committer::start(Arc::clone(&tenants)).unwrap());
    let mut signer = Signer::new(Arc::clone(&committer));
    committer.run(Arc::new(Step { rotate: false })).await.unwrap();
    signer.round().await.unwrap();
    committer.stop().await;
    let key = signer.key.unwrap();
    let public = LogKey::of(&origin(tenants.deployment(), tenants.root().id(), 0), &key).unwrap();
    let files = copied(&tenants, &key).await;
    let report = copy::verify(&files, copy::Trust { key: Some(public), ..copy::Trust::default() }, &mut |_| {}).unwrap();
    assert_eq!(report.findings, [], "seed {seed}");
    assert!(report.head.unwrap().size > 0, "seed {seed}");
}

#[tokio::test]
async fn honest_logs_of_real_servers_have_no_findings() {
    let full = std::env::var_os("STRONGROOM_TEST_FULL").is_some_and(|full| full == "1");
    let start = u64::from_be_bytes(crate::random::bytes());
    for at in 0..if full { 1_000 } else { 12 } {
        honest(start.wrapping_add(at)).await;
    }
}
