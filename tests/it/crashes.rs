//! A server that dies at every step of its work, in turn: before a change of the store, and when that is durable and nobody was told.
//! The next one on the same store finishes what was begun: every record is readable, logs verify, nothing is left half done.
//!
//! The steps are the calls that change the store, whichever part of the server makes them: between two of them a crash leaves the same
//! store behind. The servers are the real ones without their listeners, in this process, on the real stores.

mod beside;
mod erasure;
mod migration;
mod rotation;
mod server;
mod shares;
mod store;

use store::Ends;

/// Has `work` done by a server that dies at its first step, then at its second, and so on, until it outlives its work: then `work`
/// answers false. Both before and behind each step. At least `fewest` steps must be there.
async fn at_every_step(fewest: u64, mut work: impl AsyncFnMut(Ends) -> bool) {
    for ends in [Ends::Before, Ends::Behind] {
        let mut steps = 0;
        while work(ends(steps + 1)).await {
            steps += 1;
        }
        assert!(steps >= fewest, "only {steps} steps: is the work done at all?");
    }
}
