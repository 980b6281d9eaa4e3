//! Revocation lists of a mount: `crls/`.

use crate::answer::{Answer, Refusal};
use crate::auth::named;
use crate::cert::Crl;
use crate::commit::{Place, Txn};
use crate::engine::table::{Call, Field};
use crate::json::Json;
use crate::record::{DecodeError, Kind, Listing, Record};
use crate::secret::SecretBytes;

/// The most lists of one mount: each login looks at all of them.
pub(super) const LISTS_MAX: usize = 100;

impl Record for Crl {
    const KIND: Kind = Kind::CertCrl;
    const LISTING: Listing = Listing::Flat;

    fn encode(&self) -> SecretBytes {
        SecretBytes::new(self.der().to_vec())
    }

    fn decode(payload: SecretBytes) -> Result<Self, DecodeError> {
        Self::parse(payload.expose()).map_err(|error| DecodeError { kind: Self::KIND, reason: error.to_string() })
    }
}

/// How one is written.
pub(super) const FIELDS: &[Field] = &[
    Field { name: "crl", kind: "string", help: "The list, PEM." },
    Field { name: "url", kind: "string", help: "Not offered: nothing is fetched." },
];

/// The list that a call brings.
pub(super) fn given(call: &Call<'_>) -> Result<Crl, Refusal> {
    let text = |name: &str| Ok(call.fields.text(name)?.filter(|text| !text.is_empty()));
    match (text("crl")?, text("url")?) {
        (Some(crl), None) => Crl::parse(crl.trim().as_bytes()).map_err(|error| Refusal::invalid(error.to_string())),
        (None, None) => Err(Refusal::invalid("one of 'crl' or 'url' must be provided")),
        (_, Some(_)) => Err(Refusal::invalid("'url' is not offered, since nothing is fetched: write the list itself as 'crl'")),
    }
}

/// All lists of a mount.
pub(super) async fn all(place: &Place, txn: &mut Txn) -> Result<Vec<std::sync::Arc<Crl>>, Refusal> {
    let mut lists = Vec::new();
    for name in &*txn.names(&place.tenant, Kind::CertCrl, place.mount.id, "").await? {
        lists.extend(named::find::<Crl>(name, place, txn).await?);
    }
    Ok(lists)
}

pub(super) async fn read(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let crl = named::find::<Crl>(name, place, txn).await?.ok_or_else(|| unknown(name))?;
    Ok(Answer::data(Json::object(|data| {
        data.object("serials", |serials| {
            for serial in crl.serials() {
                serials.object(serial, |_| {});
            }
        });
    })))
}

pub(super) async fn write(name: &str, crl: &Crl, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let address = named::address::<Crl>(place.mount.id, name);
    let names = txn.names(&place.tenant, Kind::CertCrl, place.mount.id, "").await?;
    if txn.read::<Crl>(&place.tenant, &address).await?.is_none() && names.len() >= LISTS_MAX {
        return Err(Refusal::invalid(format!("at most {LISTS_MAX} revocation lists")));
    }
    txn.put(&place.tenant, &address, crl, None).await?;
    Ok(Answer::Empty)
}

pub(super) async fn delete(name: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let address = named::address::<Crl>(place.mount.id, name);
    txn.read::<Crl>(&place.tenant, &address).await?.ok_or_else(|| unknown(name))?;
    txn.remove::<Crl>(&place.tenant, &address).await?;
    Ok(Answer::Empty)
}

fn unknown(name: &str) -> Refusal {
    Refusal::invalid(format!("no such CRL {name}"))
}
