#[path = "accept_h2_tests.rs"]
mod h2_frames;

use std::fs;
use std::path::Path;

use http_body_util::{BodyExt as _, Empty};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::config::TlsVersion;
use crate::dev_ca::{self, DevCertificates};
use crate::http::tls::{ClientCertificates, TlsError, TlsFiles};
use crate::time::{Clock as _, SystemClock, Timestamp};

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<u32>,
}

/// Answers `certificate fingerprint/path`, 0 without one; `/slow` takes 300 ms.
async fn start(tls: Option<Arc<TlsReloader>>, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let service = |connection: Arc<Connection>, request: Request<Incoming>| async move {
        if request.uri().path() == "/slow" {
            sleep(Duration::from_millis(300)).await;
        }
        let certificate = connection.certificate.as_ref().map_or("0".to_owned(), |shown| hex(&shown.fingerprint()));
        Response::new(Full::new(Bytes::from(format!("{certificate}{}", request.uri().path()))))
    };
    let done = tokio::spawn(serve(listener, tls, limits, service, async move {
        let _ = stopped.await;
    }));
    Server { address, stop, done }
}

fn certificates() -> (tempfile::TempDir, DevCertificates) {
    let folder = tempfile::tempdir().unwrap();
    let files = dev_ca::prepare(folder.path(), SystemClock.now()).unwrap();
    (folder, files)
}

fn reloader(files: &DevCertificates, oldest: TlsVersion, clients: ClientCertificates) -> Arc<TlsReloader> {
    let files = TlsFiles { chain: files.server.clone(), key: files.server_key.clone(), oldest, clients };
    Arc::new(TlsReloader::new(files, SystemClock.now()).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn fingerprint(file: &Path) -> String {
    hex(&crate::crypto::sha256(&[&leaf(file)]))
}

fn leaf(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).unwrap()
}

/// A client that trusts `ca` and shows the certificate and key of these files.
fn client(ca: &Path, shown: Option<(&Path, &Path)>, alpn: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(leaf(ca)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(vec![leaf(chain)], PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

async fn connect(address: SocketAddr, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// One HTTP/1.1 exchange, to the end of the connection.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    Ok(String::from_utf8(reply).unwrap())
}

#[tokio::test]
async fn client_certificates_are_seen_whoever_signed_them() {
    let (_folder, ours) = certificates();
    let (_other_folder, theirs) = certificates();
    let server = start(Some(reloader(&ours, TlsVersion::Tls12, ClientCertificates::Any)), Limits::default()).await;
    for shown in [&ours, &theirs] {
        let config = client(&ours.ca, Some((&shown.client, &shown.client_key)), b"http/1.1");
        let stream = connect(server.address, config).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        let reply = exchange(stream, "/a").await.unwrap();
        assert!(reply.ends_with(&format!("\r\n\r\n{}/a", fingerprint(&shown.client))), "{reply}");
    }
    let reply = exchange(connect(server.address, client(&ours.ca, None, b"http/1.1")).await.unwrap(), "/a").await.unwrap();
    assert!(reply.ends_with("\r\n\r\n0/a"), "{reply}");
}

#[tokio::test]
async fn a_certificate_without_its_key_is_no_connection() {
    let (_folder, files) = certificates();
    let server = start(Some(reloader(&files, TlsVersion::Tls12, ClientCertificates::Any)), Limits::default()).await;
    let mut config = client(&files.ca, None, b"http/1.1");
    // The client's certificate, signed for with the server's key: rustls only makes such a pair when it is not asked to check.
    let key = PrivateKeyDer::from_pem_file(&files.server_key).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(vec![leaf(&files.client)], key);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(stolen));
    // In TLS 1.3 the client is done before the server has looked at its signature: the refusal comes with the first read.
    let outcome = match connect(server.address, config).await {
        Ok(stream) => exchange(stream, "/a").await,
        Err(error) => Err(error),
    };
    assert!(outcome.is_err(), "{outcome:?}");
}

#[tokio::test]
async fn required_client_certificates_must_come_from_the_authority() {
    let (_folder, ours) = certificates();
    let (_other_folder, theirs) = certificates();
    let tls = reloader(&ours, TlsVersion::Tls13, ClientCertificates::Required(ours.ca.clone()));
    let server = start(Some(tls), Limits::default()).await;
    for (shown, accepted) in [(Some(&ours), true), (Some(&theirs), false), (None, false)] {
        let shown = shown.map(|files| (files.client.as_path(), files.client_key.as_path()));
        let outcome = match connect(server.address, client(&ours.ca, shown, b"http/1.1")).await {
            Ok(stream) => exchange(stream, "/a").await,
            Err(error) => Err(error),
        };
        assert_eq!(outcome.is_ok(), accepted, "{outcome:?}");
    }
}

#[tokio::test]
async fn reload_takes_a_good_pair_and_keeps_the_old_one_otherwise() {
    let (_folder, ours) = certificates();
    let (_other_folder, theirs) = certificates();
    let tls = reloader(&ours, TlsVersion::Tls13, ClientCertificates::Any);
    let server = start(Some(Arc::clone(&tls)), Limits::default()).await;
    let now = SystemClock.now();

    fs::copy(&theirs.server, &ours.server).unwrap();
    assert!(matches!(tls.reload(now), Err(TlsError::Mismatch { .. })));
    assert!(connect(server.address, client(&ours.ca, None, b"http/1.1")).await.is_ok());

    fs::copy(&theirs.server_key, &ours.server_key).unwrap();
    let later = now.plus(Duration::from_hours(400 * 24));
    let error = tls.reload(later).err().unwrap().to_string();
    assert!(error.contains("server.pem: the certificate is valid from"), "{error}");
    assert!(matches!(tls.reload(Timestamp(0)), Err(TlsError::NotValidNow { .. })));
    assert!(connect(server.address, client(&ours.ca, None, b"http/1.1")).await.is_ok());

    tls.reload(now).unwrap();
    assert!(connect(server.address, client(&ours.ca, None, b"http/1.1")).await.is_err());
    assert!(connect(server.address, client(&theirs.ca, None, b"http/1.1")).await.is_ok());
    assert!(tls.expires_at() > now);

    fs::write(&ours.server_key, "-----BEGIN NOTHING-----\n").unwrap();
    let error = tls.reload(now).err().unwrap().to_string();
    assert!(error.contains("server-key.pem: holds no private key"), "{error}");
}

#[tokio::test]
async fn a_resumed_session_shows_the_same_certificate_and_nothing_is_sent_before_the_handshake() {
    let (_folder, files) = certificates();
    let tls = reloader(&files, TlsVersion::Tls13, ClientCertificates::Any);
    let server = start(Some(Arc::clone(&tls)), Limits::default()).await;
    let mut config = client(&files.ca, Some((&files.client, &files.client_key)), b"http/1.1");
    config.enable_early_data = true;
    let config = Arc::new(config);
    let expected = format!("\r\n\r\n{}/a", fingerprint(&files.client));
    for resumed in [false, true, true] {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&config)).connect(name, stream).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind == Some(rustls::HandshakeKind::Resumed), resumed, "{kind:?}");
        assert!(stream.get_mut().1.early_data().is_none(), "early data is offered");
        let reply = exchange(stream, "/a").await.unwrap();
        assert!(reply.ends_with(&expected), "{reply}");
    }
    // Tickets of before a reload open nothing.
    tls.reload(SystemClock.now()).unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let stream = TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
}

