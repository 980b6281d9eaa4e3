//! The one place that makes tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::batch;
use super::cidr::Cidr;
use super::entry::{
    AccessorRecord, ChildRecord, DEPTH_MAX, Parent, ROOT_POLICY, TokenEntry, TokenKind, accessor_address, child_address, hash_of,
    token_address,
};
use super::epoch::Epoch;
use super::lease;
use super::lifetime::{Granted, Wish, grant};
use crate::answer::Refusal;
use crate::auth::login::Login;
use crate::auth::origin::Fingerprint;
use crate::commit::{Tenant, Txn};
use crate::mount::LeaseTtl;
use crate::policy::ShownFactor;
use crate::random;
use crate::secret::SecretText;

/// Characters of a token's random part, and of an accessor: 142 bits.
const RANDOM_LENGTH: usize = 24;

/// The longest text that may be chosen, in bytes.
const CHOSEN_BYTES_MAX: usize = 256;

/// A token to make. Whoever fills this in has decided that its receiver may have it.
pub struct NewToken {
    /// Service or batch.
    pub kind: TokenKind,
    /// The text, if it is chosen rather than random: only for the root tenant.
    pub chosen: Option<SecretText>,
    /// The token above and its own depth; none for an orphan.
    pub parent: Option<(Parent, u8)>,
    /// Policies, as `grant::sanitized` leaves them.
    pub policies: Vec<String>,
    /// Notes about it.
    pub meta: Option<BTreeMap<String, String>>,
    /// What people know it by.
    pub display_name: String,
    /// Where it is made: `auth/token/create`.
    pub path: String,
    /// The role that it is made with.
    pub role: Option<String>,
    /// Whom it stands for; empty for nobody.
    pub entity_id: String,
    /// Where it may be used from; empty for anywhere.
    pub bound_cidrs: Vec<Cidr>,
    /// The certificate that it may be used with only; none for any connection.
    pub certificate: Option<Fingerprint>,
    /// What it was logged in with, if an auth method gives it.
    pub login: Option<Login>,
    /// The second factors that its receiver has shown.
    pub factors: Vec<ShownFactor>,
    /// What its mount allows.
    pub limits: LeaseTtl,
    /// The times asked for.
    pub wish: Wish,
    /// How often it may be used; none for any number.
    pub uses: Option<u64>,
    /// Whether it may be renewed.
    pub renewable: bool,
}

/// A token that was made: the only time that its text is known.
pub struct Minted {
    /// The text, for its receiver alone.
    pub token: SecretText,
    /// What was stored.
    pub entry: Arc<TokenEntry>,
    /// What was cut, for the receiver.
    pub warnings: Vec<String>,
}

/// Makes a token in `tenant`, in this transaction. `Invalid` when the chosen text is bad or taken, or when the tree
/// of tokens would be too deep.
pub async fn mint(txn: &mut Txn, tenant: &Arc<Tenant>, new: NewToken) -> Result<Minted, Refusal> {
    let now = txn.now();
    let depth = depth_below(new.parent.as_ref().map(|(_, depth)| *depth))?;
    let (granted, without_end) = lifetime(&new, now)?;
    let mut warnings = granted.warnings;
    let label = tenant.label();
    let batch = new.kind == TokenKind::Batch;
    let token = match new.chosen {
        // What seals a batch token chooses its text.
        Some(chosen) if !batch => {
            check_chosen(chosen.expose(), &label)?;
            // What is random is not there yet: nobody has to look.
            if txn.exists(tenant, &token_address(&hash_of(tenant, chosen.expose()))).await? {
                return Err(Refusal::invalid("cannot create a token with a duplicate ID"));
            }
            warnings.push("A chosen token ID is only as hard to guess as it was chosen.".to_owned());
            chosen
        }
        _ => SecretText::new(labelled(format!("s.{}", random::base62(RANDOM_LENGTH)), &label)),
    };
    let hash = hash_of(tenant, token.expose());
    let address = token_address(&hash);
    let parent = new.parent.map(|(parent, _)| parent);
    let entry = TokenEntry {
        kind: new.kind,
        accessor: if batch { String::new() } else { labelled(random::base62(RANDOM_LENGTH), &label) },
        depth,
        policies: new.policies,
        meta: new.meta,
        display_name: new.display_name,
        path: new.path,
        role: new.role,
        entity_id: new.entity_id,
        bound_cidrs: new.bound_cidrs,
        certificate: new.certificate,
        login: new.login,
        factors: new.factors,
        generation: Epoch::of(txn, tenant).await?.generation,
        created: now,
        renewed: None,
        expires: (!without_end).then(|| now.plus(Duration::from_secs(granted.ttl_seconds))),
        creation_ttl_seconds: granted.ttl_seconds,
        ttl_seconds: granted.ttl_seconds,
        max_ttl_seconds: new.limits.max_seconds,
        explicit_max_ttl_seconds: new.wish.explicit_max_ttl_seconds,
        period_seconds: new.wish.period_seconds,
        uses_left: new.uses,
        renewable: new.renewable && !without_end && !batch,
        parent,
        event: OnceLock::new(),
    };
    if batch {
        return Ok(Minted { token: batch::seal(tenant, &entry)?, entry: Arc::new(entry), warnings });
    }
    txn.put(tenant, &address, &entry, entry.expires).await?;
    let path = entry.lease_path();
    if !path.is_empty() {
        lease::add(txn, tenant, path, &hash, entry.generation).await?;
    }
    let record = AccessorRecord { hash: hash.clone(), parent: entry.parent.clone(), path: path.to_owned() };
    txn.put(tenant, &accessor_address(&entry.accessor), &record, None).await?;
    if let Some(parent) = &entry.parent {
        let child = ChildRecord { hash, path: path.to_owned() };
        txn.put(tenant, &child_address(&parent.hash, &entry.accessor), &child, None).await?;
    }
    Ok(Minted { token, entry: Arc::new(entry), warnings })
}

