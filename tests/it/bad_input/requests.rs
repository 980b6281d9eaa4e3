//! Paths, methods and headers.

use super::Case;

pub(super) fn paths() -> Vec<Case<'static>> {
    let long = format!("secret/data/{}", "a".repeat(1013));
    let deep = format!("secret/data/{}", vec!["a"; 63].join("/"));
    let parameters = format!("secret/data/a?{}", vec!["x=1"; 101].join("&"));
    let mut cases: Vec<Case<'static>> = [
        ("secret/data//a", "empty segment"),
        ("/secret/data/a", "empty segment"),
        ("secret/data/a//", "empty segment"),
        ("secret/data/../a", "is \".\" or \"..\""),
        ("secret/data/./a", "is \".\" or \"..\""),
        ("secret/data/%2e%2e/a", "is \".\" or \"..\""),
        ("secret/data/a%2fb", "encoded slash"),
        ("secret%2Fdata/a", "encoded slash"),
        ("secret/data/a%00", "control character"),
        ("secret/data/a%0Ab", "control character"),
        ("secret/data/a%7f", "control character"),
        ("secret/data/a%c2%85", "control character"),
        ("secret/data/a%", "broken percent-encoding"),
        ("secret/data/a%4", "broken percent-encoding"),
        ("secret/data/a%zz", "broken percent-encoding"),
        ("secret/data/a%ff", "not UTF-8"),
        (long.as_str(), "longer than 1024 bytes"),
        (deep.as_str(), "more than 64 segments"),
        (parameters.as_str(), "more than 100 parameters"),
        ("secret/data/a?version=x", "\"version\""),
        ("secret/data/a?version=1.5", "\"version\""),
        ("secret/subkeys/a?depth=x", "\"depth\""),
        ("secret/metadata?list=true&limit=x", "\"limit\""),
    ]
    .into_iter()
    .map(|(path, text)| Case::new("GET", path, "", 400, text))
    .collect();
    cases.extend([
        Case::new("GET", "nothing/x", "", 404, "no handler for route \"nothing/x\". route entry not found."),
        Case::new("POST", "nothing", "{}", 404, "no handler for route \"nothing\". route entry not found."),
        Case::new("GET", "sys/nothing", "", 404, "1 error occurred:\n\t* unsupported path\n\n"),
        Case::new("POST", "auth/token/nothing", "", 404, "1 error occurred:\n\t* unsupported path\n\n"),
        Case::new("GET", "auth/nothing/x", "", 404, "no handler for route \"auth/nothing/x\". route entry not found."),
        Case::new("GET", "secret/data/nothing", "", 404, ""),
        Case::new("GET", "secret/data/a?version=9", "", 404, ""),
        Case::new("GET", "secret/metadata/nothing", "", 404, ""),
        Case::new("LIST", "secret/metadata/nothing", "", 404, ""),
        Case::new("GET", "secret/metadata/nothing?list=true", "", 404, ""),
        Case::new("LIST", "sys/namespaces", "", 404, ""),
        Case::new("GET", "sys/namespaces/nothing", "", 404, ""),
        Case::new("GET", "sys/policies/acl/nothing", "", 404, ""),
        Case::new("GET", "sys/mounts/nothing", "", 400, "No secret engine mount at nothing/"),
        Case::new("GET", "sys/auth/nothing", "", 400, "No auth engine at nothing/"),
        Case::new("GET", "sys/internal/ui/mounts/nothing", "", 403, "preflight capability check returned 403"),
    ]);
    cases
}

pub(super) fn methods() -> Vec<Case<'static>> {
    let unsupported = "1 error occurred:\n\t* unsupported operation\n\n";
    let mut cases: Vec<Case<'static>> = [
        ("HEAD", "secret/data/a"),
        ("OPTIONS", "secret/data/a"),
        ("TRACE", "secret/data/a"),
        ("BREW", "secret/data/a"),
        ("get", "secret/data/a"),
        ("DELETE", "sys/mounts"),
        ("LIST", "sys/mounts"),
        ("GET", "sys/policies/acl"),
        ("GET", "auth/token/create"),
        ("GET", "sys/seal"),
        ("DELETE", "secret/config"),
        ("GET", "secret/delete/a"),
        ("SCAN", "secret/data"),
    ]
    .map(|(method, path)| Case::new(method, path, "", 405, unsupported))
    .into();
    let patch = "PATCH requires Content-Type of application/merge-patch+json, provided ";
    cases.push(Case::new("PATCH", "secret/data/a", r#"{"data":{"k":"x"}}"#, 415, patch));
    for kind in ["application/json", "text/plain; charset=utf-8"] {
        cases.push(Case::new("PATCH", "secret/data/a", r#"{"data":{"k":"x"}}"#, 415, patch).with("Content-Type", kind));
    }
    cases
}

pub(super) fn headers() -> Vec<Case<'static>> {
    let write = || Case::new("POST", "secret/data/a", r#"{"data":{"k":"x"}}"#, 400, "");
    let text = |case: Case<'static>, text: &'static str| Case { text, ..case };
    vec![
        text(write().with("X-Vault-Token", "another"), "X-Vault-Token is given twice"),
        text(write().with("Authorization", "Bearer another"), "carry different tokens"),
        text(write().with("Authorization", "Bearer a").with("Authorization", "Bearer a"), "Authorization is given twice"),
        text(write().with("X-Vault-Namespace", "a").with("X-Vault-Namespace", "b"), "X-Vault-Namespace is given twice"),
        text(write().with("X-Vault-Namespace", "a//b"), "X-Vault-Namespace: path is not canonical"),
        text(write().with("X-Vault-Namespace", "../team"), "X-Vault-Namespace: path is not canonical"),
        text(write().with("X-Vault-Wrap-TTL", "nonsense"), "X-Vault-Wrap-TTL"),
        text(write().with("X-Vault-Wrap-Ttl", "-5m0s"), "cannot be negative"),
        text(write().with("X-Vault-Wrap-TTL", "769h"), "more than 768h"),
    ]
}
