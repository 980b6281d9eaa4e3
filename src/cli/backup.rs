//! `backup`: have a backup made, verify one, and bring a deployment back from one.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use ureq::http::Method;

use super::audit::printable;
use super::client::Client;
use super::environment::Environment;
use super::failure::Failure;
use super::output::{Format, Output, complain};
use crate::app::{self, AppError, BackupOptions, BackupSource, RestoreOptions};
use crate::audit::note::LogKey;
use crate::id::TenantId;
use crate::json::Json;
use crate::secret::SecretText;

/// Between two looks at a backup that is being made.
const PAUSE: Duration = Duration::from_millis(500);

/// Back up all of a deployment, verify a backup, and restore one
#[derive(Subcommand)]
pub(super) enum Backup {
    Create(Create),
    Verify(Verify),
    Restore(Restore),
    Confirm(Confirm),
}

/// Have the server make a backup, where its configuration says, and wait for it
#[derive(Args)]
#[command(
    after_help = "The server goes on working meanwhile. What is printed is where the backup is. The token needs sudo on sys/backups.

Examples:
  strongroom backup create
  strongroom backup create --format json"
)]
pub(super) struct Create {}

#[derive(Args)]
struct Which {
    #[command(flatten)]
    place: Place,
    /// Public key of the deployment's audit logs
    #[arg(long, value_name = "VKEY")]
    key: String,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// The backup
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The backup, by its name in the storage that the configuration's backup stanza names
    #[arg(long, value_name = "NAME")]
    object: Option<String>,
}

/// Check a backup against its signature: is it whole, and is each part what was written?
#[derive(Args)]
#[command(
    after_help = "The key is that of the audit logs (bao read sys/audit-log/key, in the root namespace), written down before: a backup does
not vouch for itself. With --config also whether the seals open it, and whether it holds whole namespaces. Key shares, where they
are needed, are read from standard input, one on each line.

Examples:
  strongroom backup verify --key strongroom/5f..+1a2b3c4d+AR.. /var/backups/strongroom.backup
  strongroom backup verify --key strongroom/5f..+1a2b3c4d+AR.. --config /etc/strongroom --object 5f../backups/20261122T120000Z-9c...backup"
)]
pub(super) struct Verify {
    #[command(flatten)]
    which: Which,
    /// Configuration file, or folder of *.hcl and *.json files; may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    config: Vec<PathBuf>,
}

/// Fill the empty store of a configuration from a backup; the store may be of another kind than the one that was backed up
#[derive(Args)]
#[command(
    after_help = "Everything is verified before anything is written. A restore that died is finished by running it again; until then no server opens
the store. Afterwards all tokens of before are dead, and in each namespace logins and references wait for `strongroom backup confirm`.

Examples:
  strongroom backup restore --key strongroom/5f..+1a2b3c4d+AR.. --config /etc/strongroom --dry-run /var/backups/strongroom.backup
  strongroom backup restore --key strongroom/5f..+1a2b3c4d+AR.. --config /etc/strongroom /var/backups/strongroom.backup"
)]
pub(super) struct Restore {
    #[command(flatten)]
    which: Which,
    /// Configuration file, or folder of *.hcl and *.json files; may be repeated
    #[arg(long, value_name = "FILE|DIR", required = true)]
    config: Vec<PathBuf>,
    /// Verify, say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not restore this namespace and those below it, by the id of its tenant; may be repeated
    #[arg(long, value_name = "TENANT")]
    leave_out: Vec<String>,
    /// Restore without the list of erased namespaces: those erased after the backup come back
    #[arg(long)]
    without_erased_list: bool,
    /// Make a root token and write it to this file, mode 0600; without it one is made with shares (bao operator generate-root)
    #[arg(long, value_name = "FILE")]
    root_token_file: Option<PathBuf>,
}

/// After a restore: let in again who may log in, and have references resolve
#[derive(Args)]
#[command(
    after_help = "What was revoked after the backup was made is not known to the restored deployment. Look first at what may log in (roles, users)
and which references there are, and remove what should not be there; the log before the restore, in the archive, tells what was.

