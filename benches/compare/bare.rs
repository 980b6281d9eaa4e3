//! The bare server: what axum, hyper and rustls cost on this machine with nothing behind them.
//!
//! A process of its own, so that its time is counted as that of the others is. It shares no code with the server's
//! accept loop, only its choices: TLS 1.3, aws-lc-rs, tickets, a client certificate asked for (and here verified), no Nagle, keep-alive.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use strongroom::dev_ca;
use strongroom::time::{Clock as _, SystemClock};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// First argument of the process that is this server; the second is its folder.
pub(crate) const ARGUMENT: &str = "serve-bare";

/// Bytes of the answer's JSON: as long as the answer to a KV read.
const ANSWER_BYTES: usize = 400;

/// Prints its address, and serves until it is killed.
pub(crate) fn serve(folder: &Path) {
    let files = dev_ca::prepare(folder, SystemClock.now()).unwrap();
    let chain = CertificateDer::pem_file_iter(&files.server).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&files.server_key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls =
        rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let clients = clients.allow_unauthenticated().build().unwrap();
    let mut tls = tls.unwrap().with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap();
    tls.ticketer = Ticketer::new().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(accept(TlsAcceptor::from(Arc::new(tls))));
}

async fn accept(tls: TlsAcceptor) {
    let frame = r#"{"data":""}"#;
    let json: &'static str = format!(r#"{{"data":"{}"}}"#, "x".repeat(ANSWER_BYTES - frame.len())).leak();
    let router = axum::Router::new().route("/v1/bare", get(move || async move { ([(CONTENT_TYPE, "application/json")], json) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            stream.set_nodelay(true).unwrap();
            let Ok(stream) = tls.accept(stream).await else { return };
            let http = hyper::server::conn::http1::Builder::new();
            // A connection ends when the load does; that is no error worth a word.
            let _ = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
        });
    }
}
