//! How tokens are shown.

use super::*;

/// The fields that a look-up has, as recorded from `OpenBao` 2.7.2.
#[tokio::test]
async fn look_ups_have_the_recorded_fields() {
    let world = World::new().await;
    let names = |shown: &serde_json::Value| shown.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let shown = world.call(false, &world.root, Verb::Read, "lookup-self", "").await.unwrap();
    assert_eq!(
        names(&shown),
        "accessor creation_time creation_ttl display_name entity_id expire_time explicit_max_ttl id meta num_uses orphan path policies ttl type"
    );
    assert_eq!(
        (&shown["expire_time"], &shown["ttl"], &shown["path"]),
        (&serde_json::Value::Null, &0.into(), &"auth/token/root".into())
    );
    let token = world.create(&world.root, r#"{"policies":"maker","ttl":"30m","display_name":"x","meta":{"k":"v"}}"#).await;
    let shown = world.write(&world.root, "lookup", &format!(r#"{{"token":"{token}"}}"#)).await.unwrap();
    assert_eq!(
        names(&shown),
        "accessor creation_time creation_ttl display_name entity_id expire_time explicit_max_ttl id issue_time meta num_uses orphan path \
         policies renewable ttl type"
    );
    assert_eq!(shown["display_name"], "token-x");
    assert_eq!((&shown["id"], &shown["ttl"], &shown["meta"]["k"]), (&token.into(), &1800.into(), &"v".into()));
}
