//! Root keys in a security module: `SoftHSM2`.

use std::path::Path;

use serde_json::{Value, json};

use crate::seals::{TIMES, get, health, initialised, sqlite, start_with, wait_for, wait_for_line};
use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put};
use crate::support::full;
use crate::support::postgres::Database;
use crate::support::server::{Server, storage_stanza};
use crate::support::softhsm::{PIN, SoftHsm, library, unreliable};

const KEY: &str = "key_label = \"root\"";

fn seal(module: &Path, lines: &str) -> String {
    format!(
        "seal \"pkcs11\" \"hsm\" {{\n  lib = \"{}\"\n  token_label = \"strongroom\"\n  pin = \"{PIN}\"\n  {KEY}\n  allowed_key_ids = [\"other\"]\n{lines}}}\n",
        module.display()
    )
}

fn server_of(folder: &Path, module: &Path, lines: &str) -> String {
    SoftHsm::new(folder);
    sqlite(folder) + TIMES + &seal(module, lines)
}

fn uninitialised() -> Server {
    Server::configured(|folder| server_of(folder, &library(), ""), "", 501)
}

fn opens_by_itself(server: &mut Server) {
    let (root, init) = initialised(server);
    assert_eq!((init["keys"].clone(), init["recovery_keys"].as_array().unwrap().len()), (json!([]), 3));
    let status = root.call("GET", "sys/seal-status", None).expect(200).json();
    assert_eq!((&status["type"], &status["recovery_seal"], &status["sealed"]), (&"pkcs11".into(), &true.into(), &false.into()));
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "b", &json!({"k": "w"}));
    // A namespace under a key of its own.
    let own = |key: &str| root.call("POST", "sys/namespaces/own", Some(&json!({"seal": "hsm", "key_id": key})));
    own("root").expect(400);
    own("other").expect(200);
    let own = root.in_namespace("own");
    mount(&own, "secret");
    put(&own, "c", &json!({"k": "x"}));
    for _ in 0..2 {
        assert!(server.stop().success(), "{}", server.output());
        server.start_again(200);
        assert_eq!(get(&root, "a").expect(200).json()["data"]["data"]["k"], "v");
        assert_eq!(get(&team, "b").expect(200).json()["data"]["data"]["k"], "w");
        assert_eq!(get(&own, "c").expect(200).json()["data"]["data"]["k"], "x");
    }
    assert!(server.stop().success(), "{}", server.output());
    assert!(!server.output().contains(PIN));
}

#[test]
fn a_module_opens_a_server_by_itself_on_sqlite() {
    opens_by_itself(&mut uninitialised());
}

/// The end of the process takes down what the module stands on.
#[test]
fn a_server_that_ends_while_the_module_works_does_not_crash() {
    let busy = |folder: &Path| server_of(folder, &library(), "").replace("keyring_refresh = \"1s\"", "keyring_refresh = \"1ms\"");
    let mut server = Server::configured(busy, "", 501);
    initialised(&server);
    for _ in 0..if full() { 200 } else { 10 } {
        assert!(server.stop().success(), "{}", server.output());
        server.start_again(200);
    }
}

#[test]
fn a_module_opens_a_server_by_itself_on_postgresql() {
    let database = Database::new();
    let stanzas = |folder: &Path| {
        let slot = format!("slot = {}", SoftHsm::new(folder).slot());
        let file = folder.join("pin");
        std::fs::write(&file, format!("{PIN}\n")).unwrap();
        let pin = format!("pin_file = \"{}\"", file.display());
        let seal = seal(&library(), "  mechanism = \"0x1087\"\n").replace("token_label = \"strongroom\"", &slot);
        let seal = seal.replace(&format!("pin = \"{PIN}\""), &pin).replace(KEY, "key_id = \"0x01\"");
        storage_stanza(&database) + "\n" + TIMES + &seal
    };
    opens_by_itself(&mut Server::configured(stanzas, "", 501));
}

#[test]
fn what_is_wrong_with_a_module_ends_the_start_with_one_line() {
    let mut server = uninitialised();
    let pin = format!("pin = \"{PIN}\"");
    let module = library().display().to_string();
    let no_module = server.folder().join("test-ca.pem").display().to_string();
    for initialised_already in [false, true] {
        if initialised_already {
            let (root, _) = initialised(&server);
            mount(&root, "secret");
        }
        assert!(server.stop().success());
        for (from, to, cause) in [
            (pin.as_str(), "pin = \"wrong-pin\"", "seal hsm refuses: the PIN is wrong (CKR_PIN_INCORRECT)"),
            (
                "\"strongroom\"",
                "\"elsewhere\"",
                "seal hsm refuses: the module has no token with the label elsewhere; it has strongroom",
            ),
            ("token_label = \"strongroom\"", "slot = 4711", "seal hsm refuses: the module has no such slot"),
            (KEY, "key_label = \"absent\"", "seal hsm refuses: the token has no AES key with label absent"),
            (
                KEY,
                "key_label = \"root\"\n  key_id = \"0x02\"",
                "seal hsm refuses: the token has no AES key with label root and id 0x02",
            ),
            (KEY, "key_id = \"0xzz\"", "key_id: must be the hexadecimal digits"),
            (KEY, "mechanism = \"CKM_RSA_PKCS\"", "mechanism: only \"CKM_AES_GCM\""),
            (&module, "/nowhere/module.so", "lib: /nowhere/module.so cannot be read: No such file"),
            (&module, &no_module, "seal hsm refuses: the library cannot be loaded"),
            (&pin, "", "seal \"pkcs11\" pin or pin_file: is missing"),
        ] {
            let (code, line) = start_with(&server, from, to);
            assert!(code == 1 && line.contains(cause), "{to}: {code} {line}");
            assert!(!line.contains(PIN), "{line}");
        }
        if initialised_already {
            let (code, line) = start_with(&server, KEY, "key_label = \"other\"");
            assert!(code == 1 && line.contains("seal hsm: the wrapped key does not open with it"), "{code} {line}");
        }
        server.start_again(if initialised_already { 200 } else { 501 });
    }
    // Another key of the same name opens nothing.
    assert!(server.stop().success());
    std::fs::remove_dir_all(server.folder().join("tokens")).unwrap();
    SoftHsm::with_root(server.folder(), 9);
    let (code, line) = start_with(&server, KEY, KEY);
    assert!(code == 1 && line.contains("seal hsm: the wrapped key does not open with it"), "{code} {line}");
}

