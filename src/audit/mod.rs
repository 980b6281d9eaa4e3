//! The audit log as bytes: what an event holds, the tree that makes edits show, and the form of a stored batch.
//!
//! Pure: no IO, no async, no keys. `commit/` appends with it, and an auditor verifies with it offline.
//! Sealing and MACs are done by `crypto/`; here are the exact bytes that they cover.
//!
//! Units: indexes and sizes count leaves (events); times are `Timestamp`s; lengths are bytes, big-endian.

pub mod anchor;
pub mod batch;
mod canonical;
pub mod changed;
pub mod copy;
pub mod cosignature;
pub mod cursor;
pub mod event;
pub mod head;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod receipt;
pub mod row;
pub mod search;
pub mod segment;
pub mod state;
pub mod summary;
pub mod tile;
mod tlog_proof;
pub mod witnessed;
pub mod witnessing;
