//! Second factors over HTTP, on both stores: methods and enforcements, logins that wait, codes that are taken once, and policies
//! that want a factor to have been shown lately.

mod changes;
mod logins;
mod replays;
mod settings;
mod step_up;
mod tokenless;

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{policy, ready};
use crate::support::server::Server;
use crate::support::tokens::now;

/// A period so long that no test runs past two of its ends.
const PERIOD: u64 = 3_600;

/// A person with an authenticator app; made apart from the server's code.
pub(crate) struct Authenticator {
    key: Vec<u8>,
}

impl Authenticator {
    /// From what was shown at enrolment.
    pub(crate) fn new(url: &str) -> Self {
        let secret = url.split("secret=").nth(1).unwrap().split('&').next().unwrap();
        Self { key: BASE32_NOPAD.decode(secret.as_bytes()).unwrap() }
    }

    /// The code that is shown now, or in so many periods. Two codes of one enrolment can be used in a test: now's and the next.
    pub(crate) fn code(&self, later: u64) -> String {
        let step = u64::try_from(now()).unwrap() / PERIOD + later;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.key);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let offset = usize::from(tag.as_ref()[19] & 15);
        let word: [u8; 4] = tag.as_ref()[offset..offset + 4].try_into().unwrap();
        format!("{:06}", (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000)
    }

    /// One that is right at no time near.
    pub(crate) fn wrong(&self) -> String {
        let right: Vec<String> = [self.code(0), self.code(1), self.code(2)].into();
        (0..10).map(|digit| format!("{digit:06}")).find(|code| !right.contains(code)).unwrap()
    }
}

/// A server with users and a method.
struct Stage {
    root: Client,
    method: String,
}

impl Stage {
    fn new(server: &Server) -> Self {
        let root = ready(server);
        root.call("POST", "sys/auth/userpass", Some(&json!({"type": "userpass"}))).expect(204);
        policy(&root, "own", r#"path "identity/mfa/*" { capabilities = ["read", "update"] }"#);
        let method = method(&root, "totp");
        Self { root, method }
    }

    /// A user with an entity; its id.
    fn user(&self, name: &str) -> String {
        let body = json!({"password": "pw", "token_policies": "own"});
        self.root.call("POST", &format!("auth/userpass/users/{name}"), Some(&body)).expect(204);
        let mounts = self.root.call("GET", "sys/auth", None).expect(200).json();
        let accessor = &mounts["data"]["userpass/"]["accessor"];
        let alias = json!({"name": name, "mount_accessor": accessor});
        let made = self.root.call("POST", "identity/entity-alias", Some(&alias)).expect(200).json();
        made["data"]["canonical_id"].as_str().unwrap().to_owned()
    }

    /// Enrols an entity with the stage's method.
    fn enrol(&self, entity: &str) -> Authenticator {
        enrol(&self.root, &self.method, entity)
    }

    /// A user who has enrolled, and the entity's id.
    fn enrolled(&self, name: &str) -> (Authenticator, String) {
        let entity = self.user(name);
        (self.enrol(&entity), entity)
    }

    /// Has logins of people need the stage's method.
    fn enforce(&self) {
        self.enforcement("people", &json!({"mfa_method_ids": [self.method], "auth_method_types": ["userpass"]}));
    }

    fn enforcement(&self, name: &str, body: &Value) {
        self.root.call("POST", &format!("identity/mfa/login-enforcement/{name}"), Some(body)).expect(204);
    }

    /// Logs in with a password, again if there were too many strangers in this second.
    fn login(&self, name: &str) -> Reply {
        patient(|| login(&self.root.without_token(), name))
    }

    /// Logs in with a password and `X-Vault-MFA`.
    fn login_with(&self, name: &str, header: &str) -> Reply {
        let client = self.root.without_token().with_header("X-Vault-MFA", header);
        patient(|| login(&client, name))
    }

    /// The id of a login that waits.
    #[track_caller]
    fn waiting(&self, name: &str) -> String {
        let auth = self.login(name).expect(200).json()["auth"].clone();
        assert_eq!(auth["client_token"], "");
        auth["mfa_requirement"]["mfa_request_id"].as_str().unwrap().to_owned()
    }

    /// Ends a login that waits, with one code of the stage's method.
    fn validate(&self, request: &str, code: &str) -> Reply {
        self.validate_all(request, &json!({&self.method: [code]}))
    }

    fn validate_all(&self, request: &str, payload: &Value) -> Reply {
        let body = json!({"mfa_request_id": request, "mfa_payload": payload});
        patient(|| self.root.without_token().call("POST", "sys/mfa/validate", Some(&body)))
    }

    /// A client with the token of an answer.
    #[track_caller]
    fn holding(&self, reply: Reply) -> Client {
        let auth = reply.expect(200).json()["auth"].clone();
        let text = auth["client_token"].as_str().unwrap();
        assert!(!text.is_empty(), "{auth}");
        self.root.with_token(text)
    }

    /// Shows a code of the stage's method to a client's token.
    fn step_up(&self, client: &Client, code: &str) -> Reply {
        client.call("POST", "sys/mfa/step-up", Some(&json!({"method_id": self.method, "passcode": code})))
    }

    /// The refusal of a login whose second factor is not right.
    fn refusal(&self) -> String {
        format!(
            "failed to satisfy enforcement people. error: 2 errors occurred:\n\t* MFA credentials not supplied or incorrect\n\t* \
             login MFA validation failed for methodID: [{}]\n\n",
            self.method
        )
    }
}

fn login(client: &Client, name: &str) -> Reply {
    client.call("POST", &format!("auth/userpass/login/{name}"), Some(&json!({"password": "pw"})))
}

/// Asks again while there are too many strangers in this second.
fn patient(ask: impl Fn() -> Reply) -> Reply {
    for _ in 0..30 {
        let reply = ask();
        if reply.status != 429 {
            return reply;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    panic!("too many strangers for ten seconds");
}

/// Makes a method; its id.
fn method(root: &Client, name: &str) -> String {
    let body = json!({"issuer": "Acme", "method_name": name, "period": PERIOD});
    let made = root.call("POST", "identity/mfa/method/totp", Some(&body)).expect(200).json();
    made["data"]["method_id"].as_str().unwrap().to_owned()
}

fn enrol(root: &Client, method: &str, entity: &str) -> Authenticator {
    let body = json!({"method_id": method, "entity_id": entity});
    let shown = root.call("POST", "identity/mfa/method/totp/admin-generate", Some(&body)).expect(200).json();
    Authenticator::new(shown["data"]["url"].as_str().unwrap())
}