/// Makes the root token of a new deployment, without end, and with a chosen text if there is one. Returns its text.
pub async fn root_token(txn: &mut Txn, tenant: &Arc<Tenant>, id: Option<&SecretText>) -> Result<SecretText, Refusal> {
    let new = NewToken {
        kind: TokenKind::Service,
        role: None,
        entity_id: String::new(),
        bound_cidrs: Vec::new(),
        certificate: None,
        login: None,
        factors: Vec::new(),
        chosen: id.map(|id| SecretText::new(id.expose().to_owned())),
        parent: None,
        policies: vec![ROOT_POLICY.to_owned()],
        meta: None,
        display_name: ROOT_POLICY.to_owned(),
        path: "auth/token/root".to_owned(),
        limits: txn.lease_ttl(),
        wish: Wish::default(),
        uses: None,
        renewable: false,
    };
    Ok(mint(txn, tenant, new).await?.token)
}

/// The TTL, and whether there is no end: only a root token that asks for none lives without end.
fn lifetime(new: &NewToken, now: crate::time::Timestamp) -> Result<(Granted, bool), Refusal> {
    let Wish { ttl_seconds, period_seconds, explicit_max_ttl_seconds } = new.wish;
    let is_root = new.policies.iter().any(|policy| policy == ROOT_POLICY);
    if is_root && ttl_seconds == 0 && period_seconds == 0 {
        let granted = Granted { ttl_seconds: explicit_max_ttl_seconds, warnings: Vec::new() };
        return Ok((granted, explicit_max_ttl_seconds == 0));
    }
    let granted = grant(new.limits, new.wish, now, now).map_err(|error| Refusal::invalid(error.to_string()))?;
    Ok((granted, false))
}

fn depth_below(parent: Option<u8>) -> Result<u8, Refusal> {
    match parent {
        None => Ok(0),
        Some(depth) if depth < DEPTH_MAX => Ok(depth + 1),
        Some(_) => Err(Refusal::invalid(format!("a token has at most {DEPTH_MAX} tokens above it: make an orphan"))),
    }
}

fn labelled(text: String, label: &str) -> String {
    if label.is_empty() { text } else { format!("{text}.{label}") }
}

/// What is chosen must not be mistaken for a token of another tenant or kind, and must fit into a header.
fn check_chosen(text: &str, label: &str) -> Result<(), Refusal> {
    if !label.is_empty() {
        return Err(Refusal::invalid("token IDs can only be manually specified in the root namespace"));
    }
    if let Some(prefix) = ["hvs.", "s."].into_iter().find(|prefix| text.starts_with(prefix)) {
        return Err(Refusal::invalid(format!("custom token ID cannot have the '{prefix}' prefix")));
    }
    if text.contains('.') {
        return Err(Refusal::invalid("custom token ID cannot have a '.' in the value"));
    }
    if text.is_empty() || text.len() > CHOSEN_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::invalid(format!("custom token ID must be 1 to {CHOSEN_BYTES_MAX} printable ASCII characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn new(policy: &str, wish: Wish) -> NewToken {
        NewToken {
            kind: TokenKind::Service,
            role: None,
            entity_id: String::new(),
            bound_cidrs: Vec::new(),
            certificate: None,
            login: None,
            factors: Vec::new(),
            chosen: None,
            parent: None,
            policies: vec![policy.to_owned()],
            meta: None,
            display_name: String::new(),
            path: String::new(),
            limits: LeaseTtl { default_seconds: 100, max_seconds: 200 },
            wish,
            uses: None,
            renewable: true,
        }
    }

    #[test]
    fn only_root_lives_without_end() {
        let none = Wish::default();
        let of =
            |policy, wish| lifetime(&new(policy, wish), Timestamp(0)).map(|(granted, endless)| (granted.ttl_seconds, endless));
        assert_eq!(of("root", none).unwrap(), (0, true));
        assert_eq!(of("dev", none).unwrap(), (100, false));
        assert_eq!(of("root", Wish { ttl_seconds: 5, ..none }).unwrap(), (5, false));
        assert_eq!(of("root", Wish { period_seconds: 7, ..none }).unwrap(), (7, false));
        assert_eq!(of("root", Wish { explicit_max_ttl_seconds: 900, ..none }).unwrap(), (900, false));
        assert_eq!(of("dev", Wish { ttl_seconds: 900, ..none }).unwrap(), (200, false));
    }

    #[test]
    fn trees_end_at_the_greatest_depth() {
        assert_eq!(depth_below(None).unwrap(), 0);
        assert_eq!(depth_below(Some(0)).unwrap(), 1);
        assert_eq!(depth_below(Some(DEPTH_MAX - 1)).unwrap(), DEPTH_MAX);
        assert!(depth_below(Some(DEPTH_MAX)).is_err());
    }

    #[test]
    fn chosen_texts_cannot_look_like_other_tokens() {
        for text in ["root", "my-own-id", "00000000-0000-0000-0000-000000000000"] {
            assert!(check_chosen(text, "").is_ok(), "{text}");
        }
        for text in ["", "s.abc", "b.abc", "hvs.abc", "a.b", "a b", "a\n", "ü", &"x".repeat(257)] {
            assert!(check_chosen(text, "").is_err(), "{text}");
        }
        assert!(check_chosen("my-own-id", "abcdefghij").is_err(), "not below the root");
    }
}
