//! A witness that is none: it answers what a test says, or never.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// What it answers to the body of `add-checkpoint`; `None` lets the other side wait.
pub(super) type Answer = Box<dyn Fn(&str) -> Option<(u16, String)> + Send>;

/// Listens until the process ends; its URL.
pub(super) fn listen(answer: Answer) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for connection in socket.incoming().map_while(Result::ok) {
            // Whoever asks may have gone away.
            kept.extend(serve(connection, &answer));
        }
    });
    url
}

/// The connection, if it is to hang.
fn serve(connection: TcpStream, answer: &Answer) -> Option<TcpStream> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let Some((status, text)) = answer(&String::from_utf8(body).ok()?) else { return Some(connection) };
    let mut connection = connection;
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    connection.write_all(format!("{head}{text}").as_bytes()).ok()?;
    None
}
