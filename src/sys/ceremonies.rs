//! `sys/rotate/root/*`, `sys/rotate/recovery/*` and `sys/generate-root-token/*`: asked for through the pipeline, so that policy guards them and the log
//! holds who asked. The step itself is done by the barrier once the request is durable (`sys/barrier/ceremony.rs`).

use crate::answer::{Answer, Refusal};
use crate::commit::Place;
use crate::engine::table::{Field, Need, Row, Verb};
use crate::fields::Fields;
use crate::sys::barrier::{RekeyRequest, Share, Step, Target};

/// One operation.
pub enum Operation {
    /// A step of a ceremony.
    Step(Step),
    /// Shares that were kept encrypted: none ever are.
    Backup,
    /// Forget them.
    ForgetBackup,
}

const START: &[Field] = &[
    Field { name: "secret_shares", kind: "integer", help: "How many shares of the new key." },
    Field { name: "secret_threshold", kind: "integer", help: "How many of them are needed." },
    Field { name: "require_verification", kind: "boolean", help: "Nothing changes until the new shares were brought." },
    Field { name: "pgp_keys", kind: "array", help: "Not offered." },
    Field { name: "backup", kind: "boolean", help: "Without effect: shares are never kept." },
];
const SHARE: &[Field] = &[
    Field { name: "key", kind: "string", help: "A share, in hexadecimal or base64." },
    Field { name: "nonce", kind: "string", help: "Which attempt it is for." },
];
const ROOT: &[Field] = &[
    Field { name: "otp", kind: "string", help: "A one-time password of 26 characters; made unless given." },
    Field { name: "pgp_key", kind: "string", help: "Not offered." },
];

