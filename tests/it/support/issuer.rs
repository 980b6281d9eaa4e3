//! An issuer that answers what a test tells it to, over TLS, with a certificate of its own authority.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What is answered at a path.
#[derive(Clone)]
pub(crate) enum Page {
    /// 200 with this text.
    Text(String),
    /// Elsewhere.
    Redirect(String),
    /// So many bytes of a set of keys that does not end; with its length said before, or not.
    Endless(u64, bool),
    /// Nothing, ever.
    Silence,
    /// This status.
    Status(u16),
}

/// A running issuer. It is left running: the test's process ends it.
pub(crate) struct Issuer {
    pub(crate) port: u16,
    /// Its authority, PEM.
    pub(crate) ca: String,
    pages: Arc<Mutex<HashMap<String, (Page, usize)>>>,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let (config, pages) = (Arc::new(config), Arc::<Mutex<HashMap<String, (Page, usize)>>>::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::clone(&pages);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (config, pages) = (Arc::clone(&config), Arc::clone(&served));
                std::thread::spawn(move || serve(connection, config, &pages));
            }
        });
        Self { port, ca: authority.pem(), pages }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Answers this at a path from now on; counts from 0.
    pub(crate) fn page(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), (page, 0));
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.pages.lock().unwrap()[path].1
    }
}

/// One request; whoever goes away in between is none of its business.
fn serve(tcp: TcpStream, config: Arc<ServerConfig>, pages: &Mutex<HashMap<String, (Page, usize)>>) -> Option<()> {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).ok()?, tcp));
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line).ok()?;
    }
    let page = pages.lock().unwrap().get_mut(&path).map(|(page, asked)| {
        *asked += 1;
        page.clone()
    });
    let out = stream.get_mut();
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{more}\r\n");
    match page.unwrap_or(Page::Status(404)) {
        Page::Text(text) => {
            let length = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", text.len());
            out.write_all((head(200, &length) + &text).as_bytes()).ok()?;
        }
        Page::Redirect(to) => out.write_all(head(302, &format!("Location: {to}\r\nContent-Length: 0\r\n")).as_bytes()).ok()?,
        Page::Status(status) => out.write_all(head(status, "Content-Length: 0\r\n").as_bytes()).ok()?,
        Page::Endless(bytes, told) => {
            let length = if told { format!("Content-Length: {bytes}\r\n") } else { String::new() };
            out.write_all((head(200, &length) + "{\"keys\":[").as_bytes()).ok()?;
            for _ in 0..bytes / 1_000 {
                out.write_all(&[b' '; 1_000]).ok()?;
            }
        }
        Page::Silence => drop(out.read(&mut [0; 1])),
    }
    out.conn.send_close_notify();
    out.flush().ok()
}
