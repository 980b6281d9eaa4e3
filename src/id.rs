//! Opaque identifiers: 16 random bytes each, never derived from a name, so they may stand in the clear.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// A fresh identifier.
            pub fn random() -> Self {
                Self(crate::random::bytes())
            }

            /// Reads 32 hexadecimal digits; upper case and hyphens (the UUID form) are accepted.
            pub fn parse(text: &str) -> Option<Self> {
                let plain: String = text.chars().filter(|c| *c != '-').collect();
                let raw = data_encoding::HEXLOWER_PERMISSIVE.decode(plain.as_bytes()).ok()?;
                raw.try_into().ok().map(Self)
            }

            /// The UUID text form, for the fields that clients expect a UUID in.
            pub fn uuid(self) -> String {
                let mut text = String::with_capacity(36);
                text.push_str(Digits::of(&self.0).text());
                for at in [8, 13, 18, 23] {
                    text.insert(at, '-');
                }
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Digits::of(&self.0).text())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an identifier of 32 hexadecimal digits"))
            }
        }
    };
}

opaque_id!(
    /// One installation: every key context and AAD names it, so that nothing moves between installations.
    DeploymentId
);
opaque_id!(
    /// One tenant (a namespace, at any depth).
    TenantId
);
opaque_id!(
    /// One mount of an engine in a tenant; survives a remount, so stored keys need not change.
    MountId
);
opaque_id!(
    /// One stored object for all its life: bound into the AAD of every version of it.
    ObjectId
);
opaque_id!(
    /// One backup of a deployment: bound into the AAD of every chunk of it.
    BackupId
);
opaque_id!(
    /// One server on a database, from its opening to its sealing.
    ReplicaId
);

/// Lower-case hexadecimal digits of an identifier. Every request makes some: no general encoder, and nothing on the heap.
struct Digits([u8; 32]);

impl Digits {
    fn of(bytes: &[u8; 16]) -> Self {
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        let mut digits = [0; 32];
        for ([high, low], byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            (*high, *low) = (digit(byte >> 4), digit(byte & 15));
        }
        Self(digits)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl TenantId {
    /// The short public form that ends tokens and accessors of this tenant (`s.xxxx.<label>`): ten letters and digits.
    /// Not unique by promise: a token is looked up in every tenant of the request's chain that has this label.
    pub fn label(self) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyzABCDEFGH";
        self.0.iter().take(10).filter_map(|byte| ALPHABET.get(usize::from(byte & 31))).map(|byte| char::from(*byte)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_survive_their_text_forms() {
        let id = TenantId::random();
        assert_eq!(TenantId::parse(&id.to_string()), Some(id));
        assert_eq!(TenantId::parse(&id.uuid()), Some(id));
        assert_eq!(TenantId::parse("short"), None);
        let fixed = TenantId(*b"\x00\x09\x0a\x1f\x90\xa0\xff\x7f01234567");
        assert_eq!(fixed.to_string(), "00090a1f90a0ff7f3031323334353637");
        assert_eq!(fixed.uuid(), "00090a1f-90a0-ff7f-3031-323334353637");
        assert_eq!(id.label().len(), 10);
    }
}
