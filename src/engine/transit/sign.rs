//! Signing and verifying.

use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD};

use super::batch::{Batch, Failing, base64, context_field, told};
use super::encrypt::{derivation, each, open_mark, version_for};
use super::mac;
use super::marked::mark;
use super::record::{self, Ring};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::crypto::transit::{self, Hash, KeyError, Padding, Salt, Signable};
use crate::engine::table::Call;
use crate::fields::Fields;
use crate::json::Object;
use crate::secret::SecretBytes;

/// How something is signed.
#[derive(Clone, Copy)]
pub struct Way {
    /// None: what is signed is no hash, of PKCS #1 v1.5 alone.
    hash: Option<Hash>,
    prehashed: bool,
    marshaling: Marshaling,
    scheme: Scheme,
    salt: SaltLength,
    version: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marshaling {
    /// A SEQUENCE for ECDSA, in base64.
    Asn1,
    /// r and s for ECDSA, in base64 for URLs.
    Jws,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Pss,
    Pkcs1,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SaltLength {
    Auto,
    Hash,
    Bytes(i64),
}

/// A text to be signed.
pub struct Text {
    pub(super) input: SecretBytes,
    context: Option<Vec<u8>>,
}

/// A text and what is said to be its signature.
pub struct Claim {
    input: SecretBytes,
    context: Option<Vec<u8>>,
    signature: String,
}

/// What is verified.
pub enum Claims {
    /// Signatures.
    Signed(Way, Batch<Claim>),
    /// HMACs.
    Mac(Option<Hash>, Batch<mac::Claim>),
}

/// A hash function by the name that the API has for it; `none` is `None`.
pub(super) fn hash(call: &Call<'_>) -> Result<Option<Hash>, Refusal> {
    let named = |name: &str| Ok::<_, Refusal>(call.fields.text(name)?.filter(|text| !text.is_empty()));
    let in_path = Some(call.captures.get(1)).filter(|name| !name.is_empty()).map(str::to_owned);
    let name = match in_path {
        Some(name) => Some(name),
        None => named("hash_algorithm")?.or(named("algorithm")?),
    };
    let name = name.as_deref().unwrap_or("sha2-256");
    if name == "none" {
        return Ok(None);
    }
    Hash::named(name).map(Some).ok_or_else(|| Refusal::Invalid(format!("invalid hash algorithm {name:?}")))
}

impl Way {
    fn parse(call: &Call<'_>) -> Result<Self, Refusal> {
        let text = |name: &str| Ok::<_, Refusal>(call.fields.text(name)?.filter(|text| !text.is_empty()));
        let marshaling = match text("marshaling_algorithm")?.as_deref() {
            None | Some("asn1") => Marshaling::Asn1,
            Some("jws") => Marshaling::Jws,
            Some(other) => return Err(Refusal::Invalid(format!("invalid marshaling type {other:?}"))),
        };
        let scheme = match text("signature_algorithm")?.as_deref() {
            None | Some("pss") => Scheme::Pss,
            Some("pkcs1v15") => Scheme::Pkcs1,
            Some(other) => return Err(Refusal::Invalid(format!("unsupported rsa signature algorithm {other}"))),
        };
        let salt = match text("salt_length")?.map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("auto" | "0") => SaltLength::Auto,
            Some("hash" | "-1") => SaltLength::Hash,
            Some(other) => match other.parse() {
                Ok(bytes @ 1..) => SaltLength::Bytes(bytes),
                Ok(bytes) => return Err(Refusal::Invalid(format!("salt length is invalid: {bytes}"))),
                Err(_) => return Err(Refusal::Invalid(format!("salt length neither 'auto', 'hash', nor an int: {other}"))),
            },
        };
        let (hash, prehashed) = (hash(call)?, call.fields.boolean("prehashed")?.unwrap_or(false));
        let version = call.fields.integer("key_version")?.unwrap_or(0);
        if hash.is_none() && (!prehashed || scheme != Scheme::Pkcs1) {
            return Err(Refusal::invalid("hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15"));
        }
        Ok(Self { hash, prehashed, marshaling, scheme, salt, version })
    }

    /// What RSA does with a hash, by a key with a modulus of so many bytes.
    fn padding(&self, modulus: usize) -> Result<Padding, String> {
        let (Some(hash), Scheme::Pss) = (self.hash, self.scheme) else { return Ok(Padding::Pkcs1(self.hash)) };
        let most = modulus.saturating_sub(2 + hash.bytes());
        Ok(Padding::Pss(
            hash,
            match self.salt {
                SaltLength::Auto => Salt::Auto,
                SaltLength::Hash => Salt::Bytes(hash.bytes()),
                SaltLength::Bytes(bytes) => {
                    let fits = usize::try_from(bytes).ok().filter(|bytes| *bytes <= most);
                    Salt::Bytes(fits.ok_or_else(|| format!("requested salt length {bytes} is invalid"))?)
                }
            },
        ))
    }

    /// Hands over what is to be signed or verified, hashed where the type of key wants it.
    fn apply<T>(&self, ring: &Ring, input: &[u8], work: impl FnOnce(Signable<'_>) -> T) -> Result<T, String> {
        let kind = ring.key.settings.kind;
        if !kind.signs_hashes() {
            return Ok(work(Signable::Text(input)));
        }
        let made;
        let hashed = match self.hash {
            Some(hash) if !self.prehashed => {
                made = hash.of(&[input]);
                made.as_slice()
            }
            Some(hash) if kind.is_rsa() && input.len() != hash.bytes() => return Err(told(KeyError::HashLength)),
            _ => input,
        };
        Ok(work(Signable::Hash(hashed, self.padding(kind.modulus_bytes())?)))
    }

    fn write(&self, signature: &[u8]) -> String {
        match self.marshaling {
            Marshaling::Asn1 => BASE64.encode(signature),
            Marshaling::Jws => BASE64URL_NOPAD.encode(signature),
        }
    }

    fn read(&self, body: &str) -> Result<Vec<u8>, String> {
        let decoded = match self.marshaling {
            Marshaling::Asn1 => base64(body).ok(),
            Marshaling::Jws => BASE64URL_NOPAD.decode(body.as_bytes()).ok(),
        };
        decoded.ok_or_else(|| "invalid base64 signature value".to_owned())
    }
}

/// The input of an item, which must be there in a batch.
pub(super) fn input(fields: &Fields<'_>, missing: &str) -> Result<SecretBytes, Refusal> {
    let text = fields.secret("input")?.ok_or_else(|| Refusal::invalid(missing))?;
    let decoded = base64(text.expose());
    decoded.map(SecretBytes::new).map_err(|error| Refusal::Invalid(format!("unable to decode input as base64: {error}")))
}

pub(super) fn to_sign(call: &Call<'_>) -> Result<(Way, Batch<Text>), Refusal> {
    let alone = !call.fields.has("batch_input");
    let item = |fields: &Fields<'_>| {
        let input = if alone && !fields.has("input") { SecretBytes::new(Vec::new()) } else { input(fields, "missing input")? };
        Ok(Text { input, context: context_field(fields, "failed to base64-decode context")? })
    };
    Ok((Way::parse(call)?, Batch::parse(call, item, |_| Ok(()))?))
}

/// Which of the two is verified is the same for all items.
pub(super) fn to_verify(call: &Call<'_>) -> Result<Claims, Refusal> {
    let rows = call.fields.rows("batch_input")?;
    let (mut signed, mut maced, mut missing) = (false, false, false);
    let alone = std::slice::from_ref(call.fields);
    for row in rows.as_deref().unwrap_or(alone) {
        match (row.has("signature"), row.has("hmac")) {
            (true, true) if rows.is_none() => return Err(Refusal::invalid("provide one of 'signature' or 'hmac'")),
            (true, _) => signed = true,
            (false, true) => maced = true,
            (false, false) => missing = true,
        }
    }
    let refused = match (signed, maced, missing) {
        (false, false, _) if rows.is_none() => "neither a 'signature' nor an 'hmac' were given to verify",
        (true, true, _) => "elements of batch_input must all provide 'signature' or all provide 'hmac'",
        (true, false, true) => "some elements of batch_input are missing 'signature'",
        (false, true, true) => "some elements of batch_input are missing 'hmac'",
        (false, false, true) => "no batch_input elements have 'signature' or 'hmac'",
        _ => "",
    };
    if !refused.is_empty() {
        return Err(Refusal::invalid(refused));
    }
    if maced {
        return mac::claims(call).map(|(hash, batch)| Claims::Mac(hash, batch));
    }
    let alone = rows.is_none();
    let item = |fields: &Fields<'_>| {
        let input = if alone && !fields.has("input") { SecretBytes::new(Vec::new()) } else { input(fields, "missing input")? };
        let context = context_field(fields, "failed to base64-decode context")?;
        Ok(Claim { input, context, signature: fields.text("signature")?.unwrap_or_default() })
    };
    Ok(Claims::Signed(Way::parse(call)?, Batch::parse(call, item, |_| Ok(()))?))
}

