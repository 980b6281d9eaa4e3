//! Second factors of logins and tokens: what a login has to show besides its first proof, and showing one to a token later.
//!
//! A login that an enforcement (`identity::mfa`) is about brings its passcodes in `X-Vault-MFA`, or is written down
//! (`Pending`) and waits: `sys/mfa/validate` ends it, once. The one who waits has no token, and is not let in by anything that
//! has changed for the worse meanwhile: enforcements, entity, role and user are looked at again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::login::{Admitted, LoginCall, complete, renewal};
use super::token::entry::{TokenEntry, TokenKind, token_address};
use super::token::show::shown_json;
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Tenant, Txn};
use crate::engine::identity::mfa::{Demand, Method, demands, methods, prove};
use crate::engine::{directory, identity};
use crate::json::Json;
use crate::policy::ShownFactor;
use crate::random;
use crate::record::{Address, Kind, Listing};
use crate::secret::SecretText;

/// How long a login waits for its second factor, in seconds.
pub const WAITING_SECONDS: u64 = 5 * 60;
/// The most passcodes in one request.
pub const PASSCODES_MAX: usize = 16;

const WAITS: &str = "A login request was issued that is subject to MFA validation. Please make sure to validate the login by \
                     sending another request to mfa/validate endpoint.";
const WRONG: &str = "MFA credentials not supplied or incorrect";

/// Passcodes, by the method's id or name; none where nothing stands for it.
#[derive(Default)]
pub struct Passcodes(BTreeMap<String, Option<SecretText>>);

impl Passcodes {
    /// Takes one more. `Invalid` when there is one already for the same text, or when there are too many.
    pub fn add(&mut self, method: &str, passcode: Option<SecretText>) -> Result<(), Refusal> {
        if self.0.len() >= PASSCODES_MAX {
            return Err(Refusal::Invalid(format!("at most {PASSCODES_MAX} passcodes")));
        }
        if self.0.insert(method.to_owned(), passcode).is_some() {
            return Err(Refusal::invalid("failed to parse MFA factor, found multiple passcodes for the same MFA method"));
        }
        Ok(())
    }

    /// From the values of `X-Vault-MFA`: `method:passcode`.
    fn of_headers(headers: &[SecretText]) -> Result<Self, Refusal> {
        let mut passcodes = Self::default();
        for header in headers {
            match header.expose().split_once(':') {
                Some((_, "")) => {
                    return Err(Refusal::invalid(
                        "failed to parse X-Vault-MFA header: invalid data in header \"X-Vault-MFA\"; missing method value",
                    ));
                }
                Some((method, passcode)) => passcodes.add(method, Some(SecretText::new(passcode.to_owned())))?,
                None => passcodes.add(header.expose(), None)?,
            }
        }
        Ok(passcodes)
    }

    /// What was sent for a method.
    fn of(&self, method: &Method) -> Option<&SecretText> {
        self.0.iter().find(|(text, _)| method.is_called(text)).and_then(|(_, passcode)| passcode.as_ref())
    }
}

/// A login that waits.
#[derive(Serialize, Deserialize)]
struct Pending(Admitted);

crate::json_record!(Pending, Kind::PendingLogin, Listing::None);

/// Where a login waits. The id is random, and stands nowhere in the store.
fn pending_address(request_id: &str) -> Address {
    Address::system(Kind::PendingLogin, request_id)
}

/// What a login has shown, or the answer that says what it has to show. `NoToken` when what it sent is not enough.
pub(super) enum Gate {
    /// It may go on.
    Open(Vec<ShownFactor>),
    /// It has to show these.
    Wanted(Vec<Demand>),
}

/// Asks for what a login has to show, given what it sent along.
pub(super) async fn gate(admitted: &Admitted, call: LoginCall<'_>, place: &Place, txn: &mut Txn) -> Result<Gate, Refusal> {
    let mount = (place.mount.accessor.as_str(), place.mount.engine.type_name());
    let demands = demands(txn, &place.tenant, mount, &admitted.entity_id).await?;
    if demands.is_empty() {
        return Ok(Gate::Open(Vec::new()));
    }
    if call.passcodes.is_empty() {
        return Ok(Gate::Wanted(demands));
    }
    let sent = Passcodes::of_headers(call.passcodes)?;
    match satisfy(&demands, &sent, &admitted.entity_id, txn, &place.tenant).await? {
        Ok(shown) => Ok(Gate::Open(shown)),
        Err(_) => Err(Refusal::NoToken),
    }
}

