//! `seal "transit"`: a key of another server of this family. The keys are named as OpenBao names them.

use std::sync::Arc;
use std::time::Duration;

use super::seal::{address, allowed_keys, timeout};
use super::{ConfigError, FileSetting, Setting};
use crate::secret::SecretText;
use crate::stanza::Stanza;

/// `seal "transit"`.
pub struct Transit {
    /// `https://host:port`; plain HTTP to this machine only.
    pub address: String,
    /// As whom.
    pub auth: TransitAuth,
    /// The key.
    pub key_name: String,
    /// Where the engine is mounted, without slashes around.
    pub mount_path: String,
    /// The namespace that the engine, and the token, are in.
    pub namespace: Option<String>,
    /// Do not renew the token.
    pub disable_renewal: bool,
    /// How TLS is spoken.
    pub tls: TransitTls,
    /// The longest that one call may take.
    pub timeout: Duration,
    /// Keys of the same engine that namespaces may choose for themselves.
    pub allowed_keys: Vec<String>,
}

/// How the server shows the other one who it is.
pub enum TransitAuth {
    /// With this token.
    Token(Arc<SecretText>),
    /// With the token in a file, which something else may exchange.
    TokenFile(FileSetting),
    /// With a token that its client certificate gets.
    Certificate {
        /// Where the auth method is mounted, without slashes around.
        mount: String,
        /// The role to log in as; the other server chooses when there is none.
        role: Option<String>,
    },
}

/// TLS to the other server.
pub struct TransitTls {
    /// Its authorities, PEM; those of the operating system when there is none.
    pub ca_cert: Option<FileSetting>,
    /// Certificate chain and key to show, PEM.
    pub client: Option<(FileSetting, FileSetting)>,
    /// The name that its certificate must have; that of the address when there is none.
    pub server_name: Option<String>,
}

pub(super) fn transit(stanza: &mut Stanza) -> Result<Transit, ConfigError> {
    let address = stanza.text("address")?.map(|(text, setting)| Ok::<_, ConfigError>((address(text, &setting)?, setting)));
    let (address, address_setting) = address.transpose()?.ok_or_else(|| missing(stanza, "address"))?;
    let tls = tls(stanza)?;
    let auth = auth(stanza, tls.client.is_some())?;
    if matches!(auth, TransitAuth::Certificate { .. }) && !address.starts_with("https://") {
        return Err(address_setting.wrong("must be an https:// address: a login by certificate needs TLS"));
    }
    Ok(Transit {
        address: address.trim_end_matches('/').to_owned(),
        auth,
        key_name: path(stanza, "key_name")?.ok_or_else(|| missing(stanza, "key_name"))?,
        mount_path: path(stanza, "mount_path")?.unwrap_or_else(|| "transit".to_owned()),
        namespace: path(stanza, "namespace")?,
        disable_renewal: stanza.boolean("disable_renewal")?.is_some_and(|(off, _)| off),
        tls,
        timeout: timeout(stanza)?,
        allowed_keys: allowed_keys(stanza)?,
    })
}

fn missing(stanza: &Stanza, key: &str) -> ConfigError {
    ConfigError::Missing { place: stanza.place.clone(), problem: format!("seal \"transit\" {key}: is missing") }
}

fn auth(stanza: &mut Stanza, has_certificate: bool) -> Result<TransitAuth, ConfigError> {
    let token = stanza.secret("token")?;
    let file = stanza.file("token_file")?;
    let mount = path(stanza, "cert_auth_mount_path")?;
    let role = stanza.text("cert_auth_role")?.map(|(role, _)| role);
    match (token, file) {
        (Some((_, setting)), Some(file)) => {
            Err(setting.wrong(format!("a token_file is set in {}: keep either", file.setting.place)))
        }
        (Some((token, setting)), None) if token.expose().is_empty() => Err(setting.wrong("must not be empty")),
        (Some((token, _)), None) => Ok(TransitAuth::Token(Arc::new(token))),
        (None, Some(file)) => Ok(TransitAuth::TokenFile(file)),
        (None, None) if has_certificate => {
            Ok(TransitAuth::Certificate { mount: mount.unwrap_or_else(|| "cert".to_owned()), role })
        }
        (None, None) => Err(missing(stanza, "token, token_file or tls_client_cert (which logs in by certificate)")),
    }
}

fn tls(stanza: &mut Stanza) -> Result<TransitTls, ConfigError> {
    if let Some((true, setting)) = stanza.boolean("tls_skip_verify")? {
        return Err(setting.wrong("is not offered: name the authority of the other server in tls_ca_cert"));
    }
    let client = match (stanza.file("tls_client_cert")?, stanza.file("tls_client_key")?) {
        (Some(chain), Some(key)) => Some((chain, key)),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            return Err(one.setting.wrong("a client certificate needs both tls_client_cert and tls_client_key"));
        }
    };
    let server_name = match stanza.text("tls_server_name")? {
        Some((name, setting)) if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) => {
            return Err(setting.wrong("must be a host name"));
        }
        name => name.map(|(name, _)| name),
    };
    Ok(TransitTls { ca_cert: stanza.file("tls_ca_cert")?, client, server_name })
}

/// A path whose parts need no encoding, without the slashes around it.
fn path(stanza: &mut Stanza, key: &'static str) -> Result<Option<String>, ConfigError> {
    let Some((path, setting)) = stanza.text(key)? else { return Ok(None) };
    let path = path.trim_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let parts = |path: &str| path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !path.chars().all(plain) || !parts(path) {
        return Err(Setting::wrong(&setting, "must be a name or a path of letters, digits, \"-\", \"_\" and \".\""));
    }
    Ok(Some(path.to_owned()))
}
