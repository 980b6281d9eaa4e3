//! Wrapping tokens: an answer is put away, and whoever brings the token gets it, once.
//!
//! The answer is one record at the token's accessor, sealed like every value. It goes with the token: in the commit that
//! opens or revokes it, or when both expire. Whoever opens reads both records and removes them in the same commit, so of
//! many who try, one succeeds.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::authenticate::{Known, Rows, by_text};
use super::entry::TokenKind;
use super::lifetime::Wish;
use super::mint::{NewToken, mint};
use crate::answer::{Answer, Data, Refusal};
use crate::commit::{Tenant, Txn};
use crate::json::Json;
use crate::policy::shipped::WRAPPING;
use crate::record::{Address, Kind, Listing};
use crate::secret::{SecretBytes, SecretText};

/// Puts `answer` away in `tenant` for `ttl_seconds`, and answers with the token that opens it. An answer without a body
/// stays as it is, and so does one that was put away already. `path` is what was asked for.
pub async fn wrap(txn: &mut Txn, tenant: &Arc<Tenant>, path: &str, ttl_seconds: u64, answer: Answer) -> Result<Answer, Refusal> {
    let (wrapped, accessor) = match &answer {
        Answer::Data(data) => (Wrapped::of(data, None), None),
        Answer::Auth { auth, warnings } => {
            let data = Data { warnings: warnings.clone(), ..Data::new(None) };
            (Wrapped::of(&data, Some(auth)), accessor_in(auth))
        }
        Answer::Empty
        | Answer::Written { .. }
        | Answer::Unchanged { .. }
        | Answer::Accepted { .. }
        | Answer::Wrapped(_)
        | Answer::Text { .. }
        | Answer::Bare { .. } => {
            return Ok(answer);
        }
    };
    put_away(txn, tenant, path, ttl_seconds, &wrapped, accessor.as_deref()).await
}

/// The wrapping token with this text, in one of the tenants of `chain`.
pub async fn find(txn: &mut Txn, chain: &[Arc<Tenant>], text: &SecretText) -> Result<Option<Known>, Refusal> {
    for tenant in chain.iter().rev() {
        if let Some(known) = by_text(txn, chain, tenant, text).await? {
            return Ok(Some(known).filter(|known| known.entry.is_wrapping()));
        }
    }
    Ok(None)
}

/// The answer that a token was made for; the token is gone with it. `None`: somebody was here before.
pub async fn open(txn: &mut Txn, known: &Known) -> Result<Option<Answer>, Refusal> {
    match take(txn, known).await? {
        Some(wrapped) => wrapped.answer().map(Some),
        None => Ok(None),
    }
}

/// The same answer for another token, with the time that the first one had from the beginning.
pub async fn rewrap(txn: &mut Txn, known: &Known) -> Result<Option<Answer>, Refusal> {
    let Some(wrapped) = take(txn, known).await? else { return Ok(None) };
    let entry = &known.entry;
    put_away(txn, &known.tenant, &entry.path, entry.creation_ttl_seconds, &wrapped, None).await.map(Some)
}

async fn take(txn: &mut Txn, known: &Known) -> Result<Option<Arc<Wrapped>>, Refusal> {
    let found = txn.read::<Wrapped>(&known.tenant, &Wrapped::address(&known.entry.accessor)).await?;
    Rows::of(known).remove(txn, &known.tenant);
    txn.note_detail(format!("answer taken out with wrapping token {}", known.entry.accessor));
    Ok(found.map(|found| found.value))
}

async fn put_away(
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
    path: &str,
    ttl_seconds: u64,
    wrapped: &Wrapped,
    wrapped_accessor: Option<&str>,
) -> Result<Answer, Refusal> {
    let new = NewToken {
        kind: TokenKind::Service,
        role: None,
        entity_id: String::new(),
        certificate: None,
        login: None,
        factors: Vec::new(),
        bound_cidrs: Vec::new(),
        chosen: None,
        parent: None,
        policies: vec![WRAPPING.name.to_owned()],
        meta: None,
        display_name: "token".to_owned(),
        path: path.to_owned(),
        limits: txn.lease_ttl(),
        wish: Wish { ttl_seconds, explicit_max_ttl_seconds: ttl_seconds, ..Wish::default() },
        uses: Some(1),
        renewable: false,
    };
    let minted = mint(txn, tenant, new).await?;
    let entry = &minted.entry;
    txn.put(tenant, &Wrapped::address(&entry.accessor), wrapped, entry.expires).await?;
    txn.note_detail(format!("answer put away for wrapping token {}", entry.accessor));
    Ok(Answer::Wrapped(Json::object(|info| {
        info.field("token", minted.token.expose()).field("accessor", &entry.accessor).field("ttl", &entry.ttl_seconds);
        info.field("creation_time", &entry.created.rfc3339()).field("creation_path", path);
        if let Some(accessor) = wrapped_accessor {
            info.field("wrapped_accessor", accessor);
        }
    })))
}

