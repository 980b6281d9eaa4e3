//! What no well-behaved client sends: frames of h2 (RFC 9113), written by hand.

use super::*;

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 5;
/// The error of section 7 that stands for a client that does too much.
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The beginning of a connection, with one setting.
fn preface(setting: u16, value: u32) -> Vec<u8> {
    let settings = [&setting.to_be_bytes()[..], &value.to_be_bytes()].concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &settings)[..]].concat()
}

/// `GET https://x/`, in the static table of HPACK.
fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM_AND_HEADERS, stream, &[0x82, 0x87, 0x84, 0x41, 1, b'x'])
}

/// Kinds and payloads of all frames until the connection ends.
async fn until_the_end(stream: &mut TlsStream<TcpStream>) -> Vec<(u8, Vec<u8>)> {
    let mut bytes = Vec::new();
    // A connection that is cut off has ended as well.
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("the connection does not end");
    let mut frames = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((head, tail)) = rest.split_first_chunk::<9>() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, tail)) = tail.split_at_checked(length) else { break };
        frames.push((head[3], payload.to_vec()));
        rest = tail;
    }
    frames
}

async fn connected(limits: Limits) -> (Server, TlsStream<TcpStream>, tempfile::TempDir) {
    let (folder, files) = certificates();
    let server = start(Some(reloader(&files, TlsVersion::Tls13, ClientCertificates::Any)), limits).await;
    let stream = connect(server.address, client(&files.ca, None, b"h2")).await.unwrap();
    (server, stream, folder)
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_the_connection() {
    let (server, mut stream, _folder) = connected(Limits::default()).await;
    let pairs = (0..1000_u32).flat_map(|number| [request(2 * number + 1), frame(RESET, 0, 2 * number + 1, &8_u32.to_be_bytes())]);
    let flood: Vec<u8> = preface(4, 65_535).into_iter().chain(pairs.flatten()).collect();
    // It may end before all of it is written.
    let _ = stream.write_all(&flood).await;
    let frames = until_the_end(&mut stream).await;
    let calm = ENHANCE_YOUR_CALM.to_be_bytes();
    let told = frames.iter().any(|(kind, payload)| *kind == GO_AWAY && payload.get(4..8) == Some(&calm[..]));
    assert!(told || frames.is_empty(), "{frames:?}");
    assert!(frames.iter().filter(|(kind, _)| *kind == HEADERS).count() < 500, "most of them were answered");
    drop(server);
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_let_go() {
    let limits =
        Limits { header_timeout: Duration::from_millis(400), idle_timeout: Duration::from_millis(800), ..Limits::default() };
    let (server, mut stream, _folder) = connected(limits).await;
    // A window of no bytes: headers come, and the body never can.
    stream.write_all(&[preface(4, 0), request(1)].concat()).await.unwrap();
    let frames = until_the_end(&mut stream).await;
    let data = frames.iter().filter(|(kind, payload)| *kind == 0 && !payload.is_empty()).count();
    assert!(frames.iter().any(|(kind, _)| *kind == HEADERS) && data == 0, "{frames:?}");
    drop(server);
}

#[tokio::test]
async fn more_requests_at_a_time_than_allowed_are_refused() {
    const REFUSED_STREAM: u32 = 7;
    let limits = Limits {
        streams_max: 2,
        header_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_millis(800),
        ..Limits::default()
    };
    let (server, mut stream, _folder) = connected(limits).await;
    // Answers that are not taken keep their requests open.
    stream.write_all(&[preface(4, 0), request(1), request(3), request(5)].concat()).await.unwrap();
    let frames = until_the_end(&mut stream).await;
    let headers = frames.iter().filter(|(kind, _)| *kind == HEADERS).count();
    let refused = frames.iter().any(|(kind, payload)| *kind == RESET && *payload == REFUSED_STREAM.to_be_bytes());
    assert!(headers == 2 && refused, "{frames:?}");
    drop(server);
}

#[tokio::test]
async fn a_header_that_does_not_end_ends_the_connection() {
    const CONTINUATION: u8 = 9;
    const END_STREAM: u8 = 1;
    let (server, mut stream, _folder) = connected(Limits::default()).await;
    let begin = frame(HEADERS, END_STREAM, 1, &[0x82, 0x87, 0x84, 0x41, 1, b'x']);
    // `x: aaaa`, again and again, without an entry in a table (RFC 7541 section 6.2.2).
    let more = frame(CONTINUATION, 0, 1, &b"\0\x01x\x04aaaa".repeat(2_000));
    let flood = async {
        stream.write_all(&[preface(4, 65_535), begin].concat()).await?;
        for _ in 0..2_000 {
            stream.write_all(&more).await?;
        }
        stream.flush().await
    };
    // 32 MB, unless it is cut off before.
    let cut = timeout(Duration::from_secs(20), flood).await.is_ok_and(|sent| sent.is_err());
    let frames = until_the_end(&mut stream).await;
    let answered = frames.iter().any(|(kind, _)| *kind == HEADERS || *kind == 0);
    assert!((cut || frames.iter().any(|(kind, _)| *kind == GO_AWAY)) && !answered, "{frames:?}");
    drop(server);
}
