//! The table of `identity/`.

use super::operation::{
    Listed, Operation, Which, alias, body_which, field, id, ids, lookup, merge, name, write_entity, write_group,
};
use super::{mfa, oidc};
use crate::engine::listing::Range;
use crate::engine::table::{Field, Need, Row, Verb};

const ID: Field = field("id", "string", "Its id.");
const NAME: Field = field("name", "string", "Its name; names that differ in case only are one.");
const POLICIES: Field = field("policies", "array", "Policies that it gives to tokens.");
const METADATA: Field = field("metadata", "object", "Notes: a map of strings.");
const ENTITY: &[Field] = &[ID, NAME, POLICIES, METADATA, field("disabled", "boolean", "Refuse its tokens.")];
const GROUP: &[Field] = &[
    ID,
    NAME,
    POLICIES,
    METADATA,
    field("type", "string", "internal or external; internal by default."),
    field("member_entity_ids", "array", "Entities in it; not of an external group."),
    field("member_group_ids", "array", "Groups in it; not of an external group."),
];
const ALIAS: &[Field] = &[
    ID,
    field("name", "string", "What the mount calls it."),
    field("mount_accessor", "string", "The mount."),
    field("canonical_id", "string", "The entity or group that it stands for; without, one is made."),
    field("entity_id", "string", "Old name of canonical_id."),
    field("custom_metadata", "object", "Notes: a map of strings."),
];
const LOOKUP: &[Field] = &[
    ID,
    NAME,
    field("alias_id", "string", "The id of an alias."),
    field("alias_name", "string", "The name of an alias; with alias_mount_accessor."),
    field("alias_mount_accessor", "string", "The mount of that alias."),
];
const MERGE: &[Field] = &[
    field("from_entity_ids", "array", "Entities that go."),
    field("to_entity_id", "string", "The entity that stays."),
    field("conflicting_alias_ids_to_keep", "array", "Which aliases stay where both have one of a mount."),
    field("force", "boolean", "Accepted, without effect."),
];
const IDS: &[Field] = &[field("entity_ids", "array", "The entities.")];

macro_rules! listed {
    ($pattern:literal, $what:ident, $help:literal) => {
        Row::by_verb(Verb::List, $pattern, &[], $help, |call| Ok(Operation::List(Listed::$what, Range::parse(call)?)))
    };
}

