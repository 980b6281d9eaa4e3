//! The table of `sys/references`.

use super::parse;
use crate::engine::listing::Range;
use crate::engine::references::conditions::{
    CERTIFICATES, Conditions, ENTITIES, EXPIRES, NOT_BEFORE, PURPOSE, SUBJECTS, TTL, URI_SANS, USES,
};
use crate::engine::table::{Field, Row, Verb};
use crate::path::Path;
use crate::reference::{Consumer, Reference, ReferenceId, ReferenceRecord};

/// One operation.
pub enum Operation {
    /// The value that a reference stands for.
    Resolve(Wanted),
    /// The same of many, each with an outcome of its own. What is no reference is refused in its place.
    ResolveAll(Vec<(String, Option<Wanted>)>),
    /// A new reference, for whoever may read what it points to.
    Mint(Wish),
    /// A new reference, for certain consumers.
    Bind(Wish),
    /// The ids of all references but the standing ones.
    List(Range),
    /// The references to a path, or for a consumer.
    Search(Query),
    /// What is known of a reference.
    Describe(Named),
    /// Another text for a reference.
    Rotate(Named),
    /// The end of references.
    Revoke(Sought),
}

impl Operation {
    /// The client has values with these tags (`If-None-Match`). Items of a batch have tags of their own.
    pub fn unless(&mut self, tags: &str) {
        if let Self::Resolve(wanted) = self {
            wanted.etags.extend(parse::etags(tags));
        }
    }
}

/// A reference that is to be resolved.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The reference.
    pub reference: Reference,
    /// What it is said to be needed for.
    pub purpose: Option<String>,
    /// What the client has already: the value is left out if it is still the same.
    pub etags: Vec<String>,
}

/// A reference that is to be made.
#[derive(Debug, PartialEq, Eq)]
pub struct Wish {
    /// The path of the secret, as it is read.
    pub path: Path,
    /// The version that it always means.
    pub pinned: Option<u64>,
    /// The field of the value that it means.
    pub field: Option<String>,
    /// Its conditions.
    pub conditions: Conditions,
}

/// A reference by its text, or by its id.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// The text.
    Reference(Reference),
    /// The id.
    Id(ReferenceId),
}

/// What is searched for.
#[derive(Debug, PartialEq, Eq)]
pub enum Query {
    /// All that point to the secret that is read at this path.
    Path(Path),
    /// All that are bound to this consumer.
    Consumer(Consumer),
}

impl Query {
    /// Whether a reference is among what is searched for: they are listed together with others that are not.
    pub(super) fn finds(&self, record: &ReferenceRecord) -> bool {
        match self {
            Self::Path(_) => true,
            Self::Consumer(consumer) => record.binding.consumers.iter().any(|own| own.covers(consumer)),
        }
    }
}

/// What is to be ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Sought {
    /// One.
    Named(Named),
    /// All that point to the secret that is read at this path.
    Path(Path),
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const REFERENCE: Field = field("reference", "string", "A reference.");
const ID: Field = field("id", "string", "Id of a reference: what the audit log calls it.");
const PATH: Field = field("path", "string", "Path that the secret is read at: secret/data/app.");
const VERSION: Field = field("version", "integer", "Always this version; by default the newest.");
const FIELD: Field = field("field", "string", "This field of the value only; by default all.");
const CERTIFICATE: Field = field("certificate", "string", "Fingerprint of a client certificate.");
const URI_SAN: Field = field("uri_san", "string", "URI of a client certificate.");
const SUBJECT: Field = field("subject", "string", "Subject of a token, or a pattern as it was given.");
const ENTITY: Field = field("entity", "string", "Id of an entity.");

const RESOLVE: &[Field] = &[
    field("reference", "string", "A reference that a write has answered with, or that was minted."),
    field("purpose", "string", "What it is needed for."),
    field("etag", "string", "Of the answer that the client has: an unchanged value is not sent again."),
    field("references", "array", "Up to 1,000 references, or objects of the fields above, to resolve at once."),
];
const NAMED: &[Field] = &[REFERENCE, ID];

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(
        Verb::Write,
        "references/resolve",
        RESOLVE,
        "Reads the value that a reference stands for. Needs `read` on the secret, too, or a reference that is bound to the caller.",
        parse::resolve,
    ),
    Row::by_verb(
        Verb::Write,
        "references/mint",
        &[PATH, VERSION, FIELD, PURPOSE, NOT_BEFORE, EXPIRES, TTL, USES],
        "Makes a reference to a secret that the caller may read, for others who may.",
        parse::mint,
    ),
    Row::by_verb(
        Verb::Write,
        "references/bind/:path*",
        &[VERSION, FIELD, PURPOSE, NOT_BEFORE, EXPIRES, TTL, USES, ENTITIES, CERTIFICATES, URI_SANS, SUBJECTS],
        "Makes a reference to the secret that is read at the path, for consumers that need no policy on it.",
        parse::bind,
    ),
    Row::by_verb(Verb::List, "references", &[], "Lists the ids of references that were minted or bound.", |call| {
        Ok(Operation::List(Range::parse(call)?))
    }),
    Row::by_verb(
        Verb::Write,
        "references/search",
        &[PATH, ENTITY, CERTIFICATE, URI_SAN, SUBJECT],
        "Finds references by path or consumer.",
        parse::search,
    ),
    Row::by_verb(Verb::Write, "references/describe", NAMED, "Says what a reference points to, and for whom.", parse::describe),
    Row::by_verb(Verb::Write, "references/rotate", NAMED, "Gives a reference another text; the old one is dead.", parse::rotate),
    Row::by_verb(
        Verb::Write,
        "references/revoke",
        &[REFERENCE, ID, PATH],
        "Ends a reference, or all that point to a path.",
        parse::revoke,
    ),
];
