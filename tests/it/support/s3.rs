//! S3, as moto speaks it, behind a proxy that can be told to fail.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::process::{Process, free_port};
use super::tools;

/// What the proxy does.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Fault {
    /// Nothing of its own.
    None,
    /// Takes what is sent, and answers nothing.
    Hang,
    /// Ends every connection.
    Reset,
    /// Ends a connection in the middle of an answer.
    Cut,
}

/// A storage with one bucket; ends with this value.
pub(crate) struct S3 {
    _process: Process,
    address: String,
    bucket: String,
    port: u16,
    does: Arc<AtomicU8>,
}

impl S3 {
    /// With an empty bucket; its output is in this folder.
    pub(crate) fn start(folder: &Path, bucket: &str) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(tools::moto_server());
        command.args(["-H", "127.0.0.1", "-p", address.split(':').nth(1).unwrap()]);
        let mut process = Process::start(command, folder, "moto");
        process.wait_until("an open port", || TcpStream::connect(&address).is_ok());
        let (port, does) = proxy(address.clone());
        let storage = Self { _process: process, address, bucket: bucket.to_owned(), port, does };
        assert_eq!(storage.ask("PUT", "", b"").0, 200);
        storage
    }

    /// What a stanza says to reach it through the proxy.
    pub(crate) fn settings(&self) -> String {
        format!(
            "  bucket = \"{}\"\n  region = \"us-east-1\"\n  endpoint = \"http://127.0.0.1:{}\"\n  access_key_id = \"AKIAEXAMPLE\"\n  \
             secret_access_key = \"canary-of-a-credential\"\n",
            self.bucket, self.port
        )
    }

    /// From now on.
    pub(crate) fn set(&self, fault: Fault) {
        self.does.store(fault as u8, Ordering::Relaxed);
    }

    /// An object, if it is there.
    pub(crate) fn object(&self, name: &str) -> Option<Vec<u8>> {
        let (status, body) = self.ask("GET", name, b"");
        (status == 200).then_some(body)
    }

    /// Writes an object.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        assert_eq!(self.ask("PUT", name, bytes).0, 200);
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, name: &str) {
        assert_eq!(self.ask("DELETE", name, b"").0, 204);
    }

    /// Status and body of the answer to a request that goes around the proxy.
    fn ask(&self, method: &str, name: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        let (bucket, length) = (&self.bucket, body.len());
        let head = format!(
            "{method} /{bucket}/{name} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\nConnection: close\r\n",
            self.address
        );
        let key = "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x\r\n\r\n";
        connection.write_all(&[head.as_bytes(), key.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        (status, answer.split_off(end + 4))
    }
}

/// Passes bytes on between a port and a server behind it.
fn proxy(behind: String) -> (u16, Arc<AtomicU8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, does) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU8::new(Fault::None as u8)));
    let told = Arc::clone(&does);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (Ok(connection), does) = (connection, Arc::clone(&told)) else { return };
            if does.load(Ordering::Relaxed) == Fault::Reset as u8 {
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
        let fault = does.load(Ordering::Relaxed);
        match fault {
            _ if fault == Fault::Hang as u8 => continue,
            _ if fault == Fault::Reset as u8 => break,
            _ if fault == Fault::Cut as u8 && answers => {
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
