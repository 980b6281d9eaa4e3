//! Who gets in, and who does not.

use std::process::Command;

use serde_json::json;

use super::{Stage, enable, fails, logged_in, login, read, role, write};
use crate::support::certificates::{Authority, BEGIN, END, FUTURE, Leaf, PAST, Signed};
use crate::support::client::Client;
use crate::support::fixture::{namespace, policy};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    every_kind_of_key_logs_in,
    a_certificate_of_version_one_logs_in_where_it_is_pinned,
    the_token_says_what_the_certificate_says,
    a_forged_leaf_with_the_serial_name_or_key_of_a_pinned_one_is_nobody,
    a_ca_bundle_with_a_certificate_that_is_no_ca_trusts_nothing_it_signed,
    every_failed_login_is_answered_the_same,
    revoked_certificates_are_refused_and_a_demanded_list_must_be_there,
    a_denied_fingerprint_is_refused_at_once,
    tokens_of_a_denied_certificate_are_none,
    roles_of_a_namespace_are_its_own,
}

fn every_kind_of_key_logs_in(server: &mut Server) {
    let stage = Stage::new(server);
    for (name, algorithm) in
        [("p256", &rcgen::PKCS_ECDSA_P256_SHA256), ("ed25519", &rcgen::PKCS_ED25519), ("rsa", &rcgen::PKCS_RSA_SHA256)]
    {
        let authority = Authority::of(name, algorithm, (BEGIN, END), None);
        role(&stage.root, name, &authority.pem(), &json!({}));
        let leaf = authority.sign(&Leaf { algorithm, ..Leaf::new() });
        let client = stage.showing(&leaf, &[]);
        let token = logged_in(&client, name);
        read(&client.with_token(&token)).expect(200);
        client.with_token(&token).call("GET", "secret/data/other", None).expect(403);
        let found = client.call("POST", "auth/cert/login", None).expect(200).json();
        assert_eq!(found["auth"]["metadata"]["cert_name"], name, "the role is found by the certificate");
    }
    let root = Authority::new("Root");
    let middle = root.below("Middle");
    role(&stage.root, "chain", &root.pem(), &json!({}));
    let leaf = middle.sign(&Leaf::new());
    logged_in(&stage.showing(&leaf, &[&middle.pem()]), "chain");
    fails(&login(&stage.showing(&leaf, &[]), "chain"), "without the intermediate");
}

fn openssl(arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).output().unwrap();
    assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A certificate of version 1, as old devices have them: no extensions, and openssl alone makes one.
fn version_one(stage: &Stage) -> Signed {
    let path = |name: &str| stage.folder.path().join(name).display().to_string();
    let (key, request, certificate) = (path("v1.key"), path("v1.csr"), path("v1.pem"));
    openssl(&["req", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request, "-subj", "/CN=old device"]);
    openssl(&["x509", "-req", "-in", &request, "-signkey", &key, "-days", "10", "-out", &certificate]);
    let text = |file: &str| std::fs::read_to_string(file).unwrap();
    Signed { der: Vec::new(), pem: text(&certificate), key: text(&key) }
}

fn a_certificate_of_version_one_logs_in_where_it_is_pinned(server: &mut Server) {
    let stage = Stage::new(server);
    let (old, other) = (version_one(&stage), version_one(&stage));
    let shown = stage.folder.path().join("shown.txt");
    write(stage.folder.path(), "old.pem", &old.pem);
    let of = stage.folder.path().join("old.pem");
    openssl(&["x509", "-in", &of.display().to_string(), "-noout", "-text", "-out", &shown.display().to_string()]);
    assert!(std::fs::read_to_string(shown).unwrap().contains("Version: 1 (0x0)"));
    role(&stage.root, "old", &old.pem, &json!({}));
    let auth = login(&stage.showing(&old, &[]), "old").expect(200).json();
    assert_eq!(auth["auth"]["metadata"]["common_name"], "old device");
    fails(&login(&stage.showing(&other, &[]), "old"), "another of the same name");
}

fn the_token_says_what_the_certificate_says(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    let more = json!({"display_name": "webs", "token_ttl": "30m", "allowed_uri_sans": "spiffe://acme/+/web",
        "allowed_metadata_extensions": "1.2.3.4"});
    role(&stage.root, "web", &authority.pem(), &more);
    let leaf = Leaf { common_name: Some("web.example"), uris: &["spiffe://acme/prod/web"], serial: Some(260), ..Leaf::new() };
    let leaf = authority.sign(&Leaf { extensions: &[(&[1, 2, 3, 4], b"\x0c\x02hi")], ..leaf });
    let client = stage.showing(&leaf, &[]);
    let auth = login(&client, "WEB").expect(200).json()["auth"].clone();
    assert_eq!(auth["token_policies"], json!(["default", "reader"]));
    assert_eq!((&auth["lease_duration"], &auth["orphan"], &auth["renewable"]), (&json!(1800), &json!(true), &json!(true)));
    let metadata = &auth["metadata"];
    assert_eq!((&metadata["cert_name"], &metadata["common_name"]), (&json!("web"), &json!("web.example")));
    assert_eq!((&metadata["serial_number"], &metadata["1-2-3-4"]), (&json!("260"), &json!("hi")));
    assert_eq!((&metadata["subject_key_id"], metadata["authority_key_id"].as_str().unwrap().len()), (&json!(""), 59));
    let shown = client.with_token(auth["client_token"].as_str().unwrap()).call("GET", "auth/token/lookup-self", None);
    let shown = shown.expect(200).json()["data"].clone();
    assert_eq!((&shown["display_name"], &shown["path"]), (&json!("cert-webs"), &json!("auth/cert/login")));
    assert_eq!(shown["entity_id"], auth["entity_id"]);
    let entity = stage.root.call("GET", &format!("identity/entity/id/{}", auth["entity_id"].as_str().unwrap()), None);
    assert_eq!(entity.expect(200).json()["data"]["aliases"][0]["name"], "web.example");
}

