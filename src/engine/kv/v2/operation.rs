//! The table of KV version 2, and the typed form of its operations. Parsing is pure and total.

use super::change::{metadata_change, settings_change};
use super::settings::{MetadataChange, SettingsChange};
use crate::answer::Refusal;
use crate::engine::listing::{Page, directory};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::fields::{Fields, Query};
use crate::secret::SecretBytes;

/// What a client asks of a KV 2 mount. Paths are those of secrets, without a slash at the end; directories have one,
/// or are empty.
pub enum Operation {
    /// A version's value, or the newest one's.
    ReadData(String, Option<u64>),
    /// A new version with this JSON object as its value.
    WriteData(String, SecretBytes, WriteOptions),
    /// A new version: the newest one with this merge patch (RFC 7396) applied.
    PatchData(String, SecretBytes, WriteOptions),
    /// Marks the newest version as deleted.
    DeleteLatest(String),
    /// Marks versions as deleted.
    DeleteVersions(String, Vec<u64>),
    /// Takes the mark off.
    UndeleteVersions(String, Vec<u64>),
    /// Removes the values of versions for good.
    DestroyVersions(String, Vec<u64>),
    /// The structure of a value.
    ReadSubkeys {
        /// The secret.
        path: String,
        /// A version; else the newest.
        version: Option<u64>,
        /// How many levels are shown; 0 for all.
        depth: u64,
    },
    /// A secret's metadata.
    ReadMetadata(String),
    /// Changes or makes a secret's metadata.
    WriteMetadata(String, MetadataChange),
    /// Changes the metadata of a secret that exists.
    PatchMetadata(String, MetadataChange),
    /// Removes a secret, all of it.
    DeleteMetadata(String),
    /// The names in a directory.
    List(String, Page),
    /// The paths of all secrets below a directory.
    Scan(String, Page),
    /// The mount's configuration.
    ReadConfig,
    /// Changes the mount's configuration.
    WriteConfig(SettingsChange),
    /// The client took the mount for KV version 1: 404 with this sentence.
    WrongPath(String),
}

/// `options` of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// The version that must be the current one; 0 for a secret without any.
    pub cas: Option<i64>,
    /// Answer with the standing reference.
    pub reference: bool,
}

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

const MAX_VERSIONS: Field = field("max_versions", "integer", "How many versions are kept; 0 leaves it to the default, 10.");
const CAS_REQUIRED: Field = field("cas_required", "boolean", "Every write must carry options.cas.");
const METADATA_CAS_REQUIRED: Field =
    field("metadata_cas_required", "boolean", "Every change of metadata must carry metadata_cas.");
const DELETE_AFTER: Field =
    field("delete_version_after", "duration", "New versions are deleted by themselves after this time; 0s for never.");

const WRITE: &[Field] = &[
    field("data", "object", "The value: any JSON object."),
    field("options", "object", "cas: the version that must be current; reference: false leaves out the reference."),
    field("version", "integer", "Ignored."),
];
const VERSIONS: &[Field] = &[field("versions", "array", "Numbers of versions.")];
const CONFIG: &[Field] = &[MAX_VERSIONS, CAS_REQUIRED, METADATA_CAS_REQUIRED, DELETE_AFTER];
const METADATA: &[Field] = &[
    MAX_VERSIONS,
    CAS_REQUIRED,
    METADATA_CAS_REQUIRED,
    DELETE_AFTER,
    field("custom_metadata", "object", "Names and texts that describe the secret."),
    field("metadata_cas", "integer", "The metadata version that must be the current one."),
];

const EMPTY: &[Field] = &[];
const DATA: &str = "data/:path*";
const META: &str = "metadata/:path*";
const REST: &str = ":path*";
const NOT_HERE: &str = "Not a path of KV version 2: says which command to use.";

/// All operations. The last rows take what no other row knows, so that a client of KV version 1 hears what is wrong.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Read, DATA, Need::Verb, EMPTY, "Reads a version of a secret.", read_data),
    Row::new(Verb::Write, DATA, Need::CreateOrUpdate, WRITE, "Writes a new version of a secret.", write_data),
    Row::new(Verb::Patch, DATA, Need::Verb, WRITE, "Writes a new version: the newest one, patched.", patch_data),
    Row::new(Verb::Delete, DATA, Need::Verb, EMPTY, "Deletes the newest version; it can be undeleted.", delete_data),
    Row::new(Verb::Write, "delete/:path*", Need::Verb, VERSIONS, "Deletes versions; they can be undeleted.", delete_versions),
    Row::new(Verb::Write, "undelete/:path*", Need::Verb, VERSIONS, "Undeletes versions.", undelete_versions),
    Row::new(Verb::Write, "destroy/:path*", Need::Verb, VERSIONS, "Removes versions for good.", destroy_versions),
    Row::new(Verb::Read, "subkeys/:path*", Need::Verb, EMPTY, "Shows the names in a value, without what they hold.", subkeys),
    Row::new(Verb::Read, META, Need::Verb, EMPTY, "Reads the metadata of a secret.", read_metadata),
    Row::new(Verb::List, META, Need::Verb, EMPTY, "Lists a directory.", list),
    Row::new(Verb::Scan, META, Need::Verb, EMPTY, "Lists all secrets below a directory.", scan),
    Row::new(Verb::Write, META, Need::CreateOrUpdate, METADATA, "Writes the metadata of a secret.", write_metadata),
    Row::new(Verb::Patch, META, Need::Verb, METADATA, "Changes the metadata of a secret.", patch_metadata),
    Row::new(Verb::Delete, META, Need::Verb, EMPTY, "Removes a secret with all its versions.", delete_metadata),
    Row::new(Verb::Read, "config", Need::Verb, EMPTY, "Reads the configuration.", |_| Ok(Operation::ReadConfig)),
    Row::new(Verb::Write, "config", Need::Verb, CONFIG, "Changes the configuration.", write_config),
    Row::new(Verb::Read, REST, Need::Verb, EMPTY, NOT_HERE, |call| wrong_path(call, "get")),
    Row::new(Verb::Write, REST, Need::Verb, EMPTY, NOT_HERE, |call| wrong_path(call, "put")),
    Row::new(Verb::List, REST, Need::Verb, EMPTY, NOT_HERE, |call| wrong_path(call, "list")),
    Row::new(Verb::Delete, REST, Need::Verb, EMPTY, NOT_HERE, |call| wrong_path(call, "delete")),
];

