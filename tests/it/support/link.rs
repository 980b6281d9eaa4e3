//! A TCP connection between a server and its database that a test may hold up, cut or slow down: what a network does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::postgres::Database;

/// Between two looks whether bytes may go on.
const PAUSE: Duration = Duration::from_millis(2);

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Bytes pass.
    Fair,
    /// Each piece waits for so long.
    Slow(Duration),
    /// Nothing passes, and nobody is told: a partition.
    Still,
    /// Connections are cut, and there are no new ones.
    Down,
}

/// All connections of one server.
pub(crate) struct Link {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    weather: Weather,
    /// To be shut down with the weather.
    open: Vec<TcpStream>,
}

impl Link {
    /// Listens on loopback, for a server of this database.
    pub(crate) fn to(database: &Database) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { weather: Weather::Fair, open: Vec::new() }));
        let (kept, socket) = (Arc::clone(&state), database.socket());
        std::thread::spawn(move || {
            for front in listener.incoming() {
                let (Ok(front), Ok(back)) = (front, UnixStream::connect(&socket)) else { continue };
                if kept.lock().unwrap().weather != Weather::Down {
                    join(&front, &back, &kept);
                }
            }
        });
        Self { port, state }
    }

    /// How the server signs in through it.
    pub(crate) fn url(&self, database: &Database) -> String {
        format!("postgresql://strongroom_runtime@127.0.0.1:{}/{}", self.port, database.name)
    }

    pub(crate) fn set(&self, weather: Weather) {
        let mut state = self.state.lock().unwrap();
        state.weather = weather;
        if weather == Weather::Down {
            for stream in state.open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn join(front: &TcpStream, back: &UnixStream, state: &Arc<Mutex<State>>) {
    front.set_nodelay(true).unwrap();
    state.lock().unwrap().open.push(front.try_clone().unwrap());
    let (to_front, to_back) = (front.try_clone().unwrap(), back.try_clone().unwrap());
    let (from_front, from_back) = (front.try_clone().unwrap(), back.try_clone().unwrap());
    let end = move |front: &TcpStream, back: &UnixStream| {
        let _ = (front.shutdown(Shutdown::Both), back.shutdown(Shutdown::Both));
    };
    let (there, kept) = (Arc::clone(state), Arc::clone(state));
    std::thread::spawn(move || {
        carry(from_front, &to_back, &there);
        end(&to_front, &to_back);
    });
    let (to_front, to_back) = (front.try_clone().unwrap(), back.try_clone().unwrap());
    std::thread::spawn(move || {
        carry(from_back, &to_front, &kept);
        end(&to_front, &to_back);
    });
}

fn carry(mut from: impl Read, mut to: impl Write, state: &Mutex<State>) {
    let mut buffer = [0; 16 << 10];
    while let Ok(length) = from.read(&mut buffer) {
        loop {
            let weather = state.lock().unwrap().weather;
            match weather {
                Weather::Fair => break,
                Weather::Slow(delay) => {
                    std::thread::sleep(delay);
                    break;
                }
                Weather::Still => std::thread::sleep(PAUSE),
                Weather::Down => return,
            }
        }
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}
