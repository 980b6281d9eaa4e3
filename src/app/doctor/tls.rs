//! Certificates of the listeners.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::Finding;
use crate::config::Listener;
use crate::http::tls::{TlsFiles, TlsReloader};
use crate::time::Timestamp;

/// With less of its time left a certificate should have been renewed.
const LEFT_MIN: Duration = Duration::from_hours(7 * 24);

pub(super) fn examine(listener: &Listener, now: Timestamp) -> Vec<Finding> {
    let check = format!("TLS of {}", listener.address);
    let Some(tls) = &listener.tls else {
        return vec![Finding::ok(check, "plain HTTP, on this machine only")];
    };
    let mut findings = Vec::new();
    let files = TlsFiles::from(tls);
    let key = files.key.clone();
    let chain = files.chain.display().to_string();
    findings.push(match TlsReloader::new(files, now) {
        Err(error) => Finding::fail(
            &check,
            error.to_string(),
            "put a certificate and its key there; a running server reads them within seconds",
        ),
        Ok(read) => {
            let (left, ends) = (read.expires_at().since(now), read.expires_at().rfc3339());
            let text = format!("{chain} and its key fit; {} days left, until {ends}", left.as_secs() / 86_400);
            if left < LEFT_MIN {
                Finding::warn(&check, text, "renew it; a running server reads the new one within seconds")
            } else {
                Finding::ok(&check, text)
            }
        }
    });
    // What cannot be looked at could not be read above.
    if let Ok(mode) = std::fs::metadata(&key).map(|metadata| metadata.mode() & 0o7777)
        && mode & 0o077 != 0
    {
        let text = format!("{} has mode {mode:04o}: others than its owner may read the key", key.display());
        findings.push(Finding::warn(check, text, format!("chmod 600 {}", key.display())));
    }
    findings
}
