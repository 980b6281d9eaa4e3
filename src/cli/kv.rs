//! `kv`: secrets with versions.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::http::Method;
use zeroize::Zeroizing;

use super::client::Client;
use super::failure::Failure;
use super::output::{Format, Output};
use crate::json::Json;
use crate::secret::SecretText;

/// Write, read and list secrets
#[derive(Subcommand)]
pub(super) enum Kv {
    Put(Put),
    Get(Get),
    List(List),
}

/// Write a new version of a secret; prints its version and its reference
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom kv put connectors/crm user=sync password=@password.txt
  pass show crm | strongroom kv put -mount=secret connectors/crm password=-
  strongroom kv put --field reference connectors/crm token=-")]
pub(super) struct Put {
    /// Mount of the kv engine [default: secret]
    #[arg(long)]
    mount: Option<String>,
    /// Path of the secret; may begin with the default mount's name
    path: String,
    /// Fields: name=text, name=@file, name=- (standard input); write \@ for a text that begins with @
    #[arg(required = true, value_name = "NAME=VALUE")]
    fields: Vec<String>,
    /// Only write when this is the newest version; 0 when there must be none yet
    #[arg(long, value_name = "VERSION")]
    cas: Option<u64>,
    /// Only print this field of the answer (version, reference, ..)
    #[arg(long)]
    field: Option<String>,
}

/// Read a secret
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom kv get connectors/crm
  strongroom kv get --field password connectors/crm
  strongroom kv get --version 2 --format json connectors/crm")]
pub(super) struct Get {
    /// Mount of the kv engine [default: secret]
    #[arg(long)]
    mount: Option<String>,
    /// Path of the secret; may begin with the default mount's name
    path: String,
    /// Version [default: the newest]
    #[arg(long)]
    version: Option<u64>,
    /// Only print this field of the secret
    #[arg(long)]
    field: Option<String>,
}

/// List the secrets and folders in a folder
#[derive(Args)]
#[command(after_help = "Examples:
  strongroom kv list
  strongroom kv list -mount=secret connectors")]
pub(super) struct List {
    /// Mount of the kv engine [default: secret]
    #[arg(long)]
    mount: Option<String>,
    /// Path of the folder; may begin with the default mount's name
    #[arg(default_value = "")]
    path: String,
}

/// An answer around `data`.
#[derive(Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) data: T,
}

/// Fields as they came, in order of their names.
pub(super) type RawFields<'a> = BTreeMap<String, &'a RawValue>;

/// The `data` of a read: a secret and what is known of it.
#[derive(Deserialize)]
pub(super) struct Secret<'a> {
    #[serde(borrow)]
    pub(super) data: RawFields<'a>,
    #[serde(borrow)]
    pub(super) metadata: RawFields<'a>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

impl Kv {
    pub(super) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(client, output),
            Self::Get(get) => get.run(client, output),
            Self::List(list) => list.run(client, output),
        }
    }
}

impl Put {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let fields = read_fields(self.fields, std::io::stdin())?;
        let body = Json::object(|body| {
            body.object("data", |data| {
                for (name, value) in &fields {
                    data.field(name, value.expose());
                }
            });
            if let Some(version) = self.cas {
                body.object("options", |options| {
                    options.field("cas", &version);
                });
            }
        });
        let path = locate(self.mount.as_deref(), "data", &self.path);
        let reply = client.send(Method::POST, &path, Some(&body))?;
        let answer: Envelope<RawFields<'_>> = reply.parse()?;
        match (&self.field, output.format) {
            (Some(field), _) => one(&answer.data, field, output),
            (None, Format::Json) => output.answer(&reply.body),
            (None, Format::Table) => output.table(&rows(&answer.data)),
        }
    }
}

impl Get {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let mut path = locate(self.mount.as_deref(), "data", &self.path);
        if let Some(version) = self.version {
            path = format!("{path}?version={version}");
        }
        let reply = client.send(Method::GET, &path, None)?;
        print_secret(&reply.body, &reply.parse::<Envelope<Secret<'_>>>()?.data, self.field.as_deref(), output)
    }
}

impl List {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let path = locate(self.mount.as_deref(), "metadata", &self.path);
        print_keys(client, &path, output)
    }
}

/// Lists `path` and prints a name per line.
pub(super) fn print_keys(client: &Client, path: &str, output: &Output) -> Result<(), Failure> {
    let reply = client.send(Method::GET, &format!("{path}?list=true"), None)?;
    if output.format == Format::Json {
        return output.answer(&reply.body);
    }
    reply.parse::<Envelope<Keys>>()?.data.keys.iter().try_for_each(|key| output.line(key))
}

