//! `sys/capabilities`, `-self`, `-accessor`: what a token may do to paths of the request's namespace, conditions aside.

use std::collections::BTreeMap;

use crate::answer::{Answer, Refusal};
use crate::auth::token::{Known, by_accessor, by_text};
use crate::auth::{Caller, policies};
use crate::commit::{Place, Txn};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::json::Json;
use crate::path::Path;
use crate::policy::Acl;
use crate::secret::SecretText;

/// The most paths of one request.
const PATHS_MAX: usize = 1000;

/// What a client asks: for these paths.
pub enum Operation {
    /// The caller's own token.
    Own(Vec<String>),
    /// The token with this text.
    Token(SecretText, Vec<String>),
    /// The token with this accessor.
    Accessor(String, Vec<String>),
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const PATHS: Field = field("paths", "array", "The paths.");
const PATH: Field = field("path", "array", "Old name of paths.");
const TOKEN: Field = field("token", "string", "Text of the token.");
const ACCESSOR: Field = field("accessor", "string", "Accessor of the token.");

/// The three of them.
pub static TABLE: &[Row<Operation>] = &[
    Row {
        verb: Verb::Write,
        pattern: "capabilities-self",
        need: Need::Verb,
        fields: &[PATHS, PATH, TOKEN],
        help: "What the caller's token may do to paths.",
        parse: |call| Ok(Operation::Own(paths(call)?)),
    },
    Row {
        verb: Verb::Write,
        pattern: "capabilities",
        need: Need::Verb,
        fields: &[TOKEN, PATHS, PATH],
        help: "What a token may do to paths.",
        parse: |call| {
            let token = call.fields.secret("token")?.filter(|token| !token.expose().is_empty());
            Ok(Operation::Token(token.ok_or_else(|| Refusal::invalid("missing token"))?, paths(call)?))
        },
    },
    Row {
        verb: Verb::Write,
        pattern: "capabilities-accessor",
        need: Need::Verb,
        fields: &[ACCESSOR, PATHS, PATH],
        help: "What the token with an accessor may do to paths.",
        parse: |call| {
            let accessor = call.fields.text("accessor")?.filter(|accessor| !accessor.is_empty());
            Ok(Operation::Accessor(accessor.ok_or_else(|| Refusal::invalid("missing accessor"))?, paths(call)?))
        },
    },
];

fn paths(call: &Call<'_>) -> Result<Vec<String>, Refusal> {
    let given = |name| Ok(call.fields.list(name)?.filter(|paths: &Vec<String>| !paths.is_empty()));
    let paths = match given("paths")? {
        Some(paths) => paths,
        None => given("path")?.ok_or_else(|| Refusal::invalid("paths must be supplied"))?,
    };
    if paths.len() > PATHS_MAX {
        return Err(Refusal::invalid(format!("at most {PATHS_MAX} paths at once")));
    }
    for path in &paths {
        match Path::new(path) {
            Ok(path) if path.is_empty() => return Err(Refusal::invalid("missing path")),
            Ok(_) => {}
            Err(error) => return Err(Refusal::invalid(error.to_string())),
        }
    }
    Ok(paths)
}

/// Runs one operation. Tokens are looked for in the tenant of `place` alone, apart from the caller's own.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let caller = caller.ok_or(Refusal::NoToken)?;
    match operation {
        Operation::Own(paths) => Ok(answer(&paths, &caller.acl, &caller.prefix)),
        Operation::Token(token, paths) if caller.is_own(&token) => Ok(answer(&paths, &caller.acl, &caller.prefix)),
        Operation::Token(token, paths) => {
            let known = by_text(txn, &caller.chain, &place.tenant, &token).await?;
            of_known(known, &paths, "invalid token", txn).await
        }
        Operation::Accessor(accessor, paths) => {
            let known = by_accessor(txn, &caller.chain, &place.tenant, &accessor).await?;
            of_known(known, &paths, "invalid accessor", txn).await
        }
    }
}

async fn of_known(known: Option<Known>, paths: &[String], unknown: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Some(Known { tenant, entry, .. }) = known else { return Err(Refusal::invalid(unknown)) };
    let acl = policies::of_token(txn, &tenant, &entry).await?.ok_or_else(|| Refusal::invalid(unknown))?;
    Ok(answer(paths, &acl, ""))
}