#[test]
fn files_that_change_are_read_once() {
    let (_folder, ours) = certificates();
    let (_other_folder, theirs) = certificates();
    let tls = reloader(&ours, TlsVersion::Tls13, ClientCertificates::Any);
    let now = SystemClock.now();
    assert!(tls.reload_if_changed(now).is_none());
    let replace = |from: &Path, to: &Path| {
        let new = to.with_extension("tmp");
        fs::copy(from, &new).unwrap();
        fs::rename(new, to).unwrap();
    };
    replace(&theirs.server, &ours.server);
    assert!(matches!(tls.reload_if_changed(now), Some(Err(TlsError::Mismatch { .. }))), "half of the pair");
    assert!(tls.reload_if_changed(now).is_none(), "told once");
    replace(&theirs.server_key, &ours.server_key);
    assert!(matches!(tls.reload_if_changed(now), Some(Ok(()))));
    assert!(tls.reload_if_changed(now).is_none());
    fs::remove_file(&ours.server).unwrap();
    assert!(matches!(tls.reload_if_changed(now), Some(Err(TlsError::Unreadable { .. }))));
    assert!(tls.reload_if_changed(now).is_none());
}

async fn h2(address: SocketAddr, ca: &Path) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
    let stream = connect(address, client(ca, None, b"h2")).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn h2_is_spoken_and_drained() {
    let (_folder, files) = certificates();
    let server = start(Some(reloader(&files, TlsVersion::Tls13, ClientCertificates::Any)), Limits::default()).await;
    let mut client = h2(server.address, &files.ca).await;
    let reply = client.send_request(get("/a")).await.unwrap();
    assert_eq!(reply.version(), hyper::Version::HTTP_2);
    assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "0/a");

    let slow = tokio::spawn(client.send_request(get("/slow")));
    sleep(Duration::from_millis(50)).await;
    server.stop.send(()).unwrap();
    let reply = slow.await.unwrap().unwrap();
    assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "0/slow");
    assert_eq!(timeout(Duration::from_secs(5), server.done).await.unwrap().unwrap(), 0);
    assert!(client.send_request(get("/a")).await.is_err(), "after GOAWAY there are no new streams");
}

