//! Running operations of the Transit engine.

use super::operation::Operation;
use super::{datakey, encrypt, export, import, keys, mac, record, settings, sign, tools};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::listing::NAMES_MAX;
use crate::engine::table::Call;

/// Whether the key is there that a text is to be encrypted with: if it is not, encrypting makes it.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    txn.exists(&place.tenant, &record::address(place, call.captures.get(0))).await
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::Encrypt(name, batch, new) => encrypt::encrypt(&name, batch, &new, place, txn).await,
        Operation::Decrypt(name, batch) => encrypt::decrypt(&name, batch, place, txn).await,
        Operation::Rewrap(name, batch) => encrypt::rewrap(&name, batch, place, txn).await,
        Operation::DataKey(name, wanted, shown) => datakey::make(&name, &wanted, &shown, place, txn).await,
        Operation::KeepDataKey(name, wanted, conditions) => datakey::keep(&name, &wanted, &conditions, place, txn).await,
        Operation::Sign(name, way, batch) => sign::sign(&name, way, batch, place, txn).await,
        Operation::Verify(name, claims) => sign::verify(&name, claims, place, txn).await,
        Operation::Mac(name, wanted) => mac::make(&name, wanted, place, txn).await,
        Operation::Tool(operation) => tools::run(&operation),
        Operation::List(range) => Answer::keys(range.of(&record::names(place, txn).await?, NAMES_MAX)?),
        Operation::Read(name, context) => keys::show(&name, context.as_deref(), place, txn).await,
        Operation::Make(name, new) => keys::make(&name, &new, place, txn).await,
        Operation::Configure(name, change) => keys::configure(&name, &change, place, txn).await,
        Operation::Rotate(name) => keys::rotate(&name, place, txn).await,
        Operation::Trim(name, below) => keys::trim(&name, below, place, txn).await,
        Operation::Delete(name) => keys::delete(&name, place, txn).await,
        Operation::Export(name, half, version) => export::export(&name, half, &version, place, txn).await,
        Operation::Backup(name) => export::backup(&name, place, txn).await,
        Operation::Restore(name, backup, force) => export::restore(&name, &backup, force, place, txn).await,
        Operation::WrappingKey => import::wrapping_key(place, txn).await,
        Operation::Import(name, import) => import::import(&name, import, place, txn).await,
        Operation::ImportVersion(name, given, into) => import::import_version(&name, given, into, place, txn).await,
        Operation::ReadSettings(group) => settings::read(group, place, txn).await,
        Operation::WriteSetting(setting) => settings::write(setting, place, txn).await,
    }
}
