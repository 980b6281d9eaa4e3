//! The TLS listener and its client certificates, on a running server.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Stage, login, role};
use crate::support::certificates::{Authority, Leaf};
use crate::support::client::Client;
use crate::support::full;
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! { certificates_that_parse_oddly_are_refused_and_the_server_keeps_serving, }

fn certificates_that_parse_oddly_are_refused_and_the_server_keeps_serving(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({}));
    let names: Vec<String> = (0..300).map(|at| format!("n{at}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let long = "x".repeat(4000);
    for (what, leaf) in [
        ("300 names", Leaf { dns: &names, ..Leaf::new() }),
        ("a name with a zero byte", Leaf { common_name: Some("web\0.example"), ..Leaf::new() }),
        ("an extension twice", Leaf { extensions: &[(&[2, 5, 29, 37], b"\x30\x00")], ..Leaf::new() }),
        ("basic constraints that do not parse", Leaf { extensions: &[(&[2, 5, 29, 19], b"junk")], ..Leaf::new() }),
    ] {
        super::fails(&login(&stage.showing(&authority.sign(&leaf), &[]), "web"), what);
    }
    // Long, but what it says is plain.
    let client = stage.showing(&authority.sign(&Leaf { common_name: Some(&long), ..Leaf::new() }), &[]);
    login(&client, "web").expect(200);
    let chain: Vec<String> = (0..20).map(|_| Authority::new("Filler").pem()).collect();
    let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
    login(&stage.showing(&authority.sign(&Leaf::new()), &chain), "web").expect(200);
    stage.root.call("GET", "sys/health", None).expect(200);
}

#[test]
fn a_changed_certificate_is_taken_by_itself_and_half_a_pair_is_not() {
    let server = Server::initialised_on_sqlite();
    let target = server.target();
    let file = |name: &str| server.folder().join(name);
    let other = Authority::new("Another authority");
    let signed = other.sign(&Leaf { addresses: &[[127, 0, 0, 1]], for_servers_only: true, ..Leaf::new() });
    let ca = super::write(server.folder(), "other-ca.pem", &other.pem());
    let new = Client::new(&crate::support::Target { ca: Some(ca), ..target.clone() });
    let answers = |client: &Client| client.try_send("GET", "/v1/sys/health", &[], b"").is_ok();
    let replace = |name: &str, text: &str| {
        std::fs::rename(super::write(server.folder(), "new", text), file(name)).unwrap();
    };
    let waits = |text: &str| {
        let start = std::time::Instant::now();
        while !server.output().contains(text) {
            assert!(start.elapsed() < std::time::Duration::from_secs(20), "{text}: {}", server.output());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    replace("server-cert.pem", &signed.pem);
    waits("the certificate was not read again; the old one stays");
    assert!(answers(&Client::new(&target)) && !answers(&new));
    replace("server-key.pem", &signed.key);
    waits("the certificate was read again");
    let metrics = new.call("GET", "sys/metrics?format=prometheus", None).expect(200);
    let metrics = String::from_utf8(metrics.body).unwrap();
    for outcome in ["done", "refused"] {
        assert!(metrics.contains(&format!("strongroom_certificate_reloads_total{{outcome=\"{outcome}\"}} 1\n")), "{metrics}");
    }
    assert!(answers(&new) && !answers(&Client::new(&target)));
}

#[test]
fn handshakes_that_do_not_go_on_hold_up_nobody() {
    let server = Server::dev();
    let target = server.target();
    let hello = half_a_hello();
    // Nothing is said on one half of them, and on the other half the handshake is begun.
    let begin = |at: usize| {
        let mut stream = TcpStream::connect(target.authority()).unwrap();
        if at.is_multiple_of(2) {
            stream.write_all(&hello).unwrap();
        }
        stream
    };
    // Where they take every connection that there may be, somebody else has one when theirs are given up.
    let (connections, longest) = if full() { (10_000, Duration::from_secs(20)) } else { (500, Duration::from_secs(5)) };
    let silent: Vec<TcpStream> = (0..connections).map(begin).collect();
    let start = Instant::now();
    Client::new(&target).call("GET", "secret/data/none", None).expect(404);
    assert!(start.elapsed() < longest, "{:?}", start.elapsed());
    // They are closed when their time is over.
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Maybe an alert comes first.
        let read = stream.read_to_end(&mut Vec::new());
        let reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        assert!(read.is_ok() || read.as_ref().is_err_and(reset), "{read:?}");
    }
}

/// The first bytes of a client's first message.
fn half_a_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello.truncate(hello.len() / 2);
    hello
}

#[test]
fn only_replies_over_tls_demand_tls() {
    let server = Server::dev();
    let header = "strict-transport-security";
    for (path, status) in [("sys/health", 200), ("secret/data/none", 404), ("nowhere", 404)] {
        let reply = Client::new(&server.target()).call("GET", path, None).expect(status);
        assert_eq!(reply.header(header), Some("max-age=31536000; includeSubDomains"), "{path}");
    }
}
