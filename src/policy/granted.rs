//! The proof that policy said yes.

use super::capability::Capability;
use super::evaluate::{Acl, Ask};

/// Policy granted `capability` on `path`. There is one way to make this value, so code that takes it cannot be reached
/// without having asked.
#[derive(Debug)]
pub struct Granted<'a> {
    path: &'a str,
    capability: Capability,
    sudo: bool,
}

impl<'a> Granted<'a> {
    /// Asks `acl`; `None` when it says no.
    pub fn by(acl: &Acl, ask: &Ask<'a>) -> Option<Self> {
        acl.decide(ask).then_some(Self { path: ask.path, capability: ask.capability, sudo: ask.sudo })
    }

    /// The path that was asked about.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// What was granted.
    pub fn capability(&self) -> Capability {
        self.capability
    }

    /// Whether `sudo` was asked for and granted besides.
    pub fn sudo(&self) -> bool {
        self.sudo
    }
}
