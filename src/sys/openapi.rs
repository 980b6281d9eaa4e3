//! `sys/internal/specs/openapi`: the tables of all engines as one `OpenAPI` document (version 3.1.0).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::help;
use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::commit::{Place, Txn};
use crate::engine::directory;
use crate::engine::table::{Facts, Need, Row, Verb};
use crate::fields::Field;
use crate::json::Json;
use crate::mount::Engine;

/// The document, with each mount at its own path or, if so, with the path as a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    generic_mount_paths: bool,
}

/// The table. Needs a token only: it has no path that the caller may not see.
pub static TABLE: &[Row<Operation>] =
    &[Row::new(Verb::Read, "internal/specs/openapi", Need::Token, &[], "The API as an OpenAPI document.", |call| {
        Ok(Operation { generic_mount_paths: call.query.flag("generic_mount_paths") })
    })];

/// What works while the server is sealed, and so is in no table: `http/bare.rs` serves it.
const BARE: [Facts; 6] = [
    bare(Verb::Read, "health", &[], "Whether the server is open, sealed or not initialised."),
    bare(Verb::Read, "leader", &[], "Who leads: nobody, all servers are active."),
    bare(Verb::Read, "seal-status", &[], "Whether the server is sealed, and how many shares open it."),
    bare(Verb::Read, "init", &[], "Whether there is a deployment."),
    bare(
        Verb::Write,
        "init",
        &[
            Field { name: "secret_shares", kind: "integer", help: "Into how many shares the root key is split." },
            Field { name: "secret_threshold", kind: "integer", help: "How many of them open." },
            Field {
                name: "recovery_shares",
                kind: "integer",
                help: "How many recovery shares there are, with a seal that opens by itself.",
            },
            Field { name: "recovery_threshold", kind: "integer", help: "How many of them count." },
        ],
        "Begins a deployment, and answers its shares and its root token, once.",
    ),
    bare(
        Verb::Write,
        "unseal",
        &[
            Field { name: "key", kind: "string", help: "One share." },
            Field { name: "reset", kind: "boolean", help: "Forgets the shares that were given." },
        ],
        "Brings a share; the last one opens the server.",
    ),
];

const fn bare(verb: Verb, pattern: &'static str, fields: &'static [Field], help: &'static str) -> Facts {
    Facts { verb, pattern, need: Need::Nobody, fields, help }
}

/// Writes the document, of the mounts that the caller may do something in.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let caller = caller.ok_or(Refusal::NoToken)?;
    let mut mounts = Vec::new();
    for mounted in directory::all(&place.tenant, txn).await? {
        let permanent = directory::PERMANENT.contains(&mounted.path.as_str());
        if !permanent && !caller.acl.sees_below(&caller.policy_path(&mounted.path)) {
            continue;
        }
        let path = if operation.generic_mount_paths && !permanent {
            format!("{{{}_mount_path}}/", mounted.mount.engine.type_name())
        } else {
            mounted.path
        };
        let mut rows = help::table(mounted.mount.engine);
        if mounted.mount.engine == Engine::System {
            rows.extend(BARE);
        }
        mounts.push((path, rows));
    }
    Ok(Answer::Bare { status: 200, body: Json::value(&document(&mounts)) })
}

/// The document of some rows of some mounts.
pub(super) fn document(mounts: &[(String, Vec<Facts>)]) -> Value {
    let mut paths = BTreeMap::new();
    for (mount, rows) in mounts {
        for row in rows {
            let path = format!("/{mount}{}", braced(row.pattern));
            let item = paths.entry(path).or_insert_with(|| item(mount, row));
            describe(item, mount, row);
        }
    }
    let (statuses, refusal) = (REFUSALS.iter(), json!({"$ref": "#/components/schemas/Refusal"}));
    let refusals = statuses.map(|(status, text)| {
        ((*status).to_owned(), json!({"description": text, "content": {"application/json": {"schema": &refusal}}}))
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Strongroom API",
            "description": "The HTTP API of Vault and OpenBao. All paths are below `/v1/`.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE")},
        },
        "servers": [{"url": "/v1"}],
        "security": [{"token": []}, {"bearer": []}, {"certificate": []}],
        "paths": paths,
        "components": {
            "schemas": {"Refusal": {
                "type": "object",
                "properties": {"errors": {"type": "array", "items": {"type": "string"}}},
                "required": ["errors"],
            }},
            "responses": refusals.collect::<Map<_, _>>(),
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Vault-Token"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS", "description": "Where a role of a cert mount lets in without a token."},
            },
        },
    })
}

