//! A secret of KV version 1, as it is stored.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::id::MountId;
use crate::json::Json;
use crate::record::{Address, DecodeError, Kind, Listing, Record};
use crate::reference::Reference;
use crate::secret::SecretBytes;

/// A value, and the reference that stands for its secret.
pub struct KvSecret {
    /// Made with the first write.
    pub reference: Reference,
    /// The text of a JSON object.
    pub value: SecretBytes,
}

/// What is stored, as a view of the opened payload: the value is copied once, into a buffer that wipes itself.
#[derive(Deserialize)]
struct Stored<'a> {
    reference: Reference,
    #[serde(borrow)]
    value: &'a RawValue,
}

impl KvSecret {
    /// Where the secret at `path` lives.
    pub fn address(mount: MountId, path: &str) -> Address {
        Address::tree(Kind::KvSecret, mount, path)
    }
}

impl Record for KvSecret {
    const KIND: Kind = Kind::KvSecret;
    const LISTING: Listing = Listing::Tree;
    const CACHED: bool = false;

    fn encode(&self) -> SecretBytes {
        let json = Json::object(|out| {
            out.field("reference", &self.reference).raw("value", self.value.expose());
        });
        json.into_secret()
    }

    fn decode(payload: SecretBytes) -> Result<Self, DecodeError> {
        let stored: Stored<'_> = serde_json::from_slice(payload.expose()).map_err(|error| DecodeError {
            kind: Self::KIND,
            reason: format!("line {} column {}", error.line(), error.column()),
        })?;
        Ok(Self { reference: stored.reference, value: SecretBytes::new(stored.value.get().as_bytes().to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_storage_byte_for_byte() {
        let reference = Reference::random();
        let value = br#"{"n":1.500,"text":"\u00e4 \"q\"","deep":{"a":[null,true]}}"#;
        let secret = KvSecret { reference: reference.clone(), value: SecretBytes::new(value.to_vec()) };
        let read = KvSecret::decode(secret.encode()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((read.reference, read.value.expose()), (reference, &value[..]));
    }

    #[test]
    fn what_does_not_decode_is_named_without_content() {
        for payload in ["", "{}", r#"{"reference":"sref_x","value":hunter2}"#, r#"{"value":{}}"#] {
            let error = KvSecret::decode(SecretBytes::new(payload.as_bytes().to_vec())).err().unwrap();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