macro_rules! row {
    ($verb:ident, $pattern:literal, $fields:expr, $help:literal, $parse:expr) => {
        Row::new(Verb::$verb, $pattern, Need::Sudo, $fields, $help, $parse)
    };
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[
    row!(Read, "rotate/root/init", &[], "How far a change of the root key is.", |_| step(Step::RekeyStatus(Target::Root))),
    row!(Write, "rotate/root/init", START, "Begins a change of the root key.", |call| step(start_rekey(
        Target::Root,
        call.fields
    )?)),
    row!(Delete, "rotate/root/init", &[], "Gives a change of the root key up.", |_| step(Step::RekeyCancel(Target::Root))),
    row!(Write, "rotate/root/update", SHARE, "Brings a share of the root key of now.", |call| {
        step(Step::RekeyShare(Target::Root, Share::parse(call.fields)?))
    }),
    row!(Read, "rotate/root/verify", &[], "How far the verification of the new shares is.", |_| step(Step::VerifyStatus(
        Target::Root
    ))),
    row!(Write, "rotate/root/verify", SHARE, "Brings a share of the new root key.", |call| {
        step(Step::VerifyShare(Target::Root, Share::parse(call.fields)?))
    }),
    row!(Delete, "rotate/root/verify", &[], "Begins the verification again.", |_| step(Step::VerifyRestart(Target::Root))),
    row!(Read, "rotate/root/backup", &[], "Shares that were kept encrypted: none are.", |_| Ok(Operation::Backup)),
    row!(Delete, "rotate/root/backup", &[], "Forgets them.", |_| Ok(Operation::ForgetBackup)),
    row!(Read, "rotate/recovery/init", &[], "How far a change of the recovery key is.", |_| {
        step(Step::RekeyStatus(Target::Recovery))
    }),
    row!(Write, "rotate/recovery/init", START, "Begins a change of the recovery key.", |call| {
        step(start_rekey(Target::Recovery, call.fields)?)
    }),
    row!(Delete, "rotate/recovery/init", &[], "Gives a change of the recovery key up.", |_| {
        step(Step::RekeyCancel(Target::Recovery))
    }),
    row!(Write, "rotate/recovery/update", SHARE, "Brings a share of the recovery key of now.", |call| {
        step(Step::RekeyShare(Target::Recovery, Share::parse(call.fields)?))
    }),
    row!(Read, "rotate/recovery/verify", &[], "How far the verification of the new recovery shares is.", |_| {
        step(Step::VerifyStatus(Target::Recovery))
    }),
    row!(Write, "rotate/recovery/verify", SHARE, "Brings a share of the new recovery key.", |call| {
        step(Step::VerifyShare(Target::Recovery, Share::parse(call.fields)?))
    }),
    row!(Delete, "rotate/recovery/verify", &[], "Begins the verification again.", |_| {
        step(Step::VerifyRestart(Target::Recovery))
    }),
    row!(Read, "rotate/recovery/backup", &[], "Shares that were kept encrypted: none are.", |_| Ok(Operation::Backup)),
    row!(Delete, "rotate/recovery/backup", &[], "Forgets them.", |_| Ok(Operation::ForgetBackup)),
    row!(Read, "rekey/recovery-key-backup", &[], "The older form of rotate/recovery/backup.", |_| Ok(Operation::Backup)),
    row!(Delete, "rekey/recovery-key-backup", &[], "The older form of rotate/recovery/backup.", |_| {
        Ok(Operation::ForgetBackup)
    }),
    row!(Read, "rekey/backup", &[], "The older form of rotate/root/backup.", |_| Ok(Operation::Backup)),
    row!(Delete, "rekey/backup", &[], "The older form of rotate/root/backup.", |_| Ok(Operation::ForgetBackup)),
    row!(Read, "generate-root-token/attempt", &[], "How far the making of a root token is.", |_| step(Step::RootStatus)),
    row!(Write, "generate-root-token/attempt", ROOT, "Begins to make a root token.", |call| step(start_root(call.fields)?)),
    row!(Delete, "generate-root-token/attempt", &[], "Gives the making of a root token up.", |_| step(Step::RootCancel)),
    row!(Write, "generate-root-token/update", SHARE, "Brings a share.", |call| {
        step(Step::RootShare(Share::parse(call.fields)?))
    }),
];

#[expect(clippy::unnecessary_wraps, reason = "what a row's parse gives")]
fn step(step: Step) -> Result<Operation, Refusal> {
    Ok(Operation::Step(step))
}

fn start_rekey(target: Target, fields: &Fields<'_>) -> Result<Step, Refusal> {
    RekeyRequest::parse(fields).map(|request| Step::RekeyStart(target, request))
}

fn start_root(fields: &Fields<'_>) -> Result<Step, Refusal> {
    Step::root_start(fields)
}

/// The step of an older path that needs no token, where a listener offers those: `None` when the path has not this verb.
pub fn unauthenticated(path: &str, verb: Verb, fields: &Fields<'_>) -> Option<Result<Step, Refusal>> {
    let target = if path.starts_with("sys/rekey-recovery-key/") { Target::Recovery } else { Target::Root };
    Some(match (path, verb) {
        ("sys/rekey/init" | "sys/rekey-recovery-key/init", Verb::Read) => Ok(Step::RekeyStatus(target)),
        ("sys/rekey/init" | "sys/rekey-recovery-key/init", Verb::Write) => {
            RekeyRequest::parse(fields).map(|request| Step::RekeyStart(target, request.of_stranger()))
        }
        ("sys/rekey/init" | "sys/rekey-recovery-key/init", Verb::Delete) => Ok(Step::RekeyCancel(target)),
        ("sys/rekey/update" | "sys/rekey-recovery-key/update", Verb::Write) => {
            Share::parse(fields).map(|share| Step::RekeyShare(target, share))
        }
        ("sys/rekey/verify" | "sys/rekey-recovery-key/verify", Verb::Read) => Ok(Step::VerifyStatus(target)),
        ("sys/rekey/verify" | "sys/rekey-recovery-key/verify", Verb::Write) => {
            Share::parse(fields).map(|share| Step::VerifyShare(target, share))
        }
        ("sys/rekey/verify" | "sys/rekey-recovery-key/verify", Verb::Delete) => Ok(Step::VerifyRestart(target)),
        ("sys/generate-root/attempt", Verb::Read) => Ok(Step::RootStatus),
        ("sys/generate-root/attempt", Verb::Write) => start_root(fields),
        ("sys/generate-root/attempt", Verb::Delete) => Ok(Step::RootCancel),
        ("sys/generate-root/update", Verb::Write) => Share::parse(fields).map(Step::RootShare),
        _ => return None,
    })
}

/// Runs one operation. A step is done by the barrier, after the commit; here it is only seen to that it is asked of the root.
pub fn run(operation: &Operation, place: &Place) -> Result<Answer, Refusal> {
    if place.tenant.parent().is_some() {
        return Err(Refusal::UnsupportedPath);
    }
    match operation {
        Operation::Step(_) | Operation::ForgetBackup => Ok(Answer::Empty),
        Operation::Backup => Err(Refusal::invalid("no backed-up keys found")),
    }
}