/// The accessor of the token that an answer gives out.
fn accessor_in(auth: &Json) -> Option<String> {
    #[derive(Deserialize)]
    struct Auth {
        accessor: String,
    }
    serde_json::from_slice::<Auth>(auth.expose()).ok().map(|auth| auth.accessor).filter(|accessor| !accessor.is_empty())
}

/// An answer that was put away, as a JSON text.
pub(super) struct Wrapped(SecretBytes);

/// What is in there, as a view of the text.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    auth: Option<&'a RawValue>,
    #[serde(default = "ok")]
    status: u16,
    lease_duration: u64,
    warnings: Vec<String>,
}

/// What an answer is that was put away before statuses were.
fn ok() -> u16 {
    200
}

impl Wrapped {
    /// Where the answer lives that the token with this accessor opens.
    pub(super) fn address(accessor: &str) -> Address {
        Address::system(Kind::Wrapped, accessor)
    }

    fn of(data: &Data, auth: Option<&Json>) -> Self {
        let json = Json::object(|out| {
            out.raw("data", data.data.as_ref().map_or(b"null", Json::expose)).raw("auth", auth.map_or(b"null", Json::expose));
            out.field("status", &data.status).field("lease_duration", &data.lease_duration);
            out.strings("warnings", &data.warnings);
        });
        Self(json.into_secret())
    }

    fn answer(&self) -> Result<Answer, Refusal> {
        let parts: Parts<'_> = serde_json::from_slice(self.0.expose()).map_err(|error| {
            Refusal::Internal(format!("an answer that was put away does not decode: column {}", error.column()))
        })?;
        let json = |raw: &RawValue| Json::from_text(raw.get().as_bytes().to_vec());
        if let Some(auth) = parts.auth {
            return Ok(Answer::Auth { auth: json(auth), warnings: parts.warnings });
        }
        let Parts { status, lease_duration, warnings, .. } = parts;
        Ok(Answer::Data(Data { status, lease_duration, warnings, ..Data::new(parts.data.map(json)) }))
    }
}

crate::secret_record!(Wrapped, Kind::Wrapped, Listing::None);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: Option<&Json>) -> Option<String> {
        json.map(|json| String::from_utf8(json.expose().to_vec()).unwrap())
    }

    #[test]
    fn an_answer_comes_out_as_it_went_in() {
        let value = r#"{"n":1.50,"b":{"c":[null]}}"#;
        let data = Data {
            status: 404,
            lease_duration: 90,
            warnings: vec!["careful".to_owned()],
            ..Data::new(Some(Json::from_text(value.as_bytes().to_vec())))
        };
        let Answer::Data(out) = Wrapped::of(&data, None).answer().unwrap() else { panic!("no data") };
        assert_eq!(text(out.data.as_ref()).as_deref(), Some(value));
        assert_eq!((out.status, out.lease_duration, out.warnings.as_slice()), (404, 90, &["careful".to_owned()][..]));

        let auth = Json::object(|auth| {
            auth.field("client_token", "s.x").field("accessor", "acc");
        });
        assert_eq!(accessor_in(&auth).as_deref(), Some("acc"));
        let Answer::Auth { auth: out, warnings } = Wrapped::of(&Data::new(None), Some(&auth)).answer().unwrap() else {
            panic!("no auth")
        };
        assert_eq!((text(Some(&out)), warnings.len()), (text(Some(&auth)), 0));

        let Answer::Data(out) = Wrapped::of(&Data::new(None), None).answer().unwrap() else { panic!("no data") };
        assert_eq!(text(out.data.as_ref()), None);
    }

    #[test]
    fn what_does_not_decode_is_an_error_without_content() {
        let Err(Refusal::Internal(said)) = Wrapped(SecretBytes::new(br#"{"data":hunter2}"#.to_vec())).answer() else {
            panic!("accepted")
        };
        assert!(!said.contains("hunter2"), "{said}");
    }
}
