//! `server --dev`: a server that needs nothing, for trying things out on one machine.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::first_start::{reason, send};
use super::{AppError, DEV_LOG, ListenerSettings, Running, TraceSettings, close, process, runtime, traces};
use crate::commit::{Committer, KeyringTimes};
use crate::config::TlsVersion;
use crate::dev_ca::{self, DevCertificates};
use crate::http::accept::Limits;
use crate::http::ceremonies::Unauthenticated;
use crate::http::tls::{ClientCertificates, TlsFiles};
use crate::json::Json;
use crate::logging::{self, LogControl, LogLevel};
use crate::mount::LeaseTtl;
use crate::outbound::Outbound;
use crate::seal::{LocalSeal, static_key};
use crate::secret::SecretText;
use crate::spans::Tracer;
use crate::storage::Store;
use crate::storage::sqlite::SqliteStore;
use crate::sys::barrier::{Barrier, BarrierError, Guard, InitRequest, Settings};
use crate::sys::erasure::ErasureSettings;
use crate::sys::process::Process;
use crate::time::{Clock, SystemClock};

/// What the command line says.
pub struct DevOptions {
    /// The root token; a random one when it is absent.
    pub root_token: Option<SecretText>,
    /// Where to listen: loopback only.
    pub address: SocketAddr,
    /// The folder of everything: database, keys, certificates, `env`.
    pub folder: PathBuf,
    /// Least severe level of the log.
    pub log_level: Option<LogLevel>,
    /// Where traces go.
    pub traces: TraceSettings,
}

/// Runs until SIGTERM or SIGINT.
pub fn run_dev(mut options: DevOptions) -> Result<(), AppError> {
    let log = logging::start(options.log_level.unwrap_or(DEV_LOG.0), DEV_LOG.1);
    process::forbid_dumps();
    traces::sending(std::mem::take(&mut options.traces), |tracer| runtime()?.block_on(serve(options, log, tracer)))
}

async fn serve(options: DevOptions, log: Option<LogControl>, tracer: Option<Arc<Tracer>>) -> Result<(), AppError> {
    if !options.address.ip().is_loopback() {
        return Err(AppError::Dev(format!(
            "--dev-listen-address {}: a development server listens on loopback only",
            options.address
        )));
    }
    let folder = prepare_folder(&options.folder)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let certificates = dev_ca::prepare(&folder, clock.now()).map_err(|error| AppError::Dev(error.to_string()))?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.join("strongroom.db"), Arc::clone(&clock)).await?);
    let guard = Guard::Auto(vec![Arc::new(LocalSeal::static_key("dev", dev_key(&folder.join("dev.key"))?))]);
    let settings = Settings {
        name: "strongroom-dev".to_owned(),
        dev: true,
        lease_ttl: LeaseTtl::USUAL,
        api_addr: format!("https://{}", options.address),
        keyring_times: KeyringTimes::ENDLESS,
        archive: None,
        backups: None,
        sinks: Arc::default(),
        erasure: ErasureSettings::default(),
        anchors: Arc::default(),
        witnesses: Arc::default(),
    };
    let barrier = Arc::new(Barrier::new(Arc::clone(&store), Arc::clone(&clock), guard, settings));
    let process =
        Process::new(configuration(options.address), Json::object(|_| {}), Some(format!("https://{}", options.address)), log);
    let mut running = Running::new(Arc::clone(&barrier), clock, process, Outbound::new(&[], true), tracer)?;
    // Before it listens: whoever gets an answer finds `secret/` mounted.
    let token = open(&barrier, &folder, &certificates.client, options.root_token).await?;
    renew_client(&barrier, &certificates.client, &token).await?;
    let address = running.listen(listener(options.address, &certificates)).await?;
    write_env(&folder, address, &certificates.ca, &token)?;
    greet(&folder, address);
    running.until_told_to_stop(|| {}).await;
    running.drain().await;
    close(&barrier, &*store).await;
    Ok(())
}

