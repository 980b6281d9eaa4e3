//! Root keys in the transit engine of a real OpenBao, behind a proxy that fails as it is told.

use std::path::Path;
use std::time::Instant;

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::seals::{TIMES, get, health, initialised, sqlite, start_with, wait_for, wait_for_line};
use crate::support::bao_proxy::{Does, Proxy};
use crate::support::certificates::{Authority, Leaf};
use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put};
use crate::support::openbao::OpenBao;
use crate::support::postgres::Database;
use crate::support::process::PATIENCE;
use crate::support::server::{Server, storage_stanza};

/// A busy machine is slow.
const TIMEOUT: &str = "timeout = \"30s\"";

/// An OpenBao with a key `root`, a proxy in front of it, and a client with its root token.
struct Stage {
    openbao: OpenBao,
    proxy: Proxy,
    bao: Client,
}

impl Stage {
    fn new() -> Self {
        let openbao = OpenBao::initialised();
        let bao = Client::new(&openbao.target);
        prepare(&bao);
        Self { proxy: Proxy::start(openbao.target.authority()), bao, openbao }
    }

    /// A token that may use the key, and no more.
    fn token(&self) -> Value {
        token(&self.bao)
    }

    fn seal(&self, token: &str) -> String {
        seal(&self.proxy.url(), &format!("  token = \"{token}\"\n"))
    }

    fn server(&self, token: &str) -> Server {
        self.server_with(token, TIMEOUT)
    }

    /// The same with another time for a call.
    fn server_with(&self, token: &str, timeout: &str) -> Server {
        let seal = self.seal(token).replace(TIMEOUT, timeout);
        let server = Server::configured(|folder| sqlite(folder) + TIMES + &seal, "", 501);
        // It has tried the seal: what the proxy does next is not its start any more.
        wait_for_line(&server, "sealed: waiting for sys/init", 0);
        server
    }
}

fn prepare(bao: &Client) {
    bao.call("POST", "sys/mounts/transit", Some(&json!({"type": "transit"}))).expect(204);
    for key in ["root", "own"] {
        bao.call("POST", &format!("transit/keys/{key}"), Some(&json!({}))).expect(200);
    }
    let rule = |path: &str| format!("path \"transit/{path}\" {{ capabilities = [\"update\"] }}\n");
    let rules = ["encrypt/root", "decrypt/root", "encrypt/own", "decrypt/own"].map(rule).concat();
    bao.call("POST", "sys/policies/acl/unsealer", Some(&json!({"policy": rules}))).expect(204);
}

/// The `auth` of a token that may use the key.
fn token(bao: &Client) -> Value {
    let body = json!({"policies": ["unsealer"], "period": "768h", "no_parent": true});
    bao.call("POST", "auth/token/create", Some(&body)).expect(200).json()["auth"].clone()
}

fn text(auth: &Value) -> String {
    auth["client_token"].as_str().unwrap().to_owned()
}

fn revoke(bao: &Client, auth: &Value) {
    bao.call("POST", "auth/token/revoke-accessor", Some(&json!({"accessor": auth["accessor"]}))).expect(204);
}

fn seal(address: &str, lines: &str) -> String {
    format!(
        "seal \"transit\" \"other\" {{\n  address = \"{address}\"\n  key_name = \"root\"\n  timeout = \"30s\"\n  allowed_key_ids = [\"own\"]\n{lines}}}\n"
    )
}

fn opens_by_itself(stage: &Stage, auth: &Value, server: &mut Server) {
    let (root, init) = initialised(server);
    assert_eq!((init["keys"].clone(), init["recovery_keys"].as_array().unwrap().len()), (json!([]), 3));
    let status = root.call("GET", "sys/seal-status", None).expect(200).json();
    assert_eq!((&status["type"], &status["recovery_seal"], &status["sealed"]), (&"transit".into(), &true.into(), &false.into()));
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "b", &json!({"k": "w"}));
    // A new version of the key, there, needs nothing here.
    stage.bao.call("POST", "transit/keys/root/rotate", Some(&json!({}))).expect(200);
    // A namespace under a key of its own.
    let late = |key: &str| root.call("POST", "sys/namespaces/late", Some(&json!({"seal": "other", "key_id": key})));
    late("root").expect(400);
    late("own").expect(200);
    let late = root.in_namespace("late");
    mount(&late, "secret");
    put(&late, "c", &json!({"k": "x"}));

    assert!(server.stop().success(), "{}", server.output());
    server.start_again(200);
    for (client, path, value) in [(&root, "a", "v"), (&team, "b", "w"), (&late, "c", "x")] {
        assert_eq!(get(client, path).expect(200).json()["data"]["data"]["k"], value);
    }
    // Each key is bound to whose it is, and the token was renewed.
    let calls = stage.proxy.calls();
    let bound = |operation: &str| -> std::collections::BTreeSet<String> {
        let of = calls.iter().filter(|(line, _)| line.contains(operation));
        of.map(|(_, body)| body["associated_data"].as_str().unwrap().to_owned()).collect()
    };
    assert!(bound("/v1/transit/encrypt/root").len() >= 5, "{calls:?}");
    assert!(bound("/v1/transit/decrypt/root").iter().all(|text| BASE64.decode(text.as_bytes()).is_ok()));
    assert!(calls.iter().any(|(line, _)| line.contains("/v1/auth/token/renew-self")), "{calls:?}");
    let shown = stage.bao.call("POST", "auth/token/lookup-accessor", Some(&json!({"accessor": auth["accessor"]}))).expect(200);
    assert!(shown.json()["data"]["last_renewal"].is_string());
    assert!(!server.output().contains(&text(auth)));
}

