//! Strongroom: a multi-tenant secrets and key-management server that speaks the Vault and OpenBao HTTP API.
//!
//! Start reading at `request.rs`: every request that touches a tenant goes through it, forward, once.

pub mod answer;
pub mod app;
pub mod archive;
pub mod audit;
pub mod auth;
pub mod backup;
mod base64;
pub mod cert;
pub mod cli;
pub mod commit;
pub mod config;
pub mod crypto;
pub mod dev_ca;
pub mod durable;
pub mod engine;
pub mod fields;
pub mod glob;
pub mod http;
pub mod id;
pub mod json;
pub mod logging;
pub mod metrics;
pub mod mount;
pub mod namespace;
pub mod outbound;
pub mod path;
pub mod policy;
pub mod private_file;
pub mod quota;
pub mod random;
pub mod record;
pub mod reference;
pub mod request;
pub mod seal;
pub mod secret;
pub mod sink;
pub mod spans;
pub mod stanza;
pub mod storage;
pub mod sys;
pub mod time;
pub mod tree;
pub mod witness;
