//! Policies: what a caller may do to which path.
//!
//! Owns the language (`parse`, `pattern`, `rule`), the decision (`index`, `evaluate`), its proof (`granted`) and the
//! policies that are shipped (`shipped`). Pure: no clock, no store, no request. Everything not granted is denied, and an
//! explicit deny wins over every grant on the same pattern. Paths are canonical, relative to the tenant, without a slash
//! at the start. Durations are `std::time::Duration`.

mod capability;
mod evaluate;
mod factor;
mod granted;
mod index;
#[cfg(test)]
mod model;
mod parse;
mod pattern;
mod record;
mod rule;
pub mod shipped;
mod syntax;

pub use capability::{Capabilities, Capability};
pub use evaluate::{Acl, Ask, Identity};
pub use factor::{FactorDemand, ShownFactor};
pub use granted::Granted;
pub use index::Policy;
pub use parse::{POLICY_BYTES_MAX, PolicyError, RULES_MAX};
pub use record::PolicyRecord;
