//! Every operation of every table, asked for by who may not: nothing but a refusal comes back. An operation that is added to
//! a table is walked at once; one that anybody may call has to be added to a list here, too.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use strongroom::auth::{approle, cert, jwt, kubernetes, token, userpass};
use strongroom::engine::table::{Need, Verb};
use strongroom::engine::{cubbyhole, identity, kv};
use strongroom::sys;

use crate::support::client::{Client, Reply};
use crate::support::fixture::{mount, namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    nobody_gets_in_without_a_token,
    tokens_of_another_tenant_are_none,
    capabilities_are_asked_for,
}

/// What needs no token, and why.
const FOR_NOBODY: [(Verb, &str); 5] = [
    // Verifiers of identity tokens have no token of ours, and public keys are no secret.
    (Verb::Read, "identity/oidc/.well-known/openid-configuration"),
    (Verb::Read, "identity/oidc/.well-known/keys"),
    // A sign-in page shows the methods that were marked as public; without a mark nothing is shown.
    (Verb::Read, "sys/internal/ui/mounts"),
    // Whoever was handed a wrapping token may have no other; the token that the walk sends is none.
    (Verb::Write, "sys/wrapping/lookup"),
    (Verb::Read, "sys/wrapping/lookup"),
];

/// What proves who somebody is: answered to anybody, and refused for what it lacks.
const FOR_LOGINS: [(Verb, &str); 8] = [
    (Verb::Write, "auth/approle/login"),
    (Verb::Write, "auth/userpass/login/:username"),
    (Verb::Write, "auth/cert/login"),
    (Verb::Write, "auth/jwt/login"),
    (Verb::Write, "auth/jwt/oidc/auth_url"),
    (Verb::Read, "auth/jwt/oidc/callback"),
    (Verb::Write, "auth/kubernetes/login"),
    (Verb::Write, "sys/mfa/validate"),
];

/// What takes a wrapping token in place of any other: who has no valid token hears that the one they sent is no such token.
const FOR_WRAPPING_TOKENS: [(Verb, &str); 2] = [(Verb::Write, "sys/wrapping/unwrap"), (Verb::Write, "sys/wrapping/rewrap")];

const NOT_WRAPPING: &str = "wrapping token is not valid or does not exist";

/// What any token may call; it decides by itself what to show.
const FOR_ANY_TOKEN: [(Verb, &str); 4] = [
    // Asked by clients before every KV command: refuses where the token may do nothing below the path.
    (Verb::Read, "sys/internal/ui/mounts/:path*"),
    // Lists the child namespaces that the token may do something in: maybe none.
    (Verb::Read, "sys/internal/ui/namespaces"),
    // Shows a second factor to the token itself; refused for what it lacks.
    (Verb::Write, "sys/mfa/step-up"),
    // Describes the tables of the mounts that the token may do something in.
    (Verb::Read, "sys/internal/specs/openapi"),
];

/// What is answered to a token that may do nothing: it shows what every token may know.
const FOR_WEAK_TOKENS: [(Verb, &str); 7] =
    [FOR_NOBODY[0], FOR_NOBODY[1], FOR_NOBODY[2], FOR_NOBODY[3], FOR_NOBODY[4], FOR_ANY_TOKEN[1], FOR_ANY_TOKEN[3]];

/// What is answered while the server is sealed, to anybody.
const BARE: [&str; 3] = ["sys/health", "sys/leader", "sys/seal-status"];

/// One operation as a client would call it.
struct Step {
    verb: Verb,
    pattern: String,
    need: Need,
}

