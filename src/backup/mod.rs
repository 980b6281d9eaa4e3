//! Backups: all of a deployment in one signed, encrypted stream, and back into a store of either kind.
//!
//! Owns the format (`frame`: what is said without keys; `entry`: rows; `order`: whether they are whole), writing and reading it as a
//! stream, taking it from a store that is in use (`take`) and putting it into an empty one (`fill`).
//! Must not know requests or where backups are kept: bytes go to an [`Output`] and come from an [`Input`]. Nothing of a tenant is opened.
//! Memory is bounded by a chunk (1 MiB, or one row), a page of rows, and 16 to 100 bytes for each tenant.
//!
//! What is promised of a backup: each tenant as it was at one moment, the one that its last row of the log is of. See ADR 28.

mod entry;
mod fill;
mod frame;
mod order;
mod read;
mod take;
#[cfg(test)]
mod tests;
mod write;

pub use entry::Entry;
pub use fill::{Filler, KEEPS_OUT, Marker, Phase};
pub use frame::{Broken, Frame, Frames, Header, name};
pub use order::{Counted, Order};
pub use read::{FileInput, Input, Read, ReadError};
pub use take::{Progress, take};
pub use write::{Output, Writer};
