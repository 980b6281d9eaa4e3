use std::path::PathBuf;

use super::*;
use crate::config::{Seal, SealKind, SinkTarget, TlsVersion};

const HCL: &str = r#"
listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/tls/cert.pem"
  tls_key_file  = "/tls/key.pem"
  max_request_duration = "30s"
}
listener "tcp" { tls_disable = 1 }
storage "postgresql" {
  connection_url   = "postgres://u:hunter2@db/strongroom"
  context_key_file = "/keys/context"
}
seal "static" "eu" { key_file = "/keys/eu" }
seal "static" {
  current_key_id = "2026"
  current_key    = "file:///keys/now"
  previous_key   = "file:///keys/before"
}
api_addr  = "https://vault.example.com:8200/"
log_level = "debug"
max_lease_ttl = "48h"
ui = true
outbound_allow = ["login.example.com", "10.0.0.1:8443"]
"#;

const JSON: &str = r#"{
  "listener": [
    {"tcp": {"address": "0.0.0.0:8200", "tls_cert_file": "/tls/cert.pem", "tls_key_file": "/tls/key.pem",
             "max_request_duration": 30}},
    {"tcp": {"tls_disable": "true"}}
  ],
  "storage": {"postgresql": {"connection_url": "postgres://u:hunter2@db/strongroom", "context_key_file": "/keys/context"}},
  "seal": [
    {"static": {"eu": {"key_file": "/keys/eu"}}},
    {"static": {"current_key_id": "2026", "current_key": "file:///keys/now", "previous_key": "file:///keys/before"}}
  ],
  "api_addr": "https://vault.example.com:8200/",
  "log_level": "debug",
  "max_lease_ttl": "48h",
  "ui": true,
  "outbound_allow": ["login.example.com", "10.0.0.1:8443"]
}"#;

fn read(file: &str, text: &str) -> Result<Config, ConfigError> {
    parse(&[Source { file: PathBuf::from(file), text: SecretText::new(text.to_owned()) }], None)
}

fn error(text: &str) -> String {
    let whole = format!("storage \"sqlite\" {{ path = \"x.db\" }}\nlistener \"tcp\" {{ tls_disable = true }}\n{text}");
    read("a.hcl", &whole).err().expect(text).to_string()
}

#[test]
fn sinks_are_declared_in_the_form_of_openbao() {
    let hcl = r#"
        audit "file" "to-file" {
          description = "d"
          options {
            file_path = "/var/log/a.log"
            mode = "0640"
            hmac_accessor = "false"
          }
        }
        audit "syslog" {
          options {
            address = "udp://10.0.0.1:514"
            facility = "local3"
            position_file = "/p"
          }
        }
    "#;
    let whole = format!("storage \"sqlite\" {{ path = \"x.db\" }}\nlistener \"tcp\" {{ tls_disable = true }}\n{hcl}");
    let sinks = read("a.hcl", &whole).unwrap().audit;
    let [file, syslog] = sinks.as_slice() else { panic!("{}", sinks.len()) };
    assert_eq!((file.name.as_str(), file.kind, file.hmac_accessor), ("to-file", "file", false));
    assert_eq!(file.position_file, PathBuf::from("/var/log/a.log.position"));
    assert!(matches!(&file.to, SinkTarget::File(settings) if settings.mode == 0o640));
    assert_eq!((syslog.name.as_str(), syslog.hmac_accessor), ("syslog", true));
    assert!(matches!(&syslog.to, SinkTarget::Syslog(settings) if settings.facility == 19 * 8));
    for (text, problem) in [
        ("audit \"nats\" \"a\" { options {} }", "only \"file\", \"syslog\" and \"http\""),
        ("audit \"file\" \"a\" {}", "needs options"),
        ("audit \"file\" \"a\" { options {} }", "need file_path"),
        ("audit \"file\" \"a\" { options { file_path = \"stdout\" } }", "need position_file"),
        ("audit \"file\" \"a\" { options { file_path = \"rel.log\" } }", "absolute path"),
        ("audit \"file\" \"a/b\" { options { file_path = \"/a\" } }", "needs a name"),
        ("audit \"file\" { options { file_path = \"/a\", mode = \"0999\" } }", "permissions"),
        ("audit \"file\" { options { file_path = \"/a\", log_raw = true } }", "is not offered"),
        ("audit \"file\" { options { file_path = \"/a\", colour = 1 } }", "unknown key"),
        ("audit \"file\" { options { file_path = \"/a\" } }\naudit \"file\" { options { file_path = \"/b\" } }", "same name"),
        (
            "audit \"file\" \"a\" { options { file_path = \"/a\" } }\naudit \"file\" \"b\" { options { file_path = \"/a\" } }",
            "position_file",
        ),
        ("audit \"syslog\" { options { position_file = \"/p\", address = \"udp://localhost\" } }", "an IP address and a port"),
        ("audit \"http\" { options { position_file = \"/p\" } }", "need uri"),
    ] {
        // A block of HCL has a line for each thing in it.
        let said = error(&text.replace("{ ", "{\n").replace(" }", "\n}").replace(", ", "\n"));
        assert!(said.contains(problem), "{text}: {said}");
    }
}

