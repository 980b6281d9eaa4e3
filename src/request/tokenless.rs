//! Who sends a request without a token, where a client certificate says so.

use super::Call;
use super::chain::Resolved;
use super::dispatch::Target;
use super::route::Credential;
use crate::answer::Refusal;
use crate::auth::cert::{self, Shown};
use crate::auth::{Caller, Origin};
use crate::commit::Txn;
use crate::engine::table::Need;

impl Target<'_> {
    /// Whether it may be asked for without a token: what belongs to a token, or makes one, may not; what needs nobody's
    /// right is not judged by a certificate either.
    fn is_for_certificates(&self) -> bool {
        let tokens = matches!(self, Self::Token(..) | Self::Cubbyhole(..));
        !tokens && !matches!(self.need(), Need::Login | Need::Nobody | Need::WrappingToken)
    }
}

impl Call {
    /// The caller by the connection's certificate; `None` when that is nobody's. A source that sends more than its share of
    /// requests without a valid credential has nothing worked out for it.
    pub(super) async fn by_certificate(
        &self,
        asked: &Resolved,
        target: &Target<'_>,
        origin: &Origin,
        txn: &mut Txn,
    ) -> Result<Option<Caller>, Refusal> {
        let Credential::Certificate { presented, role } = &self.incoming.credential else { return Ok(None) };
        if asked.caller.is_some() || !target.is_for_certificates() {
            return Ok(None);
        }
        let hasty = self.shared.outsiders.is_over_rate(origin.address, txn.now());
        let shown = Shown { presented, role: role.as_deref(), origin, hasty };
        // Boxed, so that the future of a request with a token does not grow.
        Box::pin(cert::caller(txn, (&asked.tenant, &asked.namespace), shown)).await
    }
}
