//! Limits that clients meet, measured: what is at the limit is done, what is one past it is refused. The names are those of the rows of
//! `docs/LIMITS.md`.

mod counted;
mod large;
mod listed;
mod times;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Map, Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::ready;
use crate::support::server::Server;

/// One request, of a size.
struct Sent {
    method: &'static str,
    path: String,
    body: Body,
}

enum Body {
    None,
    Json(Value),
    Text(String),
    Form(String),
}

type Make = fn(usize) -> Sent;

/// A row of the document, the limit, the statuses at it and past it, and the request of a size.
type Case = (&'static str, usize, [u16; 2], Make);

fn get(path: String) -> Sent {
    Sent { method: "GET", path, body: Body::None }
}

fn post(path: impl Into<String>, body: Value) -> Sent {
    Sent { method: "POST", path: path.into(), body: Body::Json(body) }
}

fn text(path: &str, body: String) -> Sent {
    Sent { method: "POST", path: path.to_owned(), body: Body::Text(body) }
}

fn x(count: usize) -> String {
    "x".repeat(count)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("n{number}")).collect()
}

fn notes(count: usize) -> Value {
    names(count).into_iter().map(|name| (name, json!("v"))).collect::<Map<_, _>>().into()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("00000000-0000-0000-0000-{number:012}")).collect()
}

const REQUESTS: &[Case] = &[
    ("body", 1 << 20, [200, 413], |n| text("secret/data/a", format!("{{\"data\":{{\"k\":\"{}\"}}}}", x(n - 17)))),
    ("body of the routes that work while sealed", 64 << 10, [200, 413], |n| {
        text("sys/unseal", format!("{{\"key\":\"{}\"}}", x(n - 10)))
    }),
    ("path", 1024, [404, 400], |n| get(format!("secret/data/{}", x(n - 12)))),
    ("path", 64, [404, 400], |n| get(format!("secret/data/{}", vec!["a"; n - 2].join("/")))),
    ("query string", 100, [404, 400], |n| get(format!("secret/data/none?{}", names(n).join("&")))),
    ("form fields", 100, [204, 400], |n| Sent {
        method: "POST",
        path: "auth/userpass/users/form".to_owned(),
        body: Body::Form(format!("password=a&{}", names(n - 1).join("&"))),
    }),
    ("JSON", 64, [200, 400], |n| {
        text("secret/data/a", format!("{{\"data\":{{\"k\":{}{}}}}}", "[".repeat(n - 2), "]".repeat(n - 2)))
    }),
    ("JSON", 100_000, [200, 400], |n| text("secret/data/a", format!("{{\"data\":{{\"k\":[{}]}}}}", vec!["1"; n - 3].join(",")))),
];