/// What came of signing.
struct Signed {
    signature: String,
    version: u32,
    /// Of a derived key.
    public: Option<Vec<u8>>,
}

fn sign_one(ring: &Ring, way: Way, text: &Text) -> Result<Signed, String> {
    let settings = &ring.key.settings;
    let version = version_for(settings, way.version, "signing")?;
    let key = ring.key.keys.get(&version).ok_or("no such key version")?;
    let derivation = derivation(settings, text.context.as_deref());
    let signed = way.apply(ring, text.input.expose(), |what| key.sign(derivation, what))?;
    let signed = signed.map_err(|error| match error {
        KeyError::Unsupported => "RSA signs SHA-256, SHA-384 and SHA-512 here, and PSS has a salt as long as the hash; anything \
                                  else is only verified"
            .to_owned(),
        error => told(error),
    })?;
    let signed = match (settings.kind.is_ecdsa(), way.marshaling) {
        (true, Marshaling::Jws) => transit::fixed_signature(settings.kind, &signed).ok_or("signature could not be computed")?,
        _ => signed,
    };
    let public = settings.derived.then(|| key.derived_public(text.context.as_deref())).transpose().map_err(told)?;
    Ok(Signed { signature: mark(version, &way.write(&signed)), version, public })
}

fn verify_one(ring: &Ring, way: Way, claim: &Claim) -> Result<bool, String> {
    let settings = &ring.key.settings;
    let (body, key) = open_mark(&claim.signature, ring, "signature")?;
    let mut signature = way.read(body)?;
    if settings.kind.is_ecdsa() {
        match way.marshaling {
            Marshaling::Jws => signature = transit::signature_of_fixed(&signature),
            Marshaling::Asn1 if !transit::is_signature(&signature) => return Err("supplied signature is invalid".to_owned()),
            Marshaling::Asn1 => {}
        }
    }
    let derivation = derivation(settings, claim.context.as_deref());
    way.apply(ring, claim.input.expose(), |what| key.verify(derivation, what, &signature))?.map_err(told)
}

