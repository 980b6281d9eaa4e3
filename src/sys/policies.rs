//! `sys/policies/acl` and its old form `sys/policy`: the policies of a tenant.
//!
//! The shipped policies are in force in every tenant until somebody writes one of that name; deleting what was written
//! brings the shipped one back. `root` has no rules: it is named in the root namespace and cannot be changed.
//!
//! Names are lower case. A request that spells one otherwise needs the same right on the path in lower case: what
//! policy was asked about is what is touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::answer::{Answer, Refusal};
use crate::auth::policies::address;
use crate::auth::token::entry::ROOT_POLICY;
use crate::auth::{Caller, policy_history};
use crate::commit::{Place, Tenant, Txn};
use crate::engine::table::{Call, Field, Row, Verb};
use crate::json::Json;
use crate::policy::{Ask, Capability, PolicyRecord, shipped};
use crate::record::{Kind, SYSTEM};

/// The policy that every token gets unless its creator declines it. Its text may be changed, but it is always there.
const DEFAULT_POLICY: &str = "default";

/// The policies that are what they are.
const FIXED: [&str; 2] = [ROOT_POLICY, shipped::WRAPPING.name];

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Which of the two forms of the API a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `sys/policies/acl`.
    Acl,
    /// `sys/policy`.
    Old,
}

/// What a client asks.
pub enum Operation {
    /// Which policies there are.
    List(Form),
    /// Its text.
    Read(Name),
    /// Write it.
    Write(Name, Box<PolicyRecord>),
    /// Delete it.
    Delete(Name),
}

/// The policy that a path names.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    form: Form,
    /// In lower case.
    text: String,
    /// The path spelled it otherwise.
    respelled: bool,
}

const FIELDS: &[Field] = &[
    Field { name: "policy", kind: "string", help: "The rules, in HCL or JSON; may be base64." },
    Field { name: "rules", kind: "string", help: "Old name of policy." },
];

/// Both forms.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::List, "policies/acl", &[], "List the policies.", |_| Ok(Operation::List(Form::Acl))),
    Row::by_verb(Verb::Read, "policies/acl/:name*", &[], "Show a policy.", |call| Ok(Operation::Read(name(call, Form::Acl)?))),
    Row::by_verb(Verb::Write, "policies/acl/:name*", FIELDS, "Write a policy.", |call| write(call, Form::Acl)),
    Row::by_verb(Verb::Delete, "policies/acl/:name*", &[], "Delete a policy.", |call| {
        Ok(Operation::Delete(name(call, Form::Acl)?))
    }),
    Row::by_verb(Verb::Read, "policy", &[], "List the policies.", |_| Ok(Operation::List(Form::Old))),
    Row::by_verb(Verb::List, "policy", &[], "List the policies.", |_| Ok(Operation::List(Form::Old))),
    Row::by_verb(Verb::Read, "policy/:name*", &[], "Show a policy.", |call| Ok(Operation::Read(name(call, Form::Old)?))),
    Row::by_verb(Verb::Write, "policy/:name*", FIELDS, "Write a policy.", |call| write(call, Form::Old)),
    Row::by_verb(Verb::Delete, "policy/:name*", &[], "Delete a policy.", |call| Ok(Operation::Delete(name(call, Form::Old)?))),
];

fn name(call: &Call<'_>, form: Form) -> Result<Name, Refusal> {
    let asked = call.captures.get(0);
    if asked.is_empty() {
        return Err(Refusal::UnsupportedOperation);
    }
    if asked.ends_with('/') || asked.trim() != asked || asked.len() > NAME_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "a policy name is 1 to {NAME_BYTES_MAX} bytes, without spaces around it and without a slash at the end"
        )));
    }
    let text = asked.to_lowercase();
    Ok(Name { form, respelled: text != asked, text })
}

