//! A version of a key as the backups of `OpenBao` hold it: JSON, numbers in decimal.

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::decimal;
use super::der::{self, INTEGER, Reader, SEQUENCE};
use super::exchange::{self, MAC_BYTES};
use super::key::{Key, KeyError};
use super::kind::{Family, KeyType};
use crate::crypto::hazmat::ec::{self, EcKey};
use crate::crypto::hazmat::rsa;
use crate::json::Object;
use crate::secret::SecretBytes;

/// What a version holds. Texts of private keys are borrowed: nothing of them is copied before it is decoded.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    key: Option<&'a str>,
    #[serde(borrow, default)]
    hmac_key: Option<&'a str>,
    #[serde(borrow, default)]
    ec_x: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ec_y: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ec_d: Option<&'a RawValue>,
    #[serde(borrow, default)]
    rsa_key: Option<RsaEntry<'a>>,
    #[serde(borrow, default)]
    rsa_public_key: Option<RsaPublic<'a>>,
    #[serde(default)]
    public_key: Option<String>,
}

#[derive(Deserialize)]
struct RsaPublic<'a> {
    #[serde(borrow, rename = "N")]
    n: &'a RawValue,
    #[serde(borrow, rename = "E")]
    e: &'a RawValue,
}

#[derive(Deserialize)]
struct RsaEntry<'a> {
    #[serde(borrow, rename = "N")]
    n: &'a RawValue,
    #[serde(borrow, rename = "E")]
    e: &'a RawValue,
    #[serde(borrow, rename = "D")]
    d: &'a RawValue,
    #[serde(borrow, rename = "Primes")]
    primes: [&'a RawValue; 2],
    #[serde(borrow, rename = "Precomputed")]
    precomputed: Precomputed<'a>,
}

#[derive(Deserialize)]
struct Precomputed<'a> {
    #[serde(borrow, rename = "Dp")]
    dp: &'a RawValue,
    #[serde(borrow, rename = "Dq")]
    dq: &'a RawValue,
    #[serde(borrow, rename = "Qinv")]
    qinv: &'a RawValue,
}

impl Key {
    /// Writes the parts of the key, private ones included.
    pub fn write_portable(&self, out: &mut Object<'_>) -> Result<(), KeyError> {
        let private = self.private.as_ref().map(SecretBytes::expose);
        let text = |bytes: &[u8]| zeroize::Zeroizing::new(BASE64.encode(bytes));
        let plain = private.filter(|_| self.curve().is_none() && !self.kind.is_rsa());
        out.field("key", &plain.map(text).as_deref()).field("hmac_key", text(self.mac.expose()).as_str());
        let coordinates = self.curve().and_then(|curve| Some((curve, self.public.get(1..)?)));
        match coordinates {
            Some((curve, both)) => {
                number(out, "ec_x", both.get(..curve.bytes()));
                number(out, "ec_y", both.get(curve.bytes()..));
                number(out, "ec_d", private);
            }
            None => {
                out.null("ec_x").null("ec_y").null("ec_d");
            }
        }
        match (self.kind.is_rsa(), private) {
            (true, Some(private)) => write_rsa(private, out).ok_or(KeyError::Unusable)?,
            _ => {
                out.null("rsa_key");
            }
        }
        match self.kind.is_rsa().then(|| exchange::rsa_numbers(&self.public)).flatten() {
            Some((n, e)) => out.object("rsa_public_key", |out| {
                number(out, "N", Some(n));
                number(out, "E", Some(e));
            }),
            None => out.null("rsa_public_key"),
        };
        let shown = match self.kind.family() {
            Family::Ec(_) => format!("{}\n", self.public_text()),
            Family::Ed25519 | Family::MlDsa(_) => self.public_text(),
            Family::Symmetric(_) | Family::Rsa(_) | Family::Mac => String::new(),
        };
        out.field("public_key", &shown);
        Ok(())
    }