/// Has a login wait for its second factor.
pub(super) async fn wait(admitted: Admitted, demands: &[Demand], place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let request_id = random::uuid();
    let until = txn.now().plus(Duration::from_secs(WAITING_SECONDS));
    txn.note_login(admitted.as_event(place.tenant.id()));
    txn.note_detail(format!("login: entity {} has to show a second factor", admitted.entity_id));
    let address = pending_address(&request_id);
    txn.put(&place.tenant, &address, &Pending(admitted), Some(until)).await?;
    Ok(Answer::Auth { auth: requirement(&request_id, demands), warnings: vec![WAITS.to_owned()] })
}

fn requirement(request_id: &str, demands: &[Demand]) -> Json {
    Json::object(|auth| {
        auth.field("client_token", "")
            .field("accessor", "")
            .null("policies")
            .null("metadata")
            .field("lease_duration", &0)
            .field("renewable", &false)
            .field("entity_id", "")
            .field("token_type", "default")
            .field("orphan", &false)
            .object("mfa_requirement", |out| {
                out.field("mfa_request_id", request_id).object("mfa_constraints", |out| {
                    for demand in demands {
                        out.object(&demand.name, |out| {
                            out.raw("any", methods_json(&demand.methods).expose());
                        });
                    }
                });
            })
            .field("num_uses", &0);
    })
}

fn methods_json(methods: &[Arc<Method>]) -> Json {
    let mut list = Json::list();
    for method in methods {
        list.object(|out| {
            out.field("type", "totp").field("id", &method.id).field("uses_passcode", &true);
            if !method.name.is_empty() {
                out.field("name", &method.name);
            }
        });
    }
    list.close()
}

/// Whether every demand is met: what was shown, or the text about the first that is not. A factor that was right counts for all
/// of them, and stays used whatever comes after.
async fn satisfy(
    demands: &[Demand],
    sent: &Passcodes,
    entity_id: &str,
    txn: &mut Txn,
    tenant: &Arc<Tenant>,
) -> Result<Result<Vec<ShownFactor>, String>, Refusal> {
    let mut shown: Vec<ShownFactor> = Vec::new();
    for demand in demands {
        let mut met = demand.methods.iter().any(|method| shown.iter().any(|known| known.method == method.id));
        for method in &demand.methods {
            let Some(passcode) = sent.of(method).filter(|_| !met) else { continue };
            if prove(txn, tenant, entity_id, (method, passcode)).await? {
                txn.keep_guards();
                shown.push(ShownFactor { method: method.id.clone(), time: txn.now() });
                met = true;
            }
        }
        if !met {
            let ids: Vec<&str> = demand.methods.iter().map(|method| method.id.as_str()).collect();
            return Ok(Err(format!(
                "failed to satisfy enforcement {}. error: 2 errors occurred:\n\t* {WRONG}\n\t* login MFA validation failed for \
                 methodID: [{}]\n\n",
                demand.name,
                ids.join(" ")
            )));
        }
    }
    Ok(Ok(shown))
}

