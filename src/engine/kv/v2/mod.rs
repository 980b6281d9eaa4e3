//! KV version 2: secrets with versions.
//!
//! Owns the records `KvConfig` (one per mount), `KvMetadata` (one per secret: settings, times, which versions there
//! are, the standing reference) and `KvVersion` (one per version: the value). Times are `Timestamp`s, settings that are durations whole seconds.

mod change;
mod data;
pub mod metadata;
pub mod operation;
mod purge;
mod referred;
pub mod run;
pub mod settings;
mod shown;
mod subkeys;

pub(super) use data::adopt;
pub use metadata::{KvMetadata, KvVersion};
pub use operation::{Operation, TABLE};
pub use purge::purge;
pub(super) use referred::set_standing;
pub use referred::{MOVE_BYTES_MAX, Referred, referred, relocate};
pub use run::{exists, run};
pub use settings::KvConfig;
pub use shown::Shown;

#[cfg(test)]
mod tests;
