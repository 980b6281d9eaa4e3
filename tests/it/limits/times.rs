//! Limits in time, by a clock that the test moves: the last nanosecond counts, the next one does not.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom::storage::Store;
use strongroom::storage::sqlite::SqliteStore;
use strongroom::time::{Clock, ManualClock, SystemClock};
use tempfile::TempDir;

use crate::mfa::Authenticator;
use crate::support::in_process::{Ask, Quiet, deploy};

const INSTANT: Duration = Duration::from_nanos(1);
const FIVE_MINUTES: Duration = Duration::from_mins(5);

/// A server whose time is the test's, as is that of its store.
struct Stage {
    server: Quiet,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let store = SqliteStore::open(&folder.path().join("store.db"), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        deploy(&store).await;
        let server = Quiet::at(&store, &["main"], Arc::clone(&clock) as Arc<dyn Clock>).await;
        Self { server, clock, _folder: folder }
    }

    async fn post(&self, status: u16, path: &str, body: Value) -> Value {
        self.server.expect(status, ("POST", path), Some(body)).await
    }

    /// Somebody else than the root token asks.
    async fn ask(&self, token: &str, path: &str, body: Value) -> (u16, Value) {
        self.server.ask(Ask { token, ..Ask::root("POST", path, Some(body)) }).await
    }

    /// Until just before so long has passed.
    fn almost(&self, time: Duration) {
        self.clock.advance(time.checked_sub(INSTANT).unwrap());
    }

    async fn end(self) {
        self.server.end().await;
    }

    /// A user who has enrolled with a method: its id, and the app.
    async fn eve(&self) -> (String, Authenticator) {
        self.post(204, "sys/auth/userpass", json!({"type": "userpass"})).await;
        let rules = r#"path "identity/mfa/*" { capabilities = ["update"] }"#;
        self.post(204, "sys/policies/acl/own", json!({"policy": rules})).await;
        self.post(204, "auth/userpass/users/eve", json!({"password": "pw", "token_policies": "own"})).await;
        let mounts = self.server.expect(200, ("GET", "sys/auth"), None).await;
        let alias = json!({"name": "eve", "mount_accessor": mounts["data"]["userpass/"]["accessor"]});
        let entity = self.post(200, "identity/entity-alias", alias).await["data"]["canonical_id"].clone();
        let method = self.post(200, "identity/mfa/method/totp", json!({"issuer": "Acme", "period": 3600})).await;
        let method = method["data"]["method_id"].as_str().unwrap().to_owned();
        let body = json!({"method_id": method, "entity_id": entity});
        let shown = self.post(200, "identity/mfa/method/totp/admin-generate", body).await;
        (method, Authenticator::new(shown["data"]["url"].as_str().unwrap()))
    }

    async fn login(&self) -> Value {
        let (status, answer) = self.ask("", "auth/userpass/login/eve", json!({"password": "pw"})).await;
        assert_eq!(status, 200, "{answer}");
        answer["auth"].clone()
    }
}

#[tokio::test]
async fn a_login_waits_five_minutes_for_its_second_factor() {
    let stage = Stage::new().await;
    let (method, app) = stage.eve().await;
    let people = json!({"mfa_method_ids": [method], "auth_method_types": ["userpass"]});
    stage.post(204, "identity/mfa/login-enforcement/people", people).await;
    for (late, code, status) in [(false, app.code(0), 200), (true, app.code(1), 400)] {
        let request = stage.login().await["mfa_requirement"]["mfa_request_id"].clone();
        stage.almost(FIVE_MINUTES);
        stage.clock.advance(if late { INSTANT } else { Duration::ZERO });
        let body = json!({"mfa_request_id": request, "mfa_payload": {&method: [code]}});
        let (found, answer) = stage.ask("", "sys/mfa/validate", body).await;
        assert_eq!(found, status, "{answer}");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_factor_that_was_shown_counts_five_minutes_where_factors_are_changed() {
    let stage = Stage::new().await;
    let (method, app) = stage.eve().await;
    let token = stage.login().await["client_token"].as_str().unwrap().to_owned();
    let body = json!({"method_id": method, "passcode": app.code(0)});
    assert_eq!(stage.ask(&token, "sys/mfa/step-up", body).await.0, 200);
    stage.almost(FIVE_MINUTES);
    assert_eq!(stage.ask(&token, "identity/mfa/recovery-codes", json!({})).await.0, 200);
    stage.clock.advance(INSTANT);
    assert_eq!(stage.ask(&token, "identity/mfa/recovery-codes", json!({})).await.0, 403);
    stage.end().await;
}

#[tokio::test]
async fn how_a_move_of_a_mount_went_is_known_for_a_day() {
    let stage = Stage::new().await;
    stage.post(204, "sys/mounts/old", json!({"type": "kv"})).await;
    let moved = stage.post(200, "sys/remount", json!({"from": "old", "to": "new"})).await;
    let path = format!("sys/remount/status/{}", moved["data"]["migration_id"].as_str().unwrap());
    stage.almost(Duration::from_hours(24));
    stage.server.expect(200, ("GET", &path), None).await;
    stage.clock.advance(INSTANT);
    stage.server.expect(404, ("GET", &path), None).await;
    stage.end().await;
}
