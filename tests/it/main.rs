//! The one test binary: everything that is tested from outside. What a machine needs for it is installed by `scripts/test`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod app_roles;
mod apply;
mod architecture;
mod audit_log;
mod bad_input;
mod canary;
mod ceremonies;
mod clients_agent;
mod clients_bao;
mod clients_hvac;
mod clients_node;
mod clients_vaultrs;
mod cubbyhole;
mod documents;
mod faults;
mod first_start;
mod fuzz_seeds;
mod identity;
mod kv_one;
mod metrics;
mod mount_moves;
mod races;
mod replicas;
mod security_promises;
mod server_life;
mod shut_namespaces;
mod side_by_side;
mod storage;
mod support;
mod system_reads;
mod tampering;
mod tokens;
mod users;
mod walk;
mod wrapping;
