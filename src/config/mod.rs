//! The server's configuration: what an operator writes in HCL or JSON, as types.
//!
//! Owns reading and checking of the files that `--config` names. Must not open stores, sockets or keys, and must
//! not read the environment. Durations are `std::time::Duration`, sizes are bytes. A value of the file is never
//! part of an error: it may be a password.

mod anchor;
mod archive;
mod audit;
mod backup;
mod initialize;
mod listener;
mod load;
mod parse;
mod pkcs11;
mod sanitized;
mod seal;
mod transit;
mod witness;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use anchor::{Anchor, AnchorObject};
pub use archive::{Archive, ArchiveTarget};
pub use audit::{AuditSink, FileSink, HttpSink, SinkTarget, SyslogAddress, SyslogSink, shown as shown_sinks};
pub use backup::Backup;
pub use load::load;
pub use parse::parse;
pub use pkcs11::{Pin, Pkcs11, TokenChoice};
pub use transit::{Transit, TransitAuth, TransitTls};
pub use witness::{Witness, Witnesses};

pub use crate::stanza::{FileError as ConfigError, FileSetting, Place, Setting, Source};

use crate::logging::{LogFormat, LogLevel};
use crate::secret::SecretText;
use crate::stanza::Value;

/// Largest request body that may be configured, bytes.
pub const REQUEST_SIZE_MAX: usize = 32 << 20;

/// Everything that the configuration files say, with defaults filled in.
pub struct Config {
    /// Where to listen; at least one.
    pub listeners: Vec<Listener>,
    /// The one store.
    pub storage: Storage,
    /// Who guards the root key, in order of the files; Shamir when the files name none.
    pub seals: Vec<Seal>,
    /// The address that clients are told.
    pub api_addr: Option<String>,
    /// Shown by `sys/seal-status` and `sys/health`.
    pub cluster_name: Option<String>,
    /// Least severe level of the operator's log.
    pub log_level: LogLevel,
    /// Form of the operator's log.
    pub log_format: LogFormat,
    /// Lifetime of leases and tokens that ask for none.
    pub default_lease_ttl: Duration,
    /// Longest lifetime that may be asked for.
    pub max_lease_ttl: Duration,
    /// How often an opened keyring is unwrapped again.
    pub keyring_refresh: Duration,
    /// How long an opened keyring outlives an outage of its seal.
    pub keyring_max_age: Duration,
    /// Where the signed list of erased namespaces is kept.
    pub erased_list_file: Option<FileSetting>,
    /// How long backups are kept: until then what was erased is in some.
    pub backup_retention: Option<Duration>,
    /// Do not lock memory.
    pub disable_mlock: bool,
    /// Metrics.
    pub telemetry: Telemetry,
    /// `host` or `host:port` that the server may fetch from (JWKS, discovery); empty allows none.
    pub outbound_allow: Vec<String>,
    /// Where the audit log is copied to, in order.
    pub audit: Vec<AuditSink>,
    /// Where the audit log is archived.
    pub archive: Option<Archive>,
    /// Where backups are kept.
    pub backup: Option<Backup>,
    /// Where it is said how far the audit log was signed last.
    pub anchor: Option<Anchor>,
    /// Who cosigns the log of the deployment.
    pub witnesses: Witnesses,
    /// Requests that a new deployment begins with, in order.
    pub initialize: Vec<Initialize>,
    /// Sentences for the operator: keys that are accepted and do nothing.
    pub warnings: Vec<String>,
}

