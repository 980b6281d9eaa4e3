//! Entities, groups and identity tokens from outside: what they give to a token, at once, and to nobody else.

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::fixture::{at_once, count, namespace, policy, ready};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    names_that_differ_in_case_are_one_entity,
    an_alias_is_one_entity_however_many_come_in,
    groups_are_never_in_themselves,
    a_token_may_what_its_entity_and_groups_may,
    a_disabled_or_deleted_entity_has_no_tokens,
    a_merged_entity_lives_on_in_the_other,
    identities_of_another_tenant_are_none,
    identity_tokens_verify_with_the_published_keys,
    what_is_wrong_is_refused_and_changes_nothing,
}

fn id_of(reply: &Value) -> String {
    reply["data"]["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn made(client: &Client, path: &str, body: &Value) -> String {
    id_of(&client.call("POST", path, Some(body)).expect(200).json())
}

#[track_caller]
fn data(client: &Client, path: &str) -> Value {
    client.call("GET", path, None).expect(200).json()["data"].clone()
}

/// A token of the role `ci` that stands for the entity that the method calls `alias`, and the entity's id.
#[track_caller]
fn enter(root: &Client, alias: &str, more: &Value) -> (Client, String) {
    let mut body = json!({"entity_alias": alias});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = root.call("POST", "auth/token/create/ci", Some(&body)).expect(200).json();
    let entity = made["auth"]["entity_id"].as_str().unwrap().to_owned();
    assert!(!entity.is_empty());
    (root.with_token(made["auth"]["client_token"].as_str().unwrap()), entity)
}

fn stage(server: &Server) -> Client {
    let root = ready(server);
    role(&root);
    root
}

fn role(client: &Client) {
    let body = json!({"allowed_entity_aliases": ["*"], "allowed_policies": ["default", "weak"]});
    client.call("POST", "auth/token/roles/ci", Some(&body)).expect(204);
}

fn names_that_differ_in_case_are_one_entity(server: &mut Server) {
    let root = ready(server);
    let spellings = ["straße", "STRASSE", "Straße", "strasse", "sTrAsSe", "STRAßE"];
    for path in ["identity/entity", "identity/group"] {
        let clients = vec![root.clone(); spellings.len() * 4];
        let body = |at: usize| json!({"name": spellings[at % spellings.len()], "metadata": {"by": at}}).to_string();
        let replies = at_once(&clients, |at, session| session.send("POST", &format!("/v1/{path}"), &[], body(at).as_bytes()));
        assert_eq!((count(&replies, 200), count(&replies, 204)), (1, clients.len() - 1), "{path}");
        let listed = root.call("LIST", &format!("{path}/name"), None).expect(200).json();
        assert_eq!(listed["data"]["keys"].as_array().unwrap().len(), 1, "{path}: {listed}");
        let ids = root.call("LIST", &format!("{path}/id"), None).expect(200).json();
        assert_eq!(ids["data"]["keys"].as_array().unwrap().len(), 1, "{path}: {ids}");
    }
}

fn an_alias_is_one_entity_however_many_come_in(server: &mut Server) {
    let root = stage(server);
    let clients = vec![root.clone(); 24];
    let replies = at_once(&clients, |at, session| {
        let body = json!({"entity_alias": if at % 2 == 0 { "Bob@X" } else { "bob@x" }}).to_string();
        session.send("POST", "/v1/auth/token/create/ci", &[], body.as_bytes())
    });
    assert_eq!(count(&replies, 200), clients.len());
    let entities: std::collections::BTreeSet<String> =
        replies.iter().map(|reply| reply.json()["auth"]["entity_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(entities.len(), 1, "{entities:?}");
    let aliases = root.call("LIST", "identity/entity-alias/id", None).expect(200).json();
    assert_eq!(aliases["data"]["keys"].as_array().unwrap().len(), 1);
}

fn groups_are_never_in_themselves(server: &mut Server) {
    let root = ready(server);
    let group = |name: &str| made(&root, "identity/group", &json!({"name": name}));
    let [a, b, c] = ["a", "b", "c"].map(group);
    let put = |outer: &str, inner: &str| {
        root.call("POST", &format!("identity/group/id/{outer}"), Some(&json!({"member_group_ids": [inner]})))
    };
    put(&a, &b).expect(204);
    put(&b, &c).expect(204);
    for (outer, inner) in [(&c, &a), (&c, &b), (&b, &a)] {
        let errors = put(outer, inner).expect(400).errors();
        assert_eq!(errors, [format!("cyclic relationship detected for member group ID {inner:?}")]);
    }
    let errors = put(&a, &a).expect(400).errors();
    assert_eq!(errors, [format!("member group ID {a:?} is same as the ID of the group")]);
    assert_eq!(data(&root, &format!("identity/group/id/{c}"))["member_group_ids"], Value::Null);

    // Both ways in the same moment: one of them comes first, and the other one would close a circle.
    for round in 0..5 {
        let pair = [group(&format!("x{round}")), group(&format!("y{round}"))];
        let replies = at_once(&[root.clone(), root.clone()], |at, session| {
            let body = json!({"member_group_ids": [pair[1 - at]]}).to_string();
            session.send("POST", &format!("/v1/identity/group/id/{}", pair[at]), &[], body.as_bytes())
        });
        assert_eq!((count(&replies, 204), count(&replies, 400)), (1, 1), "round {round}");
    }
}

fn a_token_may_what_its_entity_and_groups_may(server: &mut Server) {
    let root = stage(server);
    policy(
        &root,
        "own",
        r#"path "secret/data/{{identity.entity.metadata.team}}/*" { capabilities = ["create", "update", "read"] }"#,
    );
    policy(&root, "shared", r#"path "secret/data/shared/*" { capabilities = ["create", "update", "read"] }"#);
    policy(&root, "never", r#"path "secret/data/shared/*" { capabilities = ["deny"] }"#);
    let (holder, entity) = enter(&root, "alice", &json!({}));
    let (batch, same) = enter(&root, "alice", &json!({"type": "batch"}));
    assert_eq!(entity, same);
    let value = json!({"data": {"k": "v"}});
    let may = |path: &str, status: u16| {
        for client in [&holder, &batch] {
            client.call("POST", &format!("secret/data/{path}"), Some(&value)).expect(status);
        }
    };
    may("red/a", 403);
    let own = format!("identity/entity/id/{entity}");
    root.call("POST", &own, Some(&json!({"policies": ["own"], "metadata": {"team": "red"}}))).expect(204);
    may("red/a", 200);
    may("blue/a", 403);
    may("shared/a", 403);
    // A value is one segment, or grants nothing at all.
    for team in ["red/a", "*", "+", ""] {
        root.call("POST", &own, Some(&json!({"metadata": {"team": team}}))).expect(204);
        may("red/a", 403);
    }
    root.call("POST", &own, Some(&json!({"metadata": {"team": "blue"}}))).expect(204);
    may("blue/a", 200);
    may("red/a", 403);

    // Through a group in a group, as long as both hold.
    let inner = made(&root, "identity/group", &json!({"name": "inner", "member_entity_ids": [entity]}));
    let outer = made(&root, "identity/group", &json!({"name": "outer", "policies": ["shared"], "member_group_ids": [inner]}));
    may("shared/a", 200);
    let shown = data(&holder, "auth/token/lookup-self");
    assert_eq!(shown["identity_policies"], json!(["own", "shared"]));
    assert_eq!(shown["policies"], json!(["default", "weak"]));
    root.call("POST", &format!("identity/group/id/{inner}"), Some(&json!({"policies": ["never"]}))).expect(204);
    may("shared/a", 403);
    root.call("POST", &format!("identity/group/id/{inner}"), Some(&json!({"policies": []}))).expect(204);
    may("shared/a", 200);
    root.call("POST", &format!("identity/group/id/{outer}"), Some(&json!({"member_group_ids": []}))).expect(204);
    may("shared/a", 403);
    root.call("POST", &format!("identity/group/id/{inner}"), Some(&json!({"policies": ["shared"]}))).expect(204);
    may("shared/a", 200);
    root.call("DELETE", &format!("identity/group/id/{inner}"), None).expect(204);
    may("shared/a", 403);
    assert_eq!(data(&root, &own)["group_ids"], json!([]));
}

fn a_disabled_or_deleted_entity_has_no_tokens(server: &mut Server) {
    let root = stage(server);
    let (holder, entity) = enter(&root, "alice", &json!({}));
    let own = format!("identity/entity/id/{entity}");
    holder.call("GET", &own, None).expect(200);
    holder.call("GET", "auth/token/lookup-self", None).expect(200);
    root.call("POST", &own, Some(&json!({"disabled": true}))).expect(204);
    assert_eq!(holder.call("GET", "auth/token/lookup-self", None).expect(403).errors(), ["permission denied"]);
    let errors = root.call("POST", "auth/token/create/ci", Some(&json!({"entity_alias": "ALICE"}))).expect(403).errors();
    assert_eq!(errors, ["entity from given entity alias is disabled"]);
    root.call("POST", &own, Some(&json!({"disabled": false}))).expect(204);
    holder.call("GET", "auth/token/lookup-self", None).expect(200);
    root.call("POST", "identity/entity/batch-delete", Some(&json!({"entity_ids": [entity, "nobody"]}))).expect(204);
    holder.call("GET", "auth/token/lookup-self", None).expect(403);
    root.call("LIST", "identity/entity-alias/id", None).expect(404);
    // Whoever comes in under the name now is somebody else.
    let (_, other) = enter(&root, "alice", &json!({}));
    assert_ne!(other, entity);
    holder.call("GET", "auth/token/lookup-self", None).expect(403);
}

fn a_merged_entity_lives_on_in_the_other(server: &mut Server) {
    let root = stage(server);
    policy(&root, "mounts", r#"path "sys/mounts" { capabilities = ["read"] }"#);
    let entity = |name: &str| made(&root, "identity/entity", &json!({"name": name}));
    let [first, last] = ["first", "last"].map(entity);
    let (holder, middle) = enter(&root, "alice", &json!({}));
    root.call("POST", &format!("identity/entity/id/{last}"), Some(&json!({"policies": ["mounts"]}))).expect(204);
    holder.call("GET", "sys/mounts", None).expect(403);
    // One into the other, and that into a third.
    for (from, to) in [(&middle, &first), (&first, &last)] {
        root.call("POST", "identity/entity/merge", Some(&json!({"from_entity_ids": [from], "to_entity_id": to}))).expect(204);
        root.call("GET", &format!("identity/entity/id/{from}"), None).expect(404);
    }
    holder.call("GET", "sys/mounts", None).expect(200);
    let shown = data(&root, &format!("identity/entity/id/{last}"));
    assert_eq!(shown["aliases"][0]["name"], "alice");
    assert_eq!(shown["merged_entity_ids"], json!([middle, first]));
    assert_eq!(enter(&root, "alice", &json!({})).1, last);

    // Two aliases of one mount: the request says which one stays.
    let (_, other) = enter(&root, "bob", &json!({}));
    let mut body = json!({"from_entity_ids": [other], "to_entity_id": last});
    root.call("POST", "identity/entity/merge", Some(&body)).expect(400);
    let bob = data(&root, &format!("identity/entity/id/{other}"))["aliases"][0]["id"].clone();
    body["conflicting_alias_ids_to_keep"] = json!([bob]);
    root.call("POST", "identity/entity/merge", Some(&body)).expect(204);
    let aliases = data(&root, &format!("identity/entity/id/{last}"))["aliases"].clone();
    assert_eq!((aliases.as_array().unwrap().len(), &aliases[0]["id"]), (1, &bob));
    root.call("DELETE", &format!("identity/entity/id/{last}"), None).expect(204);
    holder.call("GET", "sys/mounts", None).expect(403);
}

fn identities_of_another_tenant_are_none(server: &mut Server) {
    let root = stage(server);
    let [one, two] = ["one", "two"].map(|name| namespace(&root, name));
    role(&one);
    let (holder, entity) = enter(&one, "alice", &json!({}));
    for client in [&root, &two] {
        client.call("GET", &format!("identity/entity/id/{entity}"), None).expect(404);
        client.call("POST", "identity/group", Some(&json!({"name": "g", "member_entity_ids": [entity]}))).expect(400);
        client.call("GET", "identity/group/name/g", None).expect(404);
    }
    assert_eq!(data(&one, &format!("identity/entity/id/{entity}"))["id"], json!(entity));
    // A token of the root made for somebody there is nobody here.
    policy(&root, "all", r#"path "*" { capabilities = ["create", "read", "update", "list"] }"#);
    let (above, known) = enter(&root, "alice", &json!({}));
    root.call("POST", &format!("identity/entity/id/{known}"), Some(&json!({"policies": ["all"]}))).expect(204);
    let inside = above.in_namespace("one");
    inside.call("POST", "identity/oidc/role/r", Some(&json!({"key": "default"}))).expect(204);
    inside.call("GET", "identity/oidc/token/r", None).expect(400);
    holder.call("GET", "identity/oidc/token/r", None).expect(403);
}

fn identity_tokens_verify_with_the_published_keys(server: &mut Server) {
    let root = stage(server);
    policy(&root, "weak", r#"path "identity/oidc/token/*" { capabilities = ["read"] }"#);
    let (holder, entity) = enter(&root, "alice", &json!({}));
    for algorithm in ["RS256", "ES256", "ES384", "ES512", "EdDSA"] {
        let key =
            json!({"algorithm": algorithm, "allowed_client_ids": ["me"], "verification_ttl": "2h", "rotation_period": "1h"});
        root.call("POST", &format!("identity/oidc/key/{algorithm}"), Some(&key)).expect(204);
        let role = json!({"key": algorithm, "client_id": "me", "ttl": "1h", "template": r#"{"id": {{identity.entity.id}}}"#});
        root.call("POST", &format!("identity/oidc/role/{algorithm}"), Some(&role)).expect(204);
        let token = data(&holder, &format!("identity/oidc/token/{algorithm}"))["token"].as_str().unwrap().to_owned();
        let (text, signed) = token.rsplit_once('.').unwrap();
        let signed = BASE64URL_NOPAD.decode(signed.as_bytes()).unwrap();
        let (header, claims) = text.split_once('.').map(|(header, claims)| (part(header), part(claims))).unwrap();
        assert_eq!((&claims["sub"], &claims["id"], &claims["aud"]), (&json!(entity), &json!(entity), &json!("me")));
        assert!(verifies(&published(&root, &header), algorithm, text, &signed), "{algorithm}");
        assert!(!verifies(&published(&root, &header), algorithm, &format!("{text}x"), &signed), "{algorithm}");
        let active = |token: &str| {
            root.call("POST", "identity/oidc/introspect", Some(&json!({"token": token}))).expect(200).json()["active"].clone()
        };
        assert_eq!(active(&token), true, "{algorithm}");
        for forged in [format!("{text}."), format!("{}.{}", with_none(&claims), ""), format!("{token}x"), "a.b.c".to_owned()] {
            assert_eq!(active(&forged), false, "{algorithm}: {forged}");
        }
        // After a rotation that keeps nothing, what was signed before is worth nothing.
        let rotate = format!("identity/oidc/key/{algorithm}/rotate");
        root.call("POST", &rotate, Some(&json!({"verification_ttl": "0s"}))).expect(204);
        assert_eq!(active(&token), false, "{algorithm}");
        let newer = data(&holder, &format!("identity/oidc/token/{algorithm}"))["token"].as_str().unwrap().to_owned();
        assert_eq!(active(&newer), true, "{algorithm}");
    }
    let refused = json!({"key": "ES256", "client_id": "somebody else", "ttl": "1h"});
    root.call("POST", "identity/oidc/role/other", Some(&refused)).expect(204);
    holder.call("GET", "identity/oidc/token/other", None).expect(400);
}

fn part(text: &str) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()).unwrap()
}

/// A token that says that it is not signed.
fn with_none(claims: &Value) -> String {
    let header = BASE64URL_NOPAD.encode(br#"{"alg":"none","kid":"x"}"#);
    format!("{header}.{}", BASE64URL_NOPAD.encode(claims.to_string().as_bytes()))
}

/// The public key that a token's header names, as anybody reads it.
fn published(root: &Client, header: &Value) -> Value {
    let keys = root.without_token().call("GET", "identity/oidc/.well-known/keys", None).expect(200).json();
    let found = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]);
    let found = found.unwrap_or_else(|| panic!("{header} is not published: {keys}")).clone();
    assert_eq!((&found["alg"], &found["use"]), (&header["alg"], &json!("sig")));
    assert!(found.get("d").is_none() && found.get("p").is_none());
    found
}

fn verifies(key: &Value, algorithm: &str, text: &str, signed: &[u8]) -> bool {
    let number = |name: &str| BASE64URL_NOPAD.decode(key[name].as_str().unwrap().as_bytes()).unwrap();
    let point = || [vec![4], number("x"), number("y")].concat();
    let text = text.as_bytes();
    match algorithm {
        "RS256" => signature::RsaPublicKeyComponents { n: number("n"), e: number("e") }
            .verify(&signature::RSA_PKCS1_2048_8192_SHA256, text, signed)
            .is_ok(),
        "ES256" => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point()).verify(text, signed).is_ok(),
        "ES384" => UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point()).verify(text, signed).is_ok(),
        "ES512" => UnparsedPublicKey::new(&signature::ECDSA_P521_SHA512_FIXED, point()).verify(text, signed).is_ok(),
        _ => UnparsedPublicKey::new(&signature::ED25519, number("x")).verify(text, signed).is_ok(),
    }
}

fn what_is_wrong_is_refused_and_changes_nothing(server: &mut Server) {
    let root = stage(server);
    let bob = made(&root, "identity/entity", &json!({"name": "bob"}));
    let accessor = data(&root, "sys/auth/token")["accessor"].as_str().unwrap().to_owned();
    let before = data(&root, &format!("identity/entity/id/{bob}"));
    let long = "x".repeat(513);
    for (path, body) in [
        ("identity/entity", json!({"name": long})),
        ("identity/entity", json!({"name": "a/b"})),
        ("identity/entity", json!({"name": "a*"})),
        ("identity/entity", json!({"name": "e\u{301}"})),
        ("identity/entity", json!({"name": "bob", "policies": ["root"]})),
        ("identity/entity", json!({"name": "bob", "metadata": {"k": long}})),
        ("identity/entity", json!({"name": "bob", "metadata": [1]})),
        ("identity/entity", json!({"id": "nobody", "name": "bob"})),
        ("identity/entity", json!({"name": {"a": 1}})),
        ("identity/entity/merge", json!({"from_entity_ids": [bob]})),
        ("identity/entity/merge", json!({"to_entity_id": bob})),
        ("identity/entity/merge", json!({"from_entity_ids": [bob], "to_entity_id": bob})),
        ("identity/entity/batch-delete", json!({})),
        ("identity/lookup/entity", json!({})),
        ("identity/lookup/entity", json!({"id": bob, "name": "bob"})),
        ("identity/lookup/entity", json!({"alias_name": "bob"})),
        ("identity/entity-alias", json!({"name": "b", "canonical_id": bob})),
        ("identity/entity-alias", json!({"name": "b", "canonical_id": bob, "mount_accessor": "no"})),
        ("identity/entity-alias", json!({"name": "b\n", "canonical_id": bob, "mount_accessor": accessor})),
        ("identity/entity-alias/id/nope", json!({"name": "b"})),
        ("identity/group", json!({"name": "g", "type": "odd"})),
        ("identity/group", json!({"name": "g", "member_entity_ids": ["nobody"]})),
        ("identity/group", json!({"name": "g", "member_group_ids": ["nothing"]})),
        ("identity/group", json!({"name": "g", "type": "external", "member_entity_ids": [bob]})),
        ("identity/group/id/nope", json!({"name": "g"})),
        ("identity/group-alias", json!({"name": "g", "mount_accessor": accessor, "canonical_id": "nope"})),
        ("identity/oidc/config", json!({"issuer": "ftp://x"})),
        ("identity/oidc/key/k", json!({"algorithm": "HS256"})),
        ("identity/oidc/key/k", json!({"algorithm": "none"})),
        ("identity/oidc/key/k", json!({"rotation_period": "1s"})),
        ("identity/oidc/key/k", json!({"rotation_period": "1h", "verification_ttl": "11h"})),
        ("identity/oidc/key/nope/rotate", json!({})),
        ("identity/oidc/role/r", json!({})),
        ("identity/oidc/role/r", json!({"key": "nope"})),
        ("identity/oidc/role/r", json!({"key": "default", "template": "{bad"})),
        ("identity/oidc/role/r", json!({"key": "default", "template": "{\"sub\": 1}"})),
        ("identity/oidc/role/r", json!({"key": "default", "ttl": "30h"})),
        ("auth/token/create/ci", json!({"entity_alias": "a\nb"})),
    ] {
        root.call("POST", path, Some(&body)).expect(400);
    }
    assert_eq!(data(&root, &format!("identity/entity/id/{bob}")), before);
    for list in ["entity-alias/id", "group/id", "group-alias/id", "oidc/role"] {
        root.call("LIST", &format!("identity/{list}"), None).expect(404);
    }
    let keys = root.call("LIST", "identity/oidc/key", None).expect(200).json();
    assert_eq!(keys["data"]["keys"], json!(["default"]));
    root.call("GET", "identity/entity/name/nobody", None).expect(404);
    root.call("GET", "identity/oidc/token/nope", None).expect(400);
    root.call("DELETE", "sys/mounts/identity", None).expect(400);
}