#[test]
fn a_transit_key_opens_a_server_by_itself_on_sqlite() {
    let stage = Stage::new();
    let auth = stage.token();
    opens_by_itself(&stage, &auth, &mut stage.server(&text(&auth)));
}

#[test]
fn a_transit_key_opens_a_server_by_itself_on_postgresql() {
    let (stage, database) = (Stage::new(), Database::new());
    let auth = stage.token();
    let stanzas = |folder: &Path| {
        let file = folder.join("token");
        std::fs::write(&file, format!("{}\n", text(&auth))).unwrap();
        let lines = format!("  token_file = \"{}\"\n  mount_path = \"transit/\"\n", file.display());
        storage_stanza(&database) + "\n" + TIMES + &seal(&stage.proxy.url(), &lines)
    };
    opens_by_itself(&stage, &auth, &mut Server::configured(stanzas, "", 501));
}

#[test]
fn what_is_wrong_with_a_transit_key_or_token_ends_the_start_with_one_line() {
    let stage = Stage::new();
    for (key, settings) in
        [("signing", json!({"type": "rsa-2048"})), ("derived", json!({"derived": true})), ("second", json!({}))]
    {
        stage.bao.call("POST", &format!("transit/keys/{key}"), Some(&settings)).expect(200);
    }
    let mighty = stage.openbao.target.token.clone();
    let expired = stage.token();
    revoke(&stage.bao, &expired);
    let useless = stage.bao.call("POST", "auth/token/create", Some(&json!({"policies": ["default"]}))).expect(200).json();
    let mut server = stage.server(&mighty);
    let quoted = |text: &str| format!("\"{text}\"");
    let (good, key) = (quoted(&mighty), "\"root\"");
    for initialised_already in [false, true] {
        if initialised_already {
            let (root, _) = initialised(&server);
            mount(&root, "secret");
        }
        assert!(server.stop().success());
        for (from, to, cause) in [
            (key, "\"absent\"", "400 to transit/decrypt/absent: encryption key not found"),
            (key, "\"signing\"", "'[0].associated_data' provided for non-AEAD cipher suite rsa-2048"),
            (key, "\"derived\"", "missing 'context' for key derivation"),
            (key, "\"../root\"", "key_name: must be a name"),
            ("timeout", "mount_path = \"elsewhere\"\n  timeout", "404 to elsewhere/decrypt/root: no handler for route"),
            ("timeout", "namespace = \"elsewhere\"\n  timeout", "404 to transit/decrypt/root: namespace not found"),
            ("timeout", "tls_skip_verify = true\n  timeout", "tls_skip_verify: is not offered"),
            ("timeout", "tls_ca_cert = \"/nowhere\"\n  timeout", "tls_ca_cert: /nowhere cannot be read"),
            (&good, &quoted(&text(&expired)), "the token has expired, was revoked, or is of another server"),
            (&good, &quoted(&text(&useless["auth"])), "the token's policies must allow update on transit/decrypt/root"),
            (&good, "\"\"", "seal \"transit\" \"other\" token: must not be empty"),
            ("http://127", "http://128", "address: must be an https:// address"),
        ] {
            let (code, line) = start_with(&server, from, to);
            let is_configuration = cause.contains(": must") || cause.contains("not offered") || cause.contains("cannot be read");
            assert!(code == 1 && line.contains(cause), "{to}: {code} {line}");
            assert!(is_configuration || line.contains("seal other refuses: "), "{line}");
            assert!(!line.contains(&mighty), "{line}");
        }
        if !initialised_already {
            stage.proxy.all(Does::Unbound);
            let (code, line) = start_with(&server, key, key);
            assert!(
                code == 1 && line.contains("seal other refuses: the other server does not heed associated_data"),
                "{code} {line}"
            );
            stage.proxy.all(Does::Pass);
        }
        server.start_again(if initialised_already { 200 } else { 501 });
    }
    // Encrypting with a token that may do everything has made no key.
    stage.bao.call("GET", "transit/keys/absent", None).expect(404);
}