/// Everything that `identity/` offers.
pub static TABLE: &[Row<Operation>] = &[
    Row::by_verb(Verb::Write, "entity", ENTITY, "Make or change an entity.", |call| write_entity(call, body_which(call)?)),
    listed!("entity/id", EntityIds, "List entities by id."),
    Row::by_verb(Verb::Read, "entity/id/:id", &[], "Show an entity.", |call| Ok(Operation::ReadEntity(id(call)))),
    Row::by_verb(Verb::Write, "entity/id/:id", ENTITY, "Change an entity.", |call| write_entity(call, Which::Known(id(call)))),
    Row::by_verb(Verb::Delete, "entity/id/:id", &[], "Delete an entity.", |call| Ok(Operation::DeleteEntity(id(call)))),
    listed!("entity/name", EntityNames, "List entities by name."),
    Row::by_verb(Verb::Read, "entity/name/:name*", &[], "Show an entity.", |call| Ok(Operation::ReadEntity(name(call)?))),
    Row::by_verb(Verb::Write, "entity/name/:name*", ENTITY, "Make or change an entity.", |call| {
        write_entity(call, Which::Known(name(call)?))
    }),
    Row::by_verb(Verb::Delete, "entity/name/:name*", &[], "Delete an entity.", |call| Ok(Operation::DeleteEntity(name(call)?))),
    Row::by_verb(Verb::Write, "entity/batch-delete", IDS, "Delete entities.", |call| {
        Ok(Operation::DeleteEntities(ids(call, "entity_ids", "missing entity ids to delete")?))
    }),
    Row::by_verb(Verb::Write, "entity/merge", MERGE, "Make one of several entities.", merge),
    Row::by_verb(Verb::Write, "lookup/entity", LOOKUP, "Find an entity.", |call| {
        Ok(Operation::LookupEntity(lookup(call.fields)?))
    }),
    Row::by_verb(Verb::Write, "entity-alias", ALIAS, "Make or change the alias of an entity.", |call| {
        Ok(Operation::WriteAlias(Box::new(alias(call, None)?)))
    }),
    listed!("entity-alias/id", AliasIds, "List the aliases of entities."),
    Row::by_verb(Verb::Read, "entity-alias/id/:id", &[], "Show the alias of an entity.", |call| {
        Ok(Operation::ReadAlias(call.captures.get(0).to_owned()))
    }),
    Row::by_verb(Verb::Write, "entity-alias/id/:id", ALIAS, "Change the alias of an entity.", |call| {
        Ok(Operation::WriteAlias(Box::new(alias(call, Some(call.captures.get(0)))?)))
    }),
    Row::by_verb(Verb::Delete, "entity-alias/id/:id", &[], "Delete the alias of an entity.", |call| {
        Ok(Operation::DeleteAlias(call.captures.get(0).to_owned()))
    }),
    Row::by_verb(Verb::Write, "group", GROUP, "Make or change a group.", |call| write_group(call, body_which(call)?)),
    listed!("group/id", GroupIds, "List groups by id."),
    Row::by_verb(Verb::Read, "group/id/:id", &[], "Show a group.", |call| Ok(Operation::ReadGroup(id(call)))),
    Row::by_verb(Verb::Write, "group/id/:id", GROUP, "Change a group.", |call| write_group(call, Which::Known(id(call)))),
    Row::by_verb(Verb::Delete, "group/id/:id", &[], "Delete a group.", |call| Ok(Operation::DeleteGroup(id(call)))),
    listed!("group/name", GroupNames, "List groups by name."),
    Row::by_verb(Verb::Read, "group/name/:name*", &[], "Show a group.", |call| Ok(Operation::ReadGroup(name(call)?))),
    Row::by_verb(Verb::Write, "group/name/:name*", GROUP, "Make or change a group.", |call| {
        write_group(call, Which::Known(name(call)?))
    }),
    Row::by_verb(Verb::Delete, "group/name/:name*", &[], "Delete a group.", |call| Ok(Operation::DeleteGroup(name(call)?))),
    Row::by_verb(Verb::Write, "lookup/group", LOOKUP, "Find a group.", |call| Ok(Operation::LookupGroup(lookup(call.fields)?))),
    Row::by_verb(Verb::Write, "group-alias", ALIAS, "Make or change the alias of a group.", |call| {
        Ok(Operation::WriteGroupAlias(Box::new(alias(call, None)?)))
    }),
    listed!("group-alias/id", GroupAliasIds, "List the aliases of groups."),
    Row::by_verb(Verb::Read, "group-alias/id/:id", &[], "Show the alias of a group.", |call| {
        Ok(Operation::ReadGroupAlias(call.captures.get(0).to_owned()))
    }),
    Row::by_verb(Verb::Write, "group-alias/id/:id", ALIAS, "Change the alias of a group.", |call| {
        Ok(Operation::WriteGroupAlias(Box::new(alias(call, Some(call.captures.get(0)))?)))
    }),
    Row::by_verb(Verb::Delete, "group-alias/id/:id", &[], "Delete the alias of a group.", |call| {
        Ok(Operation::DeleteGroupAlias(call.captures.get(0).to_owned()))
    }),
    Row::by_verb(Verb::Read, "oidc/config", &[], "Show the settings of identity tokens.", |_| {
        Ok(Operation::Oidc(oidc::Operation::ReadConfig))
    }),
    Row::by_verb(Verb::Write, "oidc/config", oidc::CONFIG, "Set the issuer of identity tokens.", oidc::parse::write_config),
    Row::new(
        Verb::Read,
        "oidc/.well-known/openid-configuration",
        Need::Nobody,
        &[],
        "Who issues identity tokens, for verifiers.",
        |_| Ok(Operation::Oidc(oidc::Operation::Configuration)),
    ),
    Row::new(Verb::Read, "oidc/.well-known/keys", Need::Nobody, &[], "Public keys of identity tokens.", |_| {
        Ok(Operation::Oidc(oidc::Operation::Keys))
    }),
    Row::by_verb(Verb::List, "oidc/key", &[], "List the keys of identity tokens.", oidc::parse::list_keys),
    Row::by_verb(Verb::Read, "oidc/key/:name", &[], "Show the settings of a key.", oidc::parse::read_key),
    Row::new(Verb::Write, "oidc/key/:name", Need::CreateOrUpdate, oidc::KEY, "Make or change a key.", oidc::parse::write_key),
    Row::by_verb(Verb::Delete, "oidc/key/:name", &[], "Delete a key.", oidc::parse::delete_key),
    Row::by_verb(Verb::Write, "oidc/key/:name/rotate", oidc::ROTATE, "Sign with the next private key.", oidc::parse::rotate_key),
    Row::by_verb(Verb::List, "oidc/role", &[], "List the roles of identity tokens.", oidc::parse::list_roles),
    Row::by_verb(Verb::Read, "oidc/role/:name", &[], "Show a role.", oidc::parse::read_role),
    Row::new(Verb::Write, "oidc/role/:name", Need::CreateOrUpdate, oidc::ROLE, "Make or change a role.", oidc::parse::write_role),
    Row::by_verb(Verb::Delete, "oidc/role/:name", &[], "Delete a role.", oidc::parse::delete_role),
    Row::by_verb(Verb::Read, "oidc/token/:name", &[], "Make an identity token about the caller.", oidc::parse::issue),
    Row::by_verb(
        Verb::Write,
        "oidc/introspect",
        oidc::INTROSPECT,
        "Say whether an identity token is valid.",
        oidc::parse::introspect,
    ),
    Row::by_verb(Verb::List, "mfa/method", &[], "List the methods of second factors.", mfa::parse::list_methods),
    Row::by_verb(Verb::Read, "mfa/method/:method_id", &[], "Show a method.", mfa::parse::read_method),
    Row::by_verb(Verb::List, "mfa/method/totp", &[], "List the TOTP methods.", mfa::parse::list_methods),
    Row::by_verb(
        Verb::Write,
        "mfa/method/totp",
        mfa::parse::METHOD,
        "Make a TOTP method, or change the one with this name.",
        mfa::parse::create_method,
    ),
    Row::by_verb(
        Verb::Write,
        "mfa/method/totp/generate",
        mfa::parse::OWN,
        "Give the caller's entity a TOTP secret, shown once.",
        mfa::parse::generate,
    ),
    Row::by_verb(
        Verb::Write,
        "mfa/method/totp/admin-generate",
        mfa::parse::OTHERS,
        "Give an entity a TOTP secret, shown once.",
        mfa::parse::admin_generate,
    ),
    Row::by_verb(
        Verb::Write,
        "mfa/method/totp/admin-destroy",
        mfa::parse::OTHERS,
        "Take its TOTP secret from an entity.",
        mfa::parse::admin_destroy,
    ),
    Row::by_verb(Verb::Read, "mfa/method/totp/:method_id", &[], "Show a TOTP method.", mfa::parse::read_method),
    Row::by_verb(
        Verb::Write,
        "mfa/method/totp/:method_id",
        mfa::parse::METHOD,
        "Change a TOTP method.",
        mfa::parse::update_method,
    ),
    Row::by_verb(Verb::Delete, "mfa/method/totp/:method_id", &[], "Delete a TOTP method.", mfa::parse::delete_method),
    Row::by_verb(Verb::Write, "mfa/recovery-codes", &[], "Make new recovery codes for the caller's entity, shown once.", |_| {
        Ok(Operation::Mfa(mfa::Operation::NewRecoveryCodes))
    }),
    Row::by_verb(Verb::Read, "mfa/recovery-codes", &[], "Say how many recovery codes the caller's entity has left.", |_| {
        Ok(Operation::Mfa(mfa::Operation::RecoveryCodes))
    }),
    Row::by_verb(
        Verb::List,
        "mfa/login-enforcement",
        &[],
        "List which logins need a second factor.",
        mfa::parse::list_enforcements,
    ),
    Row::by_verb(Verb::Read, "mfa/login-enforcement/:name", &[], "Show an enforcement.", mfa::parse::read_enforcement),
    Row::by_verb(
        Verb::Write,
        "mfa/login-enforcement/:name",
        mfa::parse::ENFORCEMENT,
        "Have logins need a second factor.",
        mfa::parse::write_enforcement,
    ),
    Row::by_verb(Verb::Delete, "mfa/login-enforcement/:name", &[], "Delete an enforcement.", mfa::parse::delete_enforcement),
];
