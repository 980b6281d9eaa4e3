//! Why a command did not do its work.

/// Texts say what to do, in one or a few lines, and never hold a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Arguments, files, or no connection: nothing was answered.
    #[error("{0}")]
    Local(String),
    /// The server refused.
    #[error("the server answered {status} to {what}: {text}")]
    Server {
        /// HTTP status.
        status: u16,
        /// `GET /v1/..`
        what: String,
        /// Its errors, and what may help.
        text: String,
    },
}

impl Failure {
    pub(super) fn local(text: impl Into<String>) -> Self {
        Self::Local(text.into())
    }

    /// The same, with more to say.
    pub(super) fn with(self, more: &str) -> Self {
        match self {
            Self::Local(text) => Self::Local(text + more),
            Self::Server { status, what, text } => Self::Server { status, what, text: text + more },
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Local(_) => 1,
            Self::Server { .. } => 2,
        }
    }
}
