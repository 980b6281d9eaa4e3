//! What a client may say about a mount, when it is enabled and when it is tuned.

use std::collections::BTreeMap;
use std::time::Duration;

use super::paths::Class;
use crate::answer::Refusal;
use crate::fields::Fields;
use crate::mount::{Engine, MountConfig, UserLockout};
use crate::time::parse_duration;

/// Types that can be mounted.
pub const BUILT_IN: [(Class, &str); 8] = [
    (Class::Secret, "kv"),
    (Class::Secret, "transit"),
    (Class::Auth, "approle"),
    (Class::Auth, "cert"),
    (Class::Auth, "jwt"),
    (Class::Auth, "kubernetes"),
    (Class::Auth, "oidc"),
    (Class::Auth, "userpass"),
];

/// Which kind of token a login gives: always the one kind, or the one that a role does not choose itself.
const TOKEN_TYPES: [&str; 4] = ["service", "batch", "default-service", "default-batch"];

/// Types that are there in every tenant, once.
const SINGLETONS: [&str; 8] =
    ["system", "ns_system", "cubbyhole", "ns_cubbyhole", "identity", "ns_identity", "token", "ns_token"];

/// A mount to be made.
#[derive(Debug)]
pub struct NewMount {
    /// What answers.
    pub engine: Engine,
    /// Free text.
    pub description: String,
    /// Engine options.
    pub options: BTreeMap<String, String>,
    /// Settings.
    pub config: MountConfig,
    /// Kept and shown.
    pub local: bool,
    /// Kept and shown.
    pub seal_wrap: bool,
    /// Kept and shown.
    pub external_entropy_access: bool,
}

/// A change of a mount's settings: `None` leaves them as they are, an empty text or list takes them away.
#[derive(Debug, Default)]
pub struct Tuning {
    /// Seconds; 0 for the server's default.
    pub default_lease_ttl_seconds: Option<u64>,
    /// Seconds; 0 for the server's default.
    pub max_lease_ttl_seconds: Option<u64>,
    /// Free text.
    pub description: Option<String>,
    /// Kept and shown.
    pub force_no_cache: Option<bool>,
    /// `unauth`, `hidden` or empty.
    pub listing_visibility: Option<String>,
    /// Kept and shown.
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// Kept and shown.
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// Kept and shown.
    pub passthrough_request_headers: Option<Vec<String>>,
    /// Kept and shown.
    pub allowed_response_headers: Option<Vec<String>>,
    /// Which kind of token a login gives; of auth methods only.
    pub token_type: Option<String>,
    /// When a name is locked; of userpass only.
    pub user_lockout: Option<LockoutChange>,
    /// Options to set; one with an empty value is removed.
    pub options: BTreeMap<String, String>,
}

impl NewMount {
    /// Reads the fields of an enable.
    pub fn parse(class: Class, fields: &Fields<'_>) -> Result<Self, Refusal> {
        let mut options = fields.map("options")?.unwrap_or_default();
        let engine = engine(class, &fields.text("type")?.unwrap_or_default(), &mut options)?;
        if fields.text("plugin_version")?.is_some_and(|version| !version.is_empty()) {
            return Err(Refusal::invalid("plugin_version cannot be chosen: engines are built in"));
        }
        let mut config = MountConfig::default();
        if let Some(nested) = fields.nested("config")? {
            Tuning::parse(&nested)?.apply(engine, &mut config)?;
        }
        Ok(Self {
            engine,
            description: fields.text("description")?.unwrap_or_default(),
            options,
            config,
            local: fields.boolean("local")?.unwrap_or(false),
            seal_wrap: fields.boolean("seal_wrap")?.unwrap_or(false),
            external_entropy_access: fields.boolean("external_entropy_access")?.unwrap_or(false),
        })
    }
}

impl Tuning {
    /// Reads the fields of a tune, or of `config` of an enable.
    pub fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let listing_visibility = fields.text("listing_visibility")?;
        if let Some(visibility) = &listing_visibility
            && !matches!(visibility.as_str(), "" | "hidden" | "unauth")
        {
            return Err(Refusal::invalid(format!("invalid listing_visibility {visibility}")));
        }
        let token_type = fields.text("token_type")?.filter(|token_type| !token_type.is_empty());
        if let Some(token_type) = &token_type
            && !TOKEN_TYPES.contains(&token_type.as_str())
        {
            return Err(Refusal::invalid("invalid value for 'token_type'"));
        }
        Ok(Self {
            default_lease_ttl_seconds: ttl_seconds(fields, "default_lease_ttl")?,
            max_lease_ttl_seconds: ttl_seconds(fields, "max_lease_ttl")?,
            description: fields.text("description")?,
            force_no_cache: fields.boolean("force_no_cache")?,
            listing_visibility,
            audit_non_hmac_request_keys: fields.list("audit_non_hmac_request_keys")?,
            audit_non_hmac_response_keys: fields.list("audit_non_hmac_response_keys")?,
            passthrough_request_headers: fields.list("passthrough_request_headers")?,
            allowed_response_headers: fields.list("allowed_response_headers")?,
            token_type,
            user_lockout: fields.nested("user_lockout_config")?.map(|fields| LockoutChange::parse(&fields)).transpose()?,
            options: fields.map("options")?.unwrap_or_default(),
        })
    }

    /// Changes the `config` of a mount of an engine; description and options are not in there.
    pub fn apply(&self, engine: Engine, config: &mut MountConfig) -> Result<(), Refusal> {
        if self.token_type.is_some() {
            match engine {
                Engine::Token => {
                    return Err(Refusal::invalid("'token_type' cannot be set for 'token' or 'ns_token' auth mounts"));
                }
                engine if engine.is_auth_method() => config.token_type.clone_from(&self.token_type),
                _ => return Err(Refusal::invalid("'token_type' can only be modified on auth mounts")),
            }
        }
        if let Some(change) = &self.user_lockout {
            if engine != Engine::Userpass {
                let name = engine.type_name();
                return Err(Refusal::Invalid(format!("tuning of user lockout configuration for auth type {name:?} not allowed")));
            }
            config.user_lockout = Some(change.apply(config.lockout()));
        }
        let default = self.default_lease_ttl_seconds.unwrap_or(config.default_lease_ttl_seconds);
        let max = self.max_lease_ttl_seconds.unwrap_or(config.max_lease_ttl_seconds);
        if max != 0 && default > max {
            return Err(Refusal::invalid("given default lease TTL greater than given max lease TTL"));
        }
        config.default_lease_ttl_seconds = default;
        config.max_lease_ttl_seconds = max;
        config.force_no_cache = self.force_no_cache.unwrap_or(config.force_no_cache);
        if let Some(visibility) = &self.listing_visibility {
            config.listing_visibility = Some(visibility.clone()).filter(|visibility| !visibility.is_empty());
        }
        replace(&mut config.audit_non_hmac_request_keys, self.audit_non_hmac_request_keys.as_ref());
        replace(&mut config.audit_non_hmac_response_keys, self.audit_non_hmac_response_keys.as_ref());
        replace(&mut config.passthrough_request_headers, self.passthrough_request_headers.as_ref());
        replace(&mut config.allowed_response_headers, self.allowed_response_headers.as_ref());
        Ok(())
    }
}

