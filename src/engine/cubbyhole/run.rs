//! Does the operations of a cubbyhole.

use super::Operation;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::engine::listing::Tree;
use crate::engine::object::named;
use crate::engine::table::Call;
use crate::id::MountId;
use crate::json::Json;
use crate::record::{Address, Kind, Listing};
use crate::secret::SecretBytes;

/// The text of a JSON object.
pub struct Kept(SecretBytes);

impl Kept {
    fn address(mount: MountId, holder: &str, path: &str) -> Address {
        Address::tree(Kind::Cubbyhole, mount, &format!("{holder}/{path}"))
    }
}

crate::secret_record!(Kept, Kind::Cubbyhole, Listing::Tree);

/// Does one operation for `holder`.
pub async fn run(operation: Operation, holder: &str, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let (tenant, mount) = (&place.tenant, place.mount.id);
    match operation {
        Operation::Read(path) => {
            let kept = txn.read::<Kept>(tenant, &Kept::address(mount, holder, &path)).await?.ok_or(Refusal::NotFound)?;
            Ok(Answer::data(Json::from_text(kept.value.0.expose().to_vec())))
        }
        Operation::Write(path, value) => {
            let address = Kept::address(mount, holder, &path);
            // Read first: the new version continues the object.
            txn.read::<Kept>(tenant, &address).await?;
            txn.put(tenant, &address, &Kept(value), None).await?;
            Ok(Answer::Empty)
        }
        Operation::Delete(path) => {
            txn.remove::<Kept>(tenant, &Kept::address(mount, holder, &path)).await?;
            Ok(Answer::Empty)
        }
        Operation::List(directory, page) => tree(place).list(&below(holder, &directory), &page, txn).await,
        Operation::Scan(directory, page) => tree(place).scan(&below(holder, &directory), &page, txn).await,
    }
}

/// Whether `holder` keeps something at the path of a call.
pub async fn exists(holder: &str, place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    match named(call) {
        Some(path) => txn.exists(&place.tenant, &Kept::address(place.mount.id, holder, path)).await,
        None => Ok(false),
    }
}

/// All who keep something, sorted.
pub async fn holders(place: &Place, txn: &mut Txn) -> Result<Vec<String>, Refusal> {
    let names = txn.names(&place.tenant, Kind::Cubbyhole, place.mount.id, "").await?;
    let mut holders: Vec<String> = names.iter().map(|name| name.strip_suffix('/').unwrap_or(name).to_owned()).collect();
    // The slash may have sorted otherwise.
    holders.sort_unstable();
    Ok(holders)
}

/// Removes up to `limit` objects of a holder that is gone. Returns how many; fewer than `limit` means that nothing is left.
pub async fn purge(holder: &str, place: &Place, limit: usize, txn: &mut Txn) -> Result<usize, Refusal> {
    let paths = tree(place).first(&below(holder, ""), limit, txn).await?;
    for path in &paths {
        txn.remove::<Kept>(&place.tenant, &Kept::address(place.mount.id, holder, path)).await?;
    }
    Ok(paths.len())
}

fn tree(place: &Place) -> Tree<'_> {
    Tree { place, kind: Kind::Cubbyhole }
}

fn below(holder: &str, directory: &str) -> String {
    format!("{holder}/{directory}")
}