/// How a request can be refused, whatever its path.
const REFUSALS: [(&str, &str); 8] = [
    ("400", "The input is wrong."),
    ("403", "No valid token, or no right."),
    ("404", "Nothing there."),
    ("405", "The path does not have the method."),
    ("413", "The body is too large."),
    ("415", "A PATCH with another content type."),
    ("429", "Too much at a time."),
    ("503", "Sealed, or something needed is missing now."),
];

/// What an operation answers.
fn responses(row: &Facts) -> Map<String, Value> {
    let mut responses = Map::new();
    let mut done = |status: &str, text: &str| responses.insert(status.to_owned(), json!({"description": text}));
    done("200", "OK");
    match row.verb {
        Verb::Write => {
            done("202", "Begun: the rest is done in the background.");
            done("204", "Done, with nothing to say.");
        }
        Verb::Patch | Verb::Delete => {
            done("204", "Done, with nothing to say.");
        }
        Verb::Read | Verb::List | Verb::Scan => {}
    }
    match row.pattern {
        "references/resolve" => {
            done("304", "The value is the one that the request names.");
        }
        "health" => {
            done("501", "Not initialised.");
        }
        _ => {}
    }
    for (status, _) in REFUSALS {
        responses.insert(status.to_owned(), json!({"$ref": format!("#/components/responses/{status}")}));
    }
    responses
}

/// `data/:path*` as `data/{path}`.
fn braced(pattern: &str) -> String {
    let segment = |segment: &str| match segment.strip_prefix(':') {
        Some(name) => format!("{{{}}}", name.trim_end_matches('*')),
        None => segment.to_owned(),
    };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// A path without its operations.
fn item(mount: &str, row: &Facts) -> Map<String, Value> {
    let names = mount.split('/').chain(row.pattern.split('/')).filter_map(|segment| {
        let generic = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        generic.or_else(|| segment.strip_prefix(':').map(|name| name.trim_end_matches('*')))
    });
    let parameters: Vec<Value> =
        names.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})).collect();
    let mut item = Map::new();
    item.insert("description".to_owned(), json!(row.help));
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), json!(parameters));
    }
    item
}

/// Adds one operation to its path. Reading and listing are both `get`, told apart by the query.
fn describe(item: &mut Map<String, Value>, mount: &str, row: &Facts) {
    match row.need {
        Need::Sudo => item.insert("x-vault-sudo".to_owned(), json!(true)),
        Need::Nobody | Need::Login => item.insert("x-vault-unauthenticated".to_owned(), json!(true)),
        Need::CreateOrUpdate => item.insert("x-vault-createSupported".to_owned(), json!(true)),
        Need::Verb | Need::Token | Need::WrappingToken => None,
    };
    let (method, word, query) = match row.verb {
        Verb::Read => ("get", "read", None),
        Verb::List => ("get", "list", Some("list")),
        Verb::Scan => ("get", "scan", Some("scan")),
        Verb::Write => ("post", "write", None),
        Verb::Patch => ("patch", "patch", None),
        Verb::Delete => ("delete", "delete", None),
    };
    let also = item.contains_key(method);
    let operation = item.entry(method).or_insert_with(|| {
        json!({
            "summary": row.help,
            "operationId": identifier(mount, word, row.pattern),
            "tags": [mount.split('/').next().unwrap_or_default()],
            "responses": responses(row),
        })
    });
    let Some(operation) = operation.as_object_mut() else { return };
    if matches!(row.need, Need::Nobody | Need::Login) {
        operation.insert("security".to_owned(), json!([]));
    }
    if let Some(query) = query {
        let parameter = json!({"name": query, "in": "query", "required": !also, "schema": {"type": "string", "enum": ["true"]},
            "description": row.help});
        if let Some(list) = operation.entry("parameters").or_insert_with(|| json!([])).as_array_mut() {
            list.push(parameter);
        }
    }
    if !row.fields.is_empty() && matches!(row.verb, Verb::Write | Verb::Patch) {
        let content = if row.verb == Verb::Patch { "application/merge-patch+json" } else { "application/json" };
        // A body that may have any name has none of its own.
        let any = row.fields.iter().any(|field| field.name == "*");
        let schema =
            if any { json!({"type": "object"}) } else { json!({"type": "object", "properties": properties(row.fields)}) };
        operation.insert("requestBody".to_owned(), json!({"content": {content: {"schema": schema}}}));
    }
}

