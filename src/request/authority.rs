//! May they? Policy is asked once, with the path that storage will be asked for.

use super::dispatch::{Called, Target, holder};
use crate::answer::Refusal;
use crate::auth::{Caller, approle, cert, jwt, kubernetes, token, userpass};
use crate::commit::Txn;
use crate::engine::table::{Need, Verb};
use crate::engine::{cubbyhole, identity, kv, transit};
use crate::fields::Fields;
use crate::policy::{Ask, Capability, FactorDemand, Granted};
use crate::sys::namespaces;
use crate::time::go_duration;

/// Proof that the caller may do what it asks: no operation is made without one, and only `authorise` makes it.
pub(super) struct Permit(());

impl Called<'_> {
    /// Refuses whoever policy does not let in. Says nothing else: not whether the path is there, nor the mount.
    pub(super) async fn authorise(&self, txn: &mut Txn, fields: Option<&Fields<'_>>) -> Result<Permit, Refusal> {
        let need = self.target.need();
        if matches!(need, Need::Nobody | Need::Login) {
            return Ok(Permit(()));
        }
        if need == Need::WrappingToken && self.asked.caller.is_none() {
            return Ok(Permit(()));
        }
        let caller = self.asked.caller.as_ref().ok_or(Refusal::NoToken)?;
        if need == Need::Token {
            return Ok(Permit(()));
        }
        let path = format!("{}{}", caller.prefix, self.asked.path);
        let wrap_ttl = self.route.wrap_ttl;
        let ask = |capability| Ask { sudo: need == Need::Sudo, parameters: fields, wrap_ttl, ..Ask::new(&path, capability) };
        let ask = match need {
            Need::CreateOrUpdate => ask(self.create_or_update(txn, caller, &path, fields).await?),
            _ => ask(of_verb(self.route.verb)),
        };
        let granted = Granted::by(&caller.acl, &ask).map(|_granted| Permit(()));
        granted.ok_or_else(|| caller.acl.wants(&ask).map_or(Refusal::Denied, wanting))
    }

    /// In a locked namespace, and below one, only its own unlocking is answered. Strangers do not learn that it is locked.
    pub(super) fn refuse_locked(&self) -> Result<(), Refusal> {
        let Some(locked) = &self.asked.locked else { return Ok(()) };
        if self.asked.caller.is_none() {
            return Err(Refusal::NoToken);
        }
        let unlocks = matches!(self.target, Target::Sys(route) if route.row.pattern == namespaces::UNLOCK_OWN);
        if unlocks && *locked == self.asked.namespace { Ok(()) } else { Err(Refusal::Locked(locked.clone())) }
    }

    /// Which of the two it is depends on whether something is there; that is looked up only where policy cares.
    async fn create_or_update(
        &self,
        txn: &mut Txn,
        caller: &Caller,
        path: &str,
        fields: Option<&Fields<'_>>,
    ) -> Result<Capability, Refusal> {
        let wrap_ttl = self.route.wrap_ttl;
        let granted = |capability| caller.acl.decide(&Ask { parameters: fields, wrap_ttl, ..Ask::new(path, capability) });
        if granted(Capability::Create) == granted(Capability::Update) {
            return Ok(Capability::Update);
        }
        let empty = Fields::empty();
        let call = self.call(fields.unwrap_or(&empty));
        let exists = match self.target {
            Target::Kv1(..) => kv::v1::exists(self.place()?, &call, txn).await?,
            Target::Kv2(..) => kv::v2::exists(self.place()?, &call, txn).await?,
            Target::Cubbyhole(..) => cubbyhole::exists(holder(caller)?, self.place()?, &call, txn).await?,
            Target::Token(..) => token::exists(self.place()?, &call, txn).await?,
            Target::Identity(..) => identity::exists(self.place()?, &call, txn).await?,
            Target::AppRole(..) => approle::exists(self.place()?, &call, txn).await?,
            Target::Userpass(..) => userpass::exists(self.place()?, &call, txn).await?,
            Target::Cert(..) => cert::exists(self.place()?, &call, txn).await?,
            Target::Transit(..) => transit::exists(self.place()?, &call, txn).await?,
            Target::Jwt(..) => jwt::exists(self.place()?, &call, txn).await?,
            Target::Kubernetes(..) => kubernetes::exists(self.place()?, &call, txn).await?,
            _ => true,
        };
        Ok(if exists { Capability::Update } else { Capability::Create })
    }
}

/// Policy would let them in, had they shown a second factor lately.
fn wanting(demand: &FactorDemand) -> Refusal {
    let (methods, age) = (demand.methods.join(" or "), go_duration(demand.max_age));
    Refusal::Forbidden(format!(
        "permission denied: this needs a second factor that was shown to the token less than {age} ago: {methods} \
         (sys/mfa/step-up)"
    ))
}

fn of_verb(verb: Verb) -> Capability {
    match verb {
        Verb::Read => Capability::Read,
        Verb::List => Capability::List,
        Verb::Scan => Capability::Scan,
        Verb::Write => Capability::Update,
        Verb::Patch => Capability::Patch,
        Verb::Delete => Capability::Delete,
    }
}