/// As `sys/config/state/sanitized` shows it.
fn configuration(address: SocketAddr) -> Json {
    Json::object(|out| {
        out.field("api_addr", &format!("https://{address}")).raw("listeners", b"[]").raw("seals", br#"[{"type":"static"}]"#);
        out.object("storage", |storage| {
            storage.field("type", "sqlite");
        });
    })
}

fn listener(address: SocketAddr, certificates: &DevCertificates) -> ListenerSettings {
    let tls = TlsFiles {
        chain: certificates.server.clone(),
        key: certificates.server_key.clone(),
        oldest: TlsVersion::Tls13,
        clients: ClientCertificates::Any,
    };
    ListenerSettings {
        address,
        tls: Some(tls),
        limits: Limits::default(),
        unauthenticated: Unauthenticated::default(),
        request_bytes_max: 1 << 20,
        request_duration_max: Duration::from_secs(90),
    }
}

fn prepare_folder(folder: &Path) -> Result<PathBuf, AppError> {
    let io = |error| AppError::Io(format!("--dev-dir {}", folder.display()), error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    folder.canonicalize().map_err(io)
}

fn dev_key(file: &Path) -> Result<crate::crypto::RootKey, AppError> {
    Ok(if file.exists() { static_key::read(file)? } else { static_key::create(file)? })
}

/// Opens the server, and makes what is not there yet: deployment, root token, `secret/`, cert auth with a role for `client`.
async fn open(barrier: &Barrier, folder: &Path, client: &Path, wanted: Option<SecretText>) -> Result<SecretText, AppError> {
    if !barrier.open_at_start().await? {
        let request = InitRequest { shares: 0, threshold: 0 };
        let made = barrier.initialise(&request, wanted).await?;
        if let Some(open) = barrier.open() {
            mount_secret(open.committer(), &made.root_token).await?;
            enable_cert(open.committer(), client, &made.root_token).await?;
        }
        return Ok(made.root_token);
    }
    match (wanted, token_of(folder)) {
        (None, Some(token)) => Ok(token),
        (Some(wanted), Some(token)) if crate::crypto::equal(wanted.expose().as_bytes(), token.expose().as_bytes()) => Ok(token),
        // Its file is gone, and it is still what it was.
        (Some(wanted), _) if may_everything(barrier, &wanted).await => Ok(wanted),
        (wanted, _) => Ok(barrier.another_root_token(wanted, "a root token was made").await?),
    }
}

async fn may_everything(barrier: &Barrier, token: &SecretText) -> bool {
    match barrier.open() {
        Some(open) => send(open.committer(), "GET", "sys/audit", None, token).await.is_ok(),
        None => false,
    }
}

async fn mount_secret(committer: &Committer, token: &SecretText) -> Result<(), AppError> {
    let body = Json::object(|mount| {
        mount.field("type", "kv").object("options", |options| {
            options.field("version", "2");
        });
    });
    write(committer, "sys/mounts/secret", body, token).await
}

/// The role that lets in whoever shows `client.pem`, without a token.
const CLIENT_ROLE: &str = "auth/cert/certs/dev-client";

async fn enable_cert(committer: &Committer, client: &Path, token: &SecretText) -> Result<(), AppError> {
    let method = Json::object(|method| {
        method.field("type", "cert");
    });
    write(committer, "sys/auth/cert", method, token).await?;
    let certificate = read(client)?;
    let role = Json::object(|role| {
        role.field("certificate", &certificate).field("tokenless", &true).field("token_policies", &["service"]);
    });
    write(committer, CLIENT_ROLE, role, token).await
}

/// `client.pem` is a new one now and then: the role follows, unless somebody has removed it.
async fn renew_client(barrier: &Barrier, client: &Path, token: &SecretText) -> Result<(), AppError> {
    let Some(open) = barrier.open() else { return Ok(()) };
    if send(open.committer(), "GET", CLIENT_ROLE, None, token).await.is_err() {
        return Ok(());
    }
    let certificate = read(client)?;
    let role = Json::object(|role| {
        role.field("certificate", &certificate);
    });
    write(open.committer(), CLIENT_ROLE, role, token).await
}

fn read(file: &Path) -> Result<String, AppError> {
    fs::read_to_string(file).map_err(|error| AppError::Io(format!("{}", file.display()), error))
}

async fn write(committer: &Committer, path: &str, body: Json, token: &SecretText) -> Result<(), AppError> {
    let written = send(committer, "POST", path, Some(body), token).await;
    written.map_err(|refusal| BarrierError::Failed(format!("{path} was not written: {}", reason(&refusal))).into())
}

const TOKEN_LINE: &str = "export VAULT_TOKEN='";

/// The token that `env` holds from the last start.
fn token_of(folder: &Path) -> Option<SecretText> {
    let text = fs::read_to_string(folder.join("env")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(TOKEN_LINE))?;
    line.strip_suffix('\'').map(|token| SecretText::new(token.to_owned()))
}

/// A file to `source`. The token in it is why it is for its owner only.
fn write_env(folder: &Path, address: SocketAddr, ca: &Path, token: &SecretText) -> Result<(), AppError> {
    let file = folder.join("env");
    let io = |error| AppError::Io(format!("{}", file.display()), error);
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file).map_err(io)?;
    let text = format!(
        "export VAULT_ADDR='https://{address}'\nexport VAULT_CACERT='{}'\n{TOKEN_LINE}{}'\n",
        ca.display(),
        token.expose()
    );
    out.write_all(text.as_bytes()).map_err(io)
}

/// What to type next.
fn greet(folder: &Path, address: SocketAddr) {
    let text = format!(
        "\nStrongroom (development mode) listens on https://{address}\n\
         Everything is in {folder}. Nothing here is safe enough for real secrets.\n\n\
         In another terminal:\n\n    \
         source {folder}/env\n    \
         strongroom tenant create acme\n    \
         export VAULT_NAMESPACE=acme\n    \
         strongroom kv put crm/salesforce token=s3cr3t refresh_token=m0re\n    \
         strongroom reference resolve sref_...      # the reference that kv put printed\n\n\
         Ctrl-C stops it; started again with the same --dev-dir it has everything still.\n\n",
        folder = folder.display()
    );
    // A closed standard output is no reason to stop.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
