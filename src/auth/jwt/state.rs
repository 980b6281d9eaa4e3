//! What a browser's login carries from its first step to its last: sealed, and given to the browser. Nothing is stored for it
//! until it comes back, and then only that it did.

use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::commit::{Place, Txn};
use crate::crypto;
use crate::id::MountId;
use crate::random;
use crate::record::{Address, Kind, Listing};
use crate::time::Timestamp;

/// How long somebody may take to sign in.
pub(super) const STATE_TTL: Duration = Duration::from_mins(10);
/// The longest sealed state, as text.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// A login in a browser that is under way.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    mount: MountId,
    /// Random: no two are the same.
    id: String,
    expires: Timestamp,
    /// Which role it is for.
    pub role: String,
    /// Where the issuer sends the browser.
    pub redirect_uri: String,
    /// What only who began it knows, as a hash; empty if there is nothing.
    client: String,
}

/// That a state was used.
#[derive(Clone, Serialize, Deserialize)]
struct Spent {}

crate::json_record!(Spent, Kind::OidcSpent, Listing::None);

impl State {
    /// A fresh one.
    pub(super) fn new(role: String, redirect_uri: String, client_nonce: &str, place: &Place, now: Timestamp) -> Self {
        Self {
            mount: place.mount.id,
            id: random::base62(32),
            expires: now.plus(STATE_TTL),
            role,
            redirect_uri,
            client: client(client_nonce),
        }
    }

    /// The text that goes through the browser. Nobody else can read it or make one.
    pub(super) fn text(&self, place: &Place) -> String {
        // Strings and numbers always serialise.
        let content = serde_json::to_vec(self).unwrap_or_default();
        BASE64URL_NOPAD.encode(&place.tenant.keyring().seal_login_state(&content))
    }

    /// Takes a state that came back, which no other request can: that it was used is stored whatever becomes of this one. `None`
    /// when it is none of this mount, too old, was used before, or was begun by somebody else.
    pub(super) async fn take(text: &str, client_nonce: &str, place: &Place, txn: &mut Txn) -> Result<Option<Self>, Refusal> {
        let Some(state) = opened(text, place) else { return Ok(None) };
        let expected = client(client_nonce);
        let same = crypto::equal(state.client.as_bytes(), expected.as_bytes());
        if state.mount != place.mount.id || state.expires <= txn.now() || !same {
            return Ok(None);
        }
        // One of before a restore may have been used since.
        if txn.after_restore(&place.tenant).await?.is_some_and(|restored| state.expires <= restored.at.plus(STATE_TTL)) {
            return Ok(None);
        }
        let hash = HEXLOWER.encode(&place.tenant.keyring().token_hash(&format!("oidc-state {}", state.id)));
        let address = Address { kind: Kind::OidcSpent, mount: state.mount, directory: String::new(), name: hash };
        if txn.read::<Spent>(&place.tenant, &address).await?.is_some() {
            return Ok(None);
        }
        txn.put(&place.tenant, &address, &Spent {}, Some(state.expires)).await?;
        txn.keep_guards();
        txn.relies_until(state.expires);
        Ok(Some(state))
    }

    /// The nonce that the issuer has to put into the token.
    pub(super) fn nonce(&self, place: &Place) -> String {
        self.derived("nonce", place)
    }

    /// The verifier of PKCE (RFC 7636 section 4.1), which only this tenant's servers can work out.
    pub(super) fn verifier(&self, place: &Place) -> String {
        self.derived("verifier", place)
    }

    /// What the issuer is told of the verifier before.
    pub(super) fn challenge(&self, place: &Place) -> String {
        BASE64URL_NOPAD.encode(&crypto::sha256(&[self.verifier(place).as_bytes()]))
    }

    fn derived(&self, purpose: &str, place: &Place) -> String {
        BASE64URL_NOPAD.encode(&place.tenant.keyring().token_hash(&format!("oidc-{purpose} {}", self.id)))
    }
}

fn opened(text: &str, place: &Place) -> Option<State> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let sealed = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let content = place.tenant.keyring().open_login_state(&sealed).ok()?;
    serde_json::from_slice(content.expose()).ok()
}

fn client(nonce: &str) -> String {
    if nonce.is_empty() { String::new() } else { HEXLOWER.encode(&crypto::sha256(&[nonce.as_bytes()])) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::testing::{self, Deployed};
    use crate::mount::Engine;

    #[tokio::test]
    async fn somebody_has_ten_minutes_to_sign_in() {
        let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_001)).await;
        let tenants = deployed.tenants().await;
        let place = Place {
            tenant: tenants.root(),
            mount: testing::mount(Engine::Oidc, MountId([7; 16])),
            path: "auth/oidc/".to_owned(),
        };
        let now = tenants.look().now();
        let text = State::new("role".to_owned(), "http://localhost/".to_owned(), "nonce", &place, now).text(&place);
        let taken = async || State::take(&text, "nonce", &place, &mut tenants.look()).await.unwrap().is_some();
        let instant = Duration::from_nanos(1);
        deployed.clock.advance(Duration::from_mins(10).checked_sub(instant).unwrap());
        assert!(taken().await);
        deployed.clock.advance(instant);
        assert!(!taken().await);
    }
}