/// A change of when names are locked: `None` leaves a value as it is.
#[derive(Debug, Default)]
pub struct LockoutChange {
    threshold: Option<u64>,
    duration_seconds: Option<u64>,
    counter_reset_seconds: Option<u64>,
    disabled: Option<bool>,
}

impl LockoutChange {
    fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let threshold = fields.integer("lockout_threshold")?.map(u64::try_from).transpose();
        let seconds = |name: &str| Ok(fields.duration(name)?.map(|duration| duration.as_secs()));
        Ok(Self {
            threshold: threshold.map_err(|_| Refusal::invalid("unable to parse user lockout threshold: it is negative"))?,
            duration_seconds: seconds("lockout_duration")?,
            counter_reset_seconds: seconds("lockout_counter_reset_duration")?,
            disabled: fields.boolean("lockout_disable")?,
        })
    }

    fn apply(&self, before: UserLockout) -> UserLockout {
        UserLockout {
            threshold: self.threshold.unwrap_or(before.threshold),
            duration_seconds: self.duration_seconds.unwrap_or(before.duration_seconds),
            counter_reset_seconds: self.counter_reset_seconds.unwrap_or(before.counter_reset_seconds),
            disabled: self.disabled.unwrap_or(before.disabled),
        }
    }
}

fn replace(setting: &mut Option<Vec<String>>, new: Option<&Vec<String>>) {
    if let Some(new) = new {
        *setting = Some(new.clone()).filter(|list| !list.is_empty());
    }
}

/// An empty text leaves a TTL as it is, `system` takes it away.
fn ttl_seconds(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    match fields.text(name)?.as_deref() {
        None | Some("") => Ok(None),
        Some("system") => Ok(Some(0)),
        Some(text) => match parse_duration(text) {
            Some(duration) => Ok(Some(Duration::as_secs(&duration))),
            None => Err(Refusal::invalid(format!("unable to parse {name} of {text}: not a duration"))),
        },
    }
}

/// Which engine a type and its options name. The options come out as they are to be stored.
fn engine(class: Class, type_name: &str, options: &mut BTreeMap<String, String>) -> Result<Engine, Refusal> {
    if type_name.is_empty() {
        return Err(Refusal::invalid("backend type must be specified as a string"));
    }
    if class == Class::Auth && type_name == "token" {
        return Err(Refusal::invalid("token credential backend cannot be instantiated"));
    }
    if SINGLETONS.contains(&type_name) {
        return Err(Refusal::invalid(format!("mount type of {type_name:?} is not mountable")));
    }
    let built_in = match class {
        Class::Auth => "approle, cert, jwt, oidc and userpass; token/ is always mounted",
        Class::Secret => "KV, as type \"kv\" with the option version=1 or version=2; transit",
    };
    if let Some(method) = Engine::LOGINS.into_iter().find(|method| class == Class::Auth && method.type_name() == type_name) {
        return Ok(method);
    }
    let version = match (class, type_name) {
        (Class::Secret, "transit") => return Ok(Engine::Transit),
        (Class::Secret, "kv-v2") => "2",
        (Class::Secret, "kv-v1") => "1",
        (Class::Secret, "kv" | "generic") => options.get("version").map_or("1", String::as_str),
        _ => return Err(Refusal::invalid(format!("plugin not found in the catalog: {type_name} (built in: {built_in})"))),
    };
    let engine = match version {
        "1" => Engine::Kv1,
        "2" => Engine::Kv2,
        _ => return Err(Refusal::invalid(format!("unsupported: KV version {version} (built in: {built_in})"))),
    };
    // `kv` alone stays without the option, as clients expect it.
    if !matches!(type_name, "kv" | "generic") {
        let version = version.to_owned();
        options.insert("version".to_owned(), version);
    }
    Ok(engine)
}
