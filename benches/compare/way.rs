//! How a workload's connections are made.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use strongroom::dev_ca;
use strongroom::time::{Clock as _, SystemClock};
use tokio_rustls::TlsConnector;

/// How connections are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Once, and kept.
    Kept,
    /// Once, with a client certificate, and kept.
    Showing,
    /// Anew for each request: a full handshake with a client certificate.
    Anew,
    /// Anew for each request, going on with the session before.
    Resumed,
}

impl Way {
    /// Whether each request has a connection of its own.
    pub(crate) fn is_anew(self) -> bool {
        matches!(self, Self::Anew | Self::Resumed)
    }

    /// Whether it is measured against the same row of the bare server.
    pub(crate) fn compares_with(self, bare: Self) -> bool {
        self == bare || (self == Self::Showing && bare == Self::Kept)
    }

    /// Trusts the authority of a folder of `dev_ca`, speaks TLS 1.3, and shows the client certificate from there if one is shown.
    /// Each has a memory of sessions of its own.
    pub(crate) fn connector(self, folder: &Path) -> TlsConnector {
        let files = dev_ca::prepare(folder, SystemClock.now()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
        let tls = tls.unwrap().with_root_certificates(roots);
        let mut config = if self == Self::Kept {
            tls.with_no_client_auth()
        } else {
            let chain = CertificateDer::pem_file_iter(&files.client).unwrap().map(Result::unwrap).collect();
            tls.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&files.client_key).unwrap()).unwrap()
        };
        if self == Self::Anew {
            config.resumption = Resumption::disabled();
        }
        TlsConnector::from(Arc::new(config))
    }
}
