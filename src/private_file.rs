//! Who may use a file that holds a key: its owner; and a group, where the file is root's and the process is not.
//!
//! The exception is how Kubernetes mounts secrets for a process that is not root (owner root, mode 0440, the group of the pod),
//! and how `PostgreSQL` takes the keys of its certificates: such a file has no other way to be readable.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Whether nobody but who is meant may read or change the file, going by its owner and mode.
///
/// Not looked at: access control lists, and who else is in the group or may change the folder.
pub fn is_private(metadata: &Metadata) -> bool {
    is_private_for(rustix::process::geteuid().as_raw(), metadata.uid(), metadata.mode() & 0o7777)
}

fn is_private_for(own: u32, owner: u32, mode: u32) -> bool {
    let allowed = if owner == 0 && own != 0 { 0o640 } else { 0o600 };
    mode & !allowed == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_may_read_files_of_root_only() {
        let (root, own) = (0, 65_532);
        for (process, owner, modes) in [
            (own, own, [0o600, 0o400].as_slice()),
            (own, root, &[0o600, 0o400, 0o440, 0o640, 0o040]),
            (root, root, &[0o600, 0o400]),
        ] {
            for mode in modes {
                assert!(is_private_for(process, owner, *mode), "{process} {owner} {mode:o}");
            }
        }
        for (process, owner, modes) in [
            (own, own, [0o440, 0o640, 0o604, 0o620, 0o610, 0o700, 0o4600].as_slice()),
            (own, root, &[0o444, 0o644, 0o660, 0o650, 0o540, 0o604, 0o2640]),
            (root, root, &[0o440, 0o640, 0o604, 0o4600]),
            (own, 1000, &[0o440, 0o640]),
        ] {
            for mode in modes {
                assert!(!is_private_for(process, owner, *mode), "{process} {owner} {mode:o}");
            }
        }
    }
}