fn a_forged_leaf_with_the_serial_name_or_key_of_a_pinned_one_is_nobody(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    let leaf = Leaf { common_name: Some("web"), serial: Some(7), ..Leaf::new() };
    let pinned = authority.sign(&leaf);
    role(&stage.root, "web", &pinned.pem, &json!({}));
    logged_in(&stage.showing(&pinned, &[]), "web");
    let forger = Authority::new("CA");
    for (what, forged) in [
        ("serial, name and issuer's name", forger.sign(&leaf)),
        ("key and name", Signed::by_itself(&Leaf { key: Some(&pinned.key), ..leaf.clone() })),
        ("key, for another name", forger.sign(&Leaf { common_name: Some("admin"), key: Some(&pinned.key), ..leaf.clone() })),
        ("key and issuer, another serial", authority.sign(&Leaf { serial: Some(8), key: Some(&pinned.key), ..leaf.clone() })),
    ] {
        fails(&login(&stage.showing(&forged, &[]), "web"), what);
        fails(&login(&stage.showing(&forged, &[&pinned.pem]), "web"), what);
    }
}

fn a_ca_bundle_with_a_certificate_that_is_no_ca_trusts_nothing_it_signed(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    let plain = authority.sign(&Leaf { common_name: Some("web"), ..Leaf::new() });
    role(&stage.root, "all", &[authority.pem(), plain.pem.clone()].concat(), &json!({}));
    let forged = plain.misused_to_sign("web", &Leaf { common_name: Some("admin"), ..Leaf::new() });
    logged_in(&stage.showing(&plain, &[]), "all");
    fails(&login(&stage.showing(&forged, &[]), "all"), "alone");
    fails(&login(&stage.showing(&forged, &[&plain.pem]), "all"), "with its signer");
}

fn every_failed_login_is_answered_the_same(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({"allowed_common_names": "web"}));
    role(&stage.root, "elsewhere", &authority.pem(), &json!({"token_bound_cidrs": "10.0.0.0/8"}));
    let web = Leaf { common_name: Some("web"), ..Leaf::new() };
    let good = authority.sign(&web);
    logged_in(&stage.showing(&good, &[]), "web");
    let other = Authority::new("CA").sign(&web);
    for (what, leaf) in [
        ("another name", authority.sign(&Leaf { common_name: Some("dev"), ..web.clone() })),
        ("another authority", other),
        ("expired", authority.sign(&Leaf { from: BEGIN, until: PAST, ..web.clone() })),
        ("not valid yet", authority.sign(&Leaf { from: FUTURE, until: END, ..web.clone() })),
        ("of a server", authority.sign(&Leaf { for_servers_only: true, ..web.clone() })),
        ("two meanings", authority.sign(&Leaf { extensions: &[(&[1, 2, 3], b"a"), (&[1, 2, 3], b"b")], ..web.clone() })),
    ] {
        fails(&login(&stage.showing(&leaf, &[]), "web"), what);
    }
    let client = stage.showing(&good, &[]);
    fails(&login(&stage.root.without_token(), "web"), "no certificate");
    fails(&login(&client, "nobody"), "unknown role");
    fails(&login(&client, "no/role"), "no name of a role");
    fails(&login(&client, "elsewhere"), "from another address");
    fails(&login(&client, &"x".repeat(10_000)), "a long name");
}

fn revoked_certificates_are_refused_and_a_demanded_list_must_be_there(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "lax", &authority.pem(), &json!({}));
    role(&stage.root, "strict", &authority.pem(), &json!({"require_crl": true}));
    let [good, bad] = [6, 7].map(|serial| stage.showing(&authority.sign(&Leaf { serial: Some(serial), ..Leaf::new() }), &[]));
    let publish = |of: &Authority, times| {
        stage.root.call("POST", "auth/cert/crls/main", Some(&json!({"crl": of.crl(&[7], times)}))).expect(204);
    };
    logged_in(&bad, "lax");
    fails(&login(&good, "strict"), "no list");
    publish(&authority, (BEGIN, FUTURE));
    for role in ["lax", "strict"] {
        logged_in(&good, role);
        fails(&login(&bad, role), "revoked");
    }
    publish(&authority, (BEGIN, PAST));
    logged_in(&good, "lax");
    fails(&login(&bad, "lax"), "revoked by an old list");
    fails(&login(&good, "strict"), "an old list");
    publish(&Authority::new("CA"), (BEGIN, FUTURE));
    fails(&login(&good, "strict"), "a list that somebody else signed");
    publish(&authority, (BEGIN, FUTURE));
    assert!(server.stop().success());
    server.come_back();
    logged_in(&good, "strict");
    fails(&login(&bad, "strict"), "right after a start");
    stage.root.call("DELETE", "auth/cert/crls/main", None).expect(204);
    assert!(server.stop().success());
    server.come_back();
    fails(&login(&good, "strict"), "no list right after a start");
}

