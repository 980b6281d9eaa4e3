//! The operations of `auth/cert/`: the table, and from the call to typed fields.

use super::{config, crl, role};
use crate::cert::Crl;
use crate::engine::listing::Range;
use crate::engine::table::{Field, Need, Row, Verb};

/// What a client asks of the method.
pub enum Operation {
    /// Let somebody in, by the named role or any.
    Login(Option<String>),
    /// List a part of the roles.
    Roles(Range),
    /// Show a role.
    ReadRole(String),
    /// Make or change a role.
    WriteRole(String, Box<role::Change>),
    /// Delete a role.
    DeleteRole(String),
    /// List a part of the revocation lists.
    Crls(Range),
    /// Show a revocation list.
    ReadCrl(String),
    /// Keep a revocation list.
    WriteCrl(String, Box<Crl>),
    /// Drop a revocation list.
    DeleteCrl(String),
    /// Show the settings.
    ReadConfig,
    /// Change the settings.
    WriteConfig(config::Change),
}

const NAME: Field = Field { name: "name", kind: "string", help: "The role; without, the first that takes the certificate." };

/// Everything that the method offers.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Write, "login", Need::Login, &[NAME], "Log in with the certificate of the connection.", |call| {
        Ok(Operation::Login(call.fields.text("name")?.filter(|name| !name.is_empty())))
    }),
    Row::by_verb(Verb::List, "certs", &[], "List the roles.", |call| Range::parse(call).map(Operation::Roles)),
    Row::by_verb(Verb::Read, "certs/:name", &[], "Show a role.", |call| Ok(Operation::ReadRole(role::name(call)?))),
    Row::new(Verb::Write, "certs/:name", Need::CreateOrUpdate, &role::FIELDS, "Make or change a role.", |call| {
        Ok(Operation::WriteRole(role::name(call)?, Box::new(role::Change::parse(call.fields)?)))
    }),
    Row::by_verb(Verb::Delete, "certs/:name", &[], "Delete a role.", |call| Ok(Operation::DeleteRole(role::name(call)?))),
    Row::by_verb(Verb::List, "crls", &[], "List the revocation lists.", |call| Range::parse(call).map(Operation::Crls)),
    Row::by_verb(Verb::Read, "crls/:name", &[], "Show the serial numbers of a revocation list.", |call| {
        Ok(Operation::ReadCrl(role::name(call)?))
    }),
    Row::new(Verb::Write, "crls/:name", Need::CreateOrUpdate, crl::FIELDS, "Keep a revocation list.", |call| {
        Ok(Operation::WriteCrl(role::name(call)?, Box::new(crl::given(call)?)))
    }),
    Row::by_verb(Verb::Delete, "crls/:name", &[], "Drop a revocation list.", |call| Ok(Operation::DeleteCrl(role::name(call)?))),
    Row::by_verb(Verb::Read, "config", &[], "Show the settings of the mount.", |_| Ok(Operation::ReadConfig)),
    Row::by_verb(Verb::Write, "config", config::FIELDS, "Change the settings of the mount.", |call| {
        Ok(Operation::WriteConfig(config::Change::parse(call.fields)?))
    }),
];
