//! Who makes a request, once that is known.

use std::borrow::Cow;
use std::sync::Arc;

use super::origin::Origin;
use super::token::TokenEntry;
use super::token::entry::{TokenKind, hash_of};
use crate::audit::event;
use crate::commit::Tenant;
use crate::policy::Acl;
use crate::secret::SecretText;

/// The holder of a valid token. Only `token::authenticate` makes one; whoever walks on to a tenant below sets
/// `chain`, `namespace` and `prefix` to where the walk ends.
pub struct Caller {
    /// The tenant that the token belongs to: the request's own, or one above.
    pub tenant: Arc<Tenant>,
    /// The token, as its holder sent it.
    pub token: SecretText,
    /// Its hash in `tenant`.
    pub hash: String,
    /// What is known about it, after this use was counted.
    pub entry: Arc<TokenEntry>,
    /// Whether the token above it was given up without it, so that it is an orphan now.
    pub released: bool,
    /// Where the request comes from.
    pub origin: Origin,
    /// What its policies allow, on paths that begin in `tenant`.
    pub acl: Arc<Acl>,
    /// The tenants from the root to the request's own.
    pub chain: Vec<Arc<Tenant>>,
    /// Path of `tenant` from the root: empty or ending in a slash.
    pub namespace: String,
    /// Path of the request's tenant below `tenant`: empty or ending in a slash. It comes before every path that the
    /// policies are asked about.
    pub prefix: String,
}

impl Caller {
    /// Whether there is a token. Who has only a client certificate keeps nothing, and has none made.
    pub fn has_token(&self) -> bool {
        self.entry.kind != TokenKind::Certificate
    }

    /// Whether the policies give `sudo` on a path of the request's tenant (`auth/token/create`).
    pub fn has_sudo(&self, path: &str) -> bool {
        self.acl.has_sudo(&self.policy_path(path))
    }

    /// Whether this is the text of the caller's own token. Compares hashes under a key that nobody outside knows.
    pub fn is_own(&self, text: &SecretText) -> bool {
        hash_of(&self.tenant, text.expose()) == self.hash
    }

    /// A path of the request's tenant, as the policies name it.
    pub fn policy_path<'p>(&self, path: impl Into<Cow<'p, str>>) -> Cow<'p, str> {
        let path = path.into();
        if self.prefix.is_empty() { path } else { Cow::Owned([&self.prefix, &*path].concat()) }
    }

    /// As the audit log names the caller.
    pub fn as_event(&self) -> Arc<event::Caller> {
        self.entry.as_event(self.tenant.id())
    }
}