#[test]
fn an_archive_is_one_of_four_storages() {
    let read_archive = |text: &str| {
        let whole = format!("storage \"sqlite\" {{ path = \"x.db\" }}\nlistener \"tcp\" {{ tls_disable = true }}\n{text}");
        read("a.hcl", &whole).unwrap().archive
    };
    assert!(read_archive("").is_none());
    let lines = "archive \"s3\" {\nbucket = \"b\"\nprefix = \"/a/b/\"\nkeep_in_database = \"720h\"\nretention = \"8760h\"\n}";
    let s3 = read_archive(lines).unwrap();
    assert_eq!((s3.to.kind(), s3.prefix.as_str(), s3.interval), ("s3", "a/b", Duration::from_hours(1)));
    assert_eq!((s3.retention, s3.retention_min), (Some(Duration::from_hours(8760)), Duration::from_hours(720)));
    for (text, kind) in [
        ("archive \"file\" {\npath = \"/a\"\n}", "file"),
        ("archive \"gcs\" {\nbucket = \"b\"\ncredentials_file = \"/c.json\"\n}", "gcs"),
        ("archive \"azure\" {\ncontainer = \"c\"\naccount = \"a\"\naccess_key = \"aGVsbG8=\"\n}", "azure"),
    ] {
        assert_eq!(read_archive(text).unwrap().to.kind(), kind);
    }
    for (text, problem) in [
        ("archive \"ftp\" { path = \"/a\" }", "only \"s3\", \"gcs\", \"azure\" and \"file\""),
        ("archive \"file\" { path = \"rel\" }", "absolute path"),
        ("archive \"file\" { interval = 60 }", "needs path"),
        ("archive \"s3\" { region = \"r\" }", "needs bucket"),
        ("archive \"s3\" { bucket = \"b\", access_key_id = \"a\" }", "needs both"),
        ("archive \"s3\" { bucket = \"b\", endpoint = \"http://example.com\" }", "must be an https:// address"),
        ("archive \"gcs\" { bucket = \"b\", prefix = \"a/../b\" }", "must be a path"),
        ("archive \"gcs\" { bucket = \"b\", prefix = \"a b\" }", "must be a path"),
        ("archive \"file\" { path = \"/a\", interval = \"10ms\" }", "must be from 1s to 168h"),
        ("archive \"file\" { path = \"/a\", timeout = \"1h\" }", "must be from 100ms to 5m"),
        ("archive \"file\" { path = \"/a\", retention = \"1h\" }", "needs keep_in_database"),
        ("archive \"file\" { path = \"/a\", keep_in_database = \"2h\", retention = \"1h\" }", "needs keep_in_database"),
        ("archive \"file\" { path = \"/a\" }\narchive \"file\" { path = \"/b\" }", "already set"),
        ("archive \"file\" { path = \"/a\", bucket = \"b\" }", "unknown key"),
    ] {
        let said = error(&text.replace("{ ", "{\n").replace(" }", "\n}").replace(", ", "\n"));
        assert!(said.contains(problem), "{text}: {said}");
    }
}