#[test]
fn a_wrap_of_a_module_that_was_cut_or_exchanged_does_not_open() {
    let mut server = uninitialised();
    let (root, _) = initialised(&server);
    let [one, two] = ["one", "two"].map(|name| namespace(&root, name));
    for team in [&one, &two] {
        mount(team, "secret");
        put(team, "a", &json!({"k": "v"}));
    }
    assert!(server.stop().success());
    let whole = std::fs::read(server.sqlite_file()).unwrap();
    let children = "tenant_id IN (SELECT tenant_id FROM tenant WHERE parent IS NOT NULL)";
    server.tables().run(&format!(
        "CREATE TEMP TABLE before AS SELECT tenant_id, wrap FROM tenant_key WHERE {children} AND seal = 'hsm';
         UPDATE tenant_key SET wrap = (SELECT wrap FROM before WHERE before.tenant_id <> tenant_key.tenant_id) WHERE {children} AND seal = 'hsm';"
    ));
    server.start_again(200);
    for team in [&one, &two] {
        assert_eq!(get(team, "a").expect(503).errors(), ["kms unavailable: the key does not open with seal hsm"]);
    }
    health(&server)().expect(200);
    assert!(server.stop().success());
    for cut in ["substr(wrap, 1, length(wrap) - 1)", "substr(wrap, 1, 20)", "CAST(x'02' || substr(wrap, 2) AS BLOB)", "x''"] {
        std::fs::write(server.sqlite_file(), &whole).unwrap();
        server.tables().run(&format!("UPDATE tenant_key SET wrap = {cut} WHERE seal = 'hsm'"));
        let (code, line) = start_with(&server, KEY, KEY);
        assert!(code == 1 && line.contains("seal hsm: the wrapped key does not open with it"), "{cut}: {code} {line}");
    }
    std::fs::write(server.sqlite_file(), &whole).unwrap();
    server.start_again(200);
    get(&one, "a").expect(200);
}

#[test]
fn a_module_that_hangs_or_fails_is_an_outage_and_one_that_says_no_is_a_refusal() {
    let mut control = std::path::PathBuf::new();
    let stanzas = |folder: &Path| {
        let (module, file) = unreliable(folder);
        control = file;
        SoftHsm::new(folder);
        sqlite(folder) + TIMES + &seal(&module, "  timeout = \"3s\"\n")
    };
    let mut server = Server::configured(stanzas, "", 501);
    // It has tried the seal: what the layer does next is not its start any more.
    wait_for_line(&server, "sealed: waiting for sys/init", 0);
    let says = |word: &str| std::fs::write(&control, word).unwrap();
    let stranger = Client::new(&server.target());
    for (word, cause) in [
        ("0x30", "seal hsm is not available: DeviceError of DecryptInit"),
        ("0x68", "seal hsm refuses: the key is not allowed to do that"),
        ("0x40", "seal hsm: the wrapped key does not open with it"),
        ("hang", "seal hsm is not available: no answer within 3s"),
    ] {
        says(word);
        let reply = stranger.call("PUT", "sys/init", Some(&json!({"recovery_shares": 1, "recovery_threshold": 1}))).expect(503);
        assert_eq!(reply.errors(), [format!("kms unavailable: {}", told(cause, &reply.errors()[0]))], "{word}");
        assert_eq!(server.tables().number("SELECT count(*) FROM tenant"), 0, "{word}");
    }
    says("");
    let init: Value =
        wait_for(200, || stranger.call("PUT", "sys/init", Some(&json!({"recovery_shares": 3, "recovery_threshold": 2})))).json();
    let root = stranger.with_token(init["root_token"].as_str().unwrap());
    mount(&root, "secret");
    put(&root, "a", &json!({"k": "v"}));

    // An outage is waited out: what is open stays so.
    for (word, text) in [("hang", "no answer within 3s"), ("0x30", "DeviceError of DecryptInit")] {
        let seen = server.output().matches(text).count();
        says(word);
        wait_for_line(&server, text, seen);
        get(&root, "a").expect(200);
    }
    says("");
    // A refusal is not, and heals.
    says("0x68");
    assert_eq!(wait_for(503, health(&server)).json()["sealed"], true);
    get(&root, "a").expect(503);
    says("");
    wait_for(200, health(&server));
    get(&root, "a").expect(200);
    // One that hangs does not keep the server from stopping.
    let seen = server.output().matches("no answer within 3s").count();
    says("hang");
    wait_for_line(&server, "no answer within 3s", seen);
    assert!(server.stop().success(), "{}", server.output());
}

fn told<'a>(cause: &'a str, whole: &'a str) -> &'a str {
    let whole = whole.strip_prefix("kms unavailable: ").unwrap_or(whole);
    if whole.starts_with(cause) { whole } else { cause }
}
