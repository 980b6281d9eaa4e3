//! Recovery codes: each stands for a passcode, once. They are shown when they are made; a keyed hash is kept.

use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, HEXLOWER};

use super::super::run::Asker;
use super::enrolment::{caller, refuse_unless_fresh};
use super::factors;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::json::Json;
use crate::random;
use crate::secret::SecretText;

/// How many are made.
pub const CODES: usize = 10;
/// Random bytes of a code: 80 bits.
const CODE_BYTES: usize = 10;
/// Characters between two dashes.
const GROUP: usize = 4;

/// The hash of what has the form of a code: `abcd-efgh-2345-67ab`. No passcode of digits has it.
pub(super) fn hash(entity_id: &str, text: &SecretText, tenant: &Tenant) -> Option<String> {
    let bytes = text.expose().as_bytes();
    let fits = |(at, byte): (usize, &u8)| match at % (GROUP + 1) {
        GROUP => *byte == b'-',
        _ => byte.is_ascii_lowercase() || (b'2'..=b'7').contains(byte),
    };
    let is_code = bytes.len() == CODE_BYTES * 8 / 5 + 3 && bytes.iter().enumerate().all(fits);
    is_code.then(|| HEXLOWER.encode(&tenant.keyring().recovery_code_hash(entity_id, text.expose())))
}

fn fresh() -> SecretText {
    let plain = SecretText::new(BASE32_NOPAD.encode(random::secret(CODE_BYTES).expose()));
    let mut code = String::with_capacity(CODE_BYTES * 2);
    for (at, letter) in plain.expose().chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            code.push('-');
        }
        code.push(letter.to_ascii_lowercase());
    }
    SecretText::new(code)
}

/// New codes, in place of all that there were. Who only has a token must not come to have factors by it.
pub(super) async fn generate(place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant: &Arc<Tenant> = &place.tenant;
    let entity = caller(asker, txn, tenant).await?;
    let mut own = factors::of(&entity.id, txn, tenant).await?;
    if own.is_empty() {
        return Err(Refusal::invalid("the entity has no second factor that a recovery code could stand for"));
    }
    refuse_unless_fresh(&own, asker, None, txn)?;
    let codes: Vec<SecretText> = (0..CODES).map(|_| fresh()).collect();
    own.recovery = codes.iter().filter_map(|code| hash(&entity.id, code, tenant)).collect();
    own.recovery_made = Some(txn.now());
    own.store(&entity.id, txn, tenant).await?;
    txn.note_detail(format!("recovery codes of entity {}", entity.id));
    let shown: Vec<&str> = codes.iter().map(SecretText::expose).collect();
    Ok(Answer::data(Json::object(|data| {
        data.strings("codes", &shown);
    })))
}

/// How many are left.
pub(super) async fn count(place: &Place, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let entity = caller(asker, txn, &place.tenant).await?;
    let own = factors::of(&entity.id, txn, &place.tenant).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("created", &own.recovery_made.map(crate::time::Timestamp::rfc3339)).field("left", &own.recovery.len());
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_groups_and_differ() {
        let (a, b) = (fresh(), fresh());
        assert_ne!(a.expose(), b.expose());
        assert_eq!(a.expose().len(), 19);
        assert!(a.expose().split('-').all(|group| group.len() == GROUP));
    }
}
