//! The archive in S3, as moto speaks it, behind a proxy that can be told to fail.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::{declare, log_key, newest, number, page, until, work};
use crate::support::fixture::ready;
use crate::support::process::{Process, free_port};
use crate::support::server::Server;
use crate::support::tools;

const PASS: u8 = 0;
/// Takes what is sent, and answers nothing.
const HANG: u8 = 1;
/// Ends every connection.
const RESET: u8 = 2;
/// Ends a connection in the middle of an answer.
const CUT: u8 = 3;

/// Passes bytes on between a port and a server behind it.
fn proxy(behind: String) -> (u16, Arc<AtomicU8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, does) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU8::new(PASS)));
    let told = Arc::clone(&does);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (Ok(connection), does) = (connection, Arc::clone(&told)) else { return };
            if does.load(Ordering::Relaxed) == RESET {
                continue;
            }
            let server = TcpStream::connect(&behind).unwrap();
            let back = (server.try_clone().unwrap(), connection.try_clone().unwrap());
            let way_back = Arc::clone(&does);
            std::thread::spawn(move || pump(connection, server, &does, false));
            std::thread::spawn(move || pump(back.0, back.1, &way_back, true));
        }
    });
    (port, does)
}

fn pump(mut from: TcpStream, mut to: TcpStream, does: &AtomicU8, answers: bool) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        match does.load(Ordering::Relaxed) {
            HANG => continue,
            RESET => break,
            CUT if answers => {
                let _ = to.write_all(&buffer[..count / 2]);
                break;
            }
            _ => {}
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Makes a bucket.
fn bucket(address: &str, name: &str) {
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!("PUT /{name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n");
    let key = "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n\r\n";
    connection.write_all(format!("{head}{key}").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_storage_that_hangs_or_fails_delays_nobody_and_has_every_event_later() {
    let mut server = Server::initialised_on_sqlite();
    let folder = tempfile::tempdir().unwrap();
    let moto = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(tools::moto_server());
    command.args(["-H", "127.0.0.1", "-p", moto.split(':').nth(1).unwrap()]);
    let mut process = Process::start(command, folder.path(), "moto");
    process.wait_until("an open port", || TcpStream::connect(&moto).is_ok());
    bucket(&moto, "audit");
    let (port, does) = proxy(moto);
    let root = ready(&server);
    declare(
        &mut server,
        &format!(
            "\"s3\" {{\n  bucket = \"audit\"\n  region = \"us-east-1\"\n  endpoint = \"http://127.0.0.1:{port}\"\n  prefix = \"log\"\n  \
             access_key_id = \"AKIAEXAMPLE\"\n  secret_access_key = \"canary-of-a-credential\"\n  interval = \"1s\"\n  timeout = \"2s\"\n  \
             keep_in_database = \"1s\"\n}}"
        ),
    );
    until("events in the archive", || number(&root, "archived") > 0);
    let failures = || {
        let text = String::from_utf8(root.call("GET", "sys/metrics?format=prometheus", None).expect(200).body).unwrap();
        let line = text.lines().find(|line| line.starts_with("strongroom_audit_archive_failures_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    for fault in [HANG, RESET, CUT] {
        does.store(fault, Ordering::Relaxed);
        let before = failures();
        work(&root, 80);
        until("a failure that is counted", || {
            let asked = Instant::now();
            root.call("GET", "secret/data/none", None);
            assert!(asked.elapsed() < Duration::from_secs(30), "a request waited for the archive");
            failures() > before
        });
        does.store(PASS, Ordering::Relaxed);
    }
    let last = newest(&root);
    until("every event in the archive", || {
        root.call("GET", "secret/data/none", None);
        number(&root, "in_database_from") > last
    });
    let first = page(&root, "order=asc&limit=1&archive=true");
    assert_eq!(first["events"][0]["index"], serde_json::json!(0));
    does.store(HANG, Ordering::Relaxed);
    root.call("GET", "sys/audit-log/event/0?archive=true", None).expect(503);
    root.call("GET", "sys/audit-log?limit=1", None).expect(200);
    does.store(PASS, Ordering::Relaxed);
    root.call("GET", "sys/audit-log/event/0?archive=true", None).expect(200);
    assert!(log_key(&root).name().starts_with("strongroom/"));
    assert!(!server.output().contains("canary-of-a-credential"));
}
