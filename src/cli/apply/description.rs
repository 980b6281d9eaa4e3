//! What the files say: namespaces, and what is to be in each. Pure: opens nothing, asks nobody.

use super::secrets;
use crate::stanza::{self, FileError, Place, Setting, Source, Stanza, Value};

/// What can be described in a namespace, in the order in which it is applied: nothing needs what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Namespace,
    Mount,
    Auth,
    Policy,
    TokenRole,
    AuditedHeader,
    Object,
    Group,
}

impl Kind {
    /// As it is written in files and shown.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Mount => "mount",
            Self::Auth => "auth",
            Self::Policy => "policy",
            Self::TokenRole => "token_role",
            Self::AuditedHeader => "audited_header",
            Self::Object => "object",
            Self::Group => "group",
        }
    }

    /// The fields it may have; any, for an object.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Namespace => &["custom_metadata"],
            Self::Mount | Self::Auth => &["type", "description", "options", "config", "local", "seal_wrap"],
            Self::Policy => &["rules", "file"],
            Self::TokenRole => &[
                "allowed_policies",
                "allowed_policies_glob",
                "disallowed_policies",
                "disallowed_policies_glob",
                "allowed_entity_aliases",
                "orphan",
                "renewable",
                "path_suffix",
                "token_period",
                "token_explicit_max_ttl",
                "token_bound_cidrs",
                "token_strictly_bind_ip",
                "token_num_uses",
                "token_no_default_policy",
                "token_type",
            ],
            Self::AuditedHeader => &["hmac"],
            Self::Group => &["type", "policies", "metadata", "members", "member_groups"],
            Self::Object => &[],
        }
    }
}

/// What stands inside a namespace, besides namespaces.
const KINDS: [Kind; 7] = [Kind::Mount, Kind::Auth, Kind::Policy, Kind::TokenRole, Kind::AuditedHeader, Kind::Object, Kind::Group];

/// Everything that the files describe; opaque to all but the command.
pub struct Description {
    /// A namespace before those in it; the first is the one that the command works in.
    pub(super) spaces: Vec<Space>,
}

/// A namespace.
pub(super) struct Space {
    /// Below the namespace that the command works in; empty for that one.
    pub(super) path: String,
    /// Itself; none for the one that the command works in.
    pub(super) own: Option<Item>,
    /// Sorted by kind, then in the order of the files.
    pub(super) items: Vec<Item>,
}

/// Something described.
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) fields: Vec<Field>,
}

/// One of its fields.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: Value,
}

/// Reads all sources as one description. A namespace may be spread over several blocks and files.
pub fn parse(sources: &[Source]) -> Result<Description, FileError> {
    let Some(first) = sources.first() else {
        return Err(FileError::Whole("no description: name a file or a folder".to_owned()));
    };
    let place = Place { file: std::sync::Arc::new(first.file.clone()), line: 1 };
    let top = Stanza::new(String::new(), place, stanza::entries(sources)?);
    let mut spaces = vec![Space { path: String::new(), own: None, items: Vec::new() }];
    fill(&mut spaces, 0, top)?;
    for space in &mut spaces {
        space.items.sort_by_key(|item| item.kind);
    }
    Ok(Description { spaces })
}

/// Reads the inside of a namespace.
fn fill(spaces: &mut Vec<Space>, at: usize, mut stanza: Stanza) -> Result<(), FileError> {
    for kind in KINDS {
        for (labels, inner) in stanza.stanzas(kind.word(), 1, false)? {
            let item = item(kind, labels.first().map_or("", String::as_str), inner)?;
            add(spaces, at, item)?;
        }
    }
    for (labels, mut inner) in stanza.stanzas("namespace", 1, false)? {
        let name = name(Kind::Namespace, labels.first().map_or("", String::as_str), &inner.place)?;
        let child = child(spaces, at, &name, &inner.place);
        if let Some((value, setting)) = inner.take("custom_metadata")? {
            describe(spaces, child, Field { name: "custom_metadata".to_owned(), value: value.checked()? }, &setting)?;
        }
        fill(spaces, child, inner)?;
    }
    stanza.finish()
}