pub(super) async fn sign(name: &str, way: Way, batch: Batch<Text>, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let ring = signing_ring(name, "signing key not found", "signing", place, txn).await?;
    let (items, rest) = batch.split();
    let signed = each("sign", &ring, items, txn, move |ring, _, text: Text| sign_one(ring, way, &text)).await?;
    let show = |signed: &Signed, out: &mut Object<'_>| {
        out.field("key_version", &signed.version).field("signature", &signed.signature);
        if let Some(public) = &signed.public {
            out.field("public_key", &BASE64.encode(public));
        }
    };
    rest.answer(&signed, Failing::IsTold, show, |out| {
        out.field("key_version", &0);
    })
}

pub(super) async fn verify(name: &str, claims: Claims, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let (way, batch) = match claims {
        Claims::Signed(way, batch) => (way, batch),
        Claims::Mac(hash, batch) => return mac::verify(name, hash, batch, place, txn).await,
    };
    let ring = signing_ring(name, "signature verification key not found", "verification", place, txn).await?;
    let (items, rest) = batch.split();
    let valid = each("verify", &ring, items, txn, move |ring, _, claim: Claim| verify_one(ring, way, &claim)).await?;
    rest.answer(&valid, Failing::IsTold, show_valid, |out| show_valid(&false, out))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "results are shown by reference")]
pub(super) fn show_valid(valid: &bool, out: &mut Object<'_>) {
    out.field("valid", valid);
}

async fn signing_ring(name: &str, missing: &str, what: &str, place: &Place, txn: &mut Txn) -> Result<Arc<Ring>, Refusal> {
    let ring = record::find(name, place, txn).await?.ok_or_else(|| Refusal::invalid(missing))?;
    let kind = ring.key.settings.kind;
    if !kind.signs() {
        return Err(Refusal::Invalid(format!("key type {} does not support {what}", kind.name())));
    }
    Ok(ring)
}
