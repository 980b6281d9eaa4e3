//! TLS of a listener: reads certificate and key, builds rustls's configuration, and swaps it while the server runs.
//!
//! Guarantee: whoever shows a client certificate has proven that they hold its key. Not guaranteed here, unless
//! `ClientCertificates::Required`: that anyone vouches for the certificate. Certificate logins check that, per tenant.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::cert::public_key;
use crate::config::{Tls, TlsVersion};
use crate::time::Timestamp;

/// What a listener's TLS is made of.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate chain, PEM, leaf first.
    pub chain: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Oldest protocol version that is spoken.
    pub oldest: TlsVersion,
    /// What is asked of clients.
    pub clients: ClientCertificates,
}

/// What is asked of clients.
#[derive(Clone, Debug)]
pub enum ClientCertificates {
    /// A certificate may be shown, from any authority.
    Any,
    /// Like `Any`, and these authorities (PEM) are named to clients, which helps them choose.
    Hinted(PathBuf),
    /// Without a certificate from one of these authorities (PEM) there is no connection.
    Required(PathBuf),
}

impl From<&Tls> for TlsFiles {
    fn from(tls: &Tls) -> Self {
        let clients = match &tls.client_ca_file {
            None => ClientCertificates::Any,
            Some(file) if tls.require_client_cert => ClientCertificates::Required(file.path.clone()),
            Some(file) => ClientCertificates::Hinted(file.path.clone()),
        };
        Self { chain: tls.cert_file.path.clone(), key: tls.key_file.path.clone(), oldest: tls.min_version, clients }
    }
}

impl TlsFiles {
    /// Links are followed, so that a link that is turned to another file counts as a change.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let authorities = match &self.clients {
            ClientCertificates::Any => None,
            ClientCertificates::Hinted(file) | ClientCertificates::Required(file) => Some(file),
        };
        [&self.chain, &self.key].into_iter().chain(authorities).map(|file| Stamp::of(file)).collect()
    }
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let of = fs::metadata(file).ok()?;
        Some(Self {
            inode: (of.dev(), of.ino()),
            bytes: of.len(),
            written: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        })
    }
}

/// Why certificate and key are not taken. The operator's to mend; never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", .file.display())]
    Unusable {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The key is not the certificate's.
    #[error("{}: is not the key of the certificate in {}", .key.display(), .chain.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        chain: PathBuf,
    },
    /// The certificate's time is over, or has not come.
    #[error("{}: the certificate is valid from {} to {}, and now is {}", .file.display(), .from.rfc3339(), .to.rfc3339(), .now.rfc3339())]
    NotValidNow {
        /// The certificate's file.
        file: PathBuf,
        /// Begin of its validity.
        from: Timestamp,
        /// End of its validity.
        to: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// rustls refuses the combination.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The TLS configuration of a listener, which can be swapped. Connections that stand keep theirs.
pub struct TlsReloader {
    files: TlsFiles,
    current: ArcSwap<Loaded>,
    /// How the files were when they were looked at last.
    seen: Mutex<Vec<Option<Stamp>>>,
}

/// What differs after a file was written or replaced.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

struct Loaded {
    config: Arc<ServerConfig>,
    expires_at: Timestamp,
}

impl TlsReloader {
    /// Reads the files.
    pub fn new(files: TlsFiles, now: Timestamp) -> Result<Self, TlsError> {
        let seen = Mutex::new(files.stamps());
        let loaded = read(&files, now)?;
        Ok(Self { files, current: ArcSwap::from_pointee(loaded), seen })
    }

    /// Reads the files again. After an error everything stays as it was.
    pub fn reload(&self, now: Timestamp) -> Result<(), TlsError> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = self.files.stamps();
        self.current.store(Arc::new(read(&self.files, now)?));
        Ok(())
    }

    /// The same, if a file has changed since it was looked at last; `None` when none has. Files are told to have changed
    /// once: after an error nothing happens until one changes again.
    pub fn reload_if_changed(&self, now: Timestamp) -> Option<Result<(), TlsError>> {
        let changed = *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != self.files.stamps();
        changed.then(|| self.reload(now))
    }

    /// For the next connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// When the current certificate ends.
    pub fn expires_at(&self) -> Timestamp {
        self.current.load().expires_at
    }
}

fn read(files: &TlsFiles, now: Timestamp) -> Result<Loaded, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(&files.chain)?;
    let expires_at = check_validity(&files.chain, &chain, now)?;
    let certified = certified_key(files, chain, &provider)?;
    let versions: &[_] = match files.oldest {
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let verifier = client_verifier(&files.clients, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // New with every reload, so that a session does not outlive the rules that it began under.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Loaded { config: Arc::new(config), expires_at })
}

fn read_file(file: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, TlsError> {
    fs::read(file).map(zeroize::Zeroizing::new).map_err(|source| TlsError::Unreadable { file: file.to_owned(), source })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |problem| TlsError::Unusable { file: file.to_owned(), problem };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read_file(file)?)
        .collect::<Result<_, _>>()
        .map_err(|_| unusable("is not a PEM file of certificates"))?;
    if chain.is_empty() {
        return Err(unusable("holds no certificate"));
    }
    Ok(chain)
}

fn certified_key(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let unusable = |problem| TlsError::Unusable { file: files.key.clone(), problem };
    let key = PrivateKeyDer::from_pem_slice(&read_file(&files.key)?);
    let key = key.map_err(|_| unusable("holds no private key in PEM form (a key with a passphrase cannot be used)"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { key: files.key.clone(), chain: files.chain.clone() },
        _ => unusable("is not a key that TLS can use"),
    })
}

/// The end of the leaf's validity, when `now` is inside.
fn check_validity(file: &Path, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Timestamp, TlsError> {
    let leaf = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let Some((_, leaf)) = leaf else {
        return Err(TlsError::Unusable { file: file.to_owned(), problem: "the first certificate is not X.509" });
    };
    let time = |time: x509_parser::time::ASN1Time| Timestamp(time.timestamp().saturating_mul(1_000_000_000));
    let (from, to) = (time(leaf.validity().not_before), time(leaf.validity().not_after));
    if now < from || now > to {
        return Err(TlsError::NotValidNow { file: file.to_owned(), from, to, now });
    }
    Ok(to)
}

fn client_verifier(
    clients: &ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let algorithms = provider.signature_verification_algorithms;
    let hints = match clients {
        ClientCertificates::Any => Vec::new(),
        ClientCertificates::Hinted(file) => authorities(file)?.subjects(),
        ClientCertificates::Required(file) => {
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(file)?), Arc::clone(provider));
            let problem = "holds no authority that TLS can use";
            return builder.build().map_err(|_| TlsError::Unusable { file: file.clone(), problem });
        }
    };
    Ok(Arc::new(AnyClient { algorithms, hints }))
}

fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let problem = "holds a certificate that cannot be an authority";
        roots.add(certificate).map_err(|_| TlsError::Unusable { file: file.to_owned(), problem })?;
    }
    Ok(roots)
}

/// Accepts any client certificate whose key signs the handshake (RFC 8446 section 4.4.3), and clients without one.
#[derive(Debug)]
struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // By the key alone: certificates of version 1 are still about, and a role may pin one.
        let key = public_key(leaf).ok_or(rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
