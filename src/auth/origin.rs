//! Where a request comes from, as far as who makes it depends on that.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cert::Presented;

/// The connection of a request.
#[derive(Clone)]
pub struct Origin {
    /// Its address.
    pub address: IpAddr,
    /// The client certificate whose key the connection proved.
    pub presented: Option<Arc<Presented>>,
}

impl Origin {
    /// Which certificate that is.
    pub fn certificate(&self) -> Option<Fingerprint> {
        self.presented.as_ref().map(|presented| Fingerprint(presented.fingerprint()))
    }
}

/// SHA-256 of a certificate (DER), shown as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        data_encoding::HEXLOWER.encode(&fingerprint.0)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| "not hexadecimal")?;
        bytes.try_into().map(Self).map_err(|_| "not 32 bytes")
    }
}