fn steps() -> Vec<Step> {
    let step = |mount: &str, verb, pattern: &str, need| Step { verb, pattern: format!("{mount}{pattern}"), need };
    let mut steps: Vec<Step> = kv::v2::TABLE.iter().map(|row| step("secret/", row.verb, row.pattern, row.need)).collect();
    steps.extend(kv::v1::TABLE.iter().map(|row| step("old/", row.verb, row.pattern, row.need)));
    steps.extend(cubbyhole::TABLE.iter().map(|row| step("cubbyhole/", row.verb, row.pattern, row.need)));
    steps.extend(token::TABLE.iter().map(|row| step("auth/token/", row.verb, row.pattern, row.need)));
    steps.extend(approle::TABLE.iter().map(|row| step("auth/approle/", row.verb, row.pattern, row.need)));
    steps.extend(userpass::TABLE.iter().map(|row| step("auth/userpass/", row.verb, row.pattern, row.need)));
    steps.extend(cert::TABLE.iter().map(|row| step("auth/cert/", row.verb, row.pattern, row.need)));
    steps.extend(jwt::TABLE.iter().map(|row| step("auth/jwt/", row.verb, row.pattern, row.need)));
    steps.extend(kubernetes::TABLE.iter().map(|row| step("auth/kubernetes/", row.verb, row.pattern, row.need)));
    steps.extend(identity::TABLE.iter().map(|row| step("identity/", row.verb, row.pattern, row.need)));
    steps.extend(sys::rows().iter().map(|row| step("sys/", row.verb, row.pattern, row.need)));
    assert!(steps.len() > 60, "{} operations: the tables are not all here", steps.len());
    steps
}

impl Step {
    /// Paths that the pattern takes: with names that are there and names that are not.
    fn paths(&self) -> BTreeSet<String> {
        let with = |name: &str| {
            let fill = |segment: &str| if segment.starts_with(':') { name.to_owned() } else { segment.to_owned() };
            self.pattern.split('/').map(fill).collect::<Vec<_>>().join("/")
        };
        BTreeSet::from([with("a"), with("nothing/here"), with("default")])
    }

