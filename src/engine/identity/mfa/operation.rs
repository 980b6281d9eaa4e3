//! The operations of `identity/mfa/`, and their limits.

use super::method::Settings;
use crate::engine::listing::Range;
use crate::secret::SecretText;

/// The longest name and issuer, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// How long a code may be shown, in seconds.
pub const PERIOD_SECONDS_MAX: u64 = 3_600;
/// The fewest and the most bytes of a secret. RFC 4226 section 4 asks for 128 bits at least.
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// The most failures in a row that a method may allow.
pub const ATTEMPTS_MAX: u64 = 100;
/// The most methods, mounts, types, groups or entities that one enforcement names, of each.
pub const NAMED_MAX: usize = 1_000;

/// What a client asks.
pub enum Operation {
    /// Make a method, or change the one with this id.
    WriteMethod(Option<String>, Settings),
    /// Show a method.
    ReadMethod(String),
    /// Delete a method.
    DeleteMethod(String),
    /// List methods.
    Methods(Range),
    /// Give the caller's entity a secret.
    Generate(Enrol),
    /// Give an entity a secret.
    AdminGenerate(Enrol),
    /// Take its secret from an entity.
    AdminDestroy(Enrol),
    /// Make recovery codes for the caller's entity.
    NewRecoveryCodes,
    /// Say how many it has left.
    RecoveryCodes,
    /// Make or change an enforcement.
    WriteEnforcement(String, Box<Scope>),
    /// Show an enforcement.
    ReadEnforcement(String),
    /// Delete an enforcement.
    DeleteEnforcement(String),
    /// List enforcements.
    Enforcements(Range),
}

/// Whose factor is made or taken away.
pub struct Enrol {
    /// The method's id.
    pub method: String,
    /// The entity; the caller's own where that is asked for.
    pub entity: Option<String>,
    /// Also where there is a secret already.
    pub force: bool,
    /// A recovery code, instead of a factor that the token has shown.
    pub recovery_code: Option<SecretText>,
}

/// Which logins an enforcement is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scope {
    /// Ids of methods; any of them will do.
    pub methods: Vec<String>,
    /// Accessors of mounts.
    pub accessors: Vec<String>,
    /// Types of mounts.
    pub types: Vec<String>,
    /// Ids of groups.
    pub groups: Vec<String>,
    /// Ids of entities.
    pub entities: Vec<String>,
}
