//! `sys/mounts` and `sys/auth`: which engine answers where, and how it is tuned.
//!
//! A mount is one record, listed flat by its whole path (`secret/`, `auth/ci/`). `sys/`, `auth/token/` and `cubbyhole/` are
//! there in every tenant without a record; tuning `auth/token/` writes one. Mounts do not nest, and none shares its first
//! segment with a child namespace, so at most one of them answers a path. This folder must not know what an engine
//! keeps. TTLs are seconds, and 0 stands for the server's default.

mod operation;
mod paths;
mod run;
mod settings;
pub(super) mod show;

pub use operation::{Operation, TABLE};
pub(super) use paths::conflict;
pub use paths::{Class, MountPath, first_segment};
pub use run::run;
pub use settings::{BUILT_IN, NewMount, Tuning};