#[test]
fn init_writes_nothing_unless_the_other_server_wraps_and_opens() {
    let stage = Stage::new();
    let server = stage.server_with(&text(&stage.token()), "timeout = \"3s\"");
    let stranger = Client::new(&server.target());
    let mut tables = server.tables();
    for (does, cause) in [
        (Does::CutWrap, "seal other: the wrapped key does not open with it"),
        (Does::OtherPlaintext, "seal other is not available: it opened its own wrap to another key"),
        (Does::Answer(400, "{\"errors\":[\"encryption key not found\"]}"), "seal other refuses: 400"),
        (Does::Answer(403, "{\"errors\":[\"permission\\r\\n denied\"]}"), "seal other refuses: permission denied"),
        (Does::Answer(503, "{\"errors\":[\"Vault is sealed\"]}"), "seal other is not available: 503"),
        (Does::Answer(403, "<html>blocked</html>"), "seal other is not available"),
        (Does::Answer(404, "<html>nothing</html>"), "seal other is not available"),
        (Does::Answer(200, "{\"data\":{}}"), "seal other is not available"),
        (Does::Answer(307, ""), "seal other is not available"),
        (Does::Reset, "seal other is not available"),
        (Does::Hang, "seal other is not available"),
    ] {
        stage.proxy.all(does.clone());
        let begun = Instant::now();
        let errors = loop {
            let reply =
                stranger.call("PUT", "sys/init", Some(&json!({"recovery_shares": 1, "recovery_threshold": 1}))).expect(503);
            let errors = reply.errors();
            // The breaker lets a call through after its pause.
            if !errors[0].contains("asked again soon") || cause.contains("not available") {
                break errors;
            }
            assert!(begun.elapsed() < PATIENCE, "{errors:?}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        assert!(errors.len() == 1 && errors[0].starts_with(&format!("kms unavailable: {cause}")), "{does:?}: {errors:?}");
        assert!(!errors[0].contains(['\n', '\r']), "{errors:?}");
        assert_eq!(tables.number("SELECT count(*) FROM tenant"), 0, "{does:?}");
    }
    stage.proxy.all(Does::Pass);
    wait_for(200, || stranger.call("PUT", "sys/init", Some(&json!({}))));
}

#[test]
fn a_token_that_is_revoked_seals_the_server_until_its_file_holds_another() {
    let stage = Stage::new();
    let auth = stage.token();
    let stanzas = |folder: &Path| {
        let file = folder.join("token");
        std::fs::write(&file, text(&auth)).unwrap();
        let lines = format!("  token_file = \"{}\"\n", file.display());
        sqlite(folder) + TIMES + &seal(&stage.proxy.url(), &lines)
    };
    let server = Server::configured(stanzas, "", 501);
    let (root, _) = initialised(&server);
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));

    // Outages of any kind leave what is open open.
    for (does, sign) in [
        (Does::Reset, "not available: http"),
        (Does::Answer(502, "<html>"), "answered 502, and not as such a server does"),
        (Does::Answer(403, "<html>"), "answered 403, and not as such a server does"),
        (Does::Answer(503, "{\"errors\":[\"Vault is sealed\"]}"), "Vault is sealed"),
    ] {
        let seen = server.output().matches(sign).count();
        stage.proxy.all(does);
        wait_for_line(&server, sign, seen);
        get(&root, "a").expect(200);
    }
    stage.proxy.all(Does::Pass);
    // A refusal does not, and heals.
    revoke(&stage.bao, &auth);
    assert_eq!(wait_for(503, health(&server)).json()["sealed"], true);
    get(&root, "a").expect(503);
    assert!(server.output().contains("the token has expired, was revoked, or is of another server"), "{}", server.output());
    std::fs::write(server.folder().join("token"), text(&stage.token())).unwrap();
    wait_for(200, health(&server));
    get(&root, "a").expect(200);

    // So is a key version that may not be used any more.
    stage.bao.call("POST", "transit/keys/root/rotate", Some(&json!({}))).expect(200);
    stage.bao.call("POST", "transit/keys/root/config", Some(&json!({"min_decryption_version": 2}))).expect(200);
    wait_for(503, health(&server));
    assert!(server.output().contains("disallowed by policy"), "{}", server.output());
    stage.bao.call("POST", "transit/keys/root/config", Some(&json!({"min_decryption_version": 1}))).expect(200);
    wait_for(200, health(&server));
}

