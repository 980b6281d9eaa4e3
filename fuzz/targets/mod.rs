//! What is fuzzed: every parser that sees bytes of a client, of the store or of an operator. Each target takes any bytes
//! and fails by panicking, either inside the parser or because a property does not hold.
//!
//! The fuzzer (`fuzz/fuzz_targets/`) and the ordinary tests (`tests/it/fuzz_seeds.rs`) include this folder, so both run the
//! same code. Nothing here may depend on time, place or earlier inputs: a failing input must fail again.

mod certificates;
mod operations;
mod sealed;
mod stored;
mod texts;

/// One target.
type Target = fn(&[u8]);

/// All targets, by the name of their folder of seeds.
pub(super) const TARGETS: &[(&str, Target)] = &[
    ("anchors", stored::anchors),
    ("apply", texts::apply),
    ("audit_batch", stored::audit_batch),
    ("audit_cursor", texts::audit_cursor),
    ("audit_event", stored::audit_event),
    ("audit_note", stored::audit_note),
    ("audit_receipt", stored::audit_receipt),
    ("audit_segment", stored::audit_segment),
    ("audit_tile", stored::audit_tile),
    ("backup", stored::backup),
    ("certificate", certificates::certificate),
    ("config", texts::config),
    ("fields", texts::fields),
    ("frontier", stored::frontier),
    ("jwt", texts::jwt),
    ("kv_operation", operations::kv),
    ("merge_patch", texts::merge_patch),
    ("name", sealed::name),
    ("path", texts::path),
    ("policy", texts::policy),
    ("query", texts::query),
    ("record", sealed::record),
    ("reference", texts::reference),
    ("share", sealed::share),
    ("sys_operation", operations::sys),
    ("time", texts::time),
    ("token_operation", operations::token),
    ("trace_parent", texts::trace_parent),
    ("transit_mark", texts::transit_mark),
    ("transit_operation", operations::transit),
    ("witnessing", stored::witnessing),
];

/// Runs one target. An unknown name is a flaw of the caller.
pub(super) fn run(name: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let Some((_, target)) = found else { panic!("there is no fuzz target {name}") };
    target(data);
}

/// The part of `data` up to a separator, and the rest; the rest is empty when there is no separator.
fn split_once<'a>(data: &'a [u8], separator: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = data.windows(separator.len()).position(|window| window == separator);
    at.map_or((data, &[]), |at| {
        let (head, tail) = data.split_at(at);
        (head, tail.split_at(separator.len()).1)
    })
}