/// Ends a login that waits: the answer holds the token.
pub async fn validate(
    request_id: &str,
    sent: &Passcodes,
    tenant: &Arc<Tenant>,
    call: LoginCall<'_>,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let unknown = || Refusal::invalid("invalid request ID");
    let address = pending_address(request_id);
    let found = txn.read::<Pending>(tenant, &address).await?.ok_or_else(unknown)?;
    // One of before a restore may have been ended since: those that began about then are not taken.
    let waiting = Duration::from_secs(WAITING_SECONDS);
    if txn.after_restore(tenant).await?.is_some_and(|restored| txn.now() <= restored.at.plus(waiting)) {
        return Err(unknown());
    }
    let admitted = &found.value.0;
    // Whoever read the id off somebody's screen does not end the login elsewhere.
    if admitted.login.certificate.is_some_and(|known| Some(known) != call.origin.certificate()) {
        return Err(unknown());
    }
    let mounted = directory::by_id(tenant, admitted.login.mount, txn).await?.ok_or_else(unknown)?;
    let place = Place { tenant: Arc::clone(tenant), mount: mounted.mount, path: mounted.path };
    let mount = (place.mount.accessor.as_str(), place.mount.engine.type_name());
    identity::standing(txn, tenant, &admitted.entity_id).await?.ok_or_else(unknown)?;
    let demands = demands(txn, tenant, mount, &admitted.entity_id).await?;
    let shown = match satisfy(&demands, sent, &admitted.entity_id, txn, tenant).await? {
        Ok(shown) => shown,
        Err(text) => return Err(Refusal::Forbidden(text)),
    };
    txn.remove::<Pending>(tenant, &address).await?;
    let completed = complete(admitted.clone(), shown, call.origin, &place, txn).await?;
    // What the method would not renew, it does not give either: its user is gone, say.
    renewal(&completed.entry, tenant, call.origin, txn).await.map_err(|_| unknown())?;
    Ok(completed.answer)
}

/// Shows a second factor to the caller's own token: from now on it was shown at this time.
pub async fn step_up(
    (name, passcode): (&str, &SecretText),
    place: &Place,
    caller: &Caller,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let entry = own_entry(place, caller, txn).await?;
    let tenant = &caller.tenant;
    let known = methods(txn, tenant).await?.into_iter().find(|method| method.is_called(name));
    let method = known.ok_or_else(|| Refusal::Invalid(format!("configuration for method ID {name:?} does not exist")))?;
    if !prove(txn, tenant, &entry.entity_id, (&method, passcode)).await? {
        return Err(Refusal::Forbidden(WRONG.to_owned()));
    }
    let mut entry = TokenEntry::clone(&entry);
    entry.factors.retain(|factor| factor.method != method.id);
    entry.factors.push(ShownFactor { method: method.id.clone(), time: txn.now() });
    txn.put(tenant, &token_address(&caller.hash), &entry, entry.expires).await?;
    txn.note_detail(format!("a factor of method {} was shown to token {}", method.id, entry.accessor));
    Ok(Answer::data(Json::object(|data| {
        data.raw("mfa", shown_json(&entry.factors).expose());
    })))
}

/// The caller's token as it is stored: read again, for one at its last use is gone already.
async fn own_entry(place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Arc<TokenEntry>, Refusal> {
    match caller.entry.kind {
        TokenKind::Service | TokenKind::Released => {}
        TokenKind::Batch => return Err(Refusal::invalid("a batch token cannot be shown a factor: nothing about it changes")),
        TokenKind::Certificate => return Err(Refusal::NoToken),
    }
    if caller.tenant.id() != place.tenant.id() {
        return Err(Refusal::invalid("a factor is shown in the namespace that the token belongs to"));
    }
    if caller.entry.entity_id.is_empty() {
        return Err(Refusal::invalid("missing entityID"));
    }
    let found = txn.read::<TokenEntry>(&caller.tenant, &token_address(&caller.hash)).await?;
    found.map(|found| found.value).ok_or_else(|| Refusal::invalid("token not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(texts: &[&str]) -> Result<Passcodes, Refusal> {
        let texts: Vec<SecretText> = texts.iter().map(|text| SecretText::new((*text).to_owned())).collect();
        Passcodes::of_headers(&texts)
    }

    #[test]
    fn headers_name_a_method_and_a_passcode() {
        let sent = headers(&["totp:123456", "other", "third:a:b"]).unwrap();
        let of = |name: &str| sent.0.get(name).unwrap().as_ref().map(SecretText::expose);
        assert_eq!((of("totp"), of("other"), of("third")), (Some("123456"), None, Some("a:b")));
        for bad in [&["totp:"][..], &["totp:1", "totp:2"], &["a:1", "a"]] {
            assert!(headers(bad).is_err(), "{bad:?}");
        }
        let many: Vec<String> = (0..=PASSCODES_MAX).map(|at| format!("m{at}:1")).collect();
        assert!(headers(&many.iter().map(String::as_str).collect::<Vec<_>>()).is_err());
    }
}
