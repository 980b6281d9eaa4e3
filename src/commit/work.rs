//! What a request worked out and need not work out again when it is decided again: a signature, a fresh key.

use std::any::Any;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use super::txn::Txn;
use crate::answer::Refusal;

/// Results of one request's heavy work, by a hash of all that they depend on.
#[derive(Default)]
pub(super) struct Work(Mutex<Vec<Done>>);

type Done = ([u8; 32], Arc<dyn Any + Send + Sync>);

impl Work {
    fn find(&self, name: &[u8; 32]) -> Option<Arc<dyn Any + Send + Sync>> {
        let done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        done.iter().find(|(known, _)| known == name).map(|(_, value)| Arc::clone(value))
    }
}

impl Txn {
    /// Does `work` once in a request, however often the request is decided. `name` must follow from everything that the
    /// result depends on; what was refused is tried again.
    pub async fn once<T: Send + Sync + 'static>(
        &self,
        name: [u8; 32],
        work: impl Future<Output = Result<T, Refusal>> + Send,
    ) -> Result<Arc<T>, Refusal> {
        if let Some(done) = self.work.find(&name).and_then(|done| done.downcast().ok()) {
            return Ok(done);
        }
        let done = Arc::new(work.await?);
        self.work.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, Arc::clone(&done) as _));
        Ok(done)
    }
}
