//! Shares that people bring one at a time, for one purpose.

use super::BarrierError;
use crate::crypto::RootKey;
use crate::seal::shamir::{Check, ShareSet, combine};
use crate::secret::{SecretBytes, SecretText};

/// Shares that were brought since the last reset, each once.
#[derive(Default)]
pub(super) struct Gathered(Vec<Given>);

struct Given {
    set: Check<16>,
    which: usize,
    share: SecretBytes,
}

impl Gathered {
    pub(super) fn reset(&mut self) {
        self.0.clear();
    }

    /// How many of the set that has most.
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|given| self.of(given.set)).max().unwrap_or(0)
    }

    fn of(&self, set: Check<16>) -> usize {
        self.0.iter().filter(|given| given.set == set).count()
    }

    /// Takes one share, as hexadecimal or base64. With enough of one of `sets`: that set and what its shares give, and all are
    /// forgotten. A share of none of them is told at once, and those given before are kept.
    pub(super) fn add<'s>(
        &mut self,
        sets: &[&'s ShareSet],
        text: &SecretText,
    ) -> Result<Option<(&'s ShareSet, RootKey)>, BarrierError> {
        let share =
            decode(text.expose()).ok_or_else(|| BarrierError::Invalid("'key' must be a valid hex or base64 string".into()))?;
        let found = sets.iter().find_map(|set| set.recognises(&share).map(|which| (*set, which)));
        let (set, which) = found.ok_or_else(|| {
            BarrierError::Invalid(
                "this key share does not belong to this deployment's seal; the shares given before are kept".into(),
            )
        })?;
        if !self.0.iter().any(|given| given.set == set.id && given.which == which) {
            self.0.push(Given { set: set.id, which, share });
        }
        if self.of(set.id) < usize::from(set.threshold) {
            return Ok(None);
        }
        let given = std::mem::take(&mut self.0);
        let shares: Vec<SecretBytes> = given.into_iter().filter(|given| given.set == set.id).map(|given| given.share).collect();
        let root = combine(&shares, set).map_err(|error| BarrierError::Invalid(error.to_string()))?;
        Ok(Some((set, root)))
    }
}

/// Clients send a share as they got it: hexadecimal or base64.
fn decode(text: &str) -> Option<SecretBytes> {
    let text = text.trim();
    let hex = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let raw = hex.or_else(|| data_encoding::BASE64.decode(text.as_bytes()).ok());
    raw.filter(|raw| !raw.is_empty()).map(SecretBytes::new)
}