fn properties(fields: &[Field]) -> Map<String, Value> {
    let property = |field: &Field| match field.kind {
        "duration" => json!({"type": ["string", "integer"], "description": field.help}),
        "any" => json!({"description": field.help}),
        "array" => json!({"type": "array", "items": {"type": "string"}, "description": field.help}),
        kind => json!({"type": kind, "description": field.help}),
    };
    fields.iter().map(|field| (field.name.to_owned(), property(field))).collect()
}

/// `secret-read-data-path`: unique in the document.
fn identifier(mount: &str, word: &str, pattern: &str) -> String {
    let plain = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    };
    [plain(mount), word.to_owned(), plain(pattern)].join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_every_row_of_every_table_once() {
        let mounts: Vec<(String, Vec<Facts>)> =
            [("sys/", Engine::System), ("auth/token/", Engine::Token), ("secret/", Engine::Kv2)]
                .map(|(path, engine)| (path.to_owned(), help::table(engine)))
                .into();
        let document = document(&mounts);
        let paths = document["paths"].as_object().unwrap();
        let mut identifiers = BTreeSet::new();
        let kinds = ["string", "boolean", "integer", "number", "array", "object", "duration", "any"];
        for engine in [
            Engine::Kv1,
            Engine::Kv2,
            Engine::Cubbyhole,
            Engine::System,
            Engine::Token,
            Engine::Identity,
            Engine::Transit,
            Engine::Cert,
            Engine::AppRole,
            Engine::Userpass,
            Engine::Jwt,
            Engine::Kubernetes,
        ] {
            for field in help::table(engine).iter().flat_map(|row| row.fields) {
                assert!(kinds.contains(&field.kind), "{} is a {}", field.name, field.kind);
            }
        }
        for (path, item) in paths {
            assert_eq!(path.matches('{').count(), item["parameters"].as_array().map_or(0, Vec::len), "{path}");
            for method in ["get", "post", "patch", "delete"] {
                if let Some(operation) = item.get(method) {
                    assert!(identifiers.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path} {method}");
                }
            }
        }
        for (mount, row) in mounts.iter().flat_map(|(mount, rows)| rows.iter().map(move |row| (mount, row))) {
            let item = &paths[&format!("/{mount}{}", braced(row.pattern))];
            let method = match row.verb {
                Verb::Read | Verb::List | Verb::Scan => "get",
                Verb::Write => "post",
                Verb::Patch => "patch",
                Verb::Delete => "delete",
            };
            assert!(item.get(method).is_some(), "{mount}{} {method}", row.pattern);
            assert!(row.need != Need::Sudo || item["x-vault-sudo"] == json!(true), "{mount}{}", row.pattern);
        }
        let kv = &paths["/secret/data/{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"];
        assert_eq!(kv["data"]["type"], "object");
        let responses = |path: &str, method: &str| {
            paths[path][method]["responses"].as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(responses("/secret/data/{path}", "get"), "200 400 403 404 405 413 415 429 503");
        assert_eq!(responses("/secret/data/{path}", "post"), "200 202 204 400 403 404 405 413 415 429 503");
        assert!(responses("/sys/references/resolve", "post").contains(" 304 "));
        for status in REFUSALS.map(|(status, _)| status) {
            assert!(document["components"]["responses"][status].is_object(), "{status}");
        }
    }
}
