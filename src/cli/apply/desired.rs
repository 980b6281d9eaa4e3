//! From described fields to values that can be compared and sent.

use std::collections::BTreeMap;

use super::description::{Item, Kind};
use super::difference::Desired;
use super::secrets::is_secret;
use crate::stanza::{FileError, LookUp, Setting, Value, Whence};
use crate::tree::Tree;

/// The fields of an item, with what stands elsewhere read.
pub(super) fn fields(item: &Item, look_up: &LookUp<'_>) -> Result<Vec<Desired>, FileError> {
    let mut fields = Vec::new();
    for field in &item.fields {
        let whole = matches!(field.name.as_str(), "custom_metadata" | "metadata");
        match (item.kind, &field.value) {
            (Kind::Policy, value) => fields.push(rules(item, &field.name, value, look_up)?),
            (Kind::Mount | Kind::Auth, Value::Block(entries)) if field.name == "config" => {
                for entry in entries {
                    fields.push(desired(format!("config.{}", entry.key), &entry.value, false, look_up)?);
                }
            }
            (_, value) => fields.push(desired(field.name.clone(), value, whole, look_up)?),
        }
    }
    if matches!(item.kind, Kind::Mount) {
        resolve_alias(&mut fields);
    }
    Ok(fields)
}

fn desired(name: String, value: &Value, whole: bool, look_up: &LookUp<'_>) -> Result<Desired, FileError> {
    let hidden = value.has_origin() || (is_secret(&name) && !matches!(value, Value::Boolean(_)));
    Ok(Desired { value: value.tree(look_up)?, hidden, whole, name })
}

/// A policy is no secret, wherever it stands.
fn rules(item: &Item, name: &str, value: &Value, look_up: &LookUp<'_>) -> Result<Desired, FileError> {
    let tree = match value {
        Value::Text(file) if name == "file" => {
            let path = item.place.file.parent().map_or_else(|| file.expose().into(), |folder| folder.join(file.expose()));
            let setting = Setting { place: item.place.clone(), key: format!("policy {:?} file", item.name) };
            Tree::Text(look_up(&Whence::File(path)).map_err(|problem| setting.wrong(problem))?)
        }
        value => value.tree(look_up)?,
    };
    Ok(Desired { name: "rules".to_owned(), value: tree, hidden: false, whole: false })
}

/// Servers show `kv-v2` as what it stands for.
fn resolve_alias(fields: &mut Vec<Desired>) {
    let alias = fields.iter().find(|field| field.name == "type").and_then(|field| field.value.as_text());
    let version = match alias {
        Some("kv-v2") => "2",
        Some("kv-v1") => "1",
        _ => return,
    };
    for field in fields.iter_mut().filter(|field| field.name == "type") {
        field.value = Tree::text("kv");
    }
    let given = fields.iter_mut().find(|field| field.name == "options");
    match given.map(|field| &mut field.value) {
        Some(Tree::Map(options)) => _ = options.entry("version".to_owned()).or_insert_with(|| Tree::text(version)),
        _ => fields.push(Desired {
            name: "options".to_owned(),
            value: Tree::Map(BTreeMap::from([("version".to_owned(), Tree::text(version))])),
            hidden: false,
            whole: false,
        }),
    }
}