#[test]
fn hcl_and_json_say_the_same() {
    for config in [read("a.hcl", HCL).unwrap(), read("a.json", JSON).unwrap()] {
        let [first, second] = config.listeners.as_slice() else { panic!("two listeners") };
        assert_eq!(first.address.to_string(), "0.0.0.0:8200");
        assert_eq!(first.tls.as_ref().unwrap().min_version, TlsVersion::Tls12);
        assert_eq!((first.max_request_duration, first.max_request_size), (Duration::from_secs(30), 1 << 20));
        assert_eq!(second.address.to_string(), "127.0.0.1:8200");
        assert!(second.tls.is_none());
        let Storage::Postgres(postgres) = &config.storage else { panic!("PostgreSQL") };
        assert_eq!(postgres.connection_url.expose(), "postgres://u:hunter2@db/strongroom");
        let [eu, other] = config.seals.as_slice() else { panic!("two seals") };
        assert_eq!((eu.name.as_str(), other.name.as_str()), ("eu", "static"));
        let SealKind::Static { current, previous } = &other.kind else { panic!("a static seal") };
        assert_eq!((current.file.path.to_str(), current.id.as_deref()), (Some("/keys/now"), Some("2026")));
        assert_eq!(previous.as_ref().unwrap().file.path.to_str(), Some("/keys/before"));
        assert_eq!(config.api_addr.as_deref(), Some("https://vault.example.com:8200"));
        assert_eq!(config.log_level, LogLevel::Debug);
        assert_eq!((config.max_lease_ttl, config.default_lease_ttl), (Duration::from_hours(48), Duration::from_hours(48)));
        assert_eq!(config.outbound_allow.len(), 2);
        let [warning] = config.warnings.as_slice() else { panic!("one warning") };
        assert!(warning.contains("ui: has no effect"), "{warning}");
    }
}

#[test]
fn defaults_are_shamir_and_thirty_two_days() {
    let config = read("a.hcl", "storage \"sqlite\" { path = \"x.db\" }\nlistener \"tcp\" { tls_disable = true }").unwrap();
    assert!(matches!(config.seals.as_slice(), [Seal { kind: SealKind::Shamir, .. }]));
    assert_eq!(config.max_lease_ttl, Duration::from_hours(768));
    assert_eq!((config.keyring_refresh, config.keyring_max_age), (Duration::from_mins(5), Duration::from_hours(1)));
    assert!(config.warnings.is_empty());
}

