//! KV version 2: secrets with versions.
//!
//! Owns the records `KvConfig` (one per mount), `KvMetadata` (one per secret: settings, times, which versions there
//! are, the standing reference) and `KvVersion` (one per version: the value). Times are `Timestamp`s, settings that are durations whole seconds.

mod change;
mod data;
pub mod metadata;
pub mod operation;
mod purge;
pub mod run;
pub mod settings;
mod subkeys;

pub(super) use data::adopt;
pub use metadata::{KvMetadata, KvVersion};
pub use operation::{Operation, TABLE};
pub use purge::purge;
pub use run::{exists, run};
pub use settings::KvConfig;

#[cfg(test)]
mod tests;
