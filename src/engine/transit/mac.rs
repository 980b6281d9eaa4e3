//! HMACs, and whether something is one.

use data_encoding::BASE64;

use super::batch::{Batch, Failing, base64};
use super::encrypt::{NOT_FOUND, each, open_mark};
use super::marked::mark;
use super::record::{self, Ring};
use super::sign::{hash, input, show_valid};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::crypto;
use crate::crypto::transit::{self, Hash};
use crate::engine::table::Call;
use crate::fields::Fields;
use crate::json::Object;
use crate::secret::SecretBytes;

/// A text and what is said to be its HMAC.
pub struct Claim {
    input: SecretBytes,
    mac: String,
}

/// What an HMAC is made of.
pub struct Wanted {
    hash: Hash,
    version: i64,
    batch: Batch<SecretBytes>,
}

const MISSING: &str = "missing input for HMAC";

fn not_none(hash: Option<Hash>) -> Result<Hash, Refusal> {
    hash.ok_or_else(|| Refusal::invalid("algorithm cannot be none"))
}

impl Wanted {
    pub(super) fn parse(call: &Call<'_>) -> Result<Self, Refusal> {
        let hash = not_none(hash(call)?)?;
        let missing = |fields: &Fields<'_>| if fields.has("input") { Ok(()) } else { Err(Refusal::invalid(MISSING)) };
        let batch = Batch::parse(call, |fields| input(fields, MISSING), missing)?;
        Ok(Self { hash, version: call.fields.integer("key_version")?.unwrap_or(0), batch })
    }
}

pub(super) fn claims(call: &Call<'_>) -> Result<(Option<Hash>, Batch<Claim>), Refusal> {
    let item =
        |fields: &Fields<'_>| Ok(Claim { input: input(fields, "missing input")?, mac: fields.text("hmac")?.unwrap_or_default() });
    Ok((hash(call)?, Batch::parse(call, item, |_| Ok(()))?))
}

fn version(ring: &Ring, asked: i64) -> Result<u32, String> {
    let settings = &ring.key.settings;
    match u32::try_from(asked) {
        Ok(0) => Ok(settings.latest),
        Err(_) if asked < 0 => Err("key version does not exist (cannot be negative)".to_owned()),
        Ok(version) if version <= settings.latest => {
            if version < settings.min_encryption.max(settings.min_decryption) {
                return Err("cannot generate HMAC: version is too old (disallowed by policy)".to_owned());
            }
            Ok(version)
        }
        _ => Err(format!("key version does not exist; latest key version is {}", settings.latest)),
    }
}

pub(super) async fn make(name: &str, wanted: Wanted, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let ring = record::find(name, place, txn).await?.ok_or_else(|| Refusal::invalid(NOT_FOUND))?;
    let version = version(&ring, wanted.version).map_err(Refusal::Invalid)?;
    let (items, rest) = wanted.batch.split();
    let hash = wanted.hash;
    let made = each("hmac", &ring, items, txn, move |ring, _, input: SecretBytes| {
        let key = ring.key.keys.get(&version).ok_or("no such key version")?;
        Ok(mark(version, &BASE64.encode(&transit::mac(hash, key.mac_key(), input.expose()))))
    });
    let show = |mac: &String, out: &mut Object<'_>| {
        out.field("hmac", mac);
    };
    rest.answer(&made.await?, Failing::IsTold, show, |_| {})
}

fn verify_one(ring: &Ring, hash: Hash, claim: &Claim) -> Result<bool, String> {
    let said = |text: String| match text.as_str() {
        "invalid HMAC: no prefix" => "invalid HMAC to verify: no prefix".to_owned(),
        _ => text,
    };
    let (body, key) = open_mark(&claim.mac, ring, "HMAC").map_err(said)?;
    let given = base64(body).map_err(|error| format!("unable to decode verification HMAC as base64: {error}"))?;
    Ok(crypto::equal(&given, &transit::mac(hash, key.mac_key(), claim.input.expose())))
}

pub(super) async fn verify(
    name: &str,
    hash: Option<Hash>,
    batch: Batch<Claim>,
    place: &Place,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let hash = not_none(hash)?;
    let ring = record::find(name, place, txn).await?.ok_or_else(|| Refusal::invalid(NOT_FOUND))?;
    let (items, rest) = batch.split();
    let valid = each("verify hmac", &ring, items, txn, move |ring, _, claim: Claim| verify_one(ring, hash, &claim)).await?;
    rest.answer(&valid, Failing::IsTold, show_valid, |out| show_valid(&false, out))
}