const SECRETS: &[Case] = &[
    ("versions of a secret", 10_000, [204, 400], |n| post("secret/config", json!({"max_versions": n}))),
    ("custom metadata", 64, [204, 400], |n| post("secret/metadata/m", json!({"custom_metadata": notes(n)}))),
    ("custom metadata", 128, [204, 400], |n| post("secret/metadata/m", json!({"custom_metadata": {x(n): "v"}}))),
    ("custom metadata", 512, [204, 400], |n| post("secret/metadata/m", json!({"custom_metadata": {"k": x(n)}}))),
    ("items of a batch of Transit", 1000, [200, 400], |n| {
        post("transit/encrypt/k", json!({"batch_input": vec![json!({"plaintext": "YQ=="}); n]}))
    }),
    ("versions of a Transit key; its name", 256, [200, 404], |n| post(format!("transit/keys/{}", x(n)), json!({}))),
    ("data keys of one request", 100, [200, 400], |n| post("transit/datakey/plaintext/k", json!({"count": n}))),
    ("random bytes of one request", 131_072, [200, 400], |n| post(format!("sys/tools/random/{n}"), json!({}))),
    ("policy", 256 << 10, [204, 400], |n| {
        post("sys/policies/acl/b", json!({"policy": format!("path \"a\" {{}}{}", " ".repeat(n - 11))}))
    }),
    ("policy", 4096, [204, 400], |n| {
        let rules: Vec<String> = names(n).iter().map(|name| format!("path \"{name}\" {{}}")).collect();
        post("sys/policies/acl/b", json!({"policy": rules.join("\n")}))
    }),
    ("policy name", 256, [204, 400], |n| post(format!("sys/policies/acl/{}", x(n)), json!({"policy": "path \"a\" {}"}))),
    ("namespace name", 128, [200, 400], |n| post(format!("sys/namespaces/{}", x(n)), json!({}))),
    ("origins of web pages that may call, and further headers of theirs", 100, [204, 400], |n| {
        let origins: Vec<String> = names(n).iter().map(|name| format!("https://{name}.example")).collect();
        post("sys/config/cors", json!({"allowed_origins": origins}))
    }),
    ("origins of web pages that may call, and further headers of theirs", 256, [204, 400], |n| {
        post("sys/config/cors", json!({"allowed_origins": [format!("https://{}", x(n - 8))]}))
    }),
    ("request headers in a namespace's audit log; name of one", 128, [204, 400], |n| {
        post(format!("sys/config/auditing/request-headers/{}", x(n)), json!({}))
    }),
    ("references resolved at once", 1000, [200, 400], |n| {
        post("sys/references/resolve", json!({"references": vec!["sref_uidbu3qjmlu2tuttz4rq25fkukex6vr5"; n]}))
    }),
    ("consumers of a reference; a URI, a subject of one; purpose, field, etag", 64, [200, 400], |n| {
        let uris: Vec<String> = names(n).iter().map(|name| format!("spiffe://a/{name}")).collect();
        post("sys/references/bind/secret/data/one", json!({"uri_sans": uris}))
    }),
    ("consumers of a reference; a URI, a subject of one; purpose, field, etag", 2048, [200, 400], |n| {
        post("sys/references/bind/secret/data/one", json!({"uri_sans": [format!("spiffe://a/{}", x(n - 11))]}))
    }),
    ("consumers of a reference; a URI, a subject of one; purpose, field, etag", 512, [200, 400], |n| {
        post("sys/references/bind/secret/data/one", json!({"subjects": [x(n)]}))
    }),
    ("consumers of a reference; a URI, a subject of one; purpose, field, etag", 256, [200, 400], |n| {
        post("sys/references/mint", json!({"path": "secret/data/one", "purpose": x(n)}))
    }),
    ("paths of one capabilities request", 1000, [200, 400], |n| post("sys/capabilities-self", json!({"paths": names(n)}))),
    ("events that one page of `sys/audit-log` has", 1000, [200, 400], |n| get(format!("sys/audit-log?limit={n}"))),
    ("text that is looked for in the audit log", 1024, [200, 400], |n| get(format!("sys/audit-log?path={}", x(n)))),
];

