//! What may be done to a path, and sets of it.

/// One thing that a rule grants, or `Deny`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Capability {
    /// Write where nothing is there yet.
    Create = 1,
    /// Remove.
    Delete = 1 << 1,
    /// Nothing, whatever else is granted on the same pattern.
    Deny = 1 << 2,
    /// See the names in a directory.
    List = 1 << 3,
    /// Change a part of what is there.
    Patch = 1 << 4,
    /// Read.
    Read = 1 << 5,
    /// See the names in a directory and in all below it.
    Scan = 1 << 6,
    /// Besides another capability: paths that are kept for administrators.
    Sudo = 1 << 7,
    /// Overwrite what is there.
    Update = 1 << 8,
}

impl Capability {
    /// All of them, sorted by name.
    pub const ALL: [Self; 9] =
        [Self::Create, Self::Delete, Self::Deny, Self::List, Self::Patch, Self::Read, Self::Scan, Self::Sudo, Self::Update];

    /// The name, as in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Deny => "deny",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Read => "read",
            Self::Scan => "scan",
            Self::Sudo => "sudo",
            Self::Update => "update",
        }
    }

    /// The capability of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

/// A set of capabilities. With `Deny` in it, it grants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Capabilities {
    bits: u16,
    root: bool,
}

impl Capabilities {
    /// Nothing.
    pub const NONE: Self = Self { bits: 0, root: false };
    /// Everything, as the root token has it.
    pub const ROOT: Self = Self { bits: 0, root: true };

    /// The capabilities of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits, root: self.root || other.root }
    }

    /// Whether `capability` is granted. `Deny` never is.
    pub fn grants(self, capability: Capability) -> bool {
        self.root || (!self.has(Capability::Deny) && capability != Capability::Deny && self.has(capability))
    }

    /// Whether anything is granted.
    pub fn grants_something(self) -> bool {
        self.root || (self.bits != 0 && !self.has(Capability::Deny))
    }

    /// Whether it says explicitly that nothing is granted.
    pub fn denies(self) -> bool {
        !self.root && self.has(Capability::Deny)
    }

    /// The names, sorted, as the API shows them: `root` alone for root, `deny` alone when nothing is granted.
    pub fn names(self) -> Vec<&'static str> {
        if self.root {
            return vec!["root"];
        }
        if !self.grants_something() {
            return vec!["deny"];
        }
        Capability::ALL.into_iter().filter(|capability| self.has(*capability)).map(Capability::name).collect()
    }

    fn has(self, capability: Capability) -> bool {
        self.bits & capability as u16 != 0
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Self {
        Self { bits: all.into_iter().fold(0, |bits, capability| bits | capability as u16), root: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_deny_stands_alone() {
        let set = |names: &[&str]| names.iter().map(|name| Capability::parse(name).unwrap()).collect::<Capabilities>();
        assert_eq!(set(&["update", "read", "list", "create"]).names(), ["create", "list", "read", "update"]);
        assert_eq!(set(&["update", "deny"]).names(), ["deny"]);
        assert_eq!(Capabilities::NONE.names(), ["deny"]);
        assert_eq!(Capabilities::ROOT.names(), ["root"]);
        assert!(!set(&["update", "deny"]).grants(Capability::Update));
        assert!(!set(&["deny"]).grants(Capability::Deny));
        assert_eq!(Capability::parse("root"), None);
    }
}
