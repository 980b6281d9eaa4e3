//! Answers that are put away for whoever brings a token, where `X-Vault-Wrap-TTL` asks for it.

use std::time::Duration;

use super::chain::Resolved;
use super::dispatch::Called;
use super::route::{Credential, Route};
use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::auth::token::lifetime::whole_seconds;
use crate::auth::token::wrapping;
use crate::commit::Txn;
use crate::engine::table::Verb;
use crate::fields::Fields;
use crate::mount::TTL_MAX_SECONDS;
use crate::secret::SecretText;
use crate::time::{go_duration, parse_duration};

/// Reads `X-Vault-Wrap-TTL`; zero and an empty header ask for nothing. Any other header that cannot be kept is refused:
/// to answer in the clear what was to be wrapped would be a leak.
pub(super) fn ttl(header: Option<&str>) -> Result<Option<Duration>, Refusal> {
    let text = header.unwrap_or("").trim();
    let refused = |reason: &str| Err(Refusal::Invalid(format!("error parsing X-Vault-Wrap-TTL header: {reason}")));
    if text.starts_with('-') {
        return refused("requested wrap ttl cannot be negative");
    }
    let Some(ttl) = parse_duration(text) else {
        return refused("not a duration: seconds, or text such as \"5m\"");
    };
    if ttl > Duration::from_secs(TTL_MAX_SECONDS) {
        return refused(&format!("requested wrap ttl is more than {}", go_duration(Duration::from_secs(TTL_MAX_SECONDS))));
    }
    Ok(Some(ttl).filter(|ttl| !ttl.is_zero()))
}

/// A wrapping token may be all that its holder has: where there is no other credential, the one that the body names counts.
pub(super) fn offered(route: &Route, sent: &Credential, fields: Option<&Fields<'_>>) -> Option<Credential> {
    const OPENING: [&str; 2] = ["sys/wrapping/unwrap", "sys/wrapping/lookup"];
    if route.verb != Verb::Write || !matches!(sent, Credential::None | Credential::Certificate { .. }) {
        return None;
    }
    let asked = route.path.as_str();
    let opening = OPENING
        .into_iter()
        .any(|path| asked.strip_suffix(path).is_some_and(|namespaces| namespaces.is_empty() || namespaces.ends_with('/')));
    if !opening {
        return None;
    }
    let token: SecretText = fields?.secret("token").ok().flatten()?;
    Some(Credential::Token(token))
}

impl Resolved {
    /// A token that was only named in the body lets nobody in, unless it is a wrapping token.
    pub(super) fn of_offered(mut self) -> Self {
        self.caller = self.caller.filter(|caller| caller.entry.is_wrapping());
        self
    }
}

impl Called<'_> {
    /// Puts the answer away, if that was asked for. Strangers cannot have anything kept, except what a login gives them.
    pub(super) async fn wrap(&self, answer: Answer, txn: &mut Txn) -> Result<Answer, Refusal> {
        let Some(ttl) = self.route.wrap_ttl else { return Ok(answer) };
        let has_token = self.asked.caller.as_ref().is_some_and(Caller::has_token);
        if !has_token && !matches!(answer, Answer::Auth { .. }) {
            return Err(Refusal::invalid("response wrapping needs a valid token"));
        }
        let path = self.asked.path.as_str();
        // Boxed, as rare operations are.
        Box::pin(wrapping::wrap(txn, &self.asked.tenant, path, whole_seconds(ttl), answer.written().await?)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_clients_write_them() {
        for (header, seconds) in [
            (None, None),
            (Some(""), None),
            (Some("0"), None),
            (Some("0s"), None),
            (Some("60"), Some(60)),
            (Some("5m0s"), Some(300)),
        ] {
            assert_eq!(ttl(header).unwrap().map(|ttl| ttl.as_secs()), seconds, "{header:?}");
        }
        assert_eq!(whole_seconds(ttl(Some("500ms")).unwrap().unwrap()), 1);
        assert_eq!(ttl(Some("768h")).unwrap(), Some(Duration::from_secs(TTL_MAX_SECONDS)));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (header, reason) in [
            ("soon", "not a duration"),
            ("0.5", "not a duration"),
            ("\u{fffd}", "not a duration"),
            ("-5", "cannot be negative"),
            ("-5s", "cannot be negative"),
            ("2764801", "more than 768h"),
            ("99999999999999999999", "not a duration"),
        ] {
            let Err(Refusal::Invalid(text)) = ttl(Some(header)) else { panic!("accepted: {header}") };
            assert!(text.starts_with("error parsing X-Vault-Wrap-TTL header: ") && text.contains(reason), "{text}");
        }
    }
}
