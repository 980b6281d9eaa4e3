//! Limits on how many there may be, each of them made by a request of its own to a server without background work.

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom::storage::Store;
use tempfile::TempDir;

use crate::jwt;
use crate::support::fixture::ready;
use crate::support::in_process::{Ask, Quiet, deploy, sqlite};
use crate::support::server::Server;
use crate::support::tokens::{Key, claims};

use super::x;

async fn server() -> (Quiet, TempDir) {
    let (store, folder): (Arc<dyn Store>, TempDir) = sqlite().await;
    deploy(&store).await;
    (Quiet::new(&store, &["main"]).await, folder)
}

async fn post(server: &Quiet, status: u16, path: &str, body: Value) -> Value {
    server.expect(status, ("POST", path), Some(body)).await
}

/// The id of what is made.
async fn made(server: &Quiet, path: &str, body: Value) -> String {
    post(server, 200, path, body).await["data"]["id"].as_str().unwrap().to_owned()
}

/// Nothing clears them away here.
#[tokio::test]
async fn so_many_prefixes_are_revoked_while_nothing_is_cleared_away() {
    let (server, _folder) = server().await;
    for number in 0..1_000 {
        server.expect(204, ("POST", &format!("sys/leases/revoke-prefix/a/{number}")), None).await;
    }
    server.expect(429, ("POST", "sys/leases/revoke-prefix/a/last"), None).await;
    // One that is there already takes no more room.
    server.expect(204, ("POST", "sys/leases/revoke-prefix/a/7"), None).await;
    server.end().await;
}

#[tokio::test]
async fn an_entity_has_so_many_aliases_however_it_comes_to_them() {
    const MOST: usize = 256;
    let (server, _folder) = server().await;
    let mut mounts = Vec::new();
    for number in 0..=MOST {
        let path = format!("sys/auth/m{number}");
        post(&server, 204, &path, json!({"type": "userpass"})).await;
        let mount = server.expect(200, ("GET", &path), None).await;
        mounts.push(mount["data"]["accessor"].clone());
    }
    let entity = made(&server, "identity/entity", json!({"name": "of-all"})).await;
    let alias = |mount: &Value, of: &str| json!({"name": "eve", "mount_accessor": mount, "canonical_id": of});
    let mut last = String::new();
    for mount in &mounts[..MOST] {
        last = made(&server, "identity/entity-alias", alias(mount, &entity)).await;
    }
    post(&server, 400, "identity/entity-alias", alias(&mounts[MOST], &entity)).await;
    // Neither does a merge give it one more, nor an alias that comes over from another entity.
    let other = made(&server, "identity/entity", json!({"name": "other"})).await;
    let others = made(&server, "identity/entity-alias", alias(&mounts[MOST], &other)).await;
    post(&server, 400, "identity/entity/merge", json!({"from_entity_ids": [other], "to_entity_id": entity})).await;
    post(&server, 400, &format!("identity/entity-alias/id/{others}"), alias(&mounts[MOST], &entity)).await;
    // Those that it has can be changed.
    let renamed = json!({"name": "adam", "mount_accessor": mounts[MOST - 1], "canonical_id": entity});
    post(&server, 200, &format!("identity/entity-alias/id/{last}"), renamed).await;
    server.expect(204, ("DELETE", &format!("identity/entity-alias/id/{last}")), None).await;
    post(&server, 204, "identity/entity/merge", json!({"from_entity_ids": [other], "to_entity_id": entity})).await;
    server.end().await;
}

/// Four groups of the entity, 255 above each of them.
#[tokio::test]
async fn tokens_of_an_entity_with_too_many_groups_above_it_open_nothing() {
    let (server, _folder) = server().await;
    post(&server, 204, "sys/auth/userpass", json!({"type": "userpass"})).await;
    post(&server, 204, "auth/userpass/users/eve", json!({"password": "pw"})).await;
    let login = Ask { token: "", ..Ask::root("POST", "auth/userpass/login/eve", Some(json!({"password": "pw"}))) };
    let (_, answer) = server.ask(login).await;
    let (token, entity) = (answer["auth"]["client_token"].as_str().unwrap(), answer["auth"]["entity_id"].as_str().unwrap());
    let own = || server.ask(Ask { token, ..Ask::root("GET", "auth/token/lookup-self", None) });
    let mut last = String::new();
    for below in 0..4 {
        let group = json!({"name": format!("g{below}"), "member_entity_ids": [entity]});
        let below_id = made(&server, "identity/group", group).await;
        for above in 0..255 {
            let group = json!({"name": format!("g{below}-{above}"), "member_group_ids": [below_id]});
            last = made(&server, "identity/group", group).await;
        }
    }
    assert_eq!(own().await.0, 200);
    let one_more = made(&server, "identity/group", json!({"name": "one-more", "member_group_ids": [last]})).await;
    assert_eq!(own().await.0, 403);
    server.expect(204, ("DELETE", &format!("identity/group/id/{one_more}")), None).await;
    assert_eq!(own().await.0, 200);
    server.end().await;
}

/// Eight claims of one letter, under names that are as long as they may be.
#[test]
fn claims_give_a_token_so_many_bytes_of_notes() {
    const NOTE: usize = 2_048;
    let server = Server::initialised_on_sqlite();
    let (root, key) = (ready(&server), Key::new("ES256"));
    jwt::mount(&root, &[&key]);
    let notes: Vec<String> = (0..8).map(|number| format!("{number}{}", x(NOTE - 2))).collect();
    let mappings: Value =
        notes.iter().enumerate().map(|(at, note)| (format!("c{at}"), json!(note))).collect::<serde_json::Map<_, _>>().into();
    jwt::role(&root, "noted", &json!({"claim_mappings": mappings}));
    let token = |last: &str| {
        let mut own: serde_json::Map<String, Value> = (0..7).map(|at| (format!("c{at}"), json!("v"))).collect();
        own.insert("c7".to_owned(), json!(last));
        key.token("ES256", "a", &claims("eve", &own.into()))
    };
    let auth = jwt::login(&root, "noted", &token("v")).expect(200).json()["auth"].clone();
    assert_eq!(auth["metadata"].as_object().unwrap().len(), 9);
    jwt::login(&root, "noted", &token("vv")).expect(400);
}
