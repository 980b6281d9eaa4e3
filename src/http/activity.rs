//! What a connection is doing, so that one that does nothing useful can be closed.
//!
//! Time is counted in ticks of the connection's own timer: no clock is read for a request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counters of one connection. Streams of h2 run in tasks of their own, hence the atomics.
#[derive(Default)]
pub(super) struct Activity {
    tick: AtomicU32,
    in_flight: AtomicU32,
    /// Tick at which the last request ended, or the connection began.
    quiet_since: AtomicU32,
    /// Tick + 1 at which the first byte of a request header came; 0 for none.
    header_since: AtomicU32,
    served: AtomicBool,
}

impl Activity {
    /// A request header is complete. The request is in flight until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.header_since.store(0, Ordering::Relaxed);
        self.served.store(true, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    fn bytes_came(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 && self.header_since.load(Ordering::Relaxed) == 0 {
            self.header_since.store(self.tick.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Counts one tick; true when the connection has waited too long for a header (or the first one), or for any request.
    pub(super) fn tick(&self, header_ticks: u32, idle_ticks: u32) -> bool {
        let now = self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let header_since = self.header_since.load(Ordering::Relaxed);
        let served = self.served.load(Ordering::Relaxed);
        let quiet = now.saturating_sub(self.quiet_since.load(Ordering::Relaxed));
        (header_since > 0 && now.saturating_sub(header_since - 1) >= header_ticks)
            || quiet >= if served { idle_ticks } else { header_ticks }
    }
}

/// One request in flight.
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.quiet_since.store(self.0.tick.load(Ordering::Relaxed), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that notes when bytes come.
pub(super) struct Watched<T> {
    pub(super) inner: T,
    pub(super) activity: Arc<Activity>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_came();
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_from_a_slow_header_and_from_work() {
        let activity = Arc::new(Activity::default());
        assert!(!activity.tick(2, 5), "one tick without a first request");
        let request = activity.begin();
        assert!((0..9).all(|_| !activity.tick(2, 5)), "a request in flight is not silence");
        drop(request);
        assert!((0..4).all(|_| !activity.tick(2, 5)));
        assert!(activity.tick(2, 5), "five ticks without a request");

        let activity = Arc::new(Activity::default());
        drop(activity.begin());
        activity.bytes_came();
        assert!(!activity.tick(2, 5));
        activity.bytes_came();
        assert!(activity.tick(2, 5), "a header may not take two ticks, however it drips");
    }
}
