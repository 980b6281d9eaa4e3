//! The log of the deployment is the tree of the heads that were signed, on one server and on several, and is not signed once it was
//! changed.

use std::sync::Arc;

use super::*;
use crate::audit::merkle;
use crate::audit::proof::{consistency_stretches, inclusion_stretches, verify_consistency, verify_inclusion};
use crate::commit::testing::Deployed;
use crate::crypto::SigningAlgorithm;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp(1_795_251_600_000_000_001);

fn head(tenant: u8, size: u64) -> TenantHead {
    TenantHead { tenant: TenantId([tenant; 16]), epoch: 0, size, root: [u8::try_from(size % 251).unwrap(); 32] }
}

fn key() -> SigningKey {
    SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()
}

/// The tree that the store has.
async fn newest(tenants: &Tenants, key: &SigningKey) -> TreeHead {
    let tree = tenants.deployment_tree(u64::MAX).await.unwrap().unwrap();
    let public = LogKey::of(&deployment_origin(tenants.deployment(), 0), key).unwrap();
    public.open(&tree.note).unwrap().0
}

#[tokio::test]
async fn every_proof_holds_and_the_root_is_that_of_all_heads() {
    let (deployed, key) = (Deployed::at(NOW).await, key());
    let tenants = deployed.tenants().await;
    let mut gatherer = Gatherer::default();
    let mut signed = Vec::new();
    for round in 1..=9_u64 {
        // Some logs grow in each round, and some do not.
        let heads: Vec<TenantHead> =
            (0..5).map(|at| head(at, round / (u64::from(at) + 1))).filter(|head| head.size > 0).collect();
        gatherer.gather(&tenants, &key, &heads, None).await.unwrap();
        gatherer.gather(&tenants, &key, &heads, None).await.unwrap();
        signed.push(newest(&tenants, &key).await);
    }
    let last = signed.last().unwrap().clone();
    let heads = tenants.heads(0, 1_000).await.unwrap();
    assert_eq!(heads.len() as u64, last.size);
    assert_eq!(heads.len(), 9 + 4 + 3 + 2 + 1, "a head that did not change is not there twice");
    let leaves: Vec<merkle::Hash> = heads.iter().map(|head| head.leaf(tenants.deployment())).collect();
    assert_eq!(merkle::root(&leaves), last.root);
    for at in 0..last.size {
        let path = tenants.heads_path(inclusion_stretches(at, last.size).unwrap()).await.unwrap();
        assert!(verify_inclusion(leaves[usize::try_from(at).unwrap()], at, last.size, &path, &last.root), "{at}");
    }
    for earlier in &signed {
        let path = tenants.heads_path(consistency_stretches(earlier.size, last.size).unwrap()).await.unwrap();
        assert!(verify_consistency(earlier.size, &earlier.root, last.size, &last.root, &path), "{}", earlier.size);
    }
    let newest = tenants.head_of(TenantId([1; 16]), u64::MAX, u64::MAX).await.unwrap().unwrap();
    assert_eq!(newest.1, head(1, 4));
    assert_eq!(tenants.head_of(TenantId([1; 16]), 0, u64::MAX).await.unwrap(), None);
}

#[tokio::test]
async fn several_servers_append_to_one_log_and_a_new_one_goes_on_with_it() {
    let (deployed, key) = (Deployed::at(NOW).await, key());
    let tenants = deployed.tenants().await;
    let mut servers = [Gatherer::default(), Gatherer::default(), Gatherer::default()];
    for round in 1..8_u64 {
        for (at, server) in servers.iter_mut().enumerate() {
            // All know some logs, and each has one that the others do not.
            let own = u8::try_from(at).unwrap() + 10;
            server.gather(&tenants, &key, &[head(1, round), head(own, round)], None).await.unwrap();
        }
        // One is started anew.
        servers[usize::try_from(round).unwrap() % 3] = Gatherer::default();
    }
    let heads = tenants.heads(0, 1_000).await.unwrap();
    assert_eq!(heads.len(), 7 * 4, "{heads:?}");
    let at_once = (0..20_u64).map(|at| {
        let (tenants, key) = (Arc::clone(&tenants), &key);
        async move { Gatherer::default().gather(&tenants, key, &[head(50 + u8::try_from(at).unwrap(), 1)], None).await }
    });
    let done = futures_util::future::join_all(at_once).await;
    let taken = done.iter().filter(|outcome| outcome.is_ok()).count();
    let all = tenants.heads(0, 1_000).await.unwrap();
    assert_eq!(all.len(), 28 + taken);
    let mut edge = Frontier::new();
    for head in all {
        edge.push(head.leaf(tenants.deployment()));
    }
    assert_eq!(newest(&tenants, &key).await.root, edge.root());
}

#[tokio::test]
async fn a_log_that_was_changed_is_not_signed() {
    let (deployed, key) = (Deployed::at(NOW).await, key());
    let tenants = deployed.tenants().await;
    let root = tenants.root().id();
    let mut gatherer = Gatherer::default();
    gatherer.gather(&tenants, &key, &[head(1, 1)], None).await.unwrap();
    // Somebody who can write to the database appends a head, and has no key to sign it.
    let mut edge = Frontier::from_bytes(&tenants.deployment_tree(9).await.unwrap().unwrap().frontier).unwrap();
    let forged = head(2, 77);
    edge.push(forged.leaf(tenants.deployment()));
    let origin = deployment_origin(tenants.deployment(), 0);
    let note = TreeHead { origin, size: 2, root: edge.root() }.sign(&self::key()).unwrap().into_bytes();
    let tree = DeploymentTree { size: 2, frontier: edge.to_bytes(), note };
    assert!(tenants.store().add_heads(root, &[forged], &tree, None).await.unwrap());
    for server in [&mut gatherer, &mut Gatherer::default()] {
        for _ in 0..2 {
            assert!(matches!(server.gather(&tenants, &key, &[head(1, 2)], None).await, Err(Refusal::Internal(_))));
        }
    }
    assert_eq!(tenants.heads(0, 9).await.unwrap().len(), 2);

    // A database that has lost the end of it, under a running server.
    let (older, newer) = (Deployed::at(NOW).await, Gatherer::default());
    let tenants = older.tenants().await;
    let mut server = Gatherer { known: Some(edge), ..newer };
    assert!(matches!(server.gather(&tenants, &key, &[head(1, 2)], None).await, Err(Refusal::Internal(_))));
    assert_eq!(tenants.heads(0, 9).await.unwrap(), []);
}
