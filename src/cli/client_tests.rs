use std::ffi::OsString;
use std::fs;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};

use super::*;
use crate::cli::Cli;
use crate::config::TlsVersion;
use crate::dev_ca::{self, DevCertificates};
use crate::http::accept::{Connection, Limits, serve};
use crate::http::tls::{ClientCertificates, TlsFiles, TlsReloader};
use crate::time::{Clock as _, SystemClock};

/// A TLS endpoint that answers every request alike and keeps what it was asked.
struct Endpoint {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    certificates: DevCertificates,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

fn endpoint(host: &str, status: u16, answer: &'static str) -> Endpoint {
    let folder = tempfile::tempdir().unwrap();
    let certificates = dev_ca::prepare(folder.path(), SystemClock.now()).unwrap();
    let files = TlsFiles {
        chain: certificates.server.clone(),
        key: certificates.server_key.clone(),
        oldest: TlsVersion::Tls13,
        clients: ClientCertificates::Any,
    };
    let tls = Arc::new(TlsReloader::new(files, SystemClock.now()).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind((host, 0))).unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let service = move |connection: Arc<Connection>, request: hyper::Request<hyper::body::Incoming>| {
        let kept = Arc::clone(&kept);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let header = |name: &str| parts.headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
            let (token, namespace) = (header("x-vault-token"), header("x-vault-namespace"));
            let certificate = if connection.certificate.is_some() { "cert" } else { "-" };
            let body = String::from_utf8_lossy(&body);
            kept.lock().unwrap().push(format!("{} {} {token} {namespace} {certificate} {body}", parts.method, parts.uri));
            hyper::Response::builder().status(status).body(Full::new(Bytes::from_static(answer.as_bytes()))).unwrap()
        }
    };
    runtime.spawn(serve(listener, Some(tls), Limits::default(), service, std::future::pending()));
    Endpoint { port, asked, certificates, _folder: folder, _runtime: runtime }
}

impl Endpoint {
    fn ca(&self) -> String {
        self.certificates.ca.to_str().unwrap().to_owned()
    }
}

/// Runs a command line with these variables; `Ok` is the exit code.
fn run(words: &str, variables: &[(&str, &str)]) -> Result<String, Failure> {
    use clap::Parser as _;
    let cli = Cli::try_parse_from(std::iter::once("strongroom").chain(words.split(' '))).map_err(|e| e.to_string()).unwrap();
    let variables = variables.iter().chain(&[("BAO_FORMAT", "json")]);
    let variables: Vec<(String, OsString)> = variables.map(|(name, value)| ((*name).to_owned(), value.into())).collect();
    let environment =
        Environment::new(move |name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()));
    crate::cli::run(cli, &environment).map(|code| format!("{code:?}"))
}

const ANSWER: &str =
    r#"{"sealed": false, "keys": ["a"], "data": {"keys": ["a"], "data": {"p": "x"}, "metadata": {"version": 1}}}"#;

#[test]
fn commands_send_what_the_api_takes() {
    let server = endpoint("127.0.0.1", 200, ANSWER);
    let (address, ca) = (format!("https://127.0.0.1:{}", server.port), server.ca());
    let file = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (cert, key) = (file(&server.certificates.client), file(&server.certificates.client_key));
    let variables = [("VAULT_ADDR", address.as_str()), ("BAO_CACERT", &ca), ("BAO_TOKEN", "s.t"), ("BAO_NAMESPACE", "acme")];
    let with_cert = [&variables[..], &[("BAO_CLIENT_CERT", cert.as_str()), ("BAO_CLIENT_KEY", key.as_str())]].concat();

    for words in [
        "kv put --cas 0 secret/a b=c",
        "kv get --version 2 a",
        "kv list --mount team a",
        "reference resolve --purpose sync sref_x",
        "tenant create --namespace up down",
        "tenant list",
    ] {
        run(words, &variables).map_err(|failure| failure.to_string()).unwrap();
    }
    run("kv get a", &with_cert).map_err(|failure| failure.to_string()).unwrap();
    assert_eq!(run("status", &variables).ok().unwrap(), format!("{:?}", std::process::ExitCode::SUCCESS));
    let asked = server.asked.lock().unwrap();
    assert_eq!(
        *asked,
        [
            r#"POST /v1/secret/data/a s.t acme - {"data":{"b":"c"},"options":{"cas":0}}"#,
            "GET /v1/secret/data/a?version=2 s.t acme - ",
            "GET /v1/team/metadata/a?list=true s.t acme - ",
            r#"POST /v1/sys/references/resolve s.t acme - {"reference":"sref_x","purpose":"sync"}"#,
            "POST /v1/sys/namespaces/down s.t up - {}",
            r#"POST /v1/sys/mounts/secret s.t up/down - {"type":"kv","options":{"version":"2"}}"#,
            "GET /v1/sys/namespaces?list=true s.t acme - ",
            "GET /v1/secret/data/a s.t acme cert ",
            "GET /v1/sys/seal-status s.t - - ",
        ]
    );
}

