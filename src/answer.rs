//! What an operation answers: an `Answer`, or a `Refusal`. The envelope of answers is in `answer/envelope.rs`, the texts
//! of refusals are in `http/reply.rs`.

mod envelope;
mod late;

use crate::json::Json;
use crate::time::Timestamp;

pub use late::Late;

/// A successful outcome. `Json` values are complete JSON texts, in buffers that wipe themselves.
pub enum Answer {
    /// 204, no body.
    Empty,
    /// 204, no body; the standing reference of what was written goes into a header.
    Written {
        /// Its text.
        reference: String,
    },
    /// The usual envelope around `data`.
    Data(Data),
    /// The usual envelope around `auth` (a login, a token that was made or renewed).
    Auth {
        /// The JSON value of `auth`.
        auth: Json,
        /// Sentences for the client's user.
        warnings: Vec<String>,
    },
    /// 304: the client has the value already.
    Unchanged {
        /// What the value is recognised by.
        etag: String,
    },
    /// The envelope of an answer that was put away: the JSON value of `wrap_info`, with the token that opens it.
    Wrapped(Json),
    /// 202: it is under way. The usual envelope if there are sentences for the client's user, otherwise no body.
    Accepted {
        /// The sentences.
        warnings: Vec<String>,
    },
    /// 200 with a text that is not JSON (`sys/metrics`).
    Text {
        /// Its content type.
        content_type: &'static str,
        /// The text; no secret is in it.
        text: String,
    },
    /// A bare JSON object without envelope (`sys/health`, `sys/seal-status`, ...).
    Bare {
        /// HTTP status.
        status: u16,
        /// The object.
        body: Json,
    },
}

/// The envelope of a read.
pub struct Data {
    /// The JSON value of `data`; `None` is `null`.
    pub data: Option<Json>,
    /// What writes `data` after the decision, where that is done.
    pub late: Option<Late>,
    /// Repeat `data`'s keys at the top level (`sys/*` answers do).
    pub doubled: bool,
    /// 200; 404 with a body (a deleted KV 2 version, a KV 2 mount called without `data/`); or what a batch of Transit with
    /// failed items answers.
    pub status: u16,
    /// Seconds that a client may keep the answer; 0 for none.
    pub lease_duration: u64,
    /// What the client may send to have an unchanged value left out; a header.
    pub etag: Option<String>,
    /// Sentences for the client's user.
    pub warnings: Vec<String>,
    /// The `mount_type` of the envelope ("kv", "system", "token", ...): filled in by the pipeline.
    pub mount_type: &'static str,
}

impl Answer {
    /// 200 with `data`.
    pub fn data(data: Json) -> Self {
        Self::Data(Data::new(Some(data)))
    }

    /// 200 with `data`, its keys repeated at the top level.
    pub fn doubled(data: Json) -> Self {
        Self::Data(Data { doubled: true, ..Data::new(Some(data)) })
    }

    /// It is done: 204; or the usual envelope around sentences for the client's user, if there are any.
    pub fn done(warnings: Vec<String>) -> Self {
        if warnings.is_empty() { Self::Empty } else { Self::Data(Data { warnings, ..Data::new(None) }) }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Empty | Self::Written { .. } => 204,
            Self::Accepted { .. } => 202,
            Self::Unchanged { .. } => 304,
            Self::Data(data) => data.status,
            Self::Auth { .. } | Self::Wrapped(_) | Self::Text { .. } => 200,
            Self::Bare { status, .. } => *status,
        }
    }

    /// 200 with `data: {"keys": [...]}`; an empty list is 404 for its readers, so it is a `Refusal`.
    pub fn keys(keys: &[impl AsRef<str>]) -> Result<Self, Refusal> {
        if keys.is_empty() {
            return Err(Refusal::NotFound);
        }
        Ok(Self::data(Json::object(|data| {
            data.strings("keys", keys);
        })))
    }
}

impl Data {
    /// An envelope with nothing special.
    pub fn new(data: Option<Json>) -> Self {
        Self {
            data,
            late: None,
            doubled: false,
            status: 200,
            lease_duration: 0,
            etag: None,
            warnings: Vec::new(),
            mount_type: "",
        }
    }
}

/// Why a request was not done. Nothing was changed, except guard writes that were collected on purpose.
/// Texts are for the client: they never hold a secret.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// 400: the input is wrong; the text says what to do.
    Invalid(String),
    /// 403 `permission denied`: no valid token, or a tenant that the caller has no right in.
    NoToken,
    /// 403, the multi-error text: a valid token, and policy says no.
    Denied,
    /// 403 with a text of its own (`bad token`, the preflight text).
    Forbidden(String),
    /// 404 `{"errors": []}`: nothing there, or an empty list.
    NotFound,
    /// 404 `no handler for route`: no such mount.
    NoMount(String),
    /// 404 `unsupported path`: the mount has no such path.
    UnsupportedPath,
    /// 404 with a text of its own (`namespace not found`).
    Missing(String),
    /// 404 without a body (PATCH of a secret that does not exist).
    MissingSilently,
    /// 405: the path does not offer the verb.
    UnsupportedOperation,
    /// 412: the client knows of a newer state than this replica.
    Behind,
    /// 413: the body is larger than allowed.
    TooLarge,
    /// 415: wrong content type of a PATCH; the text says which is wanted.
    UnsupportedMedia(String),
    /// 429 with a text.
    TooMany(String),
    /// 500: a flaw or a damaged row; the text names the place, never content. Details are in the operator's log.
    Internal(String),
    /// 503: something needed is not there now (store, seal); the text says what.
    Unavailable(String),
    /// 503 `Vault is sealed`.
    Sealed,
    /// 503 `namespace is sealed`.
    NamespaceSealed,
    /// 503: the store has an older state of the namespace than was signed.
    RolledBack,
    /// 503: this namespace (`a/b/`), which is the request's own or above it, is locked.
    Locked(String),
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::NoToken | Self::Denied | Self::Forbidden(_) => 403,
            Self::NotFound | Self::NoMount(_) | Self::UnsupportedPath | Self::Missing(_) | Self::MissingSilently => 404,
            Self::UnsupportedOperation => 405,
            Self::Behind => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMedia(_) => 415,
            Self::TooMany(_) => 429,
            Self::Internal(_) => 500,
            Self::Unavailable(_) | Self::Sealed | Self::NamespaceSealed | Self::RolledBack | Self::Locked(_) => 503,
        }
    }

    /// 500 after a panic, of which the operator's log has the rest.
    pub fn panicked() -> Self {
        Self::Internal("internal error; the server's log says more".to_owned())
    }

    /// 400 with `text`.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

/// Formats a time the way the API shows one, with `""` for "never".
pub fn time_or_empty(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, Timestamp::rfc3339)
}
