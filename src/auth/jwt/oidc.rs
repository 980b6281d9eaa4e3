//! Logging in in a browser: the authorization code flow (`OpenID` Connect Core 1.0 section 3.1) with PKCE (RFC 7636).

use std::sync::Arc;

use data_encoding::BASE64;

use super::config::{ClientSecret, Config};
use super::login::{refused, somebody};
use super::operation::{Begin, End};
use super::role::{Role, RoleType};
use super::state::State;
use super::validate;
use crate::answer::{Answer, Refusal};
use crate::auth::effort::Redeemed;
use crate::auth::login::{LoginCall, Proven, admit};
use crate::auth::name::canonical;
use crate::auth::named;
use crate::auth::signed::{Claims, Issuer, Jws, Provider, Reason, Source, Url, object};
use crate::commit::{Place, Txn};
use crate::crypto::{self, VerifyingAlgorithm};
use crate::json::Json;
use crate::outbound::{Ask, FetchError};
use crate::secret::{SecretBytes, SecretText};

/// The longest answer about a user that is read, in bytes.
const USER_INFO_BYTES_MAX: usize = 64 << 10;

/// A mount that can log people in in a browser.
struct Client {
    config: Arc<Config>,
    /// The issuer.
    at: Url,
}

/// Where the browser has to go. The address is empty for a role that is not there or may not come back to that place: which
/// of the two is not told.
pub(super) async fn begin(begin: &Begin, place: &Place, call: LoginCall<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let not_configured = || Refusal::invalid("OIDC login is not configured for this mount");
    let client = client(place, txn).await?.ok_or_else(not_configured)?;
    let answer = |url: &str| {
        Answer::data(Json::object(|data| {
            data.field("auth_url", url);
        }))
    };
    let name = if begin.role.is_empty() { &client.config.default_role } else { &begin.role };
    let Some((name, role)) = role(name, place, txn).await? else { return Ok(answer("")) };
    if !role.allowed_redirect_uris.iter().any(|allowed| is_same_place(allowed, &begin.redirect_uri)) {
        return Ok(answer(""));
    }
    let provider = call.issuers.provider(&client.at, call.when(txn)).await.map_err(|error| away(&error, place))?;
    let state = State::new(name, begin.redirect_uri.clone(), &begin.client_nonce, place, txn.now());
    let endpoint = provider.authorization_endpoint.as_deref().ok_or_else(not_configured)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("client_id", &client.config.oidc_client_id)
        .append_pair("code_challenge", &state.challenge(place))
        .append_pair("code_challenge_method", "S256")
        .append_pair("nonce", &state.nonce(place))
        .append_pair("redirect_uri", &state.redirect_uri)
        .append_pair("response_type", "code")
        .append_pair("scope", &scopes(&role))
        .append_pair("state", &state.text(place));
    if role.max_age > 0 {
        query.append_pair("max_age", &role.max_age.to_string());
    }
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    Ok(answer(&format!("{endpoint}{joint}{}", query.finish())))
}

/// Logs somebody in with what the browser brought back. The state is spent, whatever comes of it.
pub(super) async fn end(end: &End, place: &Place, call: LoginCall<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Some(state) = State::take(&end.state, &end.client_nonce, place, txn).await? else {
        return Err(refused("the state is none, too old, of somebody else, or was used before", txn));
    };
    match proven(&state, &end.code, place, call, txn).await? {
        Ok(proven) => admit(proven, call, place, txn).await,
        Err(reason) => Err(refused(reason, txn)),
    }
}