/// Each path and the names of what is granted; for one path besides as `capabilities`.
fn answer(paths: &[String], acl: &Acl, prefix: &str) -> Answer {
    let mut all: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    for path in paths {
        all.insert(path, acl.capabilities(&format!("{prefix}{path}")).names());
    }
    if let [only] = paths {
        // First, so that a path of that name does not make two fields of one.
        let names = all.get(only.as_str()).cloned().unwrap_or_default();
        all.insert("capabilities", names);
    }
    Answer::doubled(Json::object(|data| {
        for (path, names) in &all {
            data.strings(path, names);
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::table::Captures;
    use crate::fields::{Fields, Query};
    use crate::policy::{Identity, Policy};
    use crate::time::Timestamp;

    fn parse(pattern: &str, body: &str) -> Result<Operation, Refusal> {
        let row = TABLE.iter().find(|row| row.pattern == pattern).unwrap();
        let path = Path::new(pattern).unwrap();
        let query = Query::parse("").unwrap();
        let fields = Fields::parse(body.as_bytes(), None)?;
        (row.parse)(&Call { verb: row.verb, path: &path, captures: Captures::default(), query: &query, fields: &fields })
    }

    fn paths_of(operation: Result<Operation, Refusal>) -> Vec<String> {
        match operation {
            Ok(Operation::Own(paths) | Operation::Token(_, paths) | Operation::Accessor(_, paths)) => paths,
            Err(_) => Vec::new(),
        }
    }

    #[test]
    fn paths_come_as_lists_and_as_text_under_both_names() {
        for body in [
            r#"{"paths":["a/b","c"]}"#,
            r#"{"paths":"a/b,c"}"#,
            r#"{"path":["a/b","c"]}"#,
            r#"{"path":"x","paths":["a/b","c"]}"#,
            r#"{"path":"a/b,c","paths":[],"token":"ignored"}"#,
        ] {
            assert_eq!(paths_of(parse("capabilities-self", body)), ["a/b", "c"], "{body}");
        }
    }

    #[test]
    fn what_is_missing_or_not_canonical_is_refused() {
        for (pattern, body, text) in [
            ("capabilities-self", "{}", "paths must be supplied"),
            ("capabilities", r#"{"path":"a"}"#, "missing token"),
            ("capabilities", r#"{"path":"a","token":""}"#, "missing token"),
            ("capabilities-accessor", r#"{"path":"a"}"#, "missing accessor"),
            ("capabilities-self", r#"{"path":"a/../b"}"#, "path is not canonical: it has a segment that is \".\" or \"..\""),
        ] {
            assert!(matches!(parse(pattern, body), Err(Refusal::Invalid(said)) if said == text), "{pattern} {body}");
        }
        let many = serde_json::json!({ "paths": vec!["a"; PATHS_MAX + 1] }).to_string();
        assert!(parse("capabilities-self", &many).is_err());
    }

    #[test]
    fn one_path_is_answered_twice_and_several_once() {
        let policy = Policy::parse("dev", r#"path "team1/kv/*" { capabilities = ["read", "create"] }"#).unwrap();
        let acl = Acl::new(vec![Arc::new(policy)], &Identity::default(), Timestamp(0));
        let said = |paths: &[&str], prefix: &str| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            match answer(&paths, &acl, prefix) {
                Answer::Data(data) => {
                    assert!(data.doubled);
                    String::from_utf8(data.data.unwrap().expose().to_vec()).unwrap()
                }
                _ => String::new(),
            }
        };
        assert_eq!(said(&["kv/a"], "team1/"), r#"{"capabilities":["create","read"],"kv/a":["create","read"]}"#);
        assert_eq!(said(&["kv/a", "x"], "team1/"), r#"{"kv/a":["create","read"],"x":["deny"]}"#);
        assert_eq!(said(&["kv/a", "kv/a"], ""), r#"{"kv/a":["deny"]}"#, "a path that is asked twice is answered once");
        assert_eq!(said(&["capabilities"], ""), r#"{"capabilities":["deny"]}"#);
    }
}