    /// Reads such a version back.
    pub fn read_portable(kind: KeyType, json: &str) -> Result<Self, KeyError> {
        let entry: Entry<'_> = serde_json::from_str(json).map_err(|_| KeyError::Import("a version of the key does not parse"))?;
        let wrong = KeyError::Import("a version of the key is not of its type");
        let mac = decode(entry.hmac_key)?;
        let key = match kind.family() {
            Family::Ec(curve) => {
                let fill = |number: Option<&RawValue>| decimal::read(number?.get(), curve.bytes());
                let (x, y) = (fill(entry.ec_x).ok_or(wrong)?, fill(entry.ec_y).ok_or(wrong)?);
                let point = [&[4], x.as_slice(), &y].concat();
                match fill(entry.ec_d) {
                    Some(private) => {
                        let key = EcKey::new(curve, &private, &point).map_err(|_| wrong)?;
                        Self::with(kind, Some(key.private()?), key.public(), mac)
                    }
                    None if ec::is_point(curve, &point) => Self::with(kind, None, point, mac),
                    None => return Err(wrong),
                }
            }
            Family::Rsa(bits) => read_rsa(kind, usize::from(bits) / 8, &entry, mac).ok_or(wrong)?,
            Family::Ed25519 => {
                if let Some(both) = decode(entry.key)? {
                    let seed = both.expose().get(..32).filter(|_| both.len() == 64).ok_or(wrong)?;
                    let key = Self::of_private(kind, SecretBytes::new(seed.to_vec()))?;
                    Self::with(kind, key.private, key.public, mac)
                } else {
                    let public = entry.public_key.and_then(|text| BASE64.decode(text.as_bytes()).ok());
                    Self::with(kind, None, public.filter(|public| public.len() == 32).ok_or(wrong)?, mac)
                }
            }
            Family::Symmetric(suite) => {
                let key = decode(entry.key)?.filter(|key| key.len() == suite.key_bytes()).ok_or(wrong)?;
                Self::with(kind, Some(key), Vec::new(), mac)
            }
            Family::Mac => {
                let key = decode(entry.key)?.filter(|key| MAC_BYTES.contains(&key.len())).ok_or(wrong)?;
                Self::of_private(kind, key)?
            }
            Family::MlDsa(_) => {
                let seed = decode(entry.key)?.filter(|seed| seed.len() == 32).ok_or(wrong)?;
                let key = Self::of_private(kind, seed)?;
                Self::with(kind, key.private, key.public, mac)
            }
        };
        Ok(key)
    }
}

fn number(out: &mut Object<'_>, name: &str, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => out.raw(name, decimal::write(bytes).as_bytes()),
        None => out.null(name),
    };
}

/// What base64 stands for; nothing for nothing.
fn decode(text: Option<&str>) -> Result<Option<SecretBytes>, KeyError> {
    let bytes = text.filter(|text| !text.is_empty()).map(|text| BASE64.decode(text.as_bytes())).transpose();
    Ok(bytes.map_err(|_| KeyError::Import("a version of the key is not base64"))?.map(SecretBytes::new))
}

/// The nine numbers of an `RSAPrivateKey` (RFC 8017 appendix A.1.2), as Go writes its own.
fn write_rsa(pkcs8: &[u8], out: &mut Object<'_>) -> Option<()> {
    let mut numbers = Reader::new(Reader::new(exchange::pkcs1(pkcs8)?).take(SEQUENCE)?);
    numbers.take(INTEGER)?;
    let mut next = || numbers.number().map(decimal::write);
    let (modulus, public, private) = (next()?, next()?, next()?);
    let primes = zeroize::Zeroizing::new(format!("[{},{}]", *next()?, *next()?));
    let (dp, dq, qinv) = (next()?, next()?, next()?);
    out.object("rsa_key", |out| {
        out.raw("N", modulus.as_bytes()).raw("E", public.as_bytes()).raw("D", private.as_bytes());
        out.raw("Primes", primes.as_bytes()).object("Precomputed", |out| {
            out.raw("Dp", dp.as_bytes()).raw("Dq", dq.as_bytes()).raw("Qinv", qinv.as_bytes()).raw("CRTValues", b"[]");
        });
    });
    Some(())
}

fn read_rsa(kind: KeyType, bytes: usize, entry: &Entry<'_>, mac: Option<SecretBytes>) -> Option<Key> {
    let read = |number: &RawValue| Some(der::number(&decimal::read(number.get(), bytes)?));
    if let Some(key) = &entry.rsa_key {
        let [p, q] = key.primes;
        let Precomputed { dp, dq, qinv } = key.precomputed;
        let numbers: Option<Vec<SecretBytes>> = [key.n, key.e, key.d, p, q, dp, dq, qinv].into_iter().map(read).collect();
        let numbers = numbers?;
        let mut parts: Vec<&[u8]> = vec![&[INTEGER, 1, 0]];
        parts.extend(numbers.iter().map(SecretBytes::expose));
        let document = rsa::from_pkcs1(der::value(SEQUENCE, &parts).expose()).ok()?;
        let private = rsa::PrivateKey::new(document.expose()).ok().filter(|key| key.bytes() == bytes)?;
        return Some(Key::with(kind, Some(document), private.public().ok()?, mac));
    }
    let public = entry.rsa_public_key.as_ref()?;
    let n = decimal::read(public.n.get(), bytes).filter(|n| n.first().is_some_and(|first| *first != 0))?;
    let e = decimal::read(public.e.get(), 4)?;
    Some(Key::with(kind, None, exchange::rsa_info(&n, &e).expose().to_vec(), mac))
}
