//! What the process does about itself before it holds a key: no core dumps, no debugger of the same user, and, where the
//! operating system lets it, no swap.
//!
//! Not promised: anything against root on the running machine, who reads memory whatever a process does; hibernation,
//! which writes locked memory to disk too; what libraries and the kernel copy.

use std::fs;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Bit of `CAP_IPC_LOCK` in the sets of capabilities(7).
const CAP_IPC_LOCK: u32 = 14;

/// Keeps memory out of core dumps and away from other processes of the same user. What the operating system refuses is
/// told and does not stop the server.
pub(super) fn forbid_dumps() {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, nothing) {
        tracing::warn!(%error, "core dumps are not switched off by a limit");
    }
    // Also where the pattern of core dumps is a pipe, which no limit stops; and against ptrace by the same user.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process may be dumped and traced by its user");
    }
}

/// Locks all memory that is used, now and later, so that no key reaches a swap disk.
pub(super) fn lock_memory() {
    match may_lock().and_then(|()| lock().map_err(|error| error.to_string())) {
        Ok(()) => tracing::debug!("memory is locked"),
        Err(reason) => tracing::warn!(
            reason,
            "memory is not locked: keys may reach the swap disk; allow it (LimitMEMLOCK=infinity in systemd, or CAP_IPC_LOCK), \
             or turn swap off or encrypt it and set disable_mlock = true"
        ),
    }
}

fn lock() -> rustix::io::Result<()> {
    // On fault: what an allocator has reserved and not used needs no memory.
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

/// With a limit, locking would succeed now, and later end the process at the allocation that goes past it.
pub(super) fn may_lock() -> Result<(), String> {
    let limit = getrlimit(Resource::Memlock).current;
    match limit {
        Some(bytes) if !may_pass_limits() => Err(format!("RLIMIT_MEMLOCK is {bytes} bytes")),
        _ => Ok(()),
    }
}

/// Whether the process has `CAP_IPC_LOCK`.
fn may_pass_limits() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    effective & (1 << CAP_IPC_LOCK) != 0
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn a_process_that_forbids_dumps_has_none() {
        forbid_dumps();
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
