//! A policy as a tenant keeps it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::index::Policy;
use super::parse::PolicyError;
use crate::record::{DecodeError, Kind, Listing, Record};
use crate::secret::SecretBytes;

/// The text that somebody wrote, and what it compiles to: compiled once, when it is written or read from the store.
pub struct PolicyRecord {
    text: String,
    policy: Arc<Policy>,
}

/// What is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    text: String,
}

impl PolicyRecord {
    /// Compiles `text`, HCL or JSON. `name` is in lower case.
    pub fn parse(name: &str, text: String) -> Result<Self, PolicyError> {
        let policy = Arc::new(Policy::parse(name, &text)?);
        Ok(Self { text, policy })
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it compiles to.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }
}

impl Record for PolicyRecord {
    const KIND: Kind = Kind::Policy;
    const LISTING: Listing = Listing::Flat;

    fn encode(&self) -> SecretBytes {
        let stored = Stored { name: self.policy.name().to_owned(), text: self.text.clone() };
        // Two strings always serialise.
        SecretBytes::new(serde_json::to_vec(&stored).unwrap_or_default())
    }

    fn decode(payload: SecretBytes) -> Result<Self, DecodeError> {
        let refused = |reason: String| DecodeError { kind: Kind::Policy, reason };
        let stored: Stored = serde_json::from_slice(payload.expose())
            .map_err(|error| refused(format!("line {} column {}", error.line(), error.column())))?;
        // What compiled when it was written compiles always, unless it was written by a newer version.
        Self::parse(&stored.name, stored.text).map_err(|_| refused("the policy does not compile".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_survives_storage_with_its_exact_text() {
        let text = "path \"secret/*\" { capabilities = [\"read\"] } # ü\n";
        let record = PolicyRecord::parse("dev", text.to_owned()).unwrap();
        let read = PolicyRecord::decode(record.encode()).unwrap();
        assert_eq!((read.text(), read.policy().name()), (text, "dev"));
    }

    #[test]
    fn what_does_not_compile_is_neither_written_nor_read() {
        assert!(PolicyRecord::parse("bad", "path \"x\" { capabilities = [\"nope\"] }".to_owned()).is_err());
        for payload in ["", "{}", r#"{"name":"bad","text":"path {"}"#] {
            let error = PolicyRecord::decode(SecretBytes::new(payload.as_bytes().to_vec())).err().unwrap();
            assert!(!error.to_string().contains("path {"), "an error never shows content");
        }
    }
}
