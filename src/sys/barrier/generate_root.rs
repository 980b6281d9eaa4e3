//! A new root token, for people who bring enough shares: of the root key, or recovery shares where a key file is the root key.
//!
//! The token leaves the server hidden: xored with a one-time password that only who began has seen.

use std::sync::{MutexGuard, PoisonError};

use data_encoding::BASE64_NOPAD;
use zeroize::Zeroizing;

use super::ceremony::Share;
use super::gathered::Gathered;
use super::record::SealRecord;
use super::{Barrier, BarrierError};
use crate::json::Json;
use crate::secret::SecretText;

/// Characters of a root token, and so of the one-time password.
const TOKEN_LENGTH: usize = 26;

/// One that is under way.
pub(super) struct Attempt {
    nonce: String,
    otp: SecretText,
    gathered: Gathered,
}

/// What of an attempt is told.
#[derive(Default)]
struct Shown<'a> {
    nonce: &'a str,
    started: bool,
    progress: usize,
    required: u8,
    /// Told once, to who began.
    otp: &'a str,
    encoded: &'a str,
}

impl Barrier {
    pub(super) fn root_generation(&self) -> MutexGuard<'_, Option<Attempt>> {
        self.root_generation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn shares_record(&self) -> Result<(SealRecord, u8), BarrierError> {
        let deployment =
            self.store.deployment().await?.ok_or_else(|| BarrierError::Invalid("Vault is not initialized".into()))?;
        let record = SealRecord::of(&deployment)?;
        let threshold = record.sets().first().map(|set| set.threshold);
        let threshold = threshold.ok_or_else(|| {
            BarrierError::Invalid(
                "this deployment has no shares: its seal opens by itself, and it was initialised without recovery shares".into(),
            )
        })?;
        Ok((record, threshold))
    }

    pub(super) async fn root_status(&self) -> Result<Json, BarrierError> {
        let (_, required) = self.shares_record().await?;
        Ok(match self.root_generation().as_ref() {
            None => Shown { required, ..Shown::default() }.json(),
            Some(attempt) => attempt.shown(required).json(),
        })
    }

    pub(super) async fn start_root(&self, otp: Option<SecretText>) -> Result<Json, BarrierError> {
        let (_, required) = self.shares_record().await?;
        let mut slot = self.root_generation();
        if slot.is_some() {
            return Err(BarrierError::Invalid("root generation already in progress for this namespace".into()));
        }
        let otp = match otp.filter(|otp| !otp.expose().is_empty()) {
            None => SecretText::new(crate::random::base62(TOKEN_LENGTH)),
            Some(otp) if otp.expose().len() == TOKEN_LENGTH => otp,
            Some(_) => return Err(BarrierError::Invalid("OTP string has incorrect length".into())),
        };
        let attempt = slot.insert(Attempt { nonce: crate::random::uuid(), otp, gathered: Gathered::default() });
        Ok(Shown { otp: attempt.otp.expose(), ..attempt.shown(required) }.json())
    }

    pub(super) async fn root_share(&self, share: &Share) -> Result<Json, BarrierError> {
        let (record, required) = self.shares_record().await?;
        let attempt = {
            let mut slot = self.root_generation();
            let attempt = slot.as_mut().ok_or_else(|| BarrierError::Invalid("no root generation in progress".into()))?;
            share.is_for(&attempt.nonce, "this root generation operation")?;
            if attempt.gathered.add(&record.sets(), &share.key)?.is_none() {
                return Ok(attempt.shown(required).json());
            }
            slot.take().ok_or_else(|| BarrierError::Invalid("no root generation in progress".into()))?
        };
        let token = self.another_root_token(None, "a root token was made with key shares").await?;
        tracing::warn!("a root token was made with key shares");
        let encoded = hide(token.expose(), attempt.otp.expose());
        Ok(Shown { progress: usize::from(required), encoded: &encoded, ..attempt.shown(required) }.json())
    }
}

impl Attempt {
    fn shown(&self, required: u8) -> Shown<'_> {
        Shown { nonce: &self.nonce, started: true, progress: self.gathered.count(), required, ..Shown::default() }
    }
}

impl Shown<'_> {
    fn json(&self) -> Json {
        Json::object(|o| {
            o.field("nonce", self.nonce).field("started", &self.started);
            o.field("progress", &self.progress).field("required", &self.required);
            o.field("complete", &!self.encoded.is_empty());
            o.field("encoded_token", self.encoded).field("encoded_root_token", self.encoded);
            o.field("pgp_fingerprint", "").field("otp", self.otp).field("otp_length", &TOKEN_LENGTH);
        })
    }
}

/// The token xored with the password, which is as long.
fn hide(token: &str, otp: &str) -> String {
    let hidden: Vec<u8> = token.bytes().zip(otp.bytes()).map(|(token, otp)| token ^ otp).collect();
    BASE64_NOPAD.encode(&Zeroizing::new(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_comes_back_with_the_password() {
        let (token, otp) = ("s.JzTEsKMb61ubEroxhkEIHQ5s", "8zbJBSYGUIQi6eaSw74EglPXuX");
        assert_eq!((token.len(), otp.len()), (TOKEN_LENGTH, TOKEN_LENGTH));
        let hidden = BASE64_NOPAD.decode(hide(token, otp).as_bytes()).unwrap();
        // As OpenBao encoded this token with this password.
        assert_eq!(hide(token, otp), "S1QoMBYWKgwYK2dYQwckIRhPXC4iJRgJQCs");
        let back: Vec<u8> = hidden.iter().zip(otp.bytes()).map(|(hidden, otp)| hidden ^ otp).collect();
        assert_eq!(back, token.as_bytes());
    }
}
