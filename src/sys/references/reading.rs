//! What a reference leads to, as it is answered: opened at once, or when there is time.

use crate::answer::{Data, Refusal};
use crate::engine::kv::v2::Shown;

/// What was read at a target.
pub(super) enum Reading {
    /// As it is answered.
    Written(Data),
    /// A version of a secret, or one field of it, which is opened when it is written.
    Version(Shown, Option<String>),
}

impl Reading {
    /// HTTP status of the answer.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Written(data) => data.status,
            Self::Version(shown, _) => shown.status(),
        }
    }

    /// About how long the answer's value is, bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Written(data) => data.data.as_ref().map_or(0, |json| json.expose().len()),
            Self::Version(shown, _) => shown.bytes(),
        }
    }

    /// The answer.
    pub(super) fn write(self) -> Result<Data, Refusal> {
        match self {
            Self::Written(data) => Ok(data),
            Self::Version(shown, field) => shown.answer(field.as_deref()),
        }
    }

    /// The same, of which it is certain that it can be written. What was opened before, from the bytes that are in memory, opens again; and
    /// `has_field` says that the value has the field that is wanted. Anything else is written now.
    pub(super) fn certain(self, has_field: bool) -> Result<Self, Refusal> {
        match &self {
            Self::Version(shown, field) if shown.was_opened() && (has_field || field.is_none()) => Ok(self),
            _ => self.write().map(Self::Written),
        }
    }
}
