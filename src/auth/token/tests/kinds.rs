//! Batch tokens, roles, leases, and what ends many tokens at once.

use super::*;

async fn batch(world: &World, token: &str, body: &str) -> String {
    let made = world.write(token, "create", body).await.unwrap();
    let auth = &made["auth"];
    assert_eq!((&auth["token_type"], &auth["accessor"], &auth["renewable"]), (&"batch".into(), &"".into(), &false.into()));
    auth["client_token"].as_str().unwrap().to_owned()
}

async fn role(world: &World, path: &'static str, body: &str) {
    world.write(&world.root, path, body).await.unwrap();
}

#[tokio::test]
async fn a_batch_token_is_not_stored_and_dies_with_its_parent() {
    let world = World::new().await;
    let parent = world.create(&world.root, r#"{"policies":"maker"}"#).await;
    let before = world.accessors().await;
    let child = batch(&world, &parent, r#"{"type":"batch","meta":{"k":"v"}}"#).await;
    let orphan = world.write(&parent, "create-orphan", r#"{"type":"batch"}"#).await.unwrap();
    let orphan = orphan["auth"]["client_token"].as_str().unwrap().to_owned();
    assert!(child.starts_with("b.") && world.accessors().await == before);
    let shown = world.call(false, &child, Verb::Read, "lookup-self", "").await.unwrap();
    assert_eq!((&shown["type"], &shown["meta"]["k"], &shown["orphan"]), (&"batch".into(), &"v".into(), &false.into()));
    for (path, text) in [
        ("create", "batch tokens cannot create more tokens"),
        ("renew-self", "batch tokens cannot be renewed"),
        ("revoke-self", "batch tokens cannot be revoked"),
    ] {
        assert_eq!(said(world.write(&child, path, "").await), text);
    }
    let named = format!(r#"{{"token":"{child}"}}"#);
    assert_eq!(said(world.write(&world.root, "renew", &named).await), "batch tokens cannot be renewed");
    assert_eq!(said(world.write(&world.root, "revoke", &named).await), "batch tokens cannot be revoked");
    assert_eq!(said(world.write(&world.root, "revoke-orphan", &named).await), "batch tokens cannot be revoked");
    world.write(&world.root, "revoke", &format!(r#"{{"token":"{parent}"}}"#)).await.unwrap();
    assert!(!world.lives(&child).await && world.lives(&orphan).await);
    assert_eq!(said(world.write(&world.root, "lookup", &named).await), "bad token");
}

#[tokio::test]
async fn batch_tokens_end_with_their_time_and_with_their_generation() {
    let world = World::new().await;
    let short = batch(&world, &world.root, r#"{"type":"batch","policies":"maker","ttl":"60s"}"#).await;
    let long = batch(&world, &world.root, r#"{"type":"batch","policies":"maker"}"#).await;
    world.pass(59);
    assert!(world.lives(&short).await);
    world.pass(1);
    assert!(!world.lives(&short).await && world.lives(&long).await);
    let service = world.create(&world.root, r#"{"policies":"maker"}"#).await;
    world.write(&world.root, "revoke-batch", "").await.unwrap();
    assert!(!world.lives(&long).await && world.lives(&service).await);
    let after = batch(&world, &world.root, r#"{"type":"batch","policies":"maker"}"#).await;
    assert!(world.lives(&after).await, "what is made afterwards lives");
}

#[tokio::test]
async fn batch_tokens_open_in_their_tenant_only_and_not_when_they_were_changed() {
    let world = World::new().await;
    let made = world.call(true, &world.root, Verb::Write, "create", r#"{"type":"batch","policies":"maker"}"#).await.unwrap();
    let token = made["auth"]["client_token"].as_str().unwrap();
    assert!(world.call(true, token, Verb::Read, "lookup-self", "").await.is_ok());
    assert!(!world.lives(token).await);
    let (body, _) = token.rsplit_once('.').unwrap();
    assert!(!world.lives(body).await, "without its label it is no token of the root");
    let own = batch(&world, &world.root, r#"{"type":"batch","policies":"maker"}"#).await;
    for at in [5, own.len() / 2, own.len() - 3] {
        let mut forged = own.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(!world.lives(&String::from_utf8(forged).unwrap()).await, "{at}");
    }
    assert!(!world.lives("b.").await && !world.lives("b.AAAA").await && world.lives(&own).await);
}

#[tokio::test]
async fn what_a_batch_token_cannot_keep_is_refused() {
    let world = World::new().await;
    for (body, text) in [
        (r#"{"type":"batch"}"#, "batch tokens cannot be root tokens"),
        (r#"{"type":"batch","num_uses":3}"#, "batch tokens cannot have \"num_uses\" set"),
        (r#"{"type":"batch","period":"1h"}"#, "batch tokens cannot have \"period\" set"),
        (r#"{"type":"batch","explicit_max_ttl":"1h"}"#, "batch tokens cannot have \"explicit_max_ttl\" set"),
    ] {
        assert_eq!(said(world.write(&world.root, "create", body).await), text);
    }
    let large = format!(r#"{{"type":"batch","policies":"maker","meta":{{"k":"{}"}}}}"#, "x".repeat(batch::TEXT_BYTES_MAX));
    assert!(said(world.write(&world.root, "create", &large).await).starts_with("a batch token carries"));
}

#[tokio::test]
async fn a_role_decides_what_its_tokens_get() {
    let world = World::new().await;
    role(&world, "roles/ci", r#"{"allowed_policies":"a,maker","token_period":"1h","orphan":true,"path_suffix":"pipe"}"#).await;
    let maker = world.create(&world.root, r#"{"policies":"maker"}"#).await;
    let made = world.write(&maker, "create/ci", r#"{"policies":"a"}"#).await.unwrap();
    let auth = &made["auth"];
    assert_eq!((&auth["policies"], &auth["orphan"]), (&serde_json::json!(["a", "default"]), &true.into()));
    assert_eq!(auth["lease_duration"], 3600);
    let token = auth["client_token"].as_str().unwrap();
    let shown = world.write(&world.root, "lookup", &format!(r#"{{"token":"{token}"}}"#)).await.unwrap();
    assert_eq!((&shown["role"], &shown["path"]), (&"ci".into(), &"auth/token/create/ci/pipe".into()));
    let refused = said(world.write(&maker, "create/ci", r#"{"policies":"ops"}"#).await);
    assert!(
        refused.starts_with(r#"token policies (["default" "ops"]) must be subset of the role's allowed policies"#),
        "{refused}"
    );
    assert_eq!(said(world.write(&maker, "create/nope", "").await), "unknown role nope");
    assert_eq!(said(world.write(&maker, "create/ci", r#"{"entity_alias":"x"}"#).await), "invalid 'entity_alias' value");
    world.pass(3000);
    role(&world, "roles/ci", r#"{"token_period":"30m"}"#).await;
    let renewed = world.write(&world.root, "renew", &format!(r#"{{"token":"{token}"}}"#)).await.unwrap();
    assert_eq!(renewed["auth"]["lease_duration"], 1800, "a role that has changed holds from the next renewal on");
    world.call(false, &world.root, Verb::Delete, "roles/ci", "").await.unwrap();
    let refused = said(world.write(&world.root, "renew", &format!(r#"{{"token":"{token}"}}"#)).await);
    assert_eq!(refused, "original token role \"ci\" could not be found, not renewing");
}

#[tokio::test]
async fn a_role_gives_no_root_to_who_has_it_not() {
    let world = World::new().await;
    role(&world, "roles/all", r#"{"allowed_policies_glob":"*"}"#).await;
    let maker = world.create(&world.root, r#"{"policies":"maker"}"#).await;
    let refused = said(world.write(&maker, "create/all", r#"{"policies":"root"}"#).await);
    assert_eq!(refused, "root tokens may not be created without parent token being root");
    role(&world, "roles/no", r#"{"disallowed_policies_glob":"ma*"}"#).await;
    assert_eq!(said(world.write(&maker, "create/no", "").await), "token policy \"maker\" is disallowed by this role");
    assert_eq!(
        said(world.write(&maker, "create/no", r#"{"id":"x"}"#).await),
        "root or sudo privileges required to specify token id"
    );
}

#[tokio::test]
async fn bound_tokens_are_none_from_elsewhere_and_so_are_their_children() {
    let world = World::new().await;
    role(&world, "roles/away", r#"{"allowed_policies":"maker","token_bound_cidrs":"10.0.0.0/8"}"#).await;
    role(&world, "roles/here", r#"{"allowed_policies":"maker","token_strictly_bind_ip":true}"#).await;
    for (path, lives) in [("create/away", false), ("create/here", true)] {
        for body in ["", r#"{"type":"batch"}"#] {
            let made = world.write(&world.root, path, body).await.unwrap();
            assert_eq!(world.lives(made["auth"]["client_token"].as_str().unwrap()).await, lives, "{path} {body}");
        }
    }
    let made = world.write(&world.root, "create/here", "").await.unwrap();
    let child = world.create(made["auth"]["client_token"].as_str().unwrap(), "").await;
    let shown = world.call(false, &child, Verb::Read, "lookup-self", "").await.unwrap();
    assert_eq!(shown["bound_cidrs"], serde_json::json!(["127.0.0.1"]));
}

#[tokio::test]
async fn a_large_tree_is_dead_at_once_and_its_rows_go_in_pieces() {
    let world = World::new().await;
    let top = world.create(&world.root, r#"{"policies":"maker"}"#).await;
    let mut last = top.clone();
    for _ in 0..3 {
        for _ in 0..revoke::SWEEP_MAX {
            world.create(&last, "").await;
        }
        last = world.create(&last, "").await;
    }
    world.write(&world.root, "revoke", &format!(r#"{{"token":"{top}"}}"#)).await.unwrap();
    assert!(!world.lives(&last).await);
    let mut steps = 0;
    while world.sweep().await > 0 {
        steps += 1;
        assert!(steps < 20, "it does not end");
    }
    assert!(steps >= 3, "{steps}");
    assert_eq!(world.accessors().await, 1);
    assert_eq!(world.rows().await, 0, "nothing leads to a token that is no more");
}

#[tokio::test]
async fn a_revoked_path_ends_older_tokens_and_not_newer_ones() {
    let world = World::new().await;
    role(&world, "roles/r", r#"{"allowed_policies":"maker"}"#).await;
    let of_role = world.write(&world.root, "create/r", "").await.unwrap();
    let of_role = of_role["auth"]["client_token"].as_str().unwrap().to_owned();
    let child = world.create(&of_role, "").await;
    let other = world.create(&world.root, r#"{"policies":"maker"}"#).await;
    world.revoke_path("auth/token/create/r/").await;
    assert!(!world.lives(&of_role).await && !world.lives(&child).await && world.lives(&other).await);
    let newer = world.write(&world.root, "create/r", "").await.unwrap();
    let newer = newer["auth"]["client_token"].as_str().unwrap().to_owned();
    assert!(world.lives(&newer).await);
    world.clear_paths().await;
    while world.sweep().await > 0 {}
    assert!(world.lives(&newer).await && world.lives(&other).await && !world.lives(&of_role).await);
    assert_eq!(world.accessors().await, 3);
}