Examples:
  strongroom backup confirm --namespace acme
  strongroom backup confirm --all"
)]
pub(super) struct Confirm {
    /// Also in all namespaces below
    #[arg(long)]
    all: bool,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Asked {
    id: String,
}

#[derive(Deserialize)]
struct Made {
    state: String,
    name: String,
    namespaces: u64,
    of: u64,
    bytes: u64,
    #[serde(default)]
    problem: String,
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    keys: Vec<String>,
}

impl Backup {
    /// `connect` makes the client, where one is needed.
    pub(super) fn run(
        self,
        connect: impl FnOnce() -> Result<(Client, Output), Failure>,
        environment: &Environment,
        output: &Output,
    ) -> Result<(), Failure> {
        match self {
            Self::Create(Create {}) => connect().and_then(|(client, output)| create(&client, &output)),
            Self::Confirm(confirm) => connect().and_then(|(client, output)| confirm.run(&client, &output)),
            Self::Verify(verify) => verify.run(environment, output),
            Self::Restore(restore) => restore.run(environment),
        }
    }
}

fn create(client: &Client, output: &Output) -> Result<(), Failure> {
    let asked = client.send(Method::POST, "sys/backups", None)?.parse::<Data<Asked>>()?.data;
    let path = format!("sys/backups/{}", asked.id);
    let mut told = (0, 0);
    loop {
        let reply = client.send(Method::GET, &path, None)?;
        let Made { state, name, namespaces, of, bytes, problem } = reply.parse::<Data<Made>>()?.data;
        match state.as_str() {
            "done" if output.format == Format::Json => return output.answer(&reply.body),
            "done" => return output.line(&printable(&name)),
            "failed" => return Err(Failure::local(format!("the backup came to nothing: {}", printable(&problem)))),
            _ if told != (namespaces, bytes) => {
                complain(&format!("{namespaces} of {of} namespaces, {} MiB", bytes >> 20));
                told = (namespaces, bytes);
            }
            _ => {}
        }
        std::thread::sleep(PAUSE);
    }
}

impl Which {
    /// Does something with the backup. Key shares are asked for on the terminal, and it is told there what is going on.
    fn with<T>(
        self,
        config: Vec<PathBuf>,
        environment: &Environment,
        work: impl FnOnce(BackupOptions<'_>) -> Result<T, AppError>,
    ) -> Result<T, Failure> {
        let key = LogKey::parse(&self.key);
        let options = BackupOptions {
            source: self.place.source()?,
            key: key.ok_or_else(|| Failure::local("--key is not a public key of audit logs, as sys/audit-log/key gives it"))?,
            config,
            connection_url: environment.secret("PG_CONNECTION_URL"),
            next_share: &mut share,
            tell: &mut complain,
        };
        work(options).map_err(|error| Failure::local(error.to_string()))
    }
}

impl Place {
    fn source(self) -> Result<BackupSource, Failure> {
        match (self.file, self.object) {
            (Some(file), None) => Ok(BackupSource::File(file)),
            (None, Some(name)) => Ok(BackupSource::Object(name)),
            _ => Err(Failure::local("name either a FILE or --object NAME")),
        }
    }
}

/// The next line of standard input, asked for on standard error.
fn share() -> Option<SecretText> {
    complain("a key share, on a line of its own:");
    let mut line = zeroize::Zeroizing::new(String::new());
    let read = std::io::stdin().lock().read_line(&mut line).ok()?;
    let text = line.trim();
    (read > 0 && !text.is_empty()).then(|| SecretText::new(text.to_owned()))
}

impl Verify {
    fn run(self, environment: &Environment, output: &Output) -> Result<(), Failure> {
        let verified = self.which.with(self.config, environment, app::verify_backup)?;
        let header = &verified.header;
        let json = Json::object(|out| {
            out.field("backup", &header.backup.to_string()).field("deployment", &header.deployment.to_string());
            out.field("made", &header.made.rfc3339()).field("bytes", &verified.bytes).field("opens", &verified.counted.is_some());
            if let Some(counted) = verified.counted {
                out.field("tenants", &counted.tenants).field("records", &counted.records).field("events", &counted.events);
            }
        });
        if output.format == Format::Json {
            return output.answer(json.expose());
        }
        let (backup, deployment, made) = (header.backup, header.deployment, header.made.rfc3339());
        output.line(&format!("backup {backup} of deployment {deployment}, made {made}: whole, and as it was signed"))?;
        output.line(&match verified.counted {
            None => "its content was not opened: that needs --config".to_owned(),
            Some(counted) => {
                let namespaces = counted.tenants.saturating_sub(1);
                format!("it opens: {namespaces} namespaces, {} records, {} events", counted.records, counted.events)
            }
        })
    }
}

impl Restore {
    fn run(self, environment: &Environment) -> Result<(), Failure> {
        let tenant = |text: &String| {
            TenantId::parse(text).ok_or_else(|| Failure::local(format!("--leave-out {text}: not the id of a tenant")))
        };
        let wanted = RestoreOptions {
            dry_run: self.dry_run,
            leave_out: self.leave_out.iter().map(tenant).collect::<Result<_, _>>()?,
            without_erased_list: self.without_erased_list,
            root_token_file: self.root_token_file,
        };
        self.which.with(self.config, environment, |options| app::restore_backup(options, &wanted))
    }
}

impl Confirm {
    fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let above = client.namespace().unwrap_or_default().trim_matches('/').to_owned();
        if !self.all {
            client.send(Method::POST, "sys/restore/confirm", None)?;
            return output.line(&confirmed(&above));
        }
        let mut waiting = vec![above];
        while let Some(above) = waiting.pop() {
            match client.send_in(Some(&above), Method::POST, "sys/restore/confirm", None) {
                Ok(_) => output.line(&confirmed(&above))?,
                // Nothing waits there.
                Err(Failure::Server { status: 400, .. }) => {}
                Err(failure) => return Err(failure),
            }
            let names = match client.send_in(Some(&above), Method::GET, "sys/namespaces?list=true", None) {
                Ok(reply) => reply.parse::<Data<Names>>()?.data.keys,
                Err(Failure::Server { status: 404, .. }) => Vec::new(),
                Err(failure) => return Err(failure),
            };
            let full = |name: &str| if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
            waiting.extend(names.iter().map(|name| full(name.trim_matches('/'))));
        }
        Ok(())
    }
}

fn confirmed(namespace: &str) -> String {
    let name = if namespace.is_empty() { "the root namespace".to_owned() } else { printable(namespace) };
    format!("{name}: logins and references work again")
}
