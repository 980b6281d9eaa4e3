//! KV version 1: one value for each path, replaced by every write.
//!
//! Owns the record `KvSecret` (one per secret: the value, the standing reference). TTLs are whole seconds.

mod run;
mod secret;

pub use crate::engine::object::Operation;
pub use run::{exists, purge, run, secret};
pub use secret::KvSecret;

pub(super) use run::{forget, set_standing, tree};

use crate::engine::object::{ANY, delete, list, read, scan, write};
use crate::engine::table::{Need, Row, Verb};

const PATH: &str = ":path*";

/// All operations.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Read, PATH, &[], "Reads a secret.", read),
    Row::new(Verb::Write, PATH, Need::CreateOrUpdate, ANY, "Writes a secret, in place of what was there.", write),
    Row::by_verb(Verb::List, PATH, &[], "Lists a directory.", list),
    Row::by_verb(Verb::Scan, PATH, &[], "Lists all secrets below a directory.", scan),
    Row::by_verb(Verb::Delete, PATH, &[], "Removes a secret.", delete),
];
