//! `strongroom witness`: a server beside all others, with a key and a memory of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::AppError;
use crate::audit::note::LogKey;
use crate::config::TlsVersion;
use crate::crypto::SigningKey;
use crate::http::accept::{self, Limits};
use crate::http::tls::{ClientCertificates, TlsFiles, TlsReloader};
use crate::http::witness::serve;
use crate::logging::{self, LogFormat, LogLevel};
use crate::seal::static_key;
use crate::time::{Clock, SystemClock};
use crate::witness::{Settings, Witness};

/// Connections at a time.
const CONNECTIONS_MAX: u32 = 1_000;

/// What the command line says.
pub struct WitnessOptions {
    /// What the witness is called.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its private key.
    pub key_file: PathBuf,
    /// What it remembers.
    pub state_file: PathBuf,
    /// Logs by origin, each with a key that may sign for it.
    pub logs: Vec<(String, LogKey)>,
    /// Key and state are to be made.
    pub first_start: bool,
    /// Certificate chain and key, PEM; plain HTTP without.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Runs until SIGTERM or SIGINT. `told` is handed the public key, before the first request.
///
/// # Errors
/// The key, the state or the certificate cannot be used, or the address not be listened on.
pub fn run_witness(options: WitnessOptions, told: impl FnOnce(&str)) -> Result<(), AppError> {
    logging::start(LogLevel::Info, LogFormat::Standard);
    super::process::forbid_dumps();
    let WitnessOptions { name, listen, key_file, state_file, logs, first_start, tls } = options;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let seed = if first_start && !key_file.exists() { static_key::create(&key_file)? } else { static_key::read(&key_file)? };
    let key = SigningKey::from_seed(&seed.secret()).map_err(crate::witness::WitnessError::from)?;
    let settings = Settings { name: &name, key, logs, state_file: &state_file, first_start };
    let witness = Arc::new(Witness::open(settings, Arc::clone(&clock))?);
    let files = tls.map(|(chain, key)| TlsFiles { chain, key, oldest: TlsVersion::Tls12, clients: ClientCertificates::Any });
    let tls = files.map(|files| TlsReloader::new(files, clock.now()).map(Arc::new)).transpose().map_err(AppError::Tls)?;
    super::runtime()?.block_on(async move {
        let socket = TcpListener::bind(listen).await.map_err(|error| AppError::Listen(listen, error))?;
        let address = socket.local_addr().map_err(|error| AppError::Listen(listen, error))?;
        let catch = |kind| signal(kind).map_err(|error| AppError::Io("cannot listen for signals".into(), error));
        let (mut term, mut int) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
        tracing::info!(%address, tls = tls.is_some(), "listening");
        told(&witness.verifier());
        let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
        let service = move |_connection, request| serve(Arc::clone(&witness), request);
        let stop = async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        accept::serve(socket, tls, limits, service, stop).await;
        tracing::info!("stopped");
        Ok(())
    })
}
