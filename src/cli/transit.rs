//! `transit`: encryption with keys that stay on the server.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use data_encoding::BASE64;
use ureq::http::Method;
use zeroize::Zeroizing;

use super::client::Client;
use super::failure::Failure;
use super::kv::{Envelope, RawFields, encode, one, rows};
use super::output::{Format, Output};
use super::reference::Conditions;
use crate::json::Json;
use crate::secret::SecretText;

/// Encrypt and decrypt with keys that stay on the server
#[derive(Subcommand)]
pub(super) enum Transit {
    Encrypt(Encrypt),
    Decrypt(Decrypt),
    Datakey(Datakey),
}

/// Encrypt a file or standard input; prints the ciphertext
#[derive(Args)]
#[command(after_help = "Examples:
  pass show crm | strongroom transit encrypt connectors
  strongroom transit encrypt connectors password.txt > password.sealed
  strongroom transit encrypt -mount=team/transit --context tenant-7 connectors password.txt")]
pub(super) struct Encrypt {
    #[command(flatten)]
    key: Key,
    /// What to encrypt [default: standard input]
    file: Option<PathBuf>,
}

/// Decrypt a ciphertext; prints what was encrypted, and nothing besides
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom transit decrypt connectors password.sealed
  echo vault:v1:... | strongroom transit decrypt connectors")]
pub(super) struct Decrypt {
    #[command(flatten)]
    key: Key,
    /// Where the ciphertext is [default: standard input]
    file: Option<PathBuf>,
}

/// Make a data key: random bytes to encrypt with here, and their ciphertext to keep
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom transit datakey connectors
  strongroom transit datakey --bits 512 --wrapped connectors
  strongroom transit datakey --reference --purpose nightly-sync connectors
  strongroom transit datakey --field ciphertext connectors")]
pub(super) struct Datakey {
    #[command(flatten)]
    key: Key,
    /// Length of the data key: 128, 256 or 512
    #[arg(long, default_value_t = 256)]
    bits: u16,
    /// Only make the ciphertext
    #[arg(long)]
    wrapped: bool,
    /// Keep the data key on the server, and make a reference that resolves to it
    #[arg(long, conflicts_with = "wrapped")]
    reference: bool,
    #[command(flatten)]
    conditions: Conditions,
    /// Only print this field of the answer (plaintext, ciphertext, ..)
    #[arg(long)]
    field: Option<String>,
}

// Which key. (A docstring would be a help text.)
#[derive(Args)]
struct Key {
    /// Mount of the transit engine [default: transit]
    #[arg(long)]
    mount: Option<String>,
    /// Of a derived key: what the key in use is derived for
    #[arg(long)]
    context: Option<String>,
    /// Name of the key
    name: String,
}

impl Key {
    fn path(&self, verb: &str) -> String {
        let mount = self.mount.as_deref().unwrap_or("transit").trim_matches('/');
        encode(&format!("{mount}/{verb}/{}", self.name))
    }

    fn body(&self, field: Option<(&str, &str)>) -> Json {
        Json::object(|body| {
            if let Some((name, value)) = field {
                body.field(name, value);
            }
            if let Some(context) = &self.context {
                body.field("context", &BASE64.encode(context.as_bytes()));
            }
        })
    }
}

impl Transit {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Encrypt(encrypt) => encrypt.run(client, output),
            Self::Decrypt(decrypt) => decrypt.run(client, output),
            Self::Datakey(datakey) => datakey.run(client, output),
        }
    }
}

fn read(file: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let done = match file {
        Some(file) => std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)),
        None => std::io::stdin().read_to_end(&mut bytes),
    };
    done.map_err(|error| Failure::local(format!("what to work on cannot be read: {error}")))?;
    Ok(bytes)
}

impl Encrypt {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let text = SecretText::new(BASE64.encode(&read(self.file.as_deref())?));
        let body = self.key.body(Some(("plaintext", text.expose())));
        let reply = client.send(Method::POST, &self.key.path("encrypt"), Some(&body))?;
        match output.format {
            Format::Json => output.answer(&reply.body),
            Format::Table => one(&reply.parse::<Envelope<RawFields<'_>>>()?.data, "ciphertext", output),
        }
    }
}

impl Decrypt {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let text = read(self.file.as_deref())?;
        let text = std::str::from_utf8(&text).map_err(|_| Failure::local("the ciphertext is not text"))?;
        let body = self.key.body(Some(("ciphertext", text.trim())));
        let reply = client.send(Method::POST, &self.key.path("decrypt"), Some(&body))?;
        if output.format == Format::Json {
            return output.answer(&reply.body);
        }
        let answer: Envelope<RawFields<'_>> = reply.parse()?;
        let text = answer.data.get("plaintext").and_then(|raw| serde_json::from_str::<&str>(raw.get()).ok());
        let bytes = text.and_then(|text| BASE64.decode(text.as_bytes()).ok()).map(Zeroizing::new);
        output.raw(&bytes.ok_or_else(|| Failure::local("the answer holds no plaintext"))?)
    }
}

impl Datakey {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        if !self.reference && !self.conditions.is_empty() {
            return Err(Failure::local("conditions are those of a reference: --reference makes one"));
        }
        let bits = self.bits.to_string();
        let body = Json::object(|body| {
            body.splice(&self.key.body(Some(("bits", &bits))));
            self.conditions.write(body);
        });
        let verb = match (self.reference, self.wrapped) {
            (true, _) => "datakey/reference",
            (false, true) => "datakey/wrapped",
            (false, false) => "datakey/plaintext",
        };
        let reply = client.send(Method::POST, &self.key.path(verb), Some(&body))?;
        let answer: Envelope<RawFields<'_>> = reply.parse()?;
        match (&self.field, output.format) {
            (Some(field), _) => one(&answer.data, field, output),
            (None, Format::Json) => output.answer(&reply.body),
            (None, Format::Table) => output.table(&rows(&answer.data)),
        }
    }
}
