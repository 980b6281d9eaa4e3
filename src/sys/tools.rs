//! `sys/tools`: random bytes and hashes, without any key.

use crate::engine::table::{Row, Verb};
use crate::engine::transit::tools::{HASH, RANDOM, hash, random_bytes, random_of};

pub use crate::engine::transit::tools::{Operation, run};

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Write, "tools/random", RANDOM, "Makes random bytes.", |call| random_bytes(None, None, call)),
    Row::by_verb(Verb::Write, "tools/random/:what", RANDOM, "Makes random bytes: so many, or from this source.", random_of),
    Row::by_verb(Verb::Write, "tools/random/:source/:bytes", RANDOM, "Makes random bytes: so many, from this source.", |call| {
        random_bytes(Some(call.captures.get(0)), Some(call.captures.get(1)), call)
    }),
    Row::by_verb(Verb::Write, "tools/hash", HASH, "Hashes what is sent.", |call| hash(None, call)),
    Row::by_verb(Verb::Write, "tools/hash/:algorithm", HASH, "Hashes what is sent, by this algorithm.", |call| {
        hash(Some(call.captures.get(0)), call)
    }),
];
