//! `sys/namespaces`: the child namespaces of the request's namespace. Each is a tenant with keys of its own.
//!
//! Only direct children are written here; for deeper ones the request goes to their parent. Keys are made and destroyed
//! by `commit`, in the same transaction as the record; this folder must not touch them.

mod hold;
mod lock;
mod operation;
mod run;

pub use operation::{KeyHash, Operation, TABLE, UNLOCK_OWN};
pub use run::run;

#[cfg(test)]
mod tests;
