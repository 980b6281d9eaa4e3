//! Wiring: from a configuration to a running server.

mod backup;
mod dev;
mod doctor;
mod first_start;
mod process;
mod seals;
mod signals;
mod stores;
mod supervisor;
mod traces;
mod witness;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::archive::backups::Backups;
use crate::archive::{Archive, ArchiveError, KeptObject};
use crate::auth::signed::Issuers;
use crate::commit::{Anchors, AnchorsError, KeyringTimes, Witnesses, WitnessesError};
use crate::config::{Anchor, Config, ConfigError, Listener};
use crate::http::accept::{self, Limits};
use crate::http::ceremonies::Unauthenticated;
use crate::http::service::Service;
use crate::http::tls::{TlsError, TlsFiles, TlsReloader};
use crate::logging::{self, LogControl, LogFormat, LogLevel};
use crate::metrics;
use crate::mount::LeaseTtl;
use crate::outbound::Outbound;
use crate::request::Shared;
use crate::secret::SecretText;
use crate::sink::{SinkError, Sinks};
use crate::spans::Tracer;
use crate::stanza::LookUp;
use crate::storage::{Store, StoreError};
use crate::sys::backups::Making;
use crate::sys::barrier::{Barrier, BarrierError, Settings};
use crate::sys::erasure::ErasureSettings;
use crate::sys::process::Process;
use crate::time::{Clock, SystemClock, Timestamp};

use signals::Signals;
use supervisor::Supervisor;

pub use backup::{BackupOptions, BackupSource, RestoreOptions, Verified, restore_backup, verify_backup};
pub use dev::{DevOptions, run_dev};
pub use doctor::{Finding, Outcome, clock, doctor};
pub use stores::{migrate, role_statements};
pub use traces::TraceSettings;
pub use witness::{WitnessOptions, run_witness};

/// How often the files of certificates are looked at for a change.
const FILES_LOOKED_AT: Duration = Duration::from_secs(2);

