//! Clients that write all the while, and remember what they were told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::Client;
use crate::support::process::until;

const WRITERS: usize = 4;
/// No request may take longer, whatever the database does.
const BOUND: Duration = Duration::from_secs(15);

/// Writers under way.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    /// Writes that were acknowledged, and those that were refused.
    done: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    writers: Vec<JoinHandle<Told>>,
}

/// What one writer was told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<usize>,
    longest: Duration,
}

impl Load {
    pub(super) fn on(client: &Client) -> Self {
        let (stop, done, refused) = (Arc::default(), Arc::default(), Arc::default());
        let writer = |at| {
            let (client, stop, done, refused) = (client.clone(), Arc::clone(&stop), Arc::clone(&done), Arc::clone(&refused));
            std::thread::spawn(move || write(at, &client, &stop, &done, &refused))
        };
        let writers = (0..WRITERS).map(writer).collect();
        let load = Self { stop, done, refused, writers };
        load.until_it_works();
        load
    }

    /// Until something is acknowledged that was sent after now; how long that took.
    pub(super) fn until_it_works(&self) -> Duration {
        // One of each may have been on its way.
        let before = self.done.load(Ordering::SeqCst) + WRITERS;
        until("an acknowledged write", || self.done.load(Ordering::SeqCst) > before)
    }

    /// Until requests are refused.
    pub(super) fn until_it_is_refused(&self) -> Duration {
        let before = self.refused.load(Ordering::SeqCst);
        until("a refusal", || self.refused.load(Ordering::SeqCst) > before)
    }

    /// How many were refused so far.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// Ends, and reads everything that was acknowledged. How many that were, and the longest that a request took.
    pub(super) fn end(self, client: &Client) -> (usize, Duration) {
        self.stop.store(true, Ordering::SeqCst);
        let told: Vec<Told> = self.writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        for (at, told) in told.iter().enumerate() {
            let listed = client.call("LIST", &format!("secret/metadata/load/{at}"), None).expect(200).json();
            let there: BTreeSet<usize> =
                listed["data"]["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().parse().unwrap()).collect();
            let missing: Vec<_> = told.acknowledged.difference(&there).collect();
            assert!(missing.is_empty(), "writer {at} was told that these were written: {missing:?}");
            for number in told.acknowledged.iter().rev().take(5) {
                let read = client.call("GET", &format!("secret/data/load/{at}/{number}"), None).expect(200).json();
                assert_eq!(read["data"]["data"]["number"], *number);
            }
        }
        let longest = told.iter().map(|told| told.longest).max().unwrap();
        assert!(longest < BOUND, "a request took {longest:?}");
        (told.iter().map(|told| told.acknowledged.len()).sum(), longest)
    }
}

fn write(at: usize, client: &Client, stop: &AtomicBool, done: &AtomicUsize, refused: &AtomicUsize) -> Told {
    let (mut told, mut number) = (Told::default(), 0);
    let mut session = client.session().unwrap();
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        let (body, since) = (json!({"data": {"number": number}}).to_string(), Instant::now());
        let reply = session.send("POST", &format!("/v1/secret/data/load/{at}/{number}"), &[], body.as_bytes());
        told.longest = told.longest.max(since.elapsed());
        // Only the database has trouble: the server answers.
        let reply = reply.unwrap();
        if reply.status == 200 {
            told.acknowledged.insert(number);
            done.fetch_add(1, Ordering::SeqCst);
        } else {
            let errors = reply.errors();
            assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{errors:?}");
            refused.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    told
}