    fn method(&self) -> &'static str {
        match self.verb {
            Verb::Read => "GET",
            Verb::List => "LIST",
            Verb::Scan => "SCAN",
            Verb::Write => "POST",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
        }
    }

    fn is_in(&self, list: &[(Verb, &str)]) -> bool {
        list.contains(&(self.verb, self.pattern.as_str()))
    }

    /// Asks, again if there were too many strangers in this second.
    fn ask(&self, client: &Client, path: &str) -> Reply {
        loop {
            let body =
                json!({"data": {"k": "v"}, "policy": "path \"*\" { capabilities = [\"sudo\"] }", "type": "kv", "token": "x"});
            let reply = client.call(self.method(), path, Some(&body));
            if reply.status != 429 {
                return reply;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Walks all operations; those in `open` are answered, all others refused with `text`.
fn walk(client: &Client, open: &[(Verb, &str)], text: &str) {
    for step in steps() {
        for path in step.paths() {
            let what = format!("{} {path}", step.method());
            let reply = step.ask(client, &path);
            let wrapping = step.is_in(&FOR_WRAPPING_TOKENS) && text == NO_TOKEN;
            if wrapping || (step.is_in(open) && step.pattern == "sys/wrapping/lookup") {
                assert_eq!(reply.expect(400).errors(), [NOT_WRAPPING], "{what}");
            } else if (step.is_in(&FOR_LOGINS) || step.is_in(&FOR_ANY_TOKEN[2..3])) && reply.status == 400 {
                // Where there is such a method.
                let lacks = |text: &str| reply.errors()[0].starts_with(text);
                assert!(lacks("missing ") || lacks("invalid certificate or no client certificate"), "{what}: {reply:?}");
            } else if step.is_in(open) {
                assert_eq!(reply.status, 200, "{what}: {reply:?}");
            } else {
                assert_eq!(reply.status, 403, "{what}: {reply:?}");
                let errors = reply.errors();
                let preflight = step.need == Need::Token && errors[0].starts_with("preflight capability check");
                assert!(errors == [text] || preflight, "{what}: {errors:?}");
            }
        }
    }
    // So many strangers in one second are too many: whoever comes next is in another one.
    std::thread::sleep(Duration::from_secs(1));
}

const NO_TOKEN: &str = "permission denied";
const DENIED: &str = "1 error occurred:\n\t* permission denied\n\n";

fn stage(server: &Server) -> Client {
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    root.call("POST", "sys/mounts/old", Some(&json!({"type": "kv"}))).expect(204);
    for method in ["approle", "cert", "userpass", "jwt", "kubernetes"] {
        root.call("POST", &format!("sys/auth/{method}"), Some(&json!({"type": method}))).expect(204);
    }
    root.call("POST", "auth/approle/role/a", Some(&json!({}))).expect(204);
    root.call("POST", "auth/userpass/users/a", Some(&json!({"password": "x"}))).expect(204);
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_subject": "a"});
    root.call("POST", "auth/jwt/role/a", Some(&role)).expect(204);
    let role = json!({"bound_service_account_names": "a", "bound_service_account_namespaces": "a", "audience": "a"});
    root.call("POST", "auth/kubernetes/role/a", Some(&role)).expect(204);
    for path in ["old/a", "cubbyhole/a"] {
        root.call("POST", path, Some(&json!({"k": "v"}))).expect(204);
    }
    policy(&root, "a", r#"path "nothing/at/all" { capabilities = ["read"] }"#);
    root
}

#[test]
fn the_lists_of_open_operations_are_all() {
    let listed = |need: Need| {
        let open = steps().into_iter().filter(|step| step.need == need);
        open.map(|step| (step.verb, step.pattern)).collect::<Vec<_>>()
    };
    let owned = |list: &[(Verb, &str)]| list.iter().map(|(verb, pattern)| (*verb, (*pattern).to_owned())).collect::<Vec<_>>();
    assert_eq!(listed(Need::Nobody), owned(&FOR_NOBODY));
    assert_eq!(listed(Need::Login), owned(&FOR_LOGINS));
    assert_eq!(listed(Need::Token), owned(&FOR_ANY_TOKEN));
    assert_eq!(listed(Need::WrappingToken), owned(&FOR_WRAPPING_TOKENS));
}

fn nobody_gets_in_without_a_token(server: &mut Server) {
    let stranger = stage(server).without_token();
    walk(&stranger, &FOR_NOBODY, NO_TOKEN);
    walk(&stranger.with_token("s.nonsense"), &FOR_NOBODY, NO_TOKEN);
    let shown = stranger.call("GET", "sys/internal/ui/mounts", None).expect(200).json();
    assert_eq!(shown["data"], json!({"auth": {}, "secret": {}}));
    for path in BARE {
        stranger.call("GET", path, None).expect(200);
    }
}

fn tokens_of_another_tenant_are_none(server: &mut Server) {
    let root = stage(server);
    let [one, two] = ["one", "two"].map(|name| namespace(&root, name));
    let everything = r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "patch", "sudo"] }"#;
    for team in [&one, &two] {
        mount(team, "secret");
        policy(team, "all", everything);
    }
    let strong = token(&one, &json!({"policies": ["all"]}));
    one.with_token(&strong.text).call("GET", "sys/mounts", None).expect(200);
    // A sibling's token, and one of a child in its parent, whichever way the namespace is named.
    walk(&two.with_token(&strong.text), &FOR_NOBODY, NO_TOKEN);
    walk(&root.with_token(&strong.text), &FOR_NOBODY, NO_TOKEN);
    root.with_token(&strong.text).call("GET", "two/secret/metadata/a", None).expect(403);
}

fn capabilities_are_asked_for(server: &mut Server) {
    let root = stage(server);
    let weak = token(&root, &json!({"policies": ["a"], "no_default_policy": true}));
    walk(&root.with_token(&weak.text), &FOR_WEAK_TOKENS, DENIED);
    // The same token in a child namespace, where its policy says nothing either.
    let team = namespace(&root, "one");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    walk(&team.with_token(&weak.text), &FOR_WEAK_TOKENS, DENIED);
}
