//! The deployment's log: it is appended to at its end, by one at a time, and nothing of it is lost.

use strongroom::audit::head::TenantHead;
use strongroom::id::TenantId;
use strongroom::storage::{Cosignature, DeploymentTree, Store};

use super::sample;

fn head(tenant: TenantId, size: u64) -> TenantHead {
    TenantHead { tenant, epoch: 3, size, root: [7; 32] }
}

fn tree(size: u64) -> DeploymentTree {
    DeploymentTree { size, frontier: vec![1, 2], note: format!("note {size}").into_bytes() }
}

pub(super) async fn heads_are_appended_at_the_end_only(store: &dyn Store) {
    let ids = sample::tenants(store, 3).await;
    let (root, one, two) = (ids[0], ids[1], ids[2]);
    assert_eq!(store.deployment_trees(root, 0..=u64::MAX, 9).await.unwrap(), []);
    assert!(store.add_heads(root, &[head(one, 1), head(two, 1)], &tree(2), None).await.unwrap());
    // Others were first, with as much, less, and more.
    for (heads, size) in [(vec![head(two, 9)], 2), (vec![head(two, 9)], 1), (vec![head(two, 9), head(one, 9)], 3)] {
        assert!(!store.add_heads(root, &heads, &tree(size), None).await.unwrap(), "{size}");
    }
    assert!(store.add_heads(root, &[head(one, 5)], &tree(3), None).await.unwrap());
    assert!(store.add_heads(root, &[head(one, 6)], &tree(0), None).await.is_err(), "a tree smaller than its heads");
    let all = [head(one, 1), head(two, 1), head(one, 5)];
    assert_eq!(store.heads(root, 0, 9).await.unwrap(), all);
    assert_eq!(store.heads(root, 1, 1).await.unwrap(), all[1..2]);
    assert_eq!(store.deployment_trees(root, 0..=u64::MAX, 9).await.unwrap(), [tree(3), tree(2)]);
    assert_eq!(store.deployment_trees(root, 0..=2, 1).await.unwrap(), [tree(2)]);
    assert_eq!(store.head_of(root, one, 3, u64::MAX).await.unwrap(), Some((2, all[2])));
    assert_eq!(store.head_of(root, one, 2, u64::MAX).await.unwrap(), Some((0, all[0])));
    assert_eq!(store.head_of(root, two, 1, u64::MAX).await.unwrap(), None);
    assert_eq!(store.head_of(root, one, 3, 4).await.unwrap(), Some((0, all[0])));
    // It is the root's.
    assert_eq!(store.heads(one, 0, 9).await.unwrap(), []);
    let many: Vec<TenantHead> = (0..1_000).map(|size| head(two, size)).collect();
    assert!(store.add_heads(root, &many, &tree(1_003), None).await.unwrap());
    assert_eq!(store.heads(root, 3, 2_000).await.unwrap(), many);
}

pub(super) async fn a_cosignature_is_kept_once(store: &dyn Store) {
    let root = sample::tenants(store, 1).await[0];
    let signed = |size, witness: &str, line: &str| Cosignature { size, witness: witness.to_owned(), line: line.to_owned() };
    for cosignature in [signed(2, "a", "x"), signed(3, "b", "y"), signed(3, "a", "z"), signed(3, "a", "another")] {
        store.add_cosignature(root, &cosignature, None).await.unwrap();
    }
    let all = [signed(3, "a", "z"), signed(3, "b", "y"), signed(2, "a", "x")];
    assert_eq!(store.cosignatures(root, 9).await.unwrap(), all);
    assert_eq!(store.cosignatures(root, 1).await.unwrap(), all[..1]);
}
