//! Making identity tokens, and saying whether one is valid (RFC 7519, RFC 7515).

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::super::run::Asker;
use super::super::standing::{resolve, standing};
use super::{key, published, role, template};
use crate::answer::{Answer, Refusal};
use crate::commit::{Tenant, Txn};
use crate::crypto::SigningAlgorithm;
use crate::json::Json;
use crate::secret::SecretText;

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 256 << 10;

/// Makes a token about the caller's entity, as a role says.
pub(super) async fn issue(name: &str, tenant: &Arc<Tenant>, asker: &Asker<'_>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = role::find(name, tenant, txn).await?;
    let role = found.ok_or_else(|| Refusal::invalid(format!("role {name:?} not found")))?;
    let key = key::find(&role.key, tenant, txn).await?;
    let key = key.ok_or_else(|| Refusal::invalid(format!("key {:?} not found", role.key)))?;
    if !key.settings.clients.iter().any(|client| client == "*" || *client == role.client_id) {
        return Err(Refusal::invalid(format!("the key {:?} does not list the client ID of the role {name:?}", role.key)));
    }
    if asker.entity_id.is_empty() {
        return Err(Refusal::invalid("no entity associated with the request's token"));
    }
    let standing = standing(txn, tenant, asker.entity_id).await?.ok_or(Refusal::NoToken)?;
    let (now, issuer) = (txn.now(), published::issuer(tenant, asker, txn).await?);
    let told = match role.template.as_str() {
        "" => None,
        text => {
            let filled = template::fill(text, Some(&standing), now);
            Some(filled.map_err(|reason| Refusal::Internal(format!("the template of role {name:?}: {reason}")))?)
        }
    };
    let from = now.unix_seconds();
    let until = from.saturating_add(i64::try_from(role.ttl_seconds).unwrap_or(i64::MAX));
    let claims = Json::object(|claims| {
        claims
            .field("aud", &role.client_id)
            .field("exp", &until)
            .field("iat", &from)
            .field("iss", &issuer)
            .field("namespace", &Some(tenant.label()).filter(|label| !label.is_empty()).unwrap_or_else(|| "root".to_owned()))
            .field("sub", &standing.entity.id);
        if let Some(told) = &told {
            claims.splice(&Json::from_text(told.trim().as_bytes().to_vec()));
        }
    });
    let header = Json::object(|header| {
        header.field("alg", key.settings.algorithm.name()).field("kid", &key.settings.current_id);
    });
    let text = format!("{}.{}", BASE64URL_NOPAD.encode(header.expose()), BASE64URL_NOPAD.encode(claims.expose()));
    let failed = |_| Refusal::Internal("an identity token could not be signed".to_owned());
    let signed = key.signing_key().sign(text.as_bytes()).map_err(failed)?;
    let token = SecretText::new(format!("{text}.{}", BASE64URL_NOPAD.encode(&signed)));
    Ok(Answer::data(Json::object(|data| {
        data.field("client_id", &role.client_id).field("token", token.expose()).field("ttl", &role.ttl_seconds);
    })))
}

/// The claims that are checked.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

/// Says whether a token of this tenant is valid now: for 200 in either case, as clients expect.
pub(super) async fn introspect(
    token: &SecretText,
    client_id: Option<&str>,
    tenant: &Arc<Tenant>,
    asker: &Asker<'_>,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let wrong = judge(token.expose(), client_id, tenant, asker, txn).await?;
    let body = Json::object(|body| {
        body.field("active", &wrong.is_none());
        if let Some(reason) = wrong {
            body.field("error", reason);
        }
    });
    Ok(Answer::Bare { status: 200, body })
}

/// What is wrong with a token; `None` for nothing.
async fn judge(
    token: &str,
    client_id: Option<&str>,
    tenant: &Arc<Tenant>,
    asker: &Asker<'_>,
    txn: &mut Txn,
) -> Result<Option<&'static str>, Refusal> {
    let Some((signed_text, claims)) = parse(token) else { return Ok(Some("error parsing token")) };
    if !is_signed(token, signed_text, tenant, txn).await? {
        return Ok(Some("unable to validate the token signature"));
    }
    if claims.iss != published::issuer(tenant, asker, txn).await? {
        return Ok(Some("error validating claims: invalid issuer claim (iss)"));
    }
    if client_id.is_some_and(|client| client != claims.aud) {
        return Ok(Some("error validating claims: invalid audience claim (aud)"));
    }
    let now = txn.now();
    if claims.exp <= now.unix_seconds() {
        return Ok(Some("error validating claims: token is expired (exp)"));
    }
    Ok(match resolve(&claims.sub, txn, tenant).await? {
        None => Some("entity was not found"),
        Some(entity) if entity.disabled => Some("entity is disabled"),
        Some(_) => None,
    })
}

/// What is signed, and the claims. Nothing in there is believed yet.
fn parse(token: &str) -> Option<(&str, Claims)> {
    let (text, _) = token.rsplit_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX)?;
    let (_, claims) = text.split_once('.')?;
    Some((text, serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?).ok()?))
}

/// Whether a published key signed it. The header says which, and the key says how: an algorithm that is not the key's own
/// is refused.
async fn is_signed(token: &str, text: &str, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<bool, Refusal> {
    let header = text.split_once('.').and_then(|(header, _)| BASE64URL_NOPAD.decode(header.as_bytes()).ok());
    let Some(header) = header.and_then(|header| serde_json::from_slice::<Header>(&header).ok()) else { return Ok(false) };
    let signature = token.rsplit_once('.').and_then(|(_, signature)| BASE64URL_NOPAD.decode(signature.as_bytes()).ok());
    let (Some(signature), Some(algorithm)) = (signature, SigningAlgorithm::parse(&header.alg)) else { return Ok(false) };
    let now = txn.now();
    for name in key::names(tenant, txn).await?.iter() {
        let Some(key) = key::find(name, tenant, txn).await? else { continue };
        if let Some(public) = key.published(now).find(|public| public.id == header.kid) {
            return Ok(public.algorithm == algorithm && public.key.verify(algorithm, text.as_bytes(), &signature));
        }
    }
    Ok(false)
}
