//! What people do together with their key shares, while the server is open: change the root key, and make a root token.
//!
//! Progress is in the memory of one server. A share never reaches a log, an event or an answer.

use super::{Barrier, BarrierError};
use crate::answer::Refusal;
use crate::fields::Fields;
use crate::json::Json;
use crate::secret::{SecretBytes, SecretText};

/// Which key is changed, and its shares with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The root key that shares give.
    Root,
    /// The recovery key, beside seals that open by themselves.
    Recovery,
}

/// What a change of a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RekeyRequest {
    pub(super) shares: u8,
    pub(super) threshold: u8,
    pub(super) verify: bool,
    /// Nobody has looked at a token.
    pub(super) stranger: bool,
}

/// One step of a ceremony.
pub enum Step {
    /// How far a change of this key is.
    RekeyStatus(Target),
    /// Begin one.
    RekeyStart(Target, RekeyRequest),
    /// Bring a share of the key of now.
    RekeyShare(Target, Share),
    /// Give it up.
    RekeyCancel(Target),
    /// How far the verification of the new shares is.
    VerifyStatus(Target),
    /// Bring a share of the new key.
    VerifyShare(Target, Share),
    /// Begin the verification again.
    VerifyRestart(Target),
    /// How far the making of a root token is.
    RootStatus,
    /// Begin one. The one-time password that the token is to be hidden with is made unless it is given.
    RootStart(Option<SecretText>),
    /// Bring a share.
    RootShare(Share),
    /// Give it up.
    RootCancel,
}

/// A share, and which attempt it is for.
pub struct Share {
    pub(super) key: SecretText,
    pub(super) nonce: String,
}

impl Step {
    /// Reads the body of `RootStart`.
    pub fn root_start(fields: &Fields<'_>) -> Result<Self, Refusal> {
        refuse_pgp(fields, &["pgp_key"])?;
        fields.secret("otp").map(Self::RootStart)
    }
}

impl RekeyRequest {
    /// The same, asked for without a token: shares are all that speaks for whoever asks.
    #[must_use]
    pub fn of_stranger(self) -> Self {
        Self { stranger: true, ..self }
    }

    /// Reads the body.
    pub fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        refuse_pgp(fields, &["pgp_keys"])?;
        let number = |name: &str| fields.integer(name).map(|number| number.unwrap_or(0));
        let (shares, threshold) = (number("secret_shares")?, number("secret_threshold")?);
        let problem = match (shares, threshold) {
            (i64::MIN..=0, _) => Some("shares must be at least one"),
            (_, i64::MIN..=0) => Some("threshold must be at least one"),
            (256.., _) => Some("shares must be less than 256"),
            (shares, threshold) if threshold > shares => Some("threshold cannot be larger than shares"),
            (2.., 1) => Some("threshold must be greater than one for multiple shares"),
            _ => None,
        };
        match (problem, u8::try_from(shares), u8::try_from(threshold)) {
            (None, Ok(shares), Ok(threshold)) => {
                let verify = fields.boolean("require_verification")?.unwrap_or(false);
                Ok(Self { shares, threshold, verify, stranger: false })
            }
            (problem, ..) => Err(Refusal::invalid(format!("invalid shares: {}", problem.unwrap_or("out of range")))),
        }
    }
}

impl Share {
    /// Reads `key` and `nonce`.
    pub fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let missing = |name: &str| Refusal::invalid(format!("missing required field '{name}'"));
        let key = fields.secret("key")?.filter(|key| !key.expose().is_empty()).ok_or_else(|| missing("key"))?;
        let nonce = fields.text("nonce")?.filter(|nonce| !nonce.is_empty()).ok_or_else(|| missing("nonce"))?;
        Ok(Self { key, nonce })
    }

    /// Refused when it is for another attempt: people would bring shares to something they do not know of.
    pub(super) fn is_for(&self, nonce: &str, what: &str) -> Result<(), BarrierError> {
        if self.nonce == nonce {
            return Ok(());
        }
        Err(BarrierError::Invalid(format!("incorrect nonce supplied; nonce for {what} is \"{nonce}\"")))
    }
}

/// Refuses what would have the shares encrypted: to send them in the clear instead would not be what was asked for.
pub(super) fn refuse_pgp(fields: &Fields<'_>, names: &[&str]) -> Result<(), Refusal> {
    for name in names {
        let given = fields.raw(name).is_some_and(|raw| !matches!(raw.get(), "null" | "[]" | "\"\""));
        if given {
            return Err(Refusal::invalid(format!("unsupported: {name}; take what is secret over a trusted connection")));
        }
    }
    Ok(())
}

impl Barrier {
    /// Takes one step. None where there is nothing to say.
    pub async fn ceremony(&self, step: Step) -> Result<Option<Json>, BarrierError> {
        let _alone = self.changing.lock().await;
        if self.open().is_none() {
            return Err(BarrierError::Sealed);
        }
        match step {
            Step::RekeyStatus(target) => self.rekey_status(target).await.map(Some),
            Step::RekeyStart(target, request) => self.start_rekey(target, request).await.map(Some),
            Step::RekeyShare(target, share) => self.rekey_share(target, &share).await.map(Some),
            Step::RekeyCancel(target) => {
                self.rekeys().of(target).take();
                Ok(None)
            }
            Step::VerifyStatus(target) => self.verify_status(target).map(Some),
            Step::VerifyShare(target, share) => self.verify_share(target, &share).await.map(Some),
            Step::VerifyRestart(target) => self.restart_verification(target).map(Some),
            Step::RootStatus => self.root_status().await.map(Some),
            Step::RootStart(otp) => self.start_root(otp).await.map(Some),
            Step::RootShare(share) => self.root_share(&share).await.map(Some),
            Step::RootCancel => {
                self.root_generation().take();
                Ok(None)
            }
        }
    }

    /// A sealed server knows of no ceremony.
    pub(super) fn forget_ceremonies(&self) {
        *self.rekeys() = super::rekey::Rekeys::default();
        self.root_generation().take();
    }
}

/// Shares in both forms that clients read.
pub(crate) fn write_shares(o: &mut crate::json::Object<'_>, names: [&str; 2], shares: &[SecretBytes]) {
    for (name, encoding) in names.into_iter().zip([data_encoding::HEXLOWER, data_encoding::BASE64]) {
        let texts: Vec<_> = shares.iter().map(|share| zeroize::Zeroizing::new(encoding.encode(share.expose()))).collect();
        let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
        o.strings(name, &texts);
    }
}
