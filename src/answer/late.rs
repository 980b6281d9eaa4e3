//! Answers whose text is written while what was decided becomes durable: a large one costs about as much as the disk lets wait.

use tokio::task::JoinHandle;

use super::{Answer, Data, Refusal};
use crate::json::Json;

/// What writes the `data` of an answer. Nothing is decided by it any more.
pub struct Late(Stage);

enum Stage {
    Waiting(Box<dyn FnOnce() -> Json + Send + Sync>),
    Underway(JoinHandle<Json>),
}

impl Late {
    /// Written by `write`, at the latest when the answer goes out.
    pub fn new(write: impl FnOnce() -> Json + Send + Sync + 'static) -> Self {
        Self(Stage::Waiting(Box::new(write)))
    }

    fn begin(self) -> Self {
        Self(match self.0 {
            Stage::Waiting(write) => Stage::Underway(tokio::task::spawn_blocking(write)),
            underway @ Stage::Underway(_) => underway,
        })
    }

    async fn written(self) -> Result<Json, Refusal> {
        match self.0 {
            Stage::Waiting(write) => Ok(write()),
            Stage::Underway(writing) => writing.await.map_err(|_panic| Refusal::panicked()),
        }
    }
}

impl Answer {
    /// Whether some of it is not written yet.
    pub fn is_late(&self) -> bool {
        matches!(self, Self::Data(Data { late: Some(_), .. }))
    }

    /// Begins to write what is written late, on a thread of its own.
    pub fn begin(&mut self) {
        if let Self::Data(data) = self {
            data.late = data.late.take().map(Late::begin);
        }
    }

    /// The answer with all of its text.
    pub async fn written(self) -> Result<Self, Refusal> {
        match self {
            Self::Data(mut data) => {
                if let Some(late) = data.late.take() {
                    data.data = Some(late.written().await?);
                }
                Ok(Self::Data(data))
            }
            other => Ok(other),
        }
    }
}