#[test]
fn errors_name_file_line_and_key_and_no_value() {
    for (text, expected) in [
        ("log_levle = \"info\"", "a.hcl:3: log_levle: unknown key; known here: "),
        ("log_level = \"hunter2\"", "a.hcl:3: log_level: must be one of trace, debug, info, warn"),
        ("\nmax_lease_ttl = \"hunter2\"", "a.hcl:4: max_lease_ttl: is not a duration"),
        ("max_lease_ttl = 0", "a.hcl:3: max_lease_ttl: must be longer than zero"),
        ("default_lease_ttl = \"1000h\"", "a.hcl:3: default_lease_ttl: must be longer than zero and not longer than max"),
        (
            "listener \"tcp\" {\n address = \"0.0.0.0:1\"\n tls_disable = true\n}",
            "a.hcl:5: listener \"tcp\" tls_disable: plain HTTP",
        ),
        ("listener \"tcp\" {\n address = \"1.2.3.4:1\"\n}", "a.hcl:3: listener \"tcp\" tls_cert_file: is missing"),
        ("listener \"tcp\" {\n tls_disable = true\n}", "a.hcl:3: listener \"tcp\" address: another listener"),
        ("listener \"unix\" {}", "a.hcl:3: listener: only listener \"tcp\""),
        (
            "listener \"tcp\" {\n tls_min_version = \"tls10\"\n}",
            "a.hcl:4: listener \"tcp\" tls_min_version: must be one of tls12, tls13",
        ),
        ("storage \"raft\" {}", "a.hcl:3: storage: is already set in a.hcl:1"),
        ("max_request_size = 33554433", "a.hcl:3: max_request_size: must be from 1024 to 33554432 bytes"),
        ("seal \"static\" {}", "a.hcl:3: seal \"static\" key_file: is missing"),
        ("seal \"static\" {\n current_key = \"hunter2\"\n}", "a.hcl:4: seal \"static\" current_key: must be a file:///"),
        ("seal \"yubikey\" {}", "a.hcl:3: seal: only \"awskms\", \"pkcs11\", \"transit\""),
        ("seal \"recovery\" {}", "a.hcl:1: seal \"recovery\": needs another seal beside it"),
        (
            "seal \"static\" \"recovery\" {\n key_file = \"/k\"\n}",
            "a.hcl:3: seal: the seal \"recovery\" and no other has that name",
        ),
        ("seal \"awskms\" {}", "a.hcl:3: seal \"awskms\" kms_key_id: is missing"),
        (
            "seal \"awskms\" {\n kms_key_id = \"k\"\n endpoint = \"http://127.0.0.1.example.com\"\n}",
            "a.hcl:5: seal \"awskms\" endpoint: must be an https:// address",
        ),
        ("seal \"awskms\" {\n kms_key_id = \"k\"\n timeout = \"1m\"\n}", "a.hcl:5: seal \"awskms\" timeout: must be from 100ms"),
        (
            "seal \"awskms\" {\n kms_key_id = \"k\"\n secret_key = \"hunter2\"\n}",
            "a.hcl:5: seal \"awskms\" secret_key: unknown key",
        ),
        ("seal \"transit\" {}", "a.hcl:3: seal \"transit\" address: is missing"),
        ("seal \"transit\" {\n address = \"https://o\"\n}", "a.hcl:3: seal \"transit\" token, token_file or tls_client_cert"),
        (
            "seal \"transit\" {\n address = \"https://o\"\n token = \"hunter2\"\n token_file = \"f\"\n}",
            "a.hcl:5: seal \"transit\" token: a token_file is set in a.hcl:6: keep either",
        ),
        (
            "seal \"transit\" {\n address = \"https://o\"\n token = \"hunter2\"\n key_name = \"a b\"\n}",
            "a.hcl:6: seal \"transit\" key_name: must be a name",
        ),
        (
            "seal \"transit\" {\n address = \"http://o\"\n token = \"hunter2\"\n key_name = \"k\"\n}",
            "a.hcl:4: seal \"transit\" address: must be an https:// address",
        ),
        ("seal \"pkcs11\" {}", "a.hcl:3: seal \"pkcs11\" lib: is missing"),
        ("seal \"pkcs11\" {\n lib = \"x.so\"\n}", "a.hcl:4: seal \"pkcs11\" lib: must be an absolute path"),
        ("seal \"pkcs11\" {\n lib = \"/x\"\n pin = \"hunter2\"\n}", "a.hcl:3: seal \"pkcs11\" key_label or key_id: is missing"),
        (
            "seal \"pkcs11\" {\n lib = \"/x\"\n key_label = \"k\"\n slot = 1\n token_label = \"t\"\n}",
            "a.hcl:6: seal \"pkcs11\" slot: token_label is set in a.hcl:7: keep either",
        ),
        (
            "seal \"pkcs11\" {\n lib = \"/x\"\n key_label = \"k\"\n slot = \"hunter2\"\n}",
            "a.hcl:6: seal \"pkcs11\" slot: must be a whole number",
        ),
        (
            "seal \"pkcs11\" {\n lib = \"/x\"\n key_label = \"k\"\n slot = 1\n pin = 4711\n}",
            "a.hcl:7: seal \"pkcs11\" pin: must be a text in quotes",
        ),
        ("seal \"shamir\" {}\nseal \"shamir\" {}", "a.hcl:4: seal: another seal has the same name"),
        ("anchor \"ftp\" {}", "a.hcl:3: anchor: only \"file\", \"s3\", \"gcs\" and \"azure\" are offered"),
        ("anchor \"file\" {}", "a.hcl:3: anchor: needs path"),
        ("anchor \"file\" {\n path = \"rel\"\n}", "a.hcl:3: anchor: needs path"),
        (
            "anchor \"file\" {\n path = \"/a\"\n}\nanchor \"file\" {\n path = \"/b\"\n}",
            "a.hcl:6: anchor: is already set in a.hcl:3",
        ),
        ("telemetry { hunter2 = 1 }", "a.hcl:3: telemetry hunter2: unknown key"),
        ("api_addr = \"hunter2\"", "a.hcl:3: api_addr: must be an address"),
        ("api_addr = hunter2", "a.hcl:3: only plain values"),
        ("log_level = \"info\"\nlog_level = \"info\"", "a.hcl:4: "),
        ("cluster_name = \"hunter2\" }", "a.hcl:3: not HCL"),
        ("outbound_allow = [\"https://a/\"]", "a.hcl:3: outbound_allow: each must be"),
    ] {
        let error = error(text);
        assert!(error.starts_with(expected), "{text}\n{error}");
        assert!(!error.contains("hunter2") || text.contains("{ hunter2"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn json_errors_have_lines_too() {
    for (text, expected) in [
        ("{\n \"listener\": {\n  \"tcp\": {\n   \"address\": 7}}\n}", "a.json:4: listener \"tcp\" address: must be a text"),
        ("{\n \"telemetry\": {\n  \"x\": 1}\n}", "a.json:1: no listener"),
        ("{\n \"log_level\": \"hunter2\",,\n}", "a.json:2: not JSON: "),
        ("[1]", "a.json:1: must be an object"),
        ("{\n \"max_request_size\": null}", "a.json:2: null is not a value"),
        (
            "{\n \"max_request_size\": 4096,\n \"max_request_size\": 4096}",
            "a.json:3: max_request_size: is already set in a.json:2",
        ),
    ] {
        let error = read("a.json", text).err().expect(text).to_string();
        assert!(error.starts_with(expected), "{text}\n{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_environments_connection_url_wins() {
    let text = "listener \"tcp\" { tls_disable = true }\nstorage \"postgresql\" { context_key_file = \"/k\" }";
    let source = || [Source { file: PathBuf::from("a.hcl"), text: SecretText::new(text.to_owned()) }];
    assert!(parse(&source(), None).is_err_and(|error| error.to_string().contains("connection_url: is missing")));
    let config = parse(&source(), Some(SecretText::new("postgres://env".to_owned()))).unwrap();
    assert!(
        matches!(config.storage, Storage::Postgres(Postgres { connection_url, .. }) if connection_url.expose() == "postgres://env")
    );
}

#[test]
fn the_sample_configuration_is_one() {
    let text = include_str!("../../deploy/strongroom-kms.hcl");
    let with_all = text.replace("\n# seal \"", "\nseal \"").replace("\n#   ", "\n  ").replace("\n# }", "\n}");
    let kinds = read("strongroom-kms.hcl", &with_all).unwrap().seals;
    assert!(matches!(kinds.as_slice(), [_, _, Seal { kind: SealKind::Transit(_), .. }, Seal { kind: SealKind::Pkcs11(_), .. }]));
    let config = read("strongroom-kms.hcl", text).unwrap();
    assert!(matches!(config.seals.as_slice(), [Seal { kind: SealKind::AwsKms(_), .. }, Seal { kind: SealKind::AwsKms(_), .. }]));
    let config = read("strongroom.hcl", include_str!("../../deploy/strongroom.hcl")).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(matches!(config.storage, Storage::Sqlite { .. }));
    assert!(matches!(config.seals.as_slice(), [Seal { kind: SealKind::Static { .. }, .. }]));
    assert!(config.listeners.iter().all(|listener| listener.tls.is_some()));
}

#[test]
fn the_sanitized_configuration_has_no_secret_and_no_file() {
    let text = "listener \"tcp\" {\n  address = \"10.0.0.1:8200\"\n  tls_cert_file = \"/canary/cert\"\n  tls_key_file = \"/canary/key\"\n}\n\
        storage \"postgresql\" {\n  connection_url = \"postgres://u:canary@db/x\"\n  context_key_file = \"/canary/context\"\n}\n\
        seal \"static\" {\n  current_key = \"file:///canary/seal\"\n  current_key_id = \"1\"\n}\n\
        api_addr = \"https://strongroom.example\"";
    let config = read("a.hcl", text).unwrap();
    let shown = config.sanitized();
    let shown = std::str::from_utf8(shown.expose()).unwrap();
    assert!(!shown.contains("canary"), "{shown}");
    let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
    assert_eq!(shown["api_addr"], "https://strongroom.example");
    assert_eq!(shown["listeners"][0]["config"]["address"], "10.0.0.1:8200");
    assert_eq!((&shown["storage"]["type"], &shown["seals"][0]["type"]), (&"postgresql".into(), &"static".into()));
}

const OPEN: &str =
    "listener \"tcp\" { tls_disable = true }\nstorage \"sqlite\" { path = \"x.db\" }\nseal \"static\" { key_file = \"k\" }\n";

#[test]
fn initialize_stanzas_are_requests_in_order() {
    let hcl = "initialize \"one\" {\n request \"b\" {\n operation = \"update\"\n path = \"sys/mounts/secret\"\n data = { type = \"kv-v2\" }\n }\n\
         request \"a\" {\n operation = \"read\"\n path = \"sys/mounts\"\n allow_failure = true\n }\n}\n\
         initialize \"two\" {\n request \"a\" {\n operation = \"patch\"\n path = \"secret/data/x\"\n data = { password = { eval_source = \"env\", env_var = \"P\" } }\n }\n}\n";
    let json = r#"{"listener": {"tcp": {"tls_disable": true}}, "storage": {"sqlite": {"path": "x.db"}}, "seal": {"static": {"key_file": "k"}},
        "initialize": [
          {"one": {"request": [{"b": {"operation": "update", "path": "sys/mounts/secret", "data": {"type": "kv-v2"}}},
                               {"a": {"operation": "read", "path": "sys/mounts", "allow_failure": true}}]}},
          {"two": {"request": {"a": {"operation": "patch", "path": "secret/data/x",
                                     "data": {"password": {"eval_source": "env", "env_var": "P"}}}}}}
        ]}"#;
    for config in [read("a.hcl", &format!("{OPEN}{hcl}")).unwrap(), read("a.json", json).unwrap()] {
        let shown: Vec<String> =
            config.initialize.iter().map(|r| format!("{}.{} {} {}", r.block, r.name, r.method, r.path)).collect();
        assert_eq!(shown, ["one.b POST sys/mounts/secret", "one.a GET sys/mounts", "two.a PATCH secret/data/x"]);
        assert!(config.initialize[1].allow_failure && config.initialize[2].data.as_ref().unwrap().has_origin());
    }
    for (stanza, expected) in [
        ("initialize \"a\" {\n request \"b\" { path = \"x\" }\n}", "a.hcl:5: initialize \"a\" request: needs an operation"),
        ("initialize \"a\" {\n request \"b\" { operation = \"read\" }\n}", "a.hcl:5: initialize \"a\" request: needs a path"),
        (
            "initialize \"a\" {\n request \"b\" {\n operation = \"sudo\"\n path = \"x\"\n}\n}",
            "a.hcl:6: request \"b\" operation: must be one of",
        ),
        (
            "initialize \"a\" {\n request \"b\" {\n operation = \"read\"\n path = \"/a//b\"\n}\n}",
            "a.hcl:7: request \"b\" path: must be a path",
        ),
        ("initialize \"9\" {}", "a.hcl:4: initialize: needs a name"),
        ("initialize \"a\" {\n other = 1\n}", "a.hcl:5: initialize \"a\" other: unknown key"),
        (
            "initialize \"a\" {\n request \"b\" { \n operation = \"read\"\n path = \"x\"\n}\n request \"b\" {\n operation = \"read\"\n path = \"x\"\n}\n}",
            "another one is named b",
        ),
    ] {
        let error = read("a.hcl", &format!("{OPEN}{stanza}")).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}\n--- is not {expected}");
    }
    let shamir = OPEN.replace("seal \"static\" { key_file = \"k\" }", "");
    let text = format!("{shamir}initialize \"a\" {{\n request \"b\" {{\n operation = \"read\"\n path = \"x\"\n}}\n}}");
    let error = read("a.hcl", &text).err().unwrap().to_string();
    assert!(error.contains("needs a seal that opens by itself"), "{error}");
}

#[test]
fn witnesses_are_declared_with_their_keys() {
    let text = "witness \"w1\" {\nurl = \"https://w.example/\"\nkey = \"w.example/1+00000000+AAAA\"\n}\nwitnesses_required = 1";
    let whole = format!("storage \"sqlite\" {{ path = \"x.db\" }}\nlistener \"tcp\" {{ tls_disable = true }}\n{text}");
    let found = read("a.hcl", &whole).unwrap().witnesses;
    assert_eq!((found.required, &*found.all[0].name, &*found.all[0].url), (1, "w1", "https://w.example"));
    for (text, problem) in [
        ("witness \"w\" { key = \"k\" }", "needs url"),
        ("witness \"w\" { url = \"https://w\" }", "needs key"),
        ("witness \"a b\" { key = \"k\" }", "needs a name"),
        (
            "witness \"w\" { url = \"https://w\", key = \"k\" }\nwitness \"v\" { url = \"https://w\", key = \"k\" }",
            "same name or key",
        ),
        ("witness \"w\" { url = \"https://w\", key = \"k\" }\nwitnesses_required = 2", "must not be more"),
    ] {
        let said = error(&text.replace("{ ", "{\n").replace(" }", "\n}").replace(", ", "\n"));
        assert!(said.contains(problem), "{text}: {said}");
    }
}
