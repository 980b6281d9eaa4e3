//! The cubbyhole: what a token keeps for itself. No other token reaches it, whatever its policies say.
//!
//! Owns the record `Kept`, in a tree whose first directory is the holder: the accessor of the token, which no later token
//! gets again, also where the token's text is chosen again. It knows nothing else of tokens: who the holder is, and
//! whether it is gone, is said by whoever calls.

mod run;

pub use crate::engine::object::Operation;
pub use run::{Kept, exists, holders, purge, run};

use crate::engine::object::{ANY, delete, list, read, write};
use crate::engine::table::{Need, Row, Verb};

const PATH: &str = ":path*";

/// All operations.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Read, PATH, &[], "Reads what the token keeps at a path.", read),
    Row::new(Verb::Write, PATH, Need::CreateOrUpdate, ANY, "Keeps an object for the token alone, as long as it lives.", write),
    Row::by_verb(Verb::List, PATH, &[], "Lists a directory of the token's own.", list),
    Row::by_verb(Verb::Delete, PATH, &[], "Removes what the token keeps at a path.", delete),
];