async fn proven(
    state: &State,
    code: &SecretText,
    place: &Place,
    call: LoginCall<'_>,
    txn: &mut Txn,
) -> Result<Result<Proven, Reason>, Refusal> {
    if code.expose().is_empty() {
        return Ok(Err("the provider gave no code"));
    }
    let Some(client) = client(place, txn).await? else { return Ok(Err("the mount is not configured")) };
    let secret = txn.read::<ClientSecret>(&place.tenant, &ClientSecret::address(place.mount.id)).await?;
    let Some((name, role)) = role(&state.role, place, txn).await? else { return Ok(Err("there is no such role")) };
    let when = call.when(txn);
    let Ok(provider) = call.issuers.provider(&client.at, when).await else { return Ok(Err("the provider cannot be asked")) };
    let redeem = async {
        let secret = secret.as_ref().map_or(&[][..], |found| found.value.0.expose());
        let redeemed = redeem(&client, secret, &provider, (state, code), place, call).await;
        redeemed.inspect_err(|error| tracing::warn!(%error, mount = %place.path, "a code was not redeemed")).ok()
    };
    let Some(redeemed) = call.effort.redeem(redeem).await? else { return Ok(Err("the provider did not take the code")) };
    let Some(token) = Jws::parse(redeemed.id_token.expose()) else { return Ok(Err("the provider gave no token")) };
    let Ok(issuer) = call.issuers.issuer(&client.config.source, token.key_id.as_deref(), when).await else {
        return Ok(Err("the keys of its issuer cannot be had"));
    };
    Ok(verified(token, &issuer, &client, state, (redeemed, &role), place, txn)
        .and_then(|claims| somebody(&claims, name, &role, call)))
}

/// What a token says that was given for a code (`OpenID` Connect Core 1.0 section 3.1.3.7), and what the provider says besides.
fn verified(
    token: Jws<'_>,
    issuer: &Issuer,
    client: &Client,
    state: &State,
    (redeemed, role): (&Redeemed, &Role),
    place: &Place,
    txn: &Txn,
) -> Result<Claims, Reason> {
    let usual = [VerifyingAlgorithm::RS256];
    let supported = &client.config.supported_algorithms;
    let allowed = if supported.is_empty() { &usual[..] } else { supported };
    let claims = token.verify(&issuer.keys, allowed).ok_or("its signature does not verify")?;
    validate::check(&claims, issuer.name.as_deref(), role, txn.now())?;
    let bound = Some(client.config.bound_issuer.as_str()).filter(|bound| !bound.is_empty());
    validate::check(&claims, bound, role, txn.now())?;
    let nonce = claims.text("nonce").ok_or("it has no nonce")?;
    if !crypto::equal(nonce.as_bytes(), state.nonce(place).as_bytes()) {
        return Err("it has another nonce");
    }
    let audiences = claims.texts("aud").map_err(|_| "its audience is neither text nor a list")?.unwrap_or_default();
    let own = &client.config.oidc_client_id;
    let authorized = claims.text("azp");
    let for_us = audiences.contains(own) && authorized.as_ref().is_none_or(|party| party == own);
    if !for_us || (audiences.len() > 1 && authorized.is_none()) {
        return Err("it is for another client");
    }
    if !role.bound_audiences.is_empty() {
        validate::audience(&claims, role)?;
    }
    validate::age(&claims, role, txn.now())?;
    let more = redeemed.user_info.as_ref().and_then(Claims::parse);
    // What is said of somebody else is not said of this one (section 5.3.2).
    let more = more.filter(|more| more.text("sub").is_some() && more.text("sub") == claims.text("sub"));
    Ok(match more {
        Some(more) => claims.and(&more),
        None => claims,
    })
}

/// Gives the code to the provider, for a token.
async fn redeem(
    client: &Client,
    secret: &[u8],
    provider: &Provider,
    (state, code): (&State, &SecretText),
    place: &Place,
    call: LoginCall<'_>,
) -> Result<Redeemed, FetchError> {
    let failed = |what: &str| FetchError::Failed(what.to_owned());
    let outbound = &call.issuers.outbound;
    let endpoint = provider.token_endpoint.as_deref().ok_or_else(|| failed("the provider has no token endpoint"))?;
    let (form, header) = asked_for(client, secret, provider, (state, code), place);
    let to = outbound.check(endpoint)?;
    let answer = outbound.fetch(&to, client.at.authorities(), Ask::Post(&form, header.as_ref())).await?;
    let tokens = object(&answer).ok_or_else(|| failed("the provider's answer to a code is no JSON object"))?;
    let text = |name: &str| tokens.secret(name).ok().flatten();
    let id_token = text("id_token").ok_or_else(|| failed("the provider's answer to a code has no id_token"))?;
    let user_info = match (provider.userinfo_endpoint.as_deref(), text("access_token")) {
        (Some(endpoint), Some(token)) => {
            let to = outbound.check(endpoint)?;
            let asked = outbound.fetch(&to, client.at.authorities(), Ask::GetAs(&token)).await;
            let asked = asked.inspect_err(|error| tracing::warn!(%error, "a provider did not say more about a user"));
            asked.ok().filter(|bytes| bytes.len() <= USER_INFO_BYTES_MAX).map(SecretBytes::from_wiping)
        }
        _ => None,
    };
    Ok(Redeemed { id_token, user_info })
}

