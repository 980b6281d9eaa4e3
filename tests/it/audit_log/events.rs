//! What the log says, once it is opened with the tenant's keys: one event per request, in the order of history, and the
//! leaves of the tree are the hashes of these very events.

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom::audit::event::{Event, Word};
use strongroom::audit::row::Row;
use strongroom::audit::{batch, merkle};
use strongroom::crypto::{Keyring, TenantKey, WrapContext};
use strongroom::id::{DeploymentId, TenantId};
use strongroom::seal::static_key;
use strongroom::storage::sqlite::SqliteStore;
use strongroom::storage::{LogRow, Store};
use strongroom::time::SystemClock;

use crate::support::client::Client;
use crate::support::fixture::{namespace, policy, token};
use crate::support::server::Server;

/// Begins texts that must not be in any event.
const MARK: &str = "canary-91c4";

/// A request and what its event has to say: operation, whole path, status, versions read and written.
type Said = (String, String, u16, Option<u64>, Option<u64>);

#[test]
fn events_say_what_happened_in_its_order_and_no_value() {
    let mut server = Server::dev();
    let root = Client::new(&server.target());
    let team = namespace(&root, "team");
    policy(&root, "nothing", r#"path "nothing" { capabilities = ["read"] }"#);
    let weak = token(&root, &json!({"policies": ["nothing"], "no_default_policy": true}));
    let weak_client = root.with_token(&weak.text);

    let value = json!({"data": {MARK: format!("{MARK}-value")}, MARK: MARK});
    let requests: Vec<(&Client, &str, &str, Option<&Value>, Said)> = vec![
        (&root, "POST", "secret/data/a", Some(&value), said("write", "secret/data/a", 200, None, Some(1))),
        (&root, "POST", "secret/data/a", Some(&value), said("write", "secret/data/a", 200, None, Some(2))),
        (&root, "GET", "secret/data/a", None, said("read", "secret/data/a", 200, Some(2), None)),
        (&root, "GET", "secret/data/a?version=1", None, said("read", "secret/data/a", 200, Some(1), None)),
        (&root, "LIST", "secret/metadata", None, said("list", "secret/metadata", 200, None, None)),
        (&root, "GET", "secret/data/none", None, said("read", "secret/data/none", 404, None, None)),
        (&weak_client, "GET", "secret/data/a", None, said("read", "secret/data/a", 403, None, None)),
        (&root, "DELETE", "secret/data/a", None, said("delete", "secret/data/a", 204, None, None)),
    ];
    for (client, method, path, body, (_, _, status, _, _)) in &requests {
        client.call(method, path, *body).expect(*status);
    }
    let stranger = root.with_token(&format!("{MARK}-token"));
    stranger.call("GET", "secret/data/a", None).expect(403);
    team.call("GET", "sys/mounts", None).expect(200);
    assert!(server.stop().success());

    let logs = opened(&server);
    let [root_log, edge_log, team_log] = &logs[..] else { panic!("{} logs", logs.len()) };
    let tail = root_log.iter().skip(root_log.len() - requests.len());
    for (event, (_, _, _, _, expected)) in tail.zip(&requests) {
        assert_eq!(what(event), *expected);
    }
    let accessors: Vec<&str> = root_log.iter().filter_map(|event| Some(event.caller.as_ref()?.accessor.as_str())).collect();
    assert_eq!(accessors.iter().filter(|accessor| **accessor == weak.accessor).count(), 1);
    // Who was not known is in the log of the edge, and in no tenant's.
    assert_eq!(edge_log.len(), 1);
    assert_eq!((edge_log[0].status, &edge_log[0].caller), (403, &None));
    assert_eq!(what(team_log.last().unwrap()), said("read", "team/sys/mounts", 200, None, None));
}

#[test]
fn a_request_without_a_token_is_told_by_its_certificate_and_role() {
    let mut server = Server::dev();
    let folder = server.target().ca.unwrap().parent().unwrap().to_owned();
    let [ca, chain, key] = ["ca.pem", "client.pem", "client-key.pem"].map(|name| folder.join(name));
    let client = Client::new(&server.target()).without_token().with_certificate(&ca, &chain, &key);
    client.call("GET", "secret/data/none", None).expect(404);
    client.call("GET", "sys/mounts", None).expect(403);
    let fingerprint = fingerprint(&chain);
    assert!(server.stop().success());

    let logs = opened(&server);
    let [read, refused] = logs[0].last_chunk::<2>().unwrap();
    for (event, expected) in
        [(read, said("read", "secret/data/none", 404, None, None)), (refused, said("read", "sys/mounts", 403, None, None))]
    {
        assert_eq!(what(event), expected);
        let caller = event.caller.as_ref().unwrap();
        assert_eq!((caller.kind.as_str(), caller.display_name.as_str()), ("certificate", "auth/cert/certs/dev-client"));
        assert_eq!((caller.accessor.as_str(), &caller.policies[..]), ("", &["default".to_owned(), "service".to_owned()][..]));
        assert_eq!(event.certificate, Some(fingerprint));
    }
}

fn fingerprint(file: &std::path::Path) -> [u8; 32] {
    use rustls_pki_types::pem::PemObject as _;
    strongroom::crypto::sha256(&[&rustls_pki_types::CertificateDer::from_pem_file(file).unwrap()])
}

/// `opened` has looked for the value in every event.
#[test]
fn a_wrapped_answer_is_named_by_its_tokens_accessor() {
    let mut server = Server::dev();
    let root = Client::new(&server.target());
    root.call("POST", "secret/data/a", Some(&json!({"data": {"k": MARK}}))).expect(200);
    let reply = root.send("GET", "/v1/secret/data/a", &[("X-Vault-Wrap-TTL", "60")], b"").expect(200).json();
    let info = |name: &str| reply["wrap_info"][name].as_str().unwrap().to_owned();
    let (text, accessor) = (info("token"), info("accessor"));
    root.without_token().call("POST", "sys/wrapping/unwrap", Some(&json!({"token": text}))).expect(200);
    assert!(server.stop().success());

    let logs = opened(&server);
    let [.., away, out] = &logs[0][..] else { panic!("no events") };
    assert_eq!(what(away), said("read", "secret/data/a", 200, Some(1), None));
    assert_eq!(away.detail, Some(format!("answer put away for wrapping token {accessor}")));
    assert_eq!(what(out), said("write", "sys/wrapping/unwrap", 200, None, None));
    assert_eq!(out.detail, Some(format!("answer taken out with wrapping token {accessor}")));
    assert_eq!(out.caller.as_ref().map(|caller| caller.accessor.as_str()), Some(accessor.as_str()));
}

/// `opened` has looked for the password in every event.
#[test]
fn a_login_is_in_the_tenants_log_and_a_failed_one_in_that_of_strangers() {
    let mut server = Server::dev();
    let root = Client::new(&server.target());
    root.call("POST", "sys/auth/userpass", Some(&json!({"type": "userpass"}))).expect(204);
    root.call("POST", "auth/userpass/users/eve", Some(&json!({"password": MARK}))).expect(204);
    root.call("POST", "sys/auth/userpass/tune", Some(&json!({"user_lockout_config": {"lockout_disable": true}}))).expect(204);
    let stranger = root.without_token();
    let reply = stranger.call("POST", "auth/userpass/login/eve", Some(&json!({"password": MARK}))).expect(200).json();
    stranger.call("POST", "auth/userpass/login/eve", Some(&json!({"password": format!("{MARK}-no")}))).expect(400);
    root.call("POST", "sys/auth/userpass/tune", Some(&json!({"user_lockout_config": {"lockout_disable": false}}))).expect(204);
    stranger.call("POST", "auth/userpass/login/eve", Some(&json!({"password": format!("{MARK}-no")}))).expect(400);
    assert!(server.stop().success());

    let logs = opened(&server);
    let of_logins = |events: &[Event]| -> Vec<Event> {
        events.iter().filter(|event| &*event.path == "auth/userpass/login/eve").cloned().collect()
    };
    let [admitted, counted] = &of_logins(&logs[0])[..] else { panic!("one came in, and one failure was counted") };
    let text = |name: &str| reply["auth"][name].as_str().unwrap();
    assert_eq!((admitted.status, admitted.mount_type.as_ref().map(Word::as_str)), (200, Some("userpass")));
    assert_eq!(admitted.caller.as_ref().map(|caller| caller.accessor.as_str()), Some(text("accessor")));
    assert_eq!(admitted.detail, Some(format!("login: token {} of entity {}", text("accessor"), text("entity_id"))));
    // What is written in a tenant leaves its event there.
    assert_eq!((counted.status, &counted.caller), (400, &None));
    let failed = of_logins(&logs[1]);
    assert_eq!(failed.iter().map(|event| event.status).collect::<Vec<_>>(), [400, 400]);
    assert!(failed.iter().all(|event| event.caller.is_none() && event.error.is_some()));
}

fn said(operation: &str, path: &str, status: u16, read: Option<u64>, written: Option<u64>) -> Said {
    (operation.to_owned(), path.to_owned(), status, read, written)
}

fn what(event: &Event) -> Said {
    said(event.operation.as_str(), &event.path, event.status, event.read_version, event.written_version)
}

/// The events of the root, of the edge and of all other tenants, opened as the server opens them.
fn opened(server: &Server) -> Vec<Vec<Event>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let others = strongroom_tenants(server);
    runtime.block_on(async {
        let store = SqliteStore::open(&server.sqlite_file(), Arc::new(SystemClock)).await.unwrap();
        let deployment = store.deployment().await.unwrap().unwrap();
        let mut tenants = vec![deployment.root, deployment.edge];
        tenants.extend(others.into_iter().filter(|id| ![deployment.root, deployment.edge].contains(id)));
        let mut logs = Vec::new();
        for tenant in tenants {
            let keyring = keyring(server, &store, deployment.id, tenant).await;
            let rows = store.log(tenant, 1, 10_000).await.unwrap();
            logs.push(rows.iter().flat_map(|row| events(&keyring, deployment.id, tenant, row)).collect());
        }
        logs
    })
}