#[tokio::test]
async fn stopping_waits_for_requests_but_not_for_silence_and_not_for_ever() {
    let server = start(None, Limits::default()).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let slow = tokio::spawn(exchange(TcpStream::connect(server.address).await.unwrap(), "/slow"));
    sleep(Duration::from_millis(50)).await;
    server.stop.send(()).unwrap();
    assert!(slow.await.unwrap().unwrap().ends_with("0/slow"));
    assert_eq!(timeout(Duration::from_secs(5), server.done).await.unwrap().unwrap(), 0);
    drop(idle);
    assert!(TcpStream::connect(server.address).await.is_err());

    let server = start(None, Limits { drain_timeout: Duration::from_millis(50), ..Limits::default() }).await;
    let slow = tokio::spawn(exchange(TcpStream::connect(server.address).await.unwrap(), "/slow"));
    sleep(Duration::from_millis(50)).await;
    server.stop.send(()).unwrap();
    assert_eq!(server.done.await.unwrap(), 1);
    assert!(slow.await.unwrap().is_ok_and(|reply| reply.is_empty()));
}

#[tokio::test]
async fn headers_may_not_be_large() {
    let server = start(None, Limits::default()).await;
    for (size, status) in [(8 << 10, "HTTP/1.1 200"), (17 << 10, "HTTP/1.1 431")] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /a HTTP/1.1\r\nx-large: {}\r\nconnection: close\r\n\r\n", "a".repeat(size));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = [0; 12];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(std::str::from_utf8(&reply).unwrap(), status);
    }
    for (count, status) in [(100, "HTTP/1.1 200"), (101, "HTTP/1.1 431")] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /a HTTP/1.1\r\n{}connection: close\r\n\r\n", "x: a\r\n".repeat(count - 1));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = [0; 12];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(std::str::from_utf8(&reply).unwrap(), status, "{count} header fields");
    }
    let (_folder, files) = certificates();
    let server = start(Some(reloader(&files, TlsVersion::Tls13, ClientCertificates::Any)), Limits::default()).await;
    let mut client = h2(server.address, &files.ca).await;
    let mut request = get("/a");
    request.headers_mut().insert("x-large", "a".repeat(17 << 10).parse().unwrap());
    assert_eq!(client.send_request(request).await.unwrap().status(), 431);
}

#[tokio::test]
async fn slow_headers_and_silence_end_connections() {
    let limits = Limits {
        header_timeout: Duration::from_millis(400),
        handshake_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let server = start(None, limits.clone()).await;
    let mut dripping = TcpStream::connect(server.address).await.unwrap();
    dripping.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    let mut drips = 0;
    while dripping.write_all(b"a").await.is_ok() && drips < 400 {
        drips += 1;
        sleep(Duration::from_millis(10)).await;
    }
    // A busy machine may sleep longer than it was asked to.
    assert!((2..200).contains(&drips), "closed after {drips} drips");

    // After a request the connection may be idle for longer than a header may take.
    let mut kept = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        kept.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut reply = [0; 12];
        kept.read_exact(&mut reply).await.unwrap();
        sleep(Duration::from_millis(700)).await;
    }
    let mut rest = Vec::new();
    timeout(Duration::from_secs(10), kept.read_to_end(&mut rest)).await.unwrap().unwrap();

    let (_folder, files) = certificates();
    let server = start(Some(reloader(&files, TlsVersion::Tls13, ClientCertificates::Any)), limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let closed = timeout(Duration::from_secs(10), silent.read_to_end(&mut rest)).await.unwrap();
    assert!(closed.is_ok(), "a handshake that does not begin");
}

#[tokio::test]
async fn connections_beyond_the_cap_wait() {
    let server = start(None, Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut reply = [0; 12];
    first.read_exact(&mut reply).await.unwrap();
    let mut second = tokio::spawn(exchange(TcpStream::connect(server.address).await.unwrap(), "/b"));
    assert!(timeout(Duration::from_millis(200), &mut second).await.is_err(), "the second is served only after the first");
    drop(first);
    assert!(timeout(Duration::from_secs(5), second).await.unwrap().unwrap().unwrap().ends_with("0/b"));
}
