//! Environment variables and the flags that all client commands share.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::output::Format;
use crate::app::TraceSettings;
use crate::secret::SecretText;
use crate::spans;
use crate::stanza::Whence;

/// Flags of every client command.
#[derive(Args)]
#[command(next_display_order = 100)]
pub(super) struct Flags {
    #[arg(long, global = true, value_name = "URL", help = "Address of the server [default: https://127.0.0.1:8200]")]
    pub(super) address: Option<String>,
    /// Authority that signed the server's certificate, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca_cert: Option<PathBuf>,
    /// Namespace (tenant) to work in
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) namespace: Option<String>,
    /// Form of the output
    #[arg(long, global = true, value_name = "FORM")]
    format: Option<Format>,
}

impl Flags {
    /// The form of the output: flag, environment, table.
    pub(super) fn format(&self, environment: &Environment) -> Result<Format, Failure> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        match environment.text("FORMAT").as_deref() {
            None | Some("table") => Ok(Format::Table),
            Some("json") => Ok(Format::Json),
            Some(_) => Err(Failure::local("BAO_FORMAT / VAULT_FORMAT must be table or json")),
        }
    }
}

/// Where variables are looked up; a test brings its own.
pub(super) struct Environment(Box<LookUp>);

type LookUp = dyn Fn(&str) -> Option<OsString>;

impl Environment {
    /// That of the process.
    pub(super) fn of_process() -> Self {
        Self::new(|name| std::env::var_os(name))
    }

    pub(super) fn new(look_up: impl Fn(&str) -> Option<OsString> + 'static) -> Self {
        Self(Box::new(look_up))
    }

    /// `BAO_name`, else `VAULT_name`; empty counts as not set.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let set = |name: String| (self.0)(&name).filter(|value| !value.is_empty()).and_then(|value| value.into_string().ok());
        set(format!("BAO_{name}")).or_else(|| set(format!("VAULT_{name}")))
    }

    /// Like `text`, for secrets.
    pub(super) fn secret(&self, name: &str) -> Option<SecretText> {
        self.text(name).map(SecretText::new)
    }

    /// What a file says is elsewhere: in a variable of any name, or in another file.
    pub(super) fn find(&self, whence: &Whence) -> Result<SecretText, String> {
        match whence {
            Whence::Environment(name) => (self.0)(name)
                .and_then(|value| value.into_string().ok())
                .map(SecretText::new)
                .ok_or_else(|| format!("the environment has no {name}")),
            Whence::File(file) => std::fs::read_to_string(file)
                .map(SecretText::new)
                .map_err(|error| format!("{} cannot be read: {error}", file.display())),
        }
    }

    /// Like `text`, for true and false.
    pub(super) fn boolean(&self, name: &str) -> Result<bool, Failure> {
        match self.text(name).as_deref() {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some(_) => Err(Failure::local(format!("BAO_{name} / VAULT_{name} must be true or false"))),
        }
    }

    /// Where traces of requests go: the variables of OpenTelemetry.
    pub(super) fn traces(&self) -> TraceSettings {
        let (to, warnings) = spans::settings(&|name| (self.0)(name).and_then(|value| value.into_string().ok()));
        TraceSettings { to, warnings }
    }

    /// Where a service manager wants to be told that the server is ready: `sd_notify(3)`.
    pub(super) fn notify_socket(&self) -> Option<OsString> {
        (self.0)("NOTIFY_SOCKET").filter(|value| !value.is_empty())
    }

    /// The token: from the environment, else from its file.
    pub(super) fn token(&self) -> Result<Option<SecretText>, Failure> {
        if let Some(token) = self.secret("TOKEN") {
            return Ok(Some(token));
        }
        let home = || (self.0)("HOME").map(|home| PathBuf::from(home).join(".vault-token"));
        let Some(file) = self.text("TOKEN_PATH").map(PathBuf::from).or_else(home) else { return Ok(None) };
        match std::fs::read_to_string(&file).map(zeroize::Zeroizing::new) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Ok(Some(SecretText::new(text.trim().to_owned()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::local(format!("the token file {} cannot be read: {error}", file.display()))),
        }
    }
}
