//! The engine on a real store.

mod server;

use std::time::Duration;

use serde_json::{Value, json};

use super::KvVersion;
use crate::answer::Answer;
use crate::engine::table::Verb;
use crate::reference::{Reference, ReferenceId};
use server::{Server, object_of, seen};

#[tokio::test]
async fn what_was_written_is_read_as_it_was_written() {
    let server = Server::start().await;
    let written = server.put("app/db", json!({"user": "a", "pass": "b"})).await;
    assert_eq!((&written["version"], &written["destroyed"], &written["deletion_time"]), (&json!(1), &json!(false), &json!("")));
    assert_eq!(written["custom_metadata"], Value::Null);
    server.put("app/db", json!({"user": "a", "pass": "c"})).await;

    let (status, data) = server.read("data/app/db", "").await;
    assert_eq!((status, &data["data"]["pass"], &data["metadata"]["version"]), (200, &json!("c"), &json!(2)));
    assert_eq!(server.read("data/app/db", "version=1").await.1["data"]["pass"], json!("b"));
    assert_eq!(server.read("data/app/db", "version=0").await.1["data"]["pass"], json!("c"));
    assert_eq!(server.read("data/app/db", "version=9").await, (404, Value::Null));
    assert_eq!(server.read("data/no/such", "").await, (404, Value::Null));

    let exact = r#"{"data":{ "n" : 1.50, "b":10000000000000000000001 }}"#;
    server.answer(Verb::Write, "data/exact", "", exact, false).await.unwrap();
    let Ok(Answer::Data(data)) = server.answer(Verb::Read, "data/exact", "", "", false).await else { panic!() };
    let text = String::from_utf8(data.data.unwrap().expose().to_vec()).unwrap();
    assert!(text.contains(r#""data":{ "n" : 1.50, "b":10000000000000000000001 }"#), "{text}");
}

#[tokio::test]
async fn check_and_set_guards_a_write() {
    let server = Server::start().await;
    let write = |cas: i64| json!({"data": {"x": 1}, "options": {"cas": cas}});
    let mismatch = (400, json!("check-and-set parameter did not match the current version"));
    assert_eq!(server.call(Verb::Write, "data/a", "", &write(1)).await, mismatch);
    assert_eq!(server.call(Verb::Write, "data/a", "", &write(0)).await.0, 200);
    assert_eq!(server.call(Verb::Write, "data/a", "", &write(0)).await, mismatch);
    assert_eq!(server.call(Verb::Patch, "data/a", "", &write(7)).await, mismatch);
    assert_eq!(server.call(Verb::Write, "config", "", &json!({"cas_required": "true"})).await, (204, Value::Null));
    let required = (400, json!("check-and-set parameter required for this call"));
    assert_eq!(server.call(Verb::Write, "data/a", "", &json!({"data": {}})).await, required);
    assert_eq!(server.call(Verb::Write, "data/a", "", &write(1)).await.1["version"], json!(2));
}

#[tokio::test]
async fn of_many_writers_with_the_same_check_one_wins() {
    let server = Server::start().await;
    let body = json!({"data": {"x": 1}, "options": {"cas": 0}}).to_string();
    let writes = (0..20).map(|_| server.answer(Verb::Write, "data/race", "", &body, false));
    let won = futures_util::future::join_all(writes).await.into_iter().flatten().count();
    assert_eq!(won, 1);
    assert_eq!(server.read("metadata/race", "").await.1["current_version"], json!(1));
}

#[tokio::test]
async fn a_version_is_deleted_undeleted_and_destroyed() {
    let server = Server::start().await;
    for value in 1..=3 {
        server.put("a", json!({ "v": value })).await;
    }
    let object = object_of(&server, "a").await;
    assert_eq!(server.call(Verb::Delete, "data/a", "", &Value::Null).await, (204, Value::Null));
    let (status, data) = server.read("data/a", "").await;
    assert_eq!((status, &data["data"], &data["metadata"]["destroyed"]), (404, &Value::Null, &json!(false)));
    assert_ne!(data["metadata"]["deletion_time"], json!(""));
    assert_eq!(server.read("subkeys/a", "").await.0, 404);
    assert_eq!(server.call(Verb::Patch, "data/a", "", &json!({"data": {"x": 1}})).await.0, 404);

    assert_eq!(server.call(Verb::Write, "undelete/a", "", &json!({"versions": ["3"]})).await.0, 204);
    assert_eq!(server.read("data/a", "").await.1["data"], json!({"v": 3}));

    assert_eq!(server.call(Verb::Write, "delete/a", "", &json!({"versions": "1,2"})).await.0, 204);
    assert_eq!(server.call(Verb::Write, "destroy/a", "", &json!({"versions": [1]})).await.0, 204);
    assert_eq!(server.call(Verb::Write, "undelete/a", "", &json!({"versions": [1, 2]})).await.0, 204);
    let (status, data) = server.read("data/a", "version=1").await;
    assert_eq!((status, &data["metadata"]["destroyed"]), (404, &json!(true)));
    assert_eq!(server.read("data/a", "version=2").await.0, 200);
    assert!(!server.there(KvVersion::address(server.place.mount.id, object, 1)).await);
    assert!(server.there(KvVersion::address(server.place.mount.id, object, 2)).await);

    for path in ["delete/none", "undelete/none", "destroy/none"] {
        assert_eq!(server.call(Verb::Write, path, "", &json!({"versions": [1]})).await.0, 204);
    }
    assert_eq!(server.call(Verb::Delete, "data/none", "", &Value::Null).await.0, 204);
}

#[tokio::test]
async fn old_versions_and_their_values_go() {
    let server = Server::start().await;
    let settings = json!({"max_versions": "2", "delete_version_after": "60s"});
    assert_eq!(server.call(Verb::Write, "metadata/a", "", &settings).await.0, 204);
    assert_eq!(server.read("data/a", "").await.0, 404);
    for value in 1..=4 {
        server.put("a", json!({ "v": value })).await;
    }
    let object = object_of(&server, "a").await;
    for (version, kept) in [(1, false), (2, false), (3, true), (4, true)] {
        assert_eq!(server.there(KvVersion::address(server.place.mount.id, object, version)).await, kept, "{version}");
    }
    let (_, metadata) = server.read("metadata/a", "").await;
    assert_eq!((&metadata["oldest_version"], &metadata["delete_version_after"]), (&json!(3), &json!("1m0s")));
    assert_eq!(server.read("data/a", "").await.0, 200);
    server.clock.advance(Duration::from_mins(1));
    assert_eq!(server.read("data/a", "").await.0, 404);
}

#[tokio::test]
async fn a_patch_makes_a_version() {
    let server = Server::start().await;
    assert_eq!(server.call(Verb::Patch, "data/a", "", &json!({"data": {"x": 1}})).await, (404, Value::Null));
    server.put("a", json!({"keep": 1, "drop": 2, "deep": {"x": 1, "y": 2}})).await;
    let patch = json!({"data": {"drop": null, "deep": {"y": null, "z": 3}}});
    assert_eq!(server.call(Verb::Patch, "data/a", "", &patch).await.1["version"], json!(2));
    assert_eq!(server.read("data/a", "").await.1["data"], json!({"keep": 1, "deep": {"x": 1, "z": 3}}));
    let (_, subkeys) = server.read("subkeys/a", "").await;
    assert_eq!(subkeys["subkeys"], json!({"keep": null, "deep": {"x": null, "z": null}}));
    assert_eq!(server.read("subkeys/a", "depth=1").await.1["subkeys"], json!({"keep": null, "deep": null}));
}

#[tokio::test]
async fn metadata_is_written_patched_and_removed() {
    let server = Server::start().await;
    let put = json!({"custom_metadata": {"owner": "x"}, "metadata_cas": 0});
    assert_eq!(server.call(Verb::Patch, "metadata/a", "", &put).await, (404, Value::Null));
    assert_eq!(server.call(Verb::Write, "metadata/a", "", &put).await.0, 204);
    assert_eq!(server.call(Verb::Write, "metadata/a", "", &put).await.0, 400);
    let patch = json!({"custom_metadata": {"owner": null, "team": "y"}});
    assert_eq!(server.call(Verb::Patch, "metadata/a", "", &patch).await.0, 204);
    let (_, metadata) = server.read("metadata/a", "").await;
    assert_eq!((&metadata["custom_metadata"], &metadata["current_metadata_version"]), (&json!({"team": "y"}), &json!(2)));
    assert_eq!(server.put("a", json!({})).await["custom_metadata"], json!({"team": "y"}));

    assert_eq!(server.call(Verb::Write, "config", "", &json!({"cas_required": true, "max_versions": "7"})).await.0, 204);
    let (status, warned) = server.call(Verb::Write, "metadata/a", "", &json!({"cas_required": false})).await;
    assert_eq!(status, 200);
    assert!(warned["warnings"][0].as_str().unwrap().starts_with("\"cas_required\" set to false"));
    let config = json!({"cas_required": true, "delete_version_after": "0s", "max_versions": 7, "metadata_cas_required": false});
    assert_eq!(server.read("config", "").await, (200, config));

    assert_eq!(server.call(Verb::Delete, "metadata/a", "", &Value::Null).await.0, 204);
    assert_eq!(server.call(Verb::Delete, "metadata/a", "", &Value::Null).await.0, 204);
    assert_eq!(server.read("metadata/a", "").await, (404, Value::Null));
}

#[tokio::test]
async fn a_secret_has_one_standing_reference_as_long_as_it_lives() {
    let server = Server::start().await;
    let first = server.put("a", json!({"v": 1})).await["reference"].clone();
    assert_eq!(server.put("a", json!({"v": 2})).await["reference"], first);
    let silent = json!({"data": {}, "options": {"reference": false}});
    assert_eq!(server.call(Verb::Write, "data/a", "", &silent).await.1.get("reference"), None);
    assert_ne!(server.put("b", json!({})).await["reference"], first);

    let reference = Reference::parse(first.as_str().unwrap()).unwrap();
    let address = || ReferenceId::of(server.place.tenant.keyring(), &reference).address();
    assert!(server.there(address()).await);
    let object = object_of(&server, "a").await;
    assert_eq!(server.call(Verb::Delete, "metadata/a", "", &Value::Null).await.0, 204);
    assert!(!server.there(address()).await);
    for version in 1..=3 {
        assert!(!server.there(KvVersion::address(server.place.mount.id, object, version)).await);
    }
    let again = server.put("a", json!({"v": 1})).await;
    assert_ne!(again["reference"], first);
    assert_eq!(again["version"], json!(1));
}

#[tokio::test]
async fn names_are_listed_and_scanned() {
    let server = Server::start().await;
    assert_eq!(server.call(Verb::List, "metadata", "", &Value::Null).await, (404, Value::Null));
    assert_eq!(server.call(Verb::Scan, "metadata", "", &Value::Null).await, (200, json!({})));
    for path in ["app/db", "app/x/y", "app", "app-2", "z"] {
        server.put(path, json!({})).await;
    }
    let keys = async |verb, path, query| server.call(verb, path, query, &Value::Null).await.1["keys"].clone();
    assert_eq!(keys(Verb::List, "metadata/", "").await, json!(["app", "app-2", "app/", "z"]));
    assert_eq!(keys(Verb::List, "metadata/app", "").await, json!(["db", "x/"]));
    assert_eq!(keys(Verb::List, "metadata", "after=app&limit=2").await, json!(["app-2", "app/"]));
    assert_eq!(keys(Verb::Scan, "metadata", "").await, json!(["app", "app-2", "app/db", "app/x/y", "z"]));
    assert_eq!(keys(Verb::Scan, "metadata/app", "").await, json!(["db", "x/y"]));
    assert_eq!(keys(Verb::Scan, "metadata", "after=app/db&limit=1").await, json!(["app/x/y"]));
    assert_eq!(server.call(Verb::Scan, "metadata/none", "", &Value::Null).await, (200, json!({})));
    server.call(Verb::Delete, "metadata/app/x/y", "", &Value::Null).await;
    assert_eq!(keys(Verb::List, "metadata/app", "").await, json!(["db"]));
}

#[tokio::test]
async fn policy_learns_whether_a_secret_is_there() {
    let server = Server::start().await;
    let exists = async |path: &str| seen(server.answer(Verb::Write, path, "", "", true).await).1;
    assert_eq!(exists("data/a").await, json!(false));
    server.put("a", json!({})).await;
    assert_eq!((exists("data/a").await, exists("metadata/a").await), (json!(true), json!(true)));
    assert_eq!(
        (exists("data/a/").await, exists("data").await, exists("data/b").await),
        (json!(false), json!(false), json!(false))
    );
}

#[tokio::test]
async fn a_client_of_version_one_gets_a_404_with_a_warning() {
    let server = Server::start().await;
    let (status, body) = server.read("app/db", "").await;
    assert_eq!((status, &body["data"]), (404, &Value::Null));
    assert!(body["warnings"][0].as_str().unwrap().contains("bao kv get"));
}
