//! The certificates of `server --dev`: an authority of its own, a server for loopback, a ready client.
//!
//! The authority's key is forgotten as soon as the two certificates are signed, so the folder cannot sign more.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::time::Timestamp;

const VALIDITY: Duration = Duration::from_hours(365 * 24);
/// With less left, new certificates are made.
const REMAINING_MIN: Duration = Duration::from_hours(24);

/// The files of a development folder.
#[derive(Clone, Debug)]
pub struct DevCertificates {
    /// The authority: what clients trust.
    pub ca: PathBuf,
    /// Server certificate for `127.0.0.1`, `::1` and `localhost`.
    pub server: PathBuf,
    /// Its key, mode 0600.
    pub server_key: PathBuf,
    /// A client certificate (common name `dev-client`).
    pub client: PathBuf,
    /// Its key, mode 0600.
    pub client_key: PathBuf,
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum DevCaError {
    /// A file cannot be written.
    #[error("{}: cannot be written: {source}", .file.display())]
    Unwritable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate cannot be made.
    #[error("a development certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// The certificates in `folder`, which must exist: those that are there while they are valid for more than a day, else new ones.
pub fn prepare(folder: &Path, now: Timestamp) -> Result<DevCertificates, DevCaError> {
    let file = |name: &str| folder.join(name);
    let files = DevCertificates {
        ca: file("ca.pem"),
        server: file("server.pem"),
        server_key: file("server-key.pem"),
        client: file("client.pem"),
        client_key: file("client-key.pem"),
    };
    if !reusable(&files, now) {
        make(&files, now)?;
    }
    Ok(files)
}

fn reusable(files: &DevCertificates, now: Timestamp) -> bool {
    let lasts = |file: &PathBuf| {
        let Ok(leaf) = CertificateDer::from_pem_file(file) else { return false };
        let Ok((_, leaf)) = X509Certificate::from_der(&leaf) else { return false };
        leaf.validity().not_after.timestamp() > now.plus(REMAINING_MIN).unix_seconds()
    };
    let keys = [&files.server_key, &files.client_key];
    [&files.ca, &files.server, &files.client].into_iter().all(lasts)
        && keys.iter().all(|key| PrivateKeyDer::from_pem_file(key).is_ok())
}

fn make(files: &DevCertificates, now: Timestamp) -> Result<(), DevCaError> {
    let mut authority = params("Strongroom development CA", now);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut server = params("localhost", now);
    server.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_key = KeyPair::generate()?;
    let server = server.signed_by(&server_key, &authority)?;

    let mut client = params("dev-client", now);
    client.subject_alt_names = vec![SanType::DnsName("dev-client".try_into()?)];
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = KeyPair::generate()?;
    let client = client.signed_by(&client_key, &authority)?;

    write(&files.server_key, &zeroize::Zeroizing::new(server_key.serialize_pem()), 0o600)?;
    write(&files.server, &server.pem(), 0o644)?;
    write(&files.client_key, &zeroize::Zeroizing::new(client_key.serialize_pem()), 0o600)?;
    write(&files.client, &client.pem(), 0o644)?;
    // Last: while it is missing, an interrupted run starts over.
    write(&files.ca, &authority.pem(), 0o644)
}

fn params(name: &str, now: Timestamp) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = Duration::from_secs(u64::try_from(now.unix_seconds()).unwrap_or(0));
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    // An hour back, for clients whose clock is behind.
    params.not_before = epoch + seconds.saturating_sub(Duration::from_hours(1));
    params.not_after = epoch + seconds.saturating_add(VALIDITY);
    params.use_authority_key_identifier_extension = true;
    params
}

/// Replaces a file whole, born with its mode.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), DevCaError> {
    let unwritable = |source| DevCaError::Unwritable { file: file.to_owned(), source };
    let new = file.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(error)),
        _ => {}
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).map_err(unwritable)?;
    opened.write_all(text.as_bytes()).map_err(unwritable)?;
    fs::rename(&new, file).map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::time::{Clock as _, SystemClock};

    #[test]
    fn certificates_are_kept_while_they_last_and_keys_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemClock.now();
        let files = prepare(folder.path(), now).unwrap();
        let first = fs::read(&files.server).unwrap();
        for key in [&files.server_key, &files.client_key] {
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }

        prepare(folder.path(), now.plus(Duration::from_hours(363 * 24))).unwrap();
        assert_eq!(fs::read(&files.server).unwrap(), first);

        prepare(folder.path(), now.plus(Duration::from_hours(365 * 24 - 12))).unwrap();
        let second = fs::read(&files.server).unwrap();
        assert_ne!(second, first);

        fs::remove_file(&files.client_key).unwrap();
        prepare(folder.path(), now).unwrap();
        assert_ne!(fs::read(&files.server).unwrap(), second, "one missing file renews them all");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = prepare(Path::new("/nowhere/at/all"), SystemClock.now()).err().unwrap().to_string();
        assert!(error.starts_with("/nowhere/at/all/server-key.pem: cannot be written: No such file"), "{error}");
    }
}