const CALLERS: &[Case] = &[
    ("chosen token text", 256, [200, 400], |n| post("auth/token/create", json!({"id": x(n)}))),
    ("notes of a token", 64, [200, 400], |n| post("auth/token/create", json!({"meta": notes(n)}))),
    ("notes of a token", 16 << 10, [200, 400], |n| post("auth/token/create", json!({"meta": {"k": x(n - 1)}}))),
    ("display name of a token", 512, [200, 400], |n| post("auth/token/create", json!({"display_name": x(n)}))),
    ("policies of a token", 256, [200, 400], |n| {
        post("auth/token/create", json!({"policies": names(n), "no_default_policy": true}))
    }),
    ("addresses of a token or role", 64, [204, 400], |n| {
        let blocks: Vec<String> = (0..n).map(|number| format!("10.0.{number}.0/24")).collect();
        post("auth/token/roles/c", json!({"token_bound_cidrs": blocks}))
    }),
    ("names in a list of a role; a role's own name", 256, [204, 400], |n| {
        post("auth/token/roles/l", json!({"allowed_policies": names(n)}))
    }),
    ("names in a list of a role; a role's own name", 256, [204, 400], |n| {
        post("auth/token/roles/l", json!({"allowed_policies": [x(n)]}))
    }),
    ("names in a list of a role; a role's own name", 256, [204, 400], |n| post(format!("auth/token/roles/{}", x(n)), json!({}))),
    ("name of a role or user of an auth method", 256, [204, 404], |n| post(format!("auth/approle/role/{}", x(n)), json!({}))),
    ("policies of a role or user", 256, [204, 400], |n| post("auth/approle/role/p", json!({"token_policies": names(n)}))),
    ("policies of a role or user", 256, [204, 400], |n| post("auth/approle/role/p", json!({"token_policies": [x(n)]}))),
    ("role id, secret id", 512, [204, 400], |n| post("auth/approle/role/r/role-id", json!({"role_id": x(n)}))),
    ("role id, secret id", 512, [200, 400], |n| post("auth/approle/role/r/custom-secret-id", json!({"secret_id": x(n)}))),
    ("notes of a secret id", 64, [200, 400], |n| {
        post("auth/approle/role/r/secret-id", json!({"metadata": notes(n).to_string()}))
    }),
    ("notes of a secret id", 4096, [200, 400], |n| {
        post("auth/approle/role/r/secret-id", json!({"metadata": json!({"k": x(n - 1)}).to_string()}))
    }),
    ("password", 1024, [204, 400], |n| post("auth/userpass/users/u", json!({"password": x(n)}))),
    ("audiences, scopes, URIs, bound claims or mappings of a JWT role; names of a Kubernetes role", 100, [204, 400], |n| {
        post("auth/jwt/role/a", json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": names(n)}))
    }),
    ("audiences, scopes, URIs, bound claims or mappings of a JWT role; names of a Kubernetes role", 2048, [204, 400], |n| {
        post("auth/jwt/role/a", json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": [x(n)]}))
    }),
    ("name of an entity, group or alias", 512, [200, 400], |n| post("identity/entity", json!({"name": x(n)}))),
    ("policies of an entity or group", 256, [200, 400], |n| post("identity/entity", json!({"name": "p", "policies": names(n)}))),
    ("metadata of an entity, group or alias", 64, [200, 400], |n| {
        post("identity/entity", json!({"name": "m1", "metadata": notes(n)}))
    }),
    ("metadata of an entity, group or alias", 128, [200, 400], |n| {
        post("identity/entity", json!({"name": "m2", "metadata": {x(n): "v"}}))
    }),
    ("metadata of an entity, group or alias", 512, [200, 400], |n| {
        post("identity/entity", json!({"name": "m3", "metadata": {"k": x(n)}}))
    }),
    ("ids of members, or entities to delete or merge, in one request", 1000, [204, 400], |n| {
        post("identity/entity/batch-delete", json!({"entity_ids": ids(n)}))
    }),
    ("template of identity tokens", 64 << 10, [204, 400], |n| {
        post("identity/oidc/role/t", json!({"key": "k", "template": format!("{{\"a\":\"{}\"}}", x(n - 8))}))
    }),
    ("period of a TOTP method; its secrets; its name and issuer", 3600, [200, 400], |n| {
        post("identity/mfa/method/totp", json!({"issuer": "i", "period": n}))
    }),
    ("period of a TOTP method; its secrets; its name and issuer", 64, [200, 400], |n| {
        post("identity/mfa/method/totp", json!({"issuer": "i", "key_size": n}))
    }),
    ("period of a TOTP method; its secrets; its name and issuer", 128, [200, 400], |n| {
        post("identity/mfa/method/totp", json!({"issuer": x(n)}))
    }),
];

const SETTINGS: &[Case] = &[
    ("time between rotations of a Transit key", 100 * 366 * 86_400, [200, 400], |n| {
        post("transit/keys/k/config", json!({"auto_rotate_period": n}))
    }),
    ("reason of a legal hold", 1024, [204, 400], |n| post("sys/namespaces/held/legal-hold", json!({"reason": x(n)}))),
    ("name of a rate limit", 512, [204, 400], |n| post(format!("sys/quotas/rate-limit/{}", x(n)), json!({"rate": 1_000_000}))),
    ("interval of a rate limit, and the time that it blocks for", 366 * 86_400, [204, 400], |n| {
        post("sys/quotas/rate-limit/i", json!({"path": "secret/i", "rate": 1_000_000, "interval": n}))
    }),
    ("interval of a rate limit, and the time that it blocks for", 366 * 86_400, [204, 400], |n| {
        post("sys/quotas/rate-limit/b", json!({"path": "secret/b", "rate": 1_000_000, "block_interval": n}))
    }),
    ("days until a KMS key is destroyed with its namespace", 30, [200, 400], destroyed_after),
    ("paths that no rate limit holds for", 256, [204, 400], |n| {
        post("sys/quotas/config", json!({"rate_limit_exempt_paths": names(n)}))
    }),
    ("keys that are configured for a mount; text of one of its settings", 100, [204, 400], |n| {
        post("auth/jwt/config", json!({"jwt_validation_pubkeys": vec![AUTHORITY.1.clone(); n]}))
    }),
    ("keys that are configured for a mount; text of one of its settings", 64 << 10, [204, 400], |n| {
        post("auth/jwt/config", json!({"jwt_validation_pubkeys": [AUTHORITY.1.clone()], "bound_issuer": x(n)}))
    }),
    ("certificates of a cert role", 100, [204, 400], |n| {
        post("auth/cert/certs/c", json!({"certificate": AUTHORITY.0.repeat(n)}))
    }),
    ("entries in a list of a cert role", 100, [204, 400], |n| {
        post("auth/cert/certs/e", json!({"certificate": AUTHORITY.0.clone(), "allowed_common_names": names(n)}))
    }),
    ("entries in a list of a cert role", 512, [204, 400], |n| {
        post("auth/cert/certs/e", json!({"certificate": AUTHORITY.0.clone(), "allowed_common_names": [x(n)]}))
    }),
    ("roles, revocation lists and refused certificates of a cert mount", 1000, [204, 400], |n| {
        let fingerprints: Vec<String> = (0..n).map(|number| format!("{number:064x}")).collect();
        post("auth/cert/config", json!({"denied_fingerprints": fingerprints}))
    }),
];

/// Deletes a namespace that is not there.
fn destroyed_after(days: usize) -> Sent {
    let path = format!("sys/namespaces/none?destroy_key=true&destroy_after_days={days}");
    Sent { method: "DELETE", path, body: Body::None }
}

/// An authority and its public key, PEM.
static AUTHORITY: LazyLock<(String, String)> = LazyLock::new(|| {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let public = key.public_key_pem();
    (CertifiedIssuer::self_signed(authority, key).unwrap().pem(), public)
});

/// How often something is sent whose refusal may come while it is still being sent: the connection ends then, now and then before the
/// answer is read.
const TRIES: usize = 20;

fn send(client: &Client, sent: &Sent) -> Reply {
    let (header, body) = match &sent.body {
        Body::None => ("application/json", String::new()),
        Body::Json(json) => ("application/json", json.to_string()),
        Body::Text(text) => ("application/json", text.clone()),
        Body::Form(text) => ("application/x-www-form-urlencoded", text.clone()),
    };
    let target = format!("/v1/{}", sent.path);
    let mut cut = None;
    for _ in 0..TRIES {
        match client.try_send(sent.method, &target, &[("Content-Type", header)], body.as_bytes()) {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => cut = Some(error),
            answered => return answered.unwrap(),
        }
    }
    panic!("{} {target}: {cut:?}", sent.method)
}

#[test]
fn what_is_at_a_limit_is_done_and_what_is_past_it_is_refused() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/LIMITS.md")).unwrap();
    let server = Server::initialised_on_sqlite();
    let root = ready(&server);
    for method in ["approle", "cert", "jwt", "userpass"] {
        root.call("POST", &format!("sys/auth/{method}"), Some(&json!({"type": method}))).expect(204);
    }
    root.call("POST", "sys/mounts/transit", Some(&json!({"type": "transit"}))).expect(204);
    for (path, body) in [
        ("transit/keys/k", json!({})),
        ("secret/data/one", json!({"data": {"k": "v"}})),
        ("auth/approle/role/r", json!({})),
        ("identity/oidc/key/k", json!({"algorithm": "EdDSA"})),
        ("sys/namespaces/held", json!({})),
    ] {
        assert!(root.call("POST", path, Some(&body)).status < 300, "{path}");
    }
    // The header: the answer waits for as long as that.
    for (seconds, status) in [(32 * 86_400, 200), (32 * 86_400 + 1, 400)] {
        let wrapped = root.with_header("X-Vault-Wrap-TTL", &format!("{seconds}s"));
        wrapped.call("POST", "sys/wrapping/wrap", Some(&json!({"k": "v"}))).expect(status);
    }
    for (row, limit, [at, past], make) in [REQUESTS, SECRETS, CALLERS, SETTINGS].concat() {
        assert!(document.contains(&format!("\n| {row} | ")), "docs/LIMITS.md has no row: {row}");
        for (size, status) in [(limit, at), (limit + 1, past)] {
            let reply = send(&root, &make(size));
            assert_eq!(reply.status, status, "{row}: {size}: {}", String::from_utf8_lossy(&reply.body));
        }
    }
}

/// What there may be so many of.
#[test]
fn the_next_one_after_the_last_is_refused() {
    let server = Server::initialised_on_sqlite();
    let root = ready(&server);
    root.call("POST", "secret/data/one", Some(&json!({"data": {"k": "v"}}))).expect(200);
    let make: [(&str, usize, Make); 4] = [
        ("request headers in a namespace's audit log; name of one", 32, |n| {
            post(format!("sys/config/auditing/request-headers/x-{n}"), json!({}))
        }),
        ("methods and login enforcements of a namespace; what one enforcement names", 64, |n| {
            post("identity/mfa/method/totp", json!({"issuer": format!("i{n}")}))
        }),
        ("keys and roles of identity tokens", 100, |n| post(format!("identity/oidc/key/k{n}"), json!({"algorithm": "EdDSA"}))),
        ("references to one secret, besides its standing one", 256, |_| {
            post("sys/references/mint", json!({"path": "secret/data/one"}))
        }),
    ];
    for (row, limit, make) in make {
        for number in 0..limit {
            let reply = send(&root, &make(number));
            assert!(reply.status < 300, "{row}: {} of {limit}: {}", number + 1, String::from_utf8_lossy(&reply.body));
        }
        send(&root, &make(limit)).expect(400);
    }
}

/// What there must be so much of.
#[test]
fn what_is_at_the_least_is_done_and_what_is_below_it_is_refused() {
    let server = Server::initialised_on_sqlite();
    let root = ready(&server);
    root.call("POST", "sys/mounts/transit", Some(&json!({"type": "transit"}))).expect(204);
    root.call("POST", "transit/keys/k", Some(&json!({}))).expect(200);
    let least: [(&str, usize, Make); 4] = [
        ("time between rotations of a Transit key", 3600, |n| post("transit/keys/k/config", json!({"auto_rotate_period": n}))),
        ("time between rotations of a wrapping key by schedule", 86_400, |n| post("sys/rotate/config", json!({"interval": n}))),
        ("period of a TOTP method; its secrets; its name and issuer", 16, |n| {
            post("identity/mfa/method/totp", json!({"issuer": "i", "key_size": n}))
        }),
        ("days until a KMS key is destroyed with its namespace", 7, destroyed_after),
    ];
    for (row, limit, make) in least {
        let reply = send(&root, &make(limit));
        assert!(reply.status < 300, "{row}: {}", String::from_utf8_lossy(&reply.body));
        send(&root, &make(limit - 1)).expect(400);
    }
}

/// A client that begins a body and sends no more of it holds its request for as long as requests may take.
#[test]
fn a_request_takes_so_long_and_no_longer() {
    let server = Server::uninitialised_with_listener("  max_request_duration = \"5s\"\n").initialise();
    let root = ready(&server);
    let mut slow = root.session().unwrap();
    let head = slow.head("POST", "/v1/secret/data/slow", &[], 100);
    let since = Instant::now();
    slow.write(format!("{head}{{\"data\"").as_bytes()).unwrap();
    let reply = slow.reply("POST").unwrap().expect(503);
    assert!(reply.errors()[0].contains("took too long"), "{:?}", reply.errors());
    assert!(since.elapsed() > Duration::from_secs(4), "{:?}", since.elapsed());
    root.call("GET", "secret/data/slow", None).expect(404);
}

#[test]
fn groups_are_bounded_below_and_above() {
    const MOST: usize = 256;
    let server = Server::initialised_on_sqlite();
    let root = ready(&server);
    let id = |reply: Reply| reply.expect(200).json()["data"]["id"].as_str().unwrap().to_owned();
    let entity = id(root.call("POST", "identity/entity", Some(&json!({"name": "of-all"}))));
    let group = |name: &str, member: &str| {
        root.call("POST", "identity/group", Some(&json!({"name": name, "member_entity_ids": [member]})))
    };
    let mut groups: Vec<String> = (0..MOST).map(|number| id(group(&format!("g{number}"), &entity))).collect();
    group("one-too-many", &entity).expect(400);
    let above = |name: &str, below: &[String]| {
        root.call("POST", "identity/group", Some(&json!({"name": name, "member_group_ids": below})))
    };
    groups.push(id(root.call("POST", "identity/group", Some(&json!({"name": "the-last"})))));
    above("above-too-many", &groups).expect(400);
    groups.pop();
    id(above("above", &groups));
}