fn strongroom_tenants(server: &Server) -> Vec<TenantId> {
    let mut database = crate::support::database::Database::open(&server.sqlite_file());
    database.bytes("SELECT tenant_id FROM tenant").into_iter().map(|id| TenantId(id.try_into().unwrap())).collect()
}

async fn keyring(server: &Server, store: &dyn Store, deployment: DeploymentId, tenant: TenantId) -> Keyring {
    let row = store.tenant(tenant).await.unwrap().unwrap();
    let root = static_key::read(&server.folder().join("dev/dev.key")).unwrap();
    let context = WrapContext { deployment, tenant, generation: row.generation };
    let unwrapped = root.unwrap(&row.wraps[0].wrap, &context).unwrap();
    let key = TenantKey::from_secret(unwrapped).unwrap();
    Keyring::open(&key, deployment, tenant, row.generation, &row.keyring).unwrap()
}

/// Opens one row. Its MAC, its leaves and its count have to be right.
fn events(keyring: &Keyring, deployment: DeploymentId, tenant: TenantId, row: &LogRow) -> Vec<Event> {
    let frontier = merkle::Frontier::from_bytes(&row.tail.frontier).unwrap();
    let covered = Row {
        deployment,
        tenant,
        first_index: row.tail.first_index,
        count: row.tail.count,
        seq: row.tail.seq,
        time: row.tail.time,
        group: row.tail.group,
        prev_root: row.tail.prev_root,
        frontier: &frontier,
        changed: &row.tail.changed,
        leaves: &row.leaves,
        batch: &row.batch,
    };
    assert_eq!(keyring.batch_mac(&[&covered.mac_input()]), row.tail.mac);
    let entries = batch::decode(keyring.open_batch(&row.batch).unwrap().expose()).unwrap();
    assert_eq!(entries.len(), row.tail.count as usize);
    let leaves = row.leaves.as_chunks::<32>().0;
    let parse = |(entry, leaf): (&Vec<u8>, &[u8; 32])| {
        assert_eq!(merkle::leaf_hash(entry), *leaf);
        assert!(!String::from_utf8_lossy(entry).contains(MARK), "a value or a token is in an event");
        Event::parse(entry).unwrap().1
    };
    entries.iter().zip(leaves).map(parse).collect()
}