fn write(call: &Call<'_>, form: Form) -> Result<Operation, Refusal> {
    let name = name(call, form)?;
    if FIXED.contains(&name.text.as_str()) {
        return Err(Refusal::Invalid(format!("cannot update \"{}\" policy", name.text)));
    }
    // To ignore one of these would leave a policy in force that was meant to end, or overwrite one that was not.
    if let Some(field) = ["expiration", "ttl", "cas", "cas_required"].into_iter().find(|field| call.fields.has(field)) {
        return Err(Refusal::invalid(format!("{field}: not offered for policies")));
    }
    let given = |field| Ok(call.fields.text(field)?.filter(|text: &String| !text.is_empty()));
    let text = match given("policy")? {
        Some(text) => Some(text),
        None => given("rules")?,
    };
    let text = text.ok_or_else(|| Refusal::invalid("'policy' parameter not supplied or empty"))?;
    let text = plain(&text).unwrap_or(text);
    let record = PolicyRecord::parse(&name.text, text).map_err(|error| Refusal::invalid(error.to_string()))?;
    Ok(Operation::Write(name, Box::new(record)))
}

/// The text inside base64, if it is that: rules in HCL or JSON never are.
fn plain(text: &str) -> Option<String> {
    let decoded = data_encoding::BASE64.decode(text.as_bytes()).ok()?;
    String::from_utf8(decoded).ok()
}

/// Runs one operation on the policies of the tenant of `place`.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    match operation {
        Operation::List(form) => list(form, tenant, txn).await,
        Operation::Read(name) => {
            check(&name, Capability::Read, place, caller)?;
            read(&name, tenant, txn).await
        }
        Operation::Write(name, record) => {
            check(&name, Capability::Update, place, caller)?;
            let address = address(&name.text);
            // It reads what was there: the new version continues the object.
            policy_history::note(txn, tenant, &name.text, Some(record.text())).await?;
            txn.put(tenant, &address, &*record, None).await?;
            Ok(Answer::Empty)
        }
        Operation::Delete(name) => {
            check(&name, Capability::Delete, place, caller)?;
            if name.text == DEFAULT_POLICY || FIXED.contains(&name.text.as_str()) {
                return Err(Refusal::invalid(format!("cannot delete \"{}\" policy", name.text)));
            }
            policy_history::note(txn, tenant, &name.text, None).await?;
            txn.remove::<PolicyRecord>(tenant, &address(&name.text)).await?;
            Ok(Answer::Empty)
        }
    }
}

/// Policy was asked about the path as it was spelled; what is touched is the name in lower case.
fn check(name: &Name, capability: Capability, place: &Place, caller: Option<&Caller>) -> Result<(), Refusal> {
    if !name.respelled {
        return Ok(());
    }
    let caller = caller.ok_or(Refusal::NoToken)?;
    let directory = match name.form {
        Form::Acl => "policies/acl/",
        Form::Old => "policy/",
    };
    let path = caller.policy_path(format!("{}{directory}{}", place.path, name.text));
    if caller.acl.decide(&Ask::new(&path, capability)) { Ok(()) } else { Err(Refusal::Denied) }
}

async fn list(form: Form, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let written = txn.names(tenant, Kind::Policy, SYSTEM, "").await?;
    let root = tenant.parent().is_none().then_some(ROOT_POLICY);
    let names: BTreeSet<&str> =
        written.iter().map(|name| &**name).chain(shipped::ALL.iter().map(|shipped| shipped.name)).chain(root).collect();
    let names: Vec<&str> = names.into_iter().collect();
    match form {
        Form::Acl => Answer::keys(&names),
        Form::Old => Ok(Answer::doubled(Json::object(|data| {
            data.strings("keys", &names).strings("policies", &names);
        }))),
    }
}

async fn read(name: &Name, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let text = text(&name.text, tenant, txn).await?.ok_or(Refusal::NotFound)?;
    Ok(match name.form {
        Form::Acl => Answer::data(Json::object(|data| {
            data.field("name", &name.text).field("policy", &text);
        })),
        Form::Old => Answer::doubled(Json::object(|data| {
            data.field("name", &name.text).field("rules", &text);
        })),
    })
}

