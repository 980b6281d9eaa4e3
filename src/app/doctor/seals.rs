//! Each seal: does it wrap, and open what it wrapped?

use std::time::Instant;

use super::Finding;
use crate::app::seals::opening_by_itself;
use crate::commit::probe;
use crate::config::{Seal, SealKind};

pub(super) async fn examine(seal: &Seal) -> Finding {
    let check = format!("seal \"{}\"", seal.name);
    let remedy = match &seal.kind {
        SealKind::Shamir => return Finding::ok(check, "people bring key shares: nothing to try"),
        SealKind::Recovery => {
            let text = "recovery shares open, and another seal takes over";
            return Finding::warn(check, text, "remove it when `strongroom operator seal-migrate` says complete");
        }
        SealKind::Static { .. } => "put the key back: 32 bytes, mode 0600, readable by the server's user",
        SealKind::AwsKms(_) => {
            "check region, kms_key_id, the credentials, and that the key's policy allows kms:Encrypt and kms:Decrypt"
        }
        SealKind::Transit(_) => {
            "check address, mount_path, key_name, the token, and that its policy allows update on encrypt/KEY and decrypt/KEY"
        }
        SealKind::Pkcs11(_) => {
            "check lib, slot or token_label, the PIN, key_label or key_id, and that the key may encrypt and decrypt"
        }
    };
    let begun = Instant::now();
    let probed = match opening_by_itself(seal).await {
        Ok(opened) => probe(opened.as_slice()).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match probed {
        Ok(()) => Finding::ok(check, format!("wraps, and opens what it wrapped ({} ms)", begun.elapsed().as_millis())),
        Err(problem) => Finding::fail(check, problem, remedy),
    }
}