/// The namespace of this name in another; made when it is the first time that it is named.
fn child(spaces: &mut Vec<Space>, parent: usize, name: &str, place: &Place) -> usize {
    let path = spaces.get(parent).map_or("", |space| &space.path);
    let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    if let Some(at) = spaces.iter().position(|space| space.path == path) {
        return at;
    }
    let own = Item { kind: Kind::Namespace, name: name.to_owned(), place: place.clone(), fields: Vec::new() };
    spaces.push(Space { path, own: Some(own), items: Vec::new() });
    spaces.len() - 1
}

fn describe(spaces: &mut [Space], at: usize, field: Field, setting: &Setting) -> Result<(), FileError> {
    secrets::refuse(&field.name, &field.value, setting)?;
    let Some(own) = spaces.get_mut(at).and_then(|space| space.own.as_mut()) else { return Ok(()) };
    if own.fields.iter().any(|known| known.name == field.name) {
        return Err(setting.wrong("is already set for this namespace"));
    }
    own.fields.push(field);
    Ok(())
}

fn add(spaces: &mut [Space], at: usize, item: Item) -> Result<(), FileError> {
    let Some(space) = spaces.get_mut(at) else { return Ok(()) };
    if let Some(first) = space.items.iter().find(|known| known.kind == item.kind && known.name == item.name) {
        let setting = Setting { place: item.place.clone(), key: format!("{} {:?}", item.kind.word(), item.name) };
        return Err(setting.wrong(format!("is already described in {}", first.place)));
    }
    space.items.push(item);
    Ok(())
}

/// A name without slashes around it.
fn name(kind: Kind, label: &str, place: &Place) -> Result<String, FileError> {
    let name = label.trim_matches('/').to_owned();
    let several = matches!(kind, Kind::Mount | Kind::Auth | Kind::Object);
    if name.is_empty() || (name.contains('/') && !several) || name.chars().any(char::is_control) {
        let problem = if several { "needs a path" } else { "needs a name: one segment, without slashes" };
        return Err(Setting { place: place.clone(), key: kind.word().to_owned() }.wrong(problem));
    }
    Ok(name)
}

fn item(kind: Kind, label: &str, stanza: Stanza) -> Result<Item, FileError> {
    let place = stanza.place.clone();
    let name = name(kind, label, &place)?;
    let whole = Setting { place: place.clone(), key: format!("{} {name:?}", kind.word()) };
    let mut fields = Vec::new();
    for entry in stanza::checked_entries(stanza.rest())? {
        let setting = Setting { place: entry.place, key: format!("{} {}", whole.key, entry.key) };
        let known = kind.fields();
        if !known.is_empty() && !known.contains(&entry.key.as_str()) {
            return Err(setting.wrong(format!("unknown key; known here: {}", known.join(", "))));
        }
        if kind != Kind::Policy {
            secrets::refuse(&entry.key, &entry.value, &setting)?;
        }
        shape(kind, &entry.key, &entry.value).map_err(|problem| setting.wrong(problem))?;
        fields.push(Field { name: entry.key, value: entry.value });
    }
    let has = |name: &str| fields.iter().any(|field: &Field| field.name == name);
    match kind {
        Kind::Mount | Kind::Auth if !has("type") => Err(whole.wrong("needs a type")),
        Kind::Policy if has("rules") == has("file") => Err(whole.wrong("needs either rules or file")),
        Kind::Object if fields.is_empty() => Err(whole.wrong("needs a field")),
        _ => Ok(Item { kind, name, place, fields }),
    }
}

/// Whether a value is of the form that its field is compared in.
fn shape(kind: Kind, name: &str, value: &Value) -> Result<(), &'static str> {
    let plain = |value: &Value| matches!(value, Value::Text(_) | Value::Origin(_));
    let right = match (kind, name) {
        (Kind::Mount | Kind::Auth, "options" | "config") | (Kind::Group, "metadata") => {
            return if matches!(value, Value::Block(_)) { Ok(()) } else { Err("must be a block in braces") };
        }
        (Kind::Group, "members" | "member_groups") => {
            return match value {
                Value::List(items) if items.iter().all(plain) => Ok(()),
                _ => Err("must be a list of names"),
            };
        }
        (Kind::Mount | Kind::Auth, "type" | "description") | (Kind::Policy, "rules") => plain(value),
        (Kind::Policy, "file") => matches!(value, Value::Text(_)),
        _ => true,
    };
    if right { Ok(()) } else { Err("must be a text in quotes") }
}

#[cfg(test)]
#[path = "description_tests.rs"]
mod tests;