/// The first segments that have rows of their own: there, a verb that has no row is a 405 and not a wrong path.
const OWN: [&str; 7] = ["data", "metadata", "delete", "undelete", "destroy", "subkeys", "config"];

fn wrong_path(call: &Call<'_>, command: &str) -> Result<Operation, Refusal> {
    if call.path.segments().next().is_some_and(|first| OWN.contains(&first)) {
        return Err(Refusal::UnsupportedOperation);
    }
    Ok(Operation::WrongPath(format!(
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. \
         If using the OpenBao CLI, use 'bao kv {command}' for this operation."
    )))
}

/// Parses what is asked of the secret that the call names. A path that ends in a slash names no secret.
fn secret(call: &Call<'_>, parse: impl FnOnce(String) -> Result<Operation, Refusal>) -> Result<Operation, Refusal> {
    let path = call.captures.get(0);
    if path.is_empty() {
        let text = "Non-listing operations on the root of a K/V v2 mount are not supported.";
        return Ok(Operation::WrongPath(text.to_owned()));
    }
    if !path.ends_with('/') {
        return parse(path.to_owned());
    }
    match call.verb {
        Verb::Write | Verb::Patch => Err(Refusal::invalid("cannot write to a path ending in '/'")),
        _ => Err(Refusal::NotFound),
    }
}

fn read_data(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::ReadData(path, version(call.query)?)))
}

fn write_data(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::WriteData(path, value(call.fields)?, options(call.fields)?)))
}

fn patch_data(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::PatchData(path, value(call.fields)?, options(call.fields)?)))
}

fn delete_data(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::DeleteLatest(path)))
}

fn delete_versions(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::DeleteVersions(path, versions(call.fields)?)))
}

fn undelete_versions(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::UndeleteVersions(path, versions(call.fields)?)))
}

fn destroy_versions(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::DestroyVersions(path, versions(call.fields)?)))
}

fn subkeys(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| {
        let depth = call.query.number("depth")?.unwrap_or(0);
        Ok(Operation::ReadSubkeys { path, version: version(call.query)?, depth })
    })
}

fn read_metadata(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::ReadMetadata(path)))
}

fn write_metadata(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::WriteMetadata(path, metadata_change(call.fields, false)?)))
}

fn patch_metadata(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::PatchMetadata(path, metadata_change(call.fields, true)?)))
}

fn delete_metadata(call: &Call<'_>) -> Result<Operation, Refusal> {
    secret(call, |path| Ok(Operation::DeleteMetadata(path)))
}

fn list(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::List(directory(call.captures.get(0)), Page::parse(call.query)?))
}

fn scan(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::Scan(directory(call.captures.get(0)), Page::parse(call.query)?))
}

fn write_config(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::WriteConfig(settings_change(call.fields, true)?))
}

/// `version`: 0, none and negative ones mean the newest.
fn version(query: &Query) -> Result<Option<u64>, Refusal> {
    Ok(query.number("version")?.filter(|version| *version > 0))
}

fn value(fields: &Fields<'_>) -> Result<SecretBytes, Refusal> {
    let value = fields.object("data")?.ok_or_else(|| Refusal::invalid("no data provided"))?;
    Ok(SecretBytes::new(value.get().as_bytes().to_vec()))
}

fn options(fields: &Fields<'_>) -> Result<WriteOptions, Refusal> {
    let Some(options) = fields.nested("options")? else { return Ok(WriteOptions { cas: None, reference: true }) };
    let cas = options.integer("cas").map_err(|_| Refusal::invalid("error parsing check-and-set parameter"))?;
    Ok(WriteOptions { cas, reference: options.boolean("reference")?.unwrap_or(true) })
}

fn versions(fields: &Fields<'_>) -> Result<Vec<u64>, Refusal> {
    let versions = fields.integers("versions")?.filter(|versions| !versions.is_empty());
    versions.ok_or_else(|| Refusal::invalid("no version number provided"))
}

#[cfg(test)]
mod tests;