#[test]
fn what_goes_wrong_is_said_with_what_to_do() {
    let server = endpoint("127.0.0.2", 403, r#"{"errors":["permission denied"]}"#);
    let (address, ca) = (format!("https://127.0.0.2:{}", server.port), server.ca());
    let named = [("BAO_ADDR", address.as_str()), ("BAO_CACERT", &ca), ("BAO_TLS_SERVER_NAME", "localhost")];

    let failure = run("kv get a", &named).err().unwrap();
    assert_eq!(failure.exit_code(), 2);
    let text = failure.to_string();
    assert!(text.starts_with("the server answered 403 to GET /v1/secret/data/a: permission denied\nNo token was sent"), "{text}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = format!("http://127.0.0.2:{}", server.port);
    let (nobody, wrong_timeout) = (format!("https://{free}"), [named.as_slice(), &[("BAO_CLIENT_TIMEOUT", "soon")]].concat());
    let half = [named.as_slice(), &[("BAO_CLIENT_CERT", "x.pem")]].concat();
    for (variables, expected) in [
        (&named[..2], "is for another name: set BAO_TLS_SERVER_NAME"),
        (
            &[("BAO_ADDR", address.as_str()), ("BAO_TLS_SERVER_NAME", "localhost")][..],
            "unknown authority: name its file with --ca-cert",
        ),
        (&[("BAO_ADDR", nobody.as_str()), ("BAO_CACERT", &ca)], "refuses connections: is the server running?"),
        (&[("BAO_ADDR", plain.as_str())], "did not answer"),
        (&[("BAO_ADDR", "strongroom.example.com")], "is not an address like https://"),
        (&[("BAO_ADDR", address.as_str()), ("BAO_CACERT", "/nowhere/ca.pem")], "/nowhere/ca.pem cannot be read: No such file"),
        (&wrong_timeout, "BAO_CLIENT_TIMEOUT must be a duration"),
        (&half, "needs both BAO_CLIENT_CERT and BAO_CLIENT_KEY"),
    ] {
        let failure = run("kv get a", variables).err().unwrap();
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.to_string().contains(expected), "{failure}");
    }
    let skipping = [("BAO_ADDR", address.as_str()), ("BAO_SKIP_VERIFY", "true"), ("BAO_TOKEN", "s.x")];
    let text = run("kv get a", &skipping).err().unwrap().to_string();
    assert_eq!(text, "the server answered 403 to GET /v1/secret/data/a: permission denied");
}

#[test]
fn a_sealed_server_is_exit_code_two() {
    let server = endpoint("127.0.0.1", 200, r#"{"sealed": true}"#);
    let (address, ca) = (format!("https://127.0.0.1:{}", server.port), server.ca());
    let variables = [("BAO_ADDR", address.as_str()), ("BAO_CACERT", ca.as_str())];
    assert_eq!(run("status", &variables).ok().unwrap(), format!("{:?}", std::process::ExitCode::from(2)));
    fs::write(&server.certificates.ca, "no certificate").unwrap();
    assert!(run("status", &variables).err().unwrap().to_string().contains("holds no certificate in PEM form"));
}
