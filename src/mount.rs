//! Mounts: which engine answers below a path of a tenant, and how it was configured.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::MountId;
use crate::record::{Address, Kind, Listing, Past};

/// What answers at a mount. A closed set: engines are compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// KV version 1.
    Kv1,
    /// KV version 2.
    Kv2,
    /// `sys/`, in every tenant.
    System,
    /// `auth/token/`, in every tenant.
    Token,
    /// `cubbyhole/`, in every tenant.
    Cubbyhole,
    /// `identity/`, in every tenant.
    Identity,
    /// Logins of machines, with role ids and secret ids.
    #[serde(rename = "approle")]
    AppRole,
    /// Logins of people, with names and passwords.
    Userpass,
    /// Logins of whoever holds a client certificate.
    Cert,
    /// Encryption, signatures and HMACs with keys that stay here.
    Transit,
    /// Logins with a signed token of somebody else.
    Jwt,
    /// The same, under the name that clients use for logins in a browser.
    Oidc,
    /// Logins of workloads of a cluster, with the token of their service account.
    Kubernetes,
}

impl Engine {
    /// The `type` that the API shows.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Kv1 | Self::Kv2 => "kv",
            Self::System => "system",
            Self::Token => "token",
            Self::Cubbyhole => "cubbyhole",
            Self::Identity => "identity",
            Self::AppRole => "approle",
            Self::Userpass => "userpass",
            Self::Cert => "cert",
            Self::Transit => "transit",
            Self::Jwt => "jwt",
            Self::Oidc => "oidc",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// Those that let people and machines log in.
    pub const LOGINS: [Self; 6] = [Self::AppRole, Self::Cert, Self::Jwt, Self::Kubernetes, Self::Oidc, Self::Userpass];

    /// Whether it lets people and machines log in, and can be mounted for that.
    pub fn is_auth_method(self) -> bool {
        Self::LOGINS.contains(&self)
    }
}

/// A mount, as it is stored: listed flat by its whole path, which ends in a slash (`secret/`, `auth/ci/`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Bound into the keys of all its records; survives a remount.
    pub id: MountId,
    /// What answers.
    pub engine: Engine,
    /// `kv_1a2b3c4d`: the name that other records and users know it by, whatever its path.
    pub accessor: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Engine options as they were written (`version` of KV).
    #[serde(default)]
    pub options: Option<BTreeMap<String, String>>,
    /// Tunable settings.
    #[serde(default)]
    pub config: MountConfig,
    /// Accepted and shown; there is no replication that it could exclude.
    #[serde(default)]
    pub local: bool,
    /// Accepted and shown; everything is under the seal here.
    #[serde(default)]
    pub seal_wrap: bool,
    /// Accepted and shown; all randomness is the operating system's.
    #[serde(default)]
    pub external_entropy_access: bool,
}

/// Settings of a mount. TTLs in seconds; 0 means the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountConfig {
    /// TTL of leases and tokens that ask for none.
    #[serde(default)]
    pub default_lease_ttl_seconds: u64,
    /// The most that a lease or token may ask for.
    #[serde(default)]
    pub max_lease_ttl_seconds: u64,
    /// Accepted and shown.
    #[serde(default)]
    pub force_no_cache: bool,
    /// `unauth` shows the mount to callers without a token; absent or empty hides it.
    #[serde(default)]
    pub listing_visibility: Option<String>,
    /// Accepted and shown; values are never logged, so there is nothing to un-hash.
    #[serde(default)]
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// As above, of responses.
    #[serde(default)]
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// Accepted and shown.
    #[serde(default)]
    pub passthrough_request_headers: Option<Vec<String>>,
    /// Accepted and shown.
    #[serde(default)]
    pub allowed_response_headers: Option<Vec<String>>,
    /// Of auth mounts: which kind of token a login gives.
    #[serde(default)]
    pub token_type: Option<String>,
    /// Of userpass mounts: when a name is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_lockout: Option<UserLockout>,
}

impl MountConfig {
    /// When a name is locked, with what nobody has set as it is usual.
    pub fn lockout(&self) -> UserLockout {
        self.user_lockout.unwrap_or_default()
    }
}

/// After how many failed logins a name is locked, and for how long. 0 stands for what is usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLockout {
    /// Failures in a row.
    pub threshold: u64,
    /// How long it stays locked.
    pub duration_seconds: u64,
    /// After how long without a failure the row begins anew.
    pub counter_reset_seconds: u64,
    /// Never lock.
    pub disabled: bool,
}

/// Failed logins in a row that lock a name, where nothing else is set.
pub const LOCKOUT_THRESHOLD: u64 = 5;
/// How long a name stays locked, and after how long failures are forgotten, where nothing else is set.
pub const LOCKOUT_SECONDS: u64 = 15 * 60;

impl UserLockout {
    /// Failures in a row, at least one.
    pub fn threshold(self) -> u64 {
        if self.threshold == 0 { LOCKOUT_THRESHOLD } else { self.threshold }
    }

    /// How long a name stays locked.
    pub fn duration(self) -> Duration {
        seconds_or_usual(self.duration_seconds)
    }

    /// After how long without a failure the row begins anew.
    pub fn counter_reset(self) -> Duration {
        seconds_or_usual(self.counter_reset_seconds)
    }
}

fn seconds_or_usual(seconds: u64) -> Duration {
    Duration::from_secs(if seconds == 0 { LOCKOUT_SECONDS } else { seconds })
}

/// The default and greatest TTL of a server whose configuration says nothing: 32 days.
pub const TTL_MAX_SECONDS: u64 = 32 * 24 * 3600;

crate::json_record!(Mount, Kind::Mount, Listing::Flat, past = |mount| Past::of(mount));

/// How long tokens and leases live, in seconds: of the whole server, or of one mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTtl {
    /// TTL of what asks for none.
    pub default_seconds: u64,
    /// The longest TTL.
    pub max_seconds: u64,
}

impl LeaseTtl {
    /// What a server has whose configuration says nothing.
    pub const USUAL: Self = Self { default_seconds: TTL_MAX_SECONDS, max_seconds: TTL_MAX_SECONDS };

    /// What holds at a mount of this server: what the mount does not set is the server's.
    #[must_use]
    pub fn at(self, config: &MountConfig) -> Self {
        let or = |seconds: u64, server: u64| if seconds == 0 { server } else { seconds };
        let max_seconds = or(config.max_lease_ttl_seconds, self.max_seconds);
        Self { default_seconds: or(config.default_lease_ttl_seconds, self.default_seconds).min(max_seconds), max_seconds }
    }

    /// The same with a lower maximum; 0 changes nothing.
    #[must_use]
    pub fn at_most(self, max_seconds: u64) -> Self {
        let max = if max_seconds == 0 { self.max_seconds } else { self.max_seconds.min(max_seconds) };
        Self { default_seconds: self.default_seconds.min(max), max_seconds: max }
    }
}

/// A mount that was disabled: nothing leads to its records any more, and a job removes them. Listed flat by mount id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredMount {
    /// What it was.
    pub mount: Mount,
}

crate::json_record!(RetiredMount, Kind::RetiredMount, Listing::Flat);

impl RetiredMount {
    /// Where the record of a retired mount lives.
    pub fn address(id: MountId) -> Address {
        Address::system(Kind::RetiredMount, id.to_string())
    }
}
