//! Engines: what is mounted at a path and keeps secrets there. Each declares a table of its operations
//! (`operation.rs`) and does them (`run.rs`); engines do not know each other.

pub mod cubbyhole;
pub mod directory;
pub mod identity;
pub mod kv;
pub mod listing;
pub mod object;
pub mod references;
pub mod table;
pub mod transit;