#[test]
fn a_transit_wrap_that_was_cut_or_exchanged_does_not_open() {
    let stage = Stage::new();
    let mut server = stage.server(&text(&stage.token()));
    let (root, _) = initialised(&server);
    let [one, two] = ["one", "two"].map(|name| namespace(&root, name));
    for team in [&one, &two] {
        mount(team, "secret");
        put(team, "a", &json!({"k": "v"}));
    }
    assert!(server.stop().success());
    let whole = std::fs::read(server.sqlite_file()).unwrap();
    let children = "seal = 'other' AND tenant_id IN (SELECT tenant_id FROM tenant WHERE parent IS NOT NULL)";
    server.tables().run(&format!(
        "CREATE TEMP TABLE before AS SELECT tenant_id, wrap FROM tenant_key WHERE {children};
         UPDATE tenant_key SET wrap = (SELECT wrap FROM before WHERE before.tenant_id <> tenant_key.tenant_id) WHERE {children};"
    ));
    server.start_again(200);
    for team in [&one, &two] {
        assert_eq!(get(team, "a").expect(503).errors(), ["kms unavailable: the key does not open with seal other"]);
    }
    assert!(server.stop().success());
    let cuts = [
        "substr(wrap, 1, length(wrap) - 4)",
        "substr(wrap, 1, 9)",
        "CAST('vault:v7:' || substr(CAST(wrap AS TEXT), 10) AS BLOB)",
        "CAST('\",\"x\":\"' AS BLOB)",
        "x'ff'",
        "x''",
    ];
    for cut in cuts {
        std::fs::write(server.sqlite_file(), &whole).unwrap();
        server.tables().run(&format!("UPDATE tenant_key SET wrap = {cut} WHERE seal = 'other'"));
        let (code, line) = start_with(&server, "\"root\"", "\"root\"");
        assert!(code == 1 && line.contains("seal other: the wrapped key does not open with it"), "{cut}: {code} {line}");
    }
    std::fs::write(server.sqlite_file(), &whole).unwrap();
    server.start_again(200);
    get(&one, "a").expect(200);
}

#[test]
fn a_client_certificate_gets_a_token_and_another_one_when_that_is_revoked() {
    let openbao = OpenBao::dev();
    let bao = Client::new(&openbao.target);
    prepare(&bao);
    bao.call("POST", "sys/auth/cert", Some(&json!({"type": "cert"}))).expect(204);
    let authority = Authority::new("machines");
    let role = json!({"certificate": authority.pem(), "token_policies": ["unsealer"], "token_ttl": "1h", "token_no_default_policy": false});
    bao.call("POST", "auth/cert/certs/strongroom", Some(&role)).expect(204);
    let signed = authority.sign(&Leaf { common_name: Some("server"), ..Leaf::new() });
    let stanzas = |folder: &Path| {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (chain, key) = (write("client.pem", &signed.pem), write("client.key", &signed.key));
        let lines = format!(
            "  tls_ca_cert = \"{}\"\n  tls_server_name = \"localhost\"\n  tls_client_cert = \"{chain}\"\n  tls_client_key = \"{key}\"\n  cert_auth_role = \"strongroom\"\n",
            openbao.target.ca.as_ref().unwrap().display()
        );
        sqlite(folder) + TIMES + &seal(&openbao.target.url, &lines)
    };
    let mut server = Server::configured(stanzas, "", 501);
    let (root, _) = initialised(&server);
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));

    let tokens = || bao.call("LIST", "auth/token/accessors", None).expect(200).json()["data"]["keys"].as_array().unwrap().clone();
    let before = tokens();
    bao.call("POST", "sys/leases/revoke-prefix/auth/cert/login", Some(&json!({}))).expect(204);
    let begun = Instant::now();
    while tokens().iter().all(|accessor| before.contains(accessor)) {
        assert!(begun.elapsed() < PATIENCE, "{}", server.output());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    get(&root, "a").expect(200);
    assert!(server.stop().success());
    server.start_again(200);
    get(&root, "a").expect(200);
    assert!(server.stop().success());

    for (from, to, cause) in [
        ("cert_auth_role = \"strongroom\"", "cert_auth_role = \"absent\"", "seal other refuses: 400 to the login at auth/cert"),
        ("tls_client_key", "#", "a client certificate needs both"),
        ("https://127", "http://127", "a login by certificate needs TLS"),
    ] {
        let (code, line) = start_with(&server, from, to);
        assert!(code == 1 && line.contains(cause), "{to}: {code} {line}");
    }
}