/// What is sent for a code: a form, and a header unless the provider wants all in the form.
fn asked_for(
    client: &Client,
    secret: &[u8],
    provider: &Provider,
    (state, code): (&State, &SecretText),
    place: &Place,
) -> (SecretText, Option<SecretText>) {
    let id = &client.config.oidc_client_id;
    let secret = SecretText::new(String::from_utf8_lossy(secret).into_owned());
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code.expose())
        .append_pair("redirect_uri", &state.redirect_uri)
        .append_pair("code_verifier", &state.verifier(place));
    let mut header = None;
    if provider.basic {
        // RFC 6749 section 2.3.1: both are encoded as in a form.
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = SecretText::new(format!("{}:{}", encoded(id), encoded(secret.expose())));
        header = Some(SecretText::new(format!("Basic {}", BASE64.encode(pair.expose().as_bytes()))));
    } else {
        form.append_pair("client_id", id).append_pair("client_secret", secret.expose());
    }
    (SecretText::new(form.finish()), header)
}

async fn client(place: &Place, txn: &mut Txn) -> Result<Option<Client>, Refusal> {
    let found = txn.read::<Config>(&place.tenant, &Config::address(place.mount.id)).await?;
    Ok(found.and_then(|found| match &found.value.source {
        Source::Discovery(at) if !found.value.oidc_client_id.is_empty() => {
            Some(Client { config: Arc::clone(&found.value), at: at.clone() })
        }
        _ => None,
    }))
}

async fn role(name: &str, place: &Place, txn: &mut Txn) -> Result<Option<(String, Arc<Role>)>, Refusal> {
    let Ok(name) = canonical(name) else { return Ok(None) };
    let found = txn.read::<Role>(&place.tenant, &named::address::<Role>(place.mount.id, &name)).await?;
    Ok(found.map(|found| (name, found.value)).filter(|(_, role)| role.role_type == RoleType::Oidc))
}

fn away(error: &FetchError, place: &Place) -> Refusal {
    tracing::warn!(%error, mount = %place.path, "a provider cannot be asked");
    Refusal::invalid("the provider cannot be asked; the server's log says why")
}

fn scopes(role: &Role) -> String {
    let more = role.oidc_scopes.iter().filter(|scope| *scope != "openid");
    std::iter::once("openid").chain(more.map(String::as_str)).collect::<Vec<_>>().join(" ")
}

/// Whether a browser may be sent to a place: that very one, or on loopback at any port (RFC 8252 section 7.3).
fn is_same_place(allowed: &str, asked: &str) -> bool {
    if allowed == asked {
        return true;
    }
    let loopback = |url: &str| -> Option<(String, String)> {
        let (authority, path) = url.strip_prefix("http://")?.split_once('/')?;
        let name = ["localhost", "127.0.0.1", "[::1]"].into_iter().find(|name| {
            let port = authority.strip_prefix(name);
            port.is_some_and(|port| port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()))
        })?;
        Some((name.to_owned(), path.to_owned()))
    };
    loopback(allowed).is_some_and(|allowed| loopback(asked).as_ref() == Some(&allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_comes_back_to_an_allowed_place_only() {
        let local = "http://localhost:8250/oidc/callback";
        for (allowed, asked, same) in [
            (local, local, true),
            (local, "http://localhost:9999/oidc/callback", true),
            (local, "http://localhost/oidc/callback", true),
            (local, "http://127.0.0.1:8250/oidc/callback", false),
            (local, "https://localhost:8250/oidc/callback", false),
            (local, "http://localhost:8250/oidc/callback/", false),
            (local, "http://localhost:8250@evil.org/oidc/callback", false),
            (local, "http://localhost.evil.org/oidc/callback", false),
            (local, "http://localhost:x/oidc/callback", false),
            ("https://a.org/cb", "https://a.org/cb", true),
            ("https://a.org/cb", "https://a.org:443/cb", false),
            ("https://a.org/cb", "https://a.org/cb?x=y", false),
        ] {
            assert_eq!(is_same_place(allowed, asked), same, "{allowed} {asked}");
        }
    }
}
