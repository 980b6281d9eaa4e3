//! Tokens that have expired, and what leads to them.

use super::expiry::ExpiredTokens;
use super::*;
use crate::commit::Upkeep;

#[tokio::test]
async fn many_go_step_by_step_each_with_all_that_leads_to_it() {
    let world = World::new().await;
    let parent = world.create(&world.root, r#"{"policies":"maker","ttl":"60s"}"#).await;
    for _ in 0..3 {
        world.create(&parent, "").await;
    }
    for _ in 0..40 {
        world.create(&world.root, r#"{"ttl":"60s"}"#).await;
    }
    let lives = world.create(&world.root, r#"{"ttl":"61s"}"#).await;
    world.pass(60);
    let upkeep = Upkeep::new(Arc::clone(&world.committer), Some(Arc::new(ExpiredTokens)));
    let root = world.committer.tenants().root();
    let mut steps = 1;
    while upkeep.expire(&root, None).await {
        steps += 1;
    }
    assert!((6..=9).contains(&steps), "each takes what it has room for: {steps}");
    assert!(world.lives(&lives).await);
    assert_eq!(
        (world.accessors().await, world.rows().await),
        (5, 5),
        "the children's, that of a note of them, and two that live"
    );
    while world.sweep().await > 0 {}
    assert_eq!((world.accessors().await, world.rows().await), (2, 1));
    assert!(!upkeep.expire(&root, None).await);
    world.pass(1);
    assert!(!upkeep.expire(&root, None).await);
    assert_eq!((world.accessors().await, world.rows().await), (1, 0));
}