fn a_denied_fingerprint_is_refused_at_once(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({"tokenless": true}));
    let (lost, kept) = (authority.sign(&Leaf::new()), authority.sign(&Leaf::new()));
    let (lost_client, kept_client) = (stage.showing(&lost, &[]), stage.showing(&kept, &[]));
    let mut session = lost_client.session().unwrap();
    assert_eq!(session.send("GET", "/v1/secret/data/app/db", &[], b"").unwrap().status, 200);
    let fingerprint = data_encoding::HEXUPPER.encode(&strongroom::crypto::sha256(&[&lost.der]));
    stage.root.call("POST", "auth/cert/config", Some(&json!({"denied_fingerprints": [fingerprint]}))).expect(204);
    let shown = stage.root.call("GET", "auth/cert/config", None).expect(200).json();
    assert_eq!(shown["data"]["denied_fingerprints"], json!([fingerprint.to_lowercase()]));
    fails(&login(&lost_client, "web"), "denied");
    // The connection stands, and its next request is nobody's.
    assert_eq!(session.send("GET", "/v1/secret/data/app/db", &[], b"").unwrap().status, 403);
    logged_in(&kept_client, "web");
    read(&kept_client).expect(200);
}

fn tokens_of_a_denied_certificate_are_none(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    for (name, more) in [
        ("loose", json!({})),
        ("bound", json!({"token_bind_certificate": true})),
        ("batch", json!({"token_type": "batch"})),
        ("parent", json!({"token_policies": ["reader", "maker"]})),
    ] {
        role(&stage.root, name, &authority.pem(), &more);
    }
    policy(&stage.root, "maker", "path \"auth/token/create\" { capabilities = [\"update\"] }");
    let (lost, kept) = (authority.sign(&Leaf::new()), authority.sign(&Leaf::new()));
    let (lost_client, kept_client) = (stage.showing(&lost, &[]), stage.showing(&kept, &[]));
    let tokens = |client: &Client| -> Vec<Client> {
        let mut tokens = ["loose", "bound", "batch", "parent"].map(|role| client.with_token(&logged_in(client, role))).to_vec();
        let made = tokens[3].call("POST", "auth/token/create", Some(&json!({"policies": ["reader"]}))).expect(200).json();
        tokens.push(stage.root.with_token(made["auth"]["client_token"].as_str().unwrap()));
        tokens
    };
    let (dead, alive) = (tokens(&lost_client), tokens(&kept_client));
    let loose = logged_in(&lost_client, "loose");
    let elsewhere = kept_client.with_token(&loose);
    for client in dead.iter().chain(&alive).chain([&elsewhere]) {
        read(client).expect(200);
    }
    let accessor = dead[0].call("GET", "auth/token/lookup-self", None).expect(200).json()["data"]["accessor"].clone();

    let deny = |list: &[&str]| {
        stage.root.call("POST", "auth/cert/config", Some(&json!({"denied_fingerprints": list}))).expect(204);
    };
    deny(&[&data_encoding::HEXLOWER.encode(&strongroom::crypto::sha256(&[&lost.der]))]);
    for client in dead.iter().chain([&elsewhere]) {
        read(client).expect(403);
        client.call("POST", "auth/token/renew-self", None).expect(403);
    }
    stage.root.call("POST", "auth/token/lookup-accessor", Some(&json!({"accessor": accessor}))).expect(400);
    for client in &alive {
        read(client).expect(200);
    }
    // What was denied by mistake is good again, as far as it has not ended.
    deny(&[]);
    for client in dead.iter().chain([&elsewhere]) {
        read(client).expect(200);
    }
}

fn roles_of_a_namespace_are_its_own(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    let team = namespace(&stage.root, "team");
    enable(&team);
    role(&team, "web", &authority.pem(), &json!({"tokenless": true, "token_policies": ["default"]}));
    let client = stage.showing(&authority.sign(&Leaf::new()), &[]);
    fails(&login(&client, "web"), "in the root");
    let there = client.in_namespace("team");
    let token = logged_in(&there, "web");
    there.with_token(&token).call("GET", "auth/token/lookup-self", None).expect(200);
    client.with_token(&token).call("GET", "auth/token/lookup-self", None).expect(403);
    there.call("POST", "sys/capabilities-self", Some(&json!({"paths": ["sys/mounts"]}))).expect(200);
    client.call("POST", "sys/capabilities-self", Some(&json!({"paths": ["sys/mounts"]}))).expect(403);
}