/// Why the server does not start, or stops. One clear line each; the process ends with exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The seal, or keys that do not open with it.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// The key file of a seal, or of a witness.
    #[error(transparent)]
    KeyFile(#[from] crate::seal::static_key::KeyFileError),
    /// A seal's files.
    #[error(transparent)]
    Seal(#[from] crate::seal::SetupError),
    /// TLS files.
    #[error(transparent)]
    Tls(TlsError),
    /// The anchors of the audit log.
    #[error(transparent)]
    Anchors(#[from] AnchorsError),
    /// A witness's memory or name.
    #[error(transparent)]
    Witness(#[from] crate::witness::WitnessError),
    /// A witness of the configuration.
    #[error(transparent)]
    Witnesses(#[from] WitnessesError),
    /// A sink of the audit log.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The archive of the audit log.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A backup, or the store that it is to go into.
    #[error("{0}")]
    Backup(String),
    /// The configuration asks for what would be ignored, or half done.
    #[error("not supported yet: {0}")]
    Unsupported(String),
    /// What the command line asks of a development server.
    #[error("{0}")]
    Dev(String),
    /// An address that cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// A request of an `initialize` stanza was refused.
    #[error("initialize: {0}")]
    Initialize(String),
    /// Something the operating system refused.
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
}

/// `server --config`: runs until SIGTERM or SIGINT. `notify_socket` is where a service manager wants to be told, `look_up`
/// finds what `initialize` stanzas take from elsewhere.
pub fn run(
    paths: &[PathBuf],
    connection_url: Option<SecretText>,
    notify_socket: Option<&OsStr>,
    look_up: &LookUp<'_>,
    traces: TraceSettings,
) -> Result<(), AppError> {
    let config = crate::config::load(paths, connection_url)?;
    let log = logging::start(config.log_level, config.log_format);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    process::forbid_dumps();
    if !config.disable_mlock {
        process::lock_memory();
    }
    let supervisor = Supervisor::new(notify_socket);
    traces::sending(traces, |tracer| runtime()?.block_on(serve_config(config, paths, log, supervisor, look_up, tracer)))
}

async fn serve_config(
    mut config: Config,
    paths: &[PathBuf],
    log: Option<LogControl>,
    supervisor: Supervisor,
    look_up: &LookUp<'_>,
    tracer: Option<Arc<Tracer>>,
) -> Result<(), AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let guard = seals::guard(&config).await?;
    let store = stores::open(&config.storage).await?;
    let name = config.cluster_name.clone().unwrap_or_else(|| "strongroom".to_owned());
    // A part of a second must not become no time at all.
    let seconds = |ttl: Duration| ttl.as_secs().max(1);
    let lease_ttl = LeaseTtl { default_seconds: seconds(config.default_lease_ttl), max_seconds: seconds(config.max_lease_ttl) };
    let keyring_times = KeyringTimes { refresh: config.keyring_refresh, max_age: config.keyring_max_age };
    let api_addr = config.api_addr.clone().unwrap_or_default();
    let shown = crate::config::shown_sinks(&config.audit);
    // The configuration may name this machine, as the operator does who starts the server.
    let named = Outbound::new(&config.outbound_allow, true);
    let sinks = Arc::new(Sinks::new(std::mem::take(&mut config.audit), &named)?);
    let sanitized = config.sanitized();
    let archive = config.archive.take().map(Archive::new).transpose()?.map(Arc::new);
    let making = |backups| Making { to: Arc::new(backups), retention: config.backup_retention };
    let backups = config.backup.take().map(Backups::new).transpose()?.map(making).map(Arc::new);
    let list_file = config.erased_list_file.take().map(|setting| setting.path);
    let erasure = ErasureSettings { list_file, backup_retention: config.backup_retention };
    let anchors = Arc::new(match config.anchor.take() {
        None => Anchors::default(),
        Some(Anchor::File(path)) => Anchors::at(path)?,
        Some(Anchor::Object(object)) => Anchors::in_storage(KeptObject::new(object)?),
    });
    let witnesses = Arc::new(Witnesses::new(std::mem::take(&mut config.witnesses), &named)?);
    let sinks_of = Arc::clone(&sinks);
    let settings = Settings {
        name,
        dev: false,
        lease_ttl,
        api_addr,
        keyring_times,
        sinks: sinks_of,
        archive,
        backups,
        erasure,
        anchors,
        witnesses,
    };
    let barrier = Arc::new(Barrier::new(Arc::clone(&store), Arc::clone(&clock), guard, settings));
    let process = Process::new(sanitized, shown, config.api_addr.clone(), log.clone());
    let outbound = Outbound::new(&config.outbound_allow, false);
    let mut running = Running::new(Arc::clone(&barrier), Arc::clone(&clock), process, outbound, tracer)?;
    let made = match first_start::run(&config.initialize, &*store, &barrier, look_up).await {
        Ok(made) => made,
        Err(error) => {
            close(&barrier, &*store).await;
            return Err(error);
        }
    };
    for listener in &config.listeners {
        running.listen(listener.into()).await?;
    }
    match if made { Ok(true) } else { barrier.open_at_start().await } {
        Ok(true) => tracing::info!("open"),
        Ok(false) => tracing::info!("sealed: waiting for sys/init or sys/unseal"),
        // Up and sealed is better than down: probes and operators see why, and it is tried again.
        Err(error) if error.is_outage() => tracing::error!(%error, "sealed; trying again"),
        Err(error) => {
            close(&barrier, &*store).await;
            return Err(error.into());
        }
    }
    let custodian = tokio::spawn(Arc::clone(&barrier).keep_open());
    supervisor.ready();
    running
        .until_told_to_stop(|| {
            sinks.reopen();
            reload_level(paths, log.as_ref());
        })
        .await;
    supervisor.stopping();
    running.drain().await;
    custodian.abort();
    close(&barrier, &*store).await;
    Ok(())
}

/// Reads the log level again; everything else needs a restart.
fn reload_level(paths: &[PathBuf], log: Option<&LogControl>) {
    match crate::config::load(paths, None) {
        Ok(config) => {
            if log.is_some_and(|log| log.set_level(config.log_level)) {
                tracing::info!("the log level was read again");
            }
        }
        Err(error) => tracing::error!(%error, "the configuration was not read again"),
    }
}

async fn close(barrier: &Barrier, store: &dyn Store) {
    barrier.seal().await;
    store.close().await;
    tracing::info!("stopped");
}

/// What a listener is made of.
struct ListenerSettings {
    address: SocketAddr,
    tls: Option<TlsFiles>,
    limits: Limits,
    unauthenticated: Unauthenticated,
    request_bytes_max: usize,
    request_duration_max: Duration,
}

impl From<&Listener> for ListenerSettings {
    fn from(listener: &Listener) -> Self {
        let limits = Limits {
            header_timeout: listener.header_timeout,
            idle_timeout: listener.idle_timeout,
            connections_max: listener.connections_max,
            ..Limits::default()
        };
        Self {
            address: listener.address,
            tls: listener.tls.as_ref().map(TlsFiles::from),
            limits,
            unauthenticated: Unauthenticated {
                rekey: !listener.disable_unauthed_rekey,
                generate_root: !listener.disable_unauthed_generate_root,
                metrics: listener.unauthenticated_metrics,
            },
            request_bytes_max: listener.max_request_size,
            request_duration_max: listener.max_request_duration,
        }
    }
}

/// Listeners, and what SIGHUP makes them read again.
struct Running {
    barrier: Arc<Barrier>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    process: Arc<Process>,
    tracer: Option<Arc<Tracer>>,
    stop: watch::Sender<bool>,
    certificates: Vec<Arc<TlsReloader>>,
    listeners: JoinSet<u32>,
    signals: Signals,
}

impl Running {
    fn new(
        barrier: Arc<Barrier>,
        clock: Arc<dyn Clock>,
        process: Process,
        outbound: Outbound,
        tracer: Option<Arc<Tracer>>,
    ) -> Result<Self, AppError> {
        let (stop, _) = watch::channel(false);
        let (certificates, listeners) = (Vec::new(), JoinSet::new());
        let (shared, process) = (Arc::new(Shared::new(Issuers::new(outbound))), Arc::new(process));
        let signals = Signals::catch()?;
        Ok(Self { barrier, clock, shared, process, tracer, stop, certificates, listeners, signals })
    }

    /// Serves a listener. Returns the address, which the operating system chose where the port was 0.
    async fn listen(&mut self, settings: ListenerSettings) -> Result<SocketAddr, AppError> {
        let socket = TcpListener::bind(settings.address).await.map_err(|error| AppError::Listen(settings.address, error))?;
        let address = socket.local_addr().map_err(|error| AppError::Listen(settings.address, error))?;
        let tls = settings.tls.map(|files| self.certificate(files)).transpose()?;
        let (barrier, process) = (Arc::clone(&self.barrier), Arc::clone(&self.process));
        let service = Arc::new(Service::new(
            (barrier, Arc::clone(&self.shared), process),
            self.tracer.clone(),
            settings.unauthenticated,
            settings.request_bytes_max,
            settings.request_duration_max,
        ));
        let mut stop = self.stop.subscribe();
        tracing::info!(%address, tls = tls.is_some(), "listening");
        self.listeners.spawn(accept::serve(
            socket,
            tls,
            settings.limits,
            move |connection, request| Arc::clone(&service).serve(connection, request),
            async move { stop.wait_for(|stop| *stop).await.map_or((), drop) },
        ));
        Ok(address)
    }

    fn certificate(&mut self, files: TlsFiles) -> Result<Arc<TlsReloader>, AppError> {
        let reloader = Arc::new(TlsReloader::new(files, self.clock.now()).map_err(AppError::Tls)?);
        self.certificates.push(Arc::clone(&reloader));
        Ok(reloader)
    }

    /// Serves until SIGTERM or SIGINT; on SIGHUP reads certificates and whatever `reload` does. Certificates whose files
    /// change are read by and by, too.
    async fn until_told_to_stop(&mut self, reload: impl Fn()) {
        let mut looks = tokio::time::interval(FILES_LOOKED_AT);
        loop {
            tokio::select! {
                _ = self.signals.term.recv() => return,
                _ = self.signals.int.recv() => return,
                _ = self.signals.hup.recv() => {
                    self.reload_certificates(|reloader, now| Some(reloader.reload(now)));
                    reload();
                }
                _ = looks.tick() => self.reload_certificates(TlsReloader::reload_if_changed),
            }
        }
    }

    /// Takes no new connections, and lets requests in flight finish.
    async fn drain(mut self) {
        tracing::info!("stopping: letting requests in flight finish");
        self.stop.send_replace(true);
        while let Some(ended) = self.listeners.join_next().await {
            match ended {
                Ok(0) => {}
                Ok(cut) => tracing::warn!(connections = cut, "connections were cut off at the end of the drain time"),
                Err(error) => tracing::error!(%error, "a listener ended badly"),
            }
        }
    }

    fn reload_certificates(&self, reload: impl Fn(&TlsReloader, Timestamp) -> Option<Result<(), TlsError>>) {
        for reloader in &self.certificates {
            let Some(outcome) = reload(reloader, self.clock.now()) else { continue };
            metrics::certificate_read(outcome.is_ok());
            match outcome {
                Ok(()) => tracing::info!("the certificate was read again"),
                Err(error) => tracing::error!(%error, "the certificate was not read again; the old one stays"),
            }
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| AppError::Io("cannot start the runtime".into(), error))
}

/// The default log of `server --dev`.
const DEV_LOG: (LogLevel, LogFormat) = (LogLevel::Info, LogFormat::Standard);
