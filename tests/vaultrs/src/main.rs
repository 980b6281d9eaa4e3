//! A session with vaultrs against a running server. Takes VAULT_ADDR, VAULT_TOKEN and VAULT_CACERT, and as arguments which
//! parts to run; ends with 0 when every assertion held. It cleans up nothing: each run gets a server of its own.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vaultrs::api::ResponseWrapper;
use vaultrs::api::kv2::requests::{SetSecretMetadataRequest, SetSecretRequestOptions};
use vaultrs::api::sys::requests::{EnableEngineRequest, ListMountsRequest};
use vaultrs::api::token::requests::{CreateTokenRequest, SetTokenRoleRequest};
use vaultrs::client::{Client, VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::{kv1, kv2, sys, token};

type Done = Result<(), ClientError>;

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Login {
    user: String,
    pass: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let root = VaultClient::new(VaultClientSettingsBuilder::default().build().unwrap()).unwrap();
    for part in std::env::args().skip(1) {
        let done = match part.as_str() {
            "health" => health(&root).await,
            "mounts" => mounts(&root).await,
            "kv2" => version2(&root).await,
            "kv1" => version1(&root).await,
            "policies" => policies(&root).await,
            "tokens" => tokens(&root).await,
            "wrapping" => wrapping(&root).await,
            "namespaces" => namespaces(&root).await,
            "roles" => roles(&root).await,
            "remount" => remount(&root).await,
            _ => panic!("no part is called {part}"),
        };
        if let Err(error) = done {
            eprintln!("{part}: {error:?}");
            std::process::exit(1);
        }
    }
}

/// The same server, another caller.
fn with(token: &str, namespace: Option<&str>) -> VaultClient {
    let mut settings = VaultClientSettingsBuilder::default();
    settings.token(token).namespace(namespace.map(str::to_owned));
    VaultClient::new(settings.build().unwrap()).unwrap()
}

/// Asserts that a call was refused with this status, and a text that contains `text` (none when it is empty).
#[track_caller]
fn refused<T>(result: Result<T, ClientError>, status: u16, text: &str) {
    match result {
        Err(ClientError::APIError { code, errors }) => {
            assert_eq!(code, status, "{errors:?}");
            assert!(text.is_empty() || errors.iter().any(|error| error.contains(text)), "{errors:?}");
        }
        Err(error) => panic!("not refused by the server: {error:?}"),
        Ok(_) => panic!("not refused"),
    }
}

async fn health(root: &VaultClient) -> Done {
    let health = sys::health(root).await?;
    assert!(health.initialized && !health.sealed && !health.standby && !health.performance_standby);
    assert!(matches!(root.status().await?, sys::ServerStatus::OK));
    Ok(())
}

async fn mounts(root: &VaultClient) -> Done {
    let version = |version: &str| HashMap::from([("version".to_owned(), version.to_owned())]);
    sys::mount::enable(root, "team", "kv", Some(EnableEngineRequest::builder().options(version("2")).description("main")))
        .await?;
    sys::mount::enable(root, "old", "kv", Some(EnableEngineRequest::builder().options(version("1")))).await?;
    let listed = sys::mount::list(root).await?;
    assert_eq!((listed["team/"].mount_type.as_str(), listed["team/"].description.as_str()), ("kv", "main"));
    assert_eq!(listed["team/"].options.as_ref().unwrap()["version"], "2");
    assert_eq!(listed["sys/"].mount_type, "system");
    let one = sys::mount::get_configuration_of_a_secret_engine(root, "team").await?;
    assert_eq!(one.accessor, listed["team/"].accessor);
    refused(sys::mount::enable(root, "team", "kv", None).await, 400, "path is already in use at team/");
    sys::mount::enable(root, "short", "kv-v2", None).await?;
    sys::mount::disable(root, "short").await?;
    assert!(!sys::mount::list(root).await?.contains_key("short/"));
    assert_eq!(sys::auth::list(root).await?["token/"].mount_type, "token");
    Ok(())
}

async fn version2(root: &VaultClient) -> Done {
    let login = |pass: &str| Login { user: "a".to_owned(), pass: Some(pass.to_owned()) };
    let first = kv2::set(root, "team", "app/db", &login("1")).await?;
    assert_eq!((first.version, first.destroyed, first.deletion_time.as_str()), (1, false, ""));
    let cas = |cas| SetSecretRequestOptions { cas };
    assert_eq!(kv2::set_with_options(root, "team", "app/db", &login("2"), cas(1)).await?.version, 2);
    let stale = kv2::set_with_options(root, "team", "app/db", &login("3"), cas(1)).await;
    refused(stale, 400, "check-and-set parameter did not match the current version");
    assert_eq!(kv2::read::<Login>(root, "team", "app/db").await?, login("2"));
    assert_eq!(kv2::read_version::<Login>(root, "team", "app/db", 1).await?, login("1"));
    kv2::set(root, "team", "app/other", &json!({"deep": {"list": [1, 1.5, null, "x"]}})).await?;
    let other: Value = kv2::read(root, "team", "app/other").await?;
    assert_eq!(other, json!({"deep": {"list": [1, 1.5, null, "x"]}}));
    assert_eq!(kv2::list(root, "team", "app").await?, ["db", "other"]);
    refused(kv2::list(root, "team", "none").await, 404, "");
    refused(kv2::read::<Value>(root, "team", "none").await, 404, "");

    kv2::delete_versions(root, "team", "app/db", vec![1, 2]).await?;
    // To vaultrs an answer with this status and without errors is none.
    let deleted = kv2::read::<Login>(root, "team", "app/db").await.unwrap_err();
    assert!(format!("{deleted:?}").contains("code: 404"), "{deleted:?}");
    kv2::undelete_versions(root, "team", "app/db", vec![2]).await?;
    kv2::destroy_versions(root, "team", "app/db", vec![1]).await?;
    let mut settings = SetSecretMetadataRequest::builder();
    settings
        .max_versions(5_u64)
        .delete_version_after("24h")
        .custom_metadata(HashMap::from([("owner".to_owned(), "x".to_owned())]));
    kv2::set_metadata(root, "team", "app/db", Some(&mut settings)).await?;
    let metadata = kv2::read_metadata(root, "team", "app/db").await?;
    assert_eq!((metadata.current_version, metadata.max_versions), (2, 5));
    assert_eq!((metadata.delete_version_after.as_str(), &metadata.custom_metadata.unwrap()["owner"][..]), ("24h0m0s", "x"));
    assert!(metadata.versions["1"].destroyed && !metadata.versions["2"].destroyed);
    kv2::delete_latest(root, "team", "app/db").await?;
    kv2::delete_metadata(root, "team", "app/db").await?;
    refused(kv2::read_metadata(root, "team", "app/db").await, 404, "");
    kv2::config::set(root, "team", None).await?;
    assert!(!kv2::config::read(root, "team").await?.cas_required);
    Ok(())
}

async fn version1(root: &VaultClient) -> Done {
    kv1::set(root, "old", "a/b", &HashMap::from([("user", "x"), ("pass", "y")])).await?;
    let read: Login = kv1::get(root, "old", "a/b").await?;
    assert_eq!(read, Login { user: "x".to_owned(), pass: Some("y".to_owned()) });
    let raw = kv1::get_raw(root, "old", "a/b").await?;
    assert_eq!(raw.data, json!({"user": "x", "pass": "y"}));
    assert_eq!(kv1::list(root, "old", "a").await?.data.keys, ["b"]);
    kv1::delete(root, "old", "a/b").await?;
    refused(kv1::get::<Login>(root, "old", "a/b").await, 404, "");
    vaultrs::cubbyhole::set(root, "cubbyhole", "mine", &HashMap::from([("user", "x")])).await?;
    let mine: Login = vaultrs::cubbyhole::get(root, "cubbyhole", "mine").await?;
    assert_eq!(mine.user, "x");
    vaultrs::cubbyhole::delete(root, "cubbyhole", "mine").await?;
    Ok(())
}

async fn policies(root: &VaultClient) -> Done {
    let rules = r#"path "team/data/app/*" { capabilities = ["create", "read", "update"] }"#;
    sys::policy::set(root, "dev", rules).await?;
    let listed = sys::policy::list(root).await?.policies;
    assert!(["default", "dev", "root"].iter().all(|name| listed.iter().any(|policy| policy == name)));
    let read = sys::policy::read(root, "dev").await?;
    assert_eq!((read.name.as_str(), read.rules.as_str()), ("dev", rules));
    sys::policy::set(root, "gone", rules).await?;
    sys::policy::delete(root, "gone").await?;
    refused(sys::policy::read(root, "gone").await, 404, "");
    refused(sys::policy::set(root, "bad", r#"path "x" { capabilities = ["nonsense"] }"#).await, 400, "");
    refused(sys::policy::delete(root, "root").await, 400, "");
    Ok(())
}

async fn tokens(root: &VaultClient) -> Done {
    let mut options = CreateTokenRequest::builder();
    options.policies(vec!["dev".to_owned()]).ttl("30m").display_name("x").meta(HashMap::from([("k".to_owned(), "v".to_owned())]));
    let made = token::new(root, Some(&mut options)).await?;
    assert_eq!((made.lease_duration, made.renewable, made.orphan), (1800, true, false));
    assert_eq!(made.metadata.as_ref().unwrap()["k"], "v");
    let holder = with(&made.client_token, None);
    let own = holder.lookup().await?;
    assert_eq!((own.id.as_str(), own.accessor.as_str()), (made.client_token.as_str(), made.accessor.as_str()));
    assert_eq!((own.creation_ttl, own.renewable, own.meta.unwrap()["k"].as_str()), (1800, Some(true), "v"));
    assert_eq!(token::lookup_accessor(root, &made.accessor).await?.id, "");
    assert_eq!(token::lookup(root, &made.client_token).await?.policies, ["default", "dev"]);
    assert_eq!(token::renew_self(&holder, Some("10m")).await?.lease_duration, 600);
    assert_eq!(token::renew(root, &made.client_token, Some("20m")).await?.lease_duration, 1200);
    assert_eq!(token::renew_accessor(root, &made.accessor, None).await?.lease_duration, 1200);
    kv2::set(&holder, "team", "app/mine", &json!({"a": 1})).await?;
    refused(kv2::read::<Value>(&holder, "team", "other").await, 403, "permission denied");
    refused(token::new(&holder, None).await, 403, "permission denied");
    assert!(token::new_orphan(root, None).await?.orphan);
    holder.revoke().await?;
    refused(holder.lookup().await, 403, "permission denied");
    let second = token::new(root, None).await?;
    token::revoke_accessor(root, &second.accessor).await?;
    refused(token::lookup(root, &second.client_token).await, 403, "bad token");
    Ok(())
}

async fn wrapping(root: &VaultClient) -> Done {
    let wrapped = ListMountsRequest::builder().build().unwrap().wrap(root).await?;
    assert_eq!(wrapped.lookup(root).await?.creation_path, "sys/mounts");
    let token = wrapped.info.token.clone();
    assert!(wrapped.unwrap(root).await?.contains_key("team/"));
    refused(sys::wrapping::unwrap::<Value>(root, Some(&token)).await, 400, "wrapping token is not valid or does not exist");
    // By the wrapping token itself.
    let wrapped = ListMountsRequest::builder().build().unwrap().wrap(root).await?;
    let mounts: HashMap<String, Value> = sys::wrapping::unwrap(&with(&wrapped.info.token, None), None).await?;
    assert!(mounts.contains_key("team/"));
    Ok(())
}

/// vaultrs makes no namespaces, and works in those that there are: this one is made by a write of KV version 1 to its path.
async fn namespaces(root: &VaultClient) -> Done {
    kv1::set(root, "sys/namespaces", "acme", &HashMap::from([("custom_metadata", HashMap::from([("tier", "gold")]))])).await?;
    let acme = with(&root.settings.token, Some("acme"));
    sys::mount::enable(&acme, "team", "kv-v2", None).await?;
    kv2::set(&acme, "team", "x", &json!({"where": "acme"})).await?;
    assert_eq!(kv2::read::<Value>(&acme, "team", "x").await?, json!({"where": "acme"}));
    refused(kv2::read::<Value>(root, "team", "x").await, 404, "");
    assert!(acme.lookup().await?.policies.contains(&"root".to_owned()));
    Ok(())
}

async fn roles(root: &VaultClient) -> Done {
    let mut role = SetTokenRoleRequest::builder();
    role.allowed_policies(vec!["dev".to_owned()]).orphan(true).token_period("1h");
    token::role::set(root, "r1", Some(&mut role)).await?;
    assert_eq!(token::role::list(root).await?.keys, ["r1"]);
    let read = token::role::read(root, "r1").await?;
    assert_eq!((read.allowed_policies, read.orphan, read.token_period), (vec!["dev".to_owned()], true, 3600));
    assert!(token::new_role(root, "r1", None).await?.orphan);
    token::tidy(root).await?;
    token::role::delete(root, "r1").await?;
    refused(token::role::read(root, "r1").await, 404, "");
    Ok(())
}

async fn remount(root: &VaultClient) -> Done {
    kv2::set(root, "team", "moves", &json!({"a": 1})).await?;
    let migration = sys::remount::remount(root, "team", "moved").await?;
    loop {
        let status = sys::remount::remount_status(root, &migration.migration_id).await?.migration_info.status;
        match status.as_str() {
            "success" => break,
            "in-progress" => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            _ => panic!("{status}"),
        }
    }
    assert_eq!(kv2::read::<Value>(root, "moved", "moves").await?, json!({"a": 1}));
    Ok(())
}