/// Prints one field, or the whole secret with its metadata first.
pub(super) fn print_secret(body: &[u8], secret: &Secret<'_>, field: Option<&str>, output: &Output) -> Result<(), Failure> {
    match (field, output.format) {
        (Some(field), _) => one(&secret.data, field, output),
        (None, Format::Json) => output.answer(body),
        (None, Format::Table) => {
            output.table(&rows(&secret.metadata))?;
            output.line("")?;
            output.table(&rows(&secret.data))
        }
    }
}

/// Fields as a table shows them.
pub(super) fn rows<'f>(fields: &'f RawFields<'_>) -> Vec<(&'f str, SecretText)> {
    fields.iter().map(|(name, value)| (name.as_str(), shown(value))).collect()
}

/// Prints one field.
pub(super) fn one(fields: &RawFields<'_>, field: &str, output: &Output) -> Result<(), Failure> {
    let value = fields.get(field).ok_or_else(|| Failure::local(format!("there is no field {field} in the answer")))?;
    output.value(shown(value).expose())
}

/// A text without its quotes; everything else as JSON.
fn shown(value: &RawValue) -> SecretText {
    SecretText::new(serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned()))
}

/// Reads `name=value` arguments. `stdin` is read for the one field whose value is `-`.
fn read_fields(arguments: Vec<String>, mut stdin: impl std::io::Read) -> Result<Vec<(String, SecretText)>, Failure> {
    let mut fields: Vec<(String, SecretText)> = Vec::with_capacity(arguments.len());
    let mut stdin_taken = false;
    for argument in arguments.into_iter().map(Zeroizing::new) {
        let (name, value) = argument.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            // The argument is not shown: it may be a value.
            Failure::local("each field must be written as name=value, name=@file or name=-")
        })?;
        if fields.iter().any(|(known, _)| known == name) {
            return Err(Failure::local(format!("the field {name} is given twice")));
        }
        let unreadable = |error: std::io::Error| Failure::local(format!("the value of {name} cannot be read: {error}"));
        let value = match (value, value.strip_prefix('@')) {
            ("-", _) if std::mem::replace(&mut stdin_taken, true) => {
                return Err(Failure::local("only one field can come from standard input"));
            }
            ("-", _) => {
                let mut text = String::new();
                stdin.read_to_string(&mut text).map_err(unreadable)?;
                SecretText::new(text)
            }
            (_, Some(file)) => SecretText::new(std::fs::read_to_string(file).map_err(unreadable)?),
            (text, None) => SecretText::new(text.strip_prefix("\\@").map_or_else(|| text.to_owned(), |rest| format!("@{rest}"))),
        };
        fields.push((name.to_owned(), value));
    }
    Ok(fields)
}

/// The path of `place`, encoded for a URL.
fn locate(mount: Option<&str>, part: &str, path: &str) -> String {
    encode(&place(mount, part, path))
}

/// `MOUNT/part/PATH`. Without a mount it is `secret`, whether or not the path begins with it.
pub(super) fn place(mount: Option<&str>, part: &str, path: &str) -> String {
    let path = path.trim_start_matches('/');
    let (mount, path) = match mount {
        Some(mount) => (mount.trim_matches('/'), path),
        None => ("secret", path.strip_prefix("secret/").unwrap_or(path)),
    };
    format!("{mount}/{part}/{path}")
}

/// Encodes everything but letters, digits, `-._~` (RFC 3986 section 2.3) and slashes.
pub(super) fn encode(path: &str) -> String {
    const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
    utf8_percent_encode(path, &KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_with_and_without_a_mount() {
        for (mount, path, expected) in [
            (None, "a/b", "secret/data/a/b"),
            (None, "secret/a", "secret/data/a"),
            (Some("secret"), "secret/a", "secret/data/secret/a"),
            (Some("team/kv/"), "a b?", "team/kv/data/a%20b%3F"),
        ] {
            assert_eq!(locate(mount, "data", path), expected);
        }
    }

    #[test]
    fn fields_come_from_arguments_files_and_standard_input() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("value");
        std::fs::write(&file, "from file\n").unwrap();
        let arguments = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let given = arguments(&["a=1=2", "b=-", &format!("c=@{}", file.display()), "d=\\@x", "e="]);
        let fields = read_fields(given, &b"from stdin"[..]).ok().unwrap();
        let shown: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(shown, [("a", "1=2"), ("b", "from stdin"), ("c", "from file\n"), ("d", "@x"), ("e", "")]);
        for wrong in [&["hunter2"][..], &["=hunter2"], &["a=-", "b=-"], &["a=hunter2", "a=2"], &["a=@/nowhere"]] {
            let error = read_fields(arguments(wrong), &b""[..]).err().unwrap().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
