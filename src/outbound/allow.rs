//! Which URLs may be called.

use ureq::http::Uri;

/// The longest URL.
const URL_BYTES_MAX: usize = 2_048;

/// A host and port that the configuration names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// In lower case; an IPv6 address in brackets.
    name: String,
    port: u16,
}

/// A URL that may be called.
pub struct Destination {
    url: String,
    authority: String,
    https: bool,
}

impl Host {
    /// `host`, which is port 443, or `host:port`. `None` is no host.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') && (!name.contains(':') || name.ends_with(']')) => {
                (name, port.parse().ok()?)
            }
            _ => (text, 443),
        };
        (!name.is_empty()).then(|| Self { name: name.to_ascii_lowercase(), port })
    }
}

impl Destination {
    pub(super) fn parse(url: &str, allow: &[Host], development: bool) -> Option<Self> {
        let (to, host) = Self::read(url)?;
        let loopback = development && matches!(host.name.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        let named = to.https && allow.contains(&host);
        (named || loopback).then_some(to)
    }

    /// Any URL of HTTP, with or without TLS: for what only who starts the server can name, and what carries no secret of a tenant.
    pub fn of_operator(url: &str) -> Option<Self> {
        Self::read(url).map(|(to, _)| to)
    }

    fn read(url: &str) -> Option<(Self, Host)> {
        let graphic = url.bytes().all(|byte| byte.is_ascii_graphic());
        if url.len() > URL_BYTES_MAX || !graphic || url.contains(['#', '\\']) {
            return None;
        }
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let https = uri.scheme_str() == Some("https");
        if !https && uri.scheme_str() != Some("http") {
            return None;
        }
        let name = authority.host().to_ascii_lowercase();
        let port = match authority.as_str().get(authority.host().len()..)? {
            "" if https => 443,
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        Some((Self { url: url.to_owned(), authority: format!("{name}:{port}"), https }, Host { name, port }))
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether it is called with TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(url: &str, development: bool) -> bool {
        let allow = ["Login.example.com", "10.0.0.1:8443", "[::2]:9443", "[::3]"].map(|text| Host::parse(text).unwrap());
        Destination::parse(url, &allow, development).is_some()
    }

    #[test]
    fn only_https_urls_of_named_hosts_and_ports_may_be_called() {
        for url in [
            "https://login.example.com/realms/a",
            "https://LOGIN.example.com:443/x?y=z",
            "https://10.0.0.1:8443",
            "https://[::2]:9443/",
            "https://[::3]/",
        ] {
            assert!(allowed(url, false), "{url}");
        }
        for url in [
            "http://login.example.com/",
            "http://login.example.com:443/",
            "https://login.example.com:8443/",
            "https://login.example.com./",
            "https://login.example.com.evil.org/",
            "https://evil.org/?login.example.com",
            "https://login.example.com@evil.org/",
            "https://evil.org@login.example.com/",
            "https://evil.org\\@login.example.com/",
            "https://evil.org#login.example.com/",
            "https://10.0.0.1/",
            "https://167772161:8443/",
            "https://localhost/",
            "http://localhost/",
            "//login.example.com/",
            "login.example.com",
            "file:///etc/passwd",
            "ftp://login.example.com/",
            "https:///x",
            "https://login.example.com/ x",
            "https://login.example.com/\u{e9}",
            "",
        ] {
            assert!(!allowed(url, false), "{url}");
        }
        assert!(!allowed(&format!("https://login.example.com/{}", "a".repeat(URL_BYTES_MAX)), false));
    }

    #[test]
    fn loopback_may_be_called_in_development_only() {
        for url in ["http://localhost:1234/x", "http://127.0.0.1:1/", "https://[::1]:2/", "http://LOCALHOST/"] {
            assert!(allowed(url, true) && !allowed(url, false), "{url}");
        }
        for url in ["http://127.0.0.2/", "http://localhost.evil.org/", "http://[::2]:9443/", "ftp://localhost/"] {
            assert!(!allowed(url, true), "{url}");
        }
    }

    #[test]
    fn an_operator_may_name_any_host_and_nothing_but_http() {
        for url in ["http://collector:4318/v1/traces", "https://10.0.0.1/", "http://[::1]:4318/"] {
            assert!(Destination::of_operator(url).is_some_and(|to| to.url() == url), "{url}");
        }
        for url in
            ["", "collector:4318", "grpc://collector:4317", "http://user@collector/", "http://collector:port/", "file:///x"]
        {
            assert!(Destination::of_operator(url).is_none(), "{url}");
        }
    }
}
