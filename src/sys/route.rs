//! The tables of all parts as one.

use super::{capabilities, internal_ui, mounts, namespaces, policies, references, remount, seal, wrapping};
use crate::answer::Refusal;
use crate::engine::table::{self, Call, Captures, Field, Match, Need, Row, Verb};
use crate::path::Path;

/// A row of some part's table, for a path that it matches.
pub struct Route<'a> {
    /// What it says.
    pub row: Facts,
    /// What its pattern took from the path.
    pub captures: Captures<'a>,
    parse: Parse,
}

/// What a row says, without its parse.
#[derive(Clone, Copy)]
pub struct Facts {
    /// As in `Row`.
    pub verb: Verb,
    /// As in `Row`.
    pub pattern: &'static str,
    /// As in `Row`.
    pub need: Need,
    /// As in `Row`.
    pub fields: &'static [Field],
    /// As in `Row`.
    pub help: &'static str,
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
                    return Routed::Route(Route { row: facts(row), captures, parse: Parse::$part(row.parse) });
                }
                Match::WrongVerb => known = true,
                Match::Nothing => {}
            })*
            if known { Routed::WrongVerb } else { Routed::Nothing }
        }

        /// What all rows say, part by part.
        pub fn rows() -> Vec<Facts> {
            let mut rows = Vec::new();
            $(rows.extend($module::TABLE.iter().map(facts));)*
            rows
        }
    };
}

parts! {
    /// `sys/capabilities*`
    Capabilities => capabilities,
    /// `sys/internal/ui/*`
    InternalUi => internal_ui,
    /// `sys/mounts`, `sys/auth`
    Mounts => mounts,
    /// `sys/namespaces`
    Namespaces => namespaces,
    /// `sys/policies/acl`, `sys/policy`
    Policies => policies,
    /// `sys/references`
    References => references,
    /// `sys/remount`
    Remount => remount,
    /// `sys/seal`
    Seal => seal,
    /// `sys/wrapping`
    Wrapping => wrapping,
}

fn facts<O>(row: &Row<O>) -> Facts {
    let Row { verb, pattern, need, fields, help, .. } = *row;
    Facts { verb, pattern, need, fields, help }
}