/// One `listener "tcp"`.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// `None` is plain HTTP, which is only allowed on loopback.
    pub tls: Option<Tls>,
    /// Largest request body, bytes.
    pub max_request_size: usize,
    /// A request that takes longer is given up.
    pub max_request_duration: Duration,
    /// A client must send a whole request header within this time.
    pub header_timeout: Duration,
    /// A connection without a request for this long is closed.
    pub idle_timeout: Duration,
    /// Most connections at a time.
    pub connections_max: u32,
    /// `sys/rekey/*`, which needs no token, is not offered.
    pub disable_unauthed_rekey: bool,
    /// `sys/generate-root/*`, which needs no token, is not offered.
    pub disable_unauthed_generate_root: bool,
    /// `sys/metrics` answers without a token.
    pub unauthenticated_metrics: bool,
    /// Where the stanza stands.
    pub place: Place,
}

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate chain, PEM, leaf first.
    pub cert_file: FileSetting,
    /// Private key, PEM.
    pub key_file: FileSetting,
    /// Oldest protocol version that is spoken.
    pub min_version: TlsVersion,
    /// Authorities of client certificates, PEM.
    pub client_ca_file: Option<FileSetting>,
    /// Refuse connections without a client certificate from `client_ca_file`.
    pub require_client_cert: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246
    Tls12,
    /// RFC 8446
    Tls13,
}

/// The `storage` stanza.
pub enum Storage {
    /// `storage "sqlite"`: one file.
    Sqlite {
        /// The database file.
        path: PathBuf,
    },
    /// `storage "postgresql"`.
    Postgres(Postgres),
}

/// `storage "postgresql"`.
pub struct Postgres {
    /// How to connect; holds a password.
    pub connection_url: SecretText,
    /// The key that signs tenant contexts, written by `strongroom migrate`.
    pub context_key_file: FileSetting,
    /// Most connections of this replica.
    pub connections_max: u32,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => f.debug_struct("Sqlite").field("path", path).finish(),
            Self::Postgres(_) => f.write_str("Postgres"),
        }
    }
}

/// One `seal` stanza.
pub struct Seal {
    /// The name that tenants choose it by.
    pub name: String,
    /// What it is.
    pub kind: SealKind,
}

/// Kinds of seals. No `Debug`: some hold a token or a PIN.
pub enum SealKind {
    /// Key shares, entered by people.
    Shamir,
    /// A key of 32 bytes in a file.
    Static {
        /// The key to wrap with.
        current: StaticKey,
        /// The one before, which may still open.
        previous: Option<StaticKey>,
    },
    /// A key in AWS KMS.
    AwsKms(AwsKms),
    /// A key of another server of this family.
    Transit(Transit),
    /// A key in a hardware security module.
    Pkcs11(Pkcs11),
    /// Recovery shares, entered by people, because other seals are gone for good.
    Recovery,
}

/// `seal "awskms"`. Credentials come from the SDK's standard chain.
#[derive(Clone, Debug)]
pub struct AwsKms {
    /// Id, ARN or alias of the key.
    pub key: String,
    /// Where the key is; the environment or the profile may say it, too.
    pub region: Option<String>,
    /// Another address than the region's.
    pub endpoint: Option<String>,
    /// The longest that one call may take.
    pub timeout: Duration,
    /// Keys that namespaces may choose for themselves.
    pub allowed_keys: Vec<String>,
}

/// A key in a file.
#[derive(Clone, Debug)]
pub struct StaticKey {
    /// The file: 32 bytes, or their hexadecimal or base64 form.
    pub file: FileSetting,
    /// Stays with the key for ever.
    pub id: Option<String>,
}

/// One `request` of an `initialize` stanza.
pub struct Initialize {
    /// Name of its `initialize` stanza.
    pub block: String,
    /// Its own name.
    pub name: String,
    /// The HTTP method of its operation.
    pub method: &'static str,
    /// The path below `/v1/`; it may begin with namespaces.
    pub path: String,
    /// The body.
    pub(crate) data: Option<Value>,
    /// A token in place of the root token.
    pub(crate) token: Option<Value>,
    /// Go on when it is refused.
    pub allow_failure: bool,
    /// Where it stands.
    pub setting: Setting,
}

/// The `telemetry` stanza.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// How long Prometheus metrics are kept without a scrape; zero turns them off.
    pub prometheus_retention: Duration,
    /// Leave the host name out of metrics.
    pub disable_hostname: bool,
}