/// The text in force; `root` has an empty one, in the root namespace only.
async fn text(name: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Option<String>, Refusal> {
    if name == ROOT_POLICY {
        return Ok(tenant.parent().is_none().then(String::new));
    }
    if let Some(found) = txn.read::<PolicyRecord>(tenant, &address(name)).await? {
        return Ok(Some(found.value.text().to_owned()));
    }
    Ok(shipped::named(name).map(|shipped| shipped.text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table::{Match, find};
    use crate::fields::{Fields, Query};
    use crate::path::Path;

    const RULES: &str = r#"path "secret/*" { capabilities = ["read"] }"#;

    fn parse(verb: Verb, path: &str, body: &str) -> Result<Operation, Refusal> {
        let path = Path::new(path).unwrap();
        let query = Query::parse("").unwrap();
        let fields = Fields::parse(body.as_bytes(), None)?;
        match find(TABLE, verb, &path) {
            Match::Row(row, captures) => (row.parse)(&Call { verb, path: &path, captures, query: &query, fields: &fields }),
            Match::WrongVerb => Err(Refusal::UnsupportedOperation),
            Match::Nothing => Err(Refusal::UnsupportedPath),
        }
    }

    fn body(field: &str, text: &str) -> String {
        serde_json::json!({ field: text }).to_string()
    }

    fn written(path: &str, body: &str) -> Result<(Name, String), String> {
        match parse(Verb::Write, path, body) {
            Ok(Operation::Write(name, record)) => Ok((name, record.text().to_owned())),
            Ok(_) => Err("something else".to_owned()),
            Err(Refusal::Invalid(text)) => Err(text),
            Err(other) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn both_forms_take_rules_in_every_spelling() {
        let base64 = data_encoding::BASE64.encode(RULES.as_bytes());
        let json = r#"{"path":{"secret/*":{"capabilities":["read"]}}}"#;
        for (path, field, sent, kept) in [
            ("policies/acl/dev", "policy", RULES, RULES),
            ("policy/dev", "policy", RULES, RULES),
            ("policy/dev", "rules", RULES, RULES),
            ("policies/acl/dev", "policy", base64.as_str(), RULES),
            ("policies/acl/dev", "policy", json, json),
        ] {
            let (name, text) = written(path, &body(field, sent)).unwrap();
            assert_eq!((name.text.as_str(), name.respelled, text.as_str()), ("dev", false, kept), "{path} {field}");
        }
    }

    #[test]
    fn names_are_lower_case_and_that_is_remembered() {
        let (name, _) = written("policies/acl/Team/DEV", &body("policy", RULES)).unwrap();
        assert_eq!(name, Name { form: Form::Acl, text: "team/dev".to_owned(), respelled: true });
        for path in ["policies/acl/dev/", "policies/acl/ dev", "policy/dev/"] {
            assert!(written(path, &body("policy", RULES)).is_err(), "{path}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (path, body, text) in [
            ("policies/acl/root", body("policy", RULES), "cannot update \"root\" policy"),
            ("policies/acl/ROOT", body("policy", RULES), "cannot update \"root\" policy"),
            ("policies/acl/Response-Wrapping", body("policy", RULES), "cannot update \"response-wrapping\" policy"),
            ("policies/acl/dev", String::new(), "'policy' parameter not supplied or empty"),
            ("policies/acl/dev", body("policy", ""), "'policy' parameter not supplied or empty"),
            ("policies/acl/dev", r#"{"policy":"x","expiration":"1h"}"#.to_owned(), "expiration: not offered for policies"),
            ("policies/acl/dev", r#"{"policy":"x","cas":1}"#.to_owned(), "cas: not offered for policies"),
        ] {
            assert_eq!(written(path, &body).unwrap_err(), text, "{path} {body}");
        }
        let bad = written("policies/acl/bad", &body("policy", r#"path "x" { capabilities = ["nope"] }"#)).unwrap_err();
        assert!(bad.starts_with("failed to parse policy: ") && bad.contains("nope"), "{bad}");
    }

    #[test]
    fn a_plain_get_lists_only_in_the_old_form() {
        assert!(matches!(parse(Verb::Read, "policies/acl", ""), Err(Refusal::UnsupportedOperation)));
        assert!(matches!(parse(Verb::List, "policies/acl/", ""), Ok(Operation::List(Form::Acl))));
        assert!(matches!(parse(Verb::Read, "policy", ""), Ok(Operation::List(Form::Old))));
        assert!(matches!(parse(Verb::Read, "policy/dev", ""), Ok(Operation::Read(_))));
        assert!(matches!(parse(Verb::Write, "policy", ""), Err(Refusal::UnsupportedOperation)));
    }
}
