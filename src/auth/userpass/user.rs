//! A user.

use serde::{Deserialize, Serialize};

use crate::auth::parameters::TokenParameters;
use crate::auth::principals::Admits;
use crate::crypto::password::PasswordHash;
use crate::engine::identity::LastLogin;
use crate::json::Json;
use crate::record::{DecodeError, Kind, Listing, Past, Record};
use crate::secret::{SecretBytes, SecretText};

/// A user. Its record is JSON, and never kept open: it holds the hash.
pub(super) struct User {
    /// The hash of its password.
    pub(super) password: PasswordHash,
    /// About its tokens.
    pub(super) parameters: TokenParameters,
}

#[derive(Serialize)]
struct Written<'a> {
    password: &'a str,
    parameters: &'a TokenParameters,
}

#[derive(Deserialize)]
struct Read {
    password: String,
    parameters: TokenParameters,
}

impl Record for User {
    const KIND: Kind = Kind::User;
    const LISTING: Listing = Listing::Flat;
    const CACHED: bool = false;
    const HAS_PAST: bool = true;

    fn past(&self) -> Option<Past> {
        // Nothing of the password.
        Admits::by(&self.parameters).past()
    }

    fn encode(&self) -> SecretBytes {
        let written = Written { password: self.password.text().expose(), parameters: &self.parameters };
        // Strings, numbers and lists always serialise.
        SecretBytes::new(serde_json::to_vec(&written).unwrap_or_default())
    }

    fn decode(payload: SecretBytes) -> Result<Self, DecodeError> {
        let wrong = |reason: String| DecodeError { kind: Kind::User, reason };
        let read: Read = serde_json::from_slice(payload.expose())
            .map_err(|error| wrong(format!("line {} column {}", error.line(), error.column())))?;
        let text = SecretText::new(read.password);
        let password = PasswordHash::parse(text.expose()).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { password, parameters: read.parameters })
    }
}

impl User {
    /// The `data` of a read.
    pub(super) fn json(&self, last: Option<&LastLogin>) -> Json {
        Json::object(|data| {
            self.parameters.show(data);
            if let Some(last) = last {
                last.show(data);
            }
        })
    }
}
