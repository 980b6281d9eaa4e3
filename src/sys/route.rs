//! The tables of all parts as one.

use super::{
    archiving, audit, audit_log, auditing, backups, capabilities, ceremonies, cors, erasure, internal_ui, keyring, leases,
    locked_users, mfa, mounts, namespaces, openapi, plugins, policies, process, quotas, references, remount, seal, secrets,
    tools, version_history, wrapping,
};
use crate::answer::Refusal;
use crate::engine::table::{self, Call, Captures, Facts, Match, Verb};
use crate::path::Path;

/// A row of some part's table, for a path that it matches.
pub struct Route<'a> {
    /// What it says.
    pub row: Facts,
    /// What its pattern took from the path.
    pub captures: Captures<'a>,
    parse: Parse,
}

/// What the tables have for a path.
pub enum Routed<'a> {
    /// This.
    Route(Route<'a>),
    /// The path, but not with this verb.
    WrongVerb,
    /// Not the path.
    Nothing,
}

macro_rules! parts {
    ($($(#[$doc:meta])* $part:ident => $module:ident,)*) => {
        /// One operation.
        pub enum Operation {
            $($(#[$doc])* $part($module::Operation),)*
        }

        /// The parse of a row, by the part whose it is.
        enum Parse {
            $($part(fn(&Call<'_>) -> Result<$module::Operation, Refusal>),)*
        }

        impl Route<'_> {
            /// From the call to typed fields, as `Row::parse`.
            pub fn parse(&self, call: &Call<'_>) -> Result<Operation, Refusal> {
                match self.parse {
                    $(Parse::$part(parse) => parse(call).map(Operation::$part),)*
                }
            }
        }

        /// Finds the row for `verb` and `path`, which is below `sys/`.
        pub fn route(verb: Verb, path: &Path) -> Routed<'_> {
            let mut known = false;
            $(match table::find($module::TABLE, verb, path) {
                Match::Row(row, captures) => {
                    return Routed::Route(Route { row: Facts::from(row), captures, parse: Parse::$part(row.parse) });
                }
                Match::WrongVerb => known = true,
                Match::Nothing => {}
            })*
            if known { Routed::WrongVerb } else { Routed::Nothing }
        }

        /// What all rows say, part by part.
        pub fn rows() -> Vec<Facts> {
            let mut rows = Vec::new();
            $(rows.extend($module::TABLE.iter().map(Facts::from));)*
            rows
        }
    };
}

parts! {
    /// `sys/config/auditing/archive`
    Archiving => archiving,
    /// `sys/audit`, `sys/audit-hash`
    Audit => audit,
    /// `sys/audit-log`
    AuditLog => audit_log,
    /// `sys/config/auditing`
    Auditing => auditing,
    /// `sys/backups`, `sys/restore`
    Backups => backups,
    /// `sys/capabilities*`
    Capabilities => capabilities,
    /// `sys/rotate/root`, `sys/generate-root-token`
    Ceremonies => ceremonies,
    /// `sys/config/cors`
    Cors => cors,
    /// `sys/erasures`, `sys/erased-list`
    Erasure => erasure,
    /// `sys/internal/ui/*`
    InternalUi => internal_ui,
    /// `sys/rotate/keyring`, `sys/key-status`
    Keyring => keyring,
    /// `sys/leases`
    Leases => leases,
    /// `sys/locked-users`
    LockedUsers => locked_users,
    /// `sys/mfa`
    Mfa => mfa,
    /// `sys/mounts`, `sys/auth`
    Mounts => mounts,
    /// `sys/namespaces`
    Namespaces => namespaces,
    /// `sys/internal/specs/openapi`
    OpenApi => openapi,
    /// `sys/plugins`
    Plugins => plugins,
    /// `sys/policies/acl`, `sys/policy`
    Policies => policies,
    /// `sys/config/state/sanitized`, `sys/in-flight-req`, `sys/ha-status`, `sys/host-info`, `sys/loggers`
    Process => process,
    /// `sys/quotas`
    Quotas => quotas,
    /// `sys/references`
    References => references,
    /// `sys/remount`
    Remount => remount,
    /// `sys/seal`, `sys/seals`
    Seal => seal,
    /// `sys/secrets/move`
    Secrets => secrets,
    /// `sys/tools`
    Tools => tools,
    /// `sys/version-history`
    VersionHistory => version_history,
    /// `sys/wrapping`
    Wrapping => wrapping,
}
