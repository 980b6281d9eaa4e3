//! The network edge: axum, hyper and rustls live here only.
//!
//! Owns sockets, TLS and HTTP until a request has a body in bytes. Must not know engines, policy or storage.

pub mod accept;
mod activity;
mod bare;
pub mod ceremonies;
mod cors;
mod reply;
pub mod service;
pub mod tls;
pub mod witness;
