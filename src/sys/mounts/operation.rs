//! What can be asked of `sys/mounts` and `sys/auth`.

use super::paths::{Class, MountPath};
use super::settings::{NewMount, Tuning};
use crate::answer::Refusal;
use crate::engine::table::{Call, Field, Need, Row, Verb};

/// One operation.
#[derive(Debug)]
pub enum Operation {
    /// All mounts of a list.
    List(Class),
    /// One mount.
    Read(MountPath),
    /// A new mount.
    Enable(MountPath, Box<NewMount>),
    /// No such mount any more.
    Disable(MountPath),
    /// The settings of a mount, with the server's defaults filled in.
    ReadTuning(MountPath),
    /// Other settings.
    Tune(MountPath, Box<Tuning>),
}

const FIELDS: &[Field] = &[
    field("type", "string", "The engine: `kv`, with the option version=1 (the default) or version=2; or the auth method."),
    field("description", "string", "Free text."),
    field("config", "object", "Settings of the new mount, as for `tune`."),
    field("options", "object", "Options of the engine; `null` for none."),
    field("local", "boolean", "Kept and shown."),
    field("seal_wrap", "boolean", "Kept and shown: everything is under the seal."),
    field("external_entropy_access", "boolean", "Kept and shown."),
    field("plugin_name", "string", "Ignored: engines are built in."),
    field("plugin_version", "string", "Only empty: engines are built in."),
    field("default_lease_ttl", "duration", "tune: TTL of what asks for none; `system` for the server's default."),
    field("max_lease_ttl", "duration", "tune: the longest TTL; `system` for the server's default."),
    field("force_no_cache", "boolean", "tune: kept and shown."),
    field("listing_visibility", "string", "tune: `unauth` shows the mount to callers without a token; `hidden` or empty."),
    field("audit_non_hmac_request_keys", "array", "tune: kept and shown; values are never logged."),
    field("audit_non_hmac_response_keys", "array", "tune: kept and shown; values are never logged."),
    field("passthrough_request_headers", "array", "tune: kept and shown."),
    field("allowed_response_headers", "array", "tune: kept and shown."),
    field(
        "user_lockout_config",
        "object",
        "tune, of userpass: lockout_threshold, lockout_duration, lockout_counter_reset_duration, lockout_disable.",
    ),
    field("token_type", "string", "tune: which kind of token logins give; not for `token/`."),
];

const fn field(name: &'static str, kind: &'static str, help: &'static str) -> Field {
    Field { name, kind, help }
}

/// The table. A mount's path has any number of segments, so that `tune` is told from it by being the last one.
/// As in `OpenBao`, `sys/auth/` needs sudo, and `sys/mounts/auth/:path/tune` does the same without.
pub static TABLE: &[Row<Operation>] = &[
    Row::new(Verb::Read, "mounts", Need::Verb, &[], "Lists the mounted engines.", |_| Ok(Operation::List(Class::Secret))),
    Row::new(Verb::Read, "auth", Need::Verb, &[], "Lists the mounted auth methods.", |_| Ok(Operation::List(Class::Auth))),
    Row::new(
        Verb::Read,
        "mounts/:path*",
        Need::Verb,
        &[],
        "Shows a mounted engine; below it, `tune` shows its settings.",
        |call| read(Class::Secret, call),
    ),
    Row::new(
        Verb::Write,
        "mounts/:path*",
        Need::Verb,
        FIELDS,
        "Mounts an engine; below it, `tune` changes its settings.",
        |call| write(Class::Secret, call),
    ),
    Row::new(Verb::Delete, "mounts/:path*", Need::Verb, &[], "Unmounts an engine: its data is gone.", |call| {
        delete(Class::Secret, call)
    }),
    Row::new(Verb::Read, "auth/:path*", Need::Sudo, &[], "Shows an auth method; below it, `tune` shows its settings.", |call| {
        read(Class::Auth, call)
    }),
    Row::new(
        Verb::Write,
        "auth/:path*",
        Need::Sudo,
        FIELDS,
        "Mounts an auth method; below it, `tune` changes its settings.",
        |call| write(Class::Auth, call),
    ),
    Row::new(Verb::Delete, "auth/:path*", Need::Sudo, &[], "Unmounts an auth method.", |call| delete(Class::Auth, call)),
];

/// What a path below `mounts/` or `auth/` names.
enum Target {
    Mount(MountPath),
    Tune(MountPath),
}

/// The path alone (`mounts/`) takes no verb but those of its own rows.
fn target(class: Class, call: &Call<'_>) -> Result<Target, Refusal> {
    let captured = call.captures.get(0);
    let body = captured.strip_suffix('/').unwrap_or(captured);
    let (target, class, path): (fn(MountPath) -> Target, _, _) = match body.strip_suffix("/tune") {
        Some(path) => match (class, path.strip_prefix("auth/")) {
            (Class::Secret, Some(path)) => (Target::Tune, Class::Auth, path),
            _ => (Target::Tune, class, path),
        },
        None => (Target::Mount, class, body),
    };
    MountPath::new(class, path).map(target).ok_or(Refusal::UnsupportedOperation)
}

fn read(class: Class, call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(match target(class, call)? {
        Target::Mount(path) => Operation::Read(path),
        Target::Tune(path) => Operation::ReadTuning(path),
    })
}

fn write(class: Class, call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(match target(class, call)? {
        Target::Mount(path) => {
            path.check_new()?;
            let new = NewMount::parse(class, call.fields)?;
            Operation::Enable(path, Box::new(new))
        }
        Target::Tune(path) => Operation::Tune(path, Box::new(Tuning::parse(call.fields)?)),
    })
}

fn delete(class: Class, call: &Call<'_>) -> Result<Operation, Refusal> {
    match target(class, call)? {
        Target::Mount(path) if path.is_reserved() => Err(Refusal::invalid(format!("cannot unmount {:?}", path.path))),
        Target::Mount(path) => Ok(Operation::Disable(path)),
        Target::Tune(_) => Err(Refusal::UnsupportedOperation),
    }
}
