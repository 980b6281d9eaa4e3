//! What every client of another server is made of: whom it trusts, what it shows, and where it finds a host that has another name in
//! its certificate. Errors name files, never what is in them.

use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::sync::Arc;

use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use zeroize::Zeroizing;

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// The files that TLS is made of.
#[derive(Clone, Copy, Default)]
pub struct Files<'a> {
    /// Authorities, in place of those of the operating system.
    pub authorities: Option<&'a Path>,
    /// Chain and key to show.
    pub client: Option<(&'a Path, &'a Path)>,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whom to trust.
    Authorities,
    /// The chain to show.
    Chain,
    /// Its key.
    Key,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct FileError {
    /// What it was read for.
    pub role: Role,
    problem: String,
}

/// TLS that trusts these authorities and nobody else.
pub fn trusting(roots: &[Certificate<'static>]) -> ureq::tls::TlsConfigBuilder {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(RootCerts::new_with_certs(roots))
}

/// TLS of files; without a file of authorities it trusts those of the operating system.
pub fn of_files(files: Files<'_>) -> Result<ureq::tls::TlsConfigBuilder, FileError> {
    let roots = files.authorities.map_or_else(|| Ok(of_system()), |file| read_certificates(file, Role::Authorities))?;
    let tls = trusting(&roots);
    let Some((chain, key)) = files.client else { return Ok(tls) };
    let chain = read_certificates(chain, Role::Chain)?;
    let wrong = |_| FileError { role: Role::Key, problem: format!("{} holds no private key in PEM form", key.display()) };
    let key = PrivateKey::from_pem(&read(key, Role::Key)?).map_err(wrong)?;
    Ok(tls.client_cert(Some(ClientCert::new_with_certs(&chain, key))))
}

/// The authorities that the operating system trusts.
pub fn of_system() -> Vec<Certificate<'static>> {
    rustls_native_certs::load_native_certs().certs.iter().map(|root| Certificate::from_der(root).to_owned()).collect()
}

/// The certificates in a text in PEM form; none when it has none.
pub fn certificates(pem: &[u8]) -> Option<Vec<Certificate<'static>>> {
    let items = ureq::tls::parse_pem(pem).filter_map(|item| match item {
        Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Some(items.collect::<Vec<_>>()).filter(|found| !found.is_empty())
}

fn read_certificates(file: &Path, role: Role) -> Result<Vec<Certificate<'static>>, FileError> {
    let missing = || FileError { role, problem: format!("{} holds no certificate in PEM form", file.display()) };
    certificates(&read(file, role)?).ok_or_else(missing)
}

fn read(file: &Path, role: Role) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |error| FileError { role, problem: format!("{} cannot be read: {error}", file.display()) };
    std::fs::read(file).map(Zeroizing::new).map_err(failed)
}

/// Where a server is, whatever name stands in the request: that one is for its certificate.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    port: u16,
}

impl Host {
    /// `name` may be an address of IPv6 in brackets.
    pub fn new(name: &str, port: u16) -> Self {
        Self { name: name.trim_matches(['[', ']']).to_owned(), port }
    }
}

impl Resolver for Host {
    fn resolve(
        &self,
        _uri: &Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        let addresses = (self.name.as_str(), self.port).to_socket_addrs().map_err(|_| ureq::Error::HostNotFound)?;
        for address in addresses.take(ADDRESSES_MAX) {
            found.push(address);
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}
