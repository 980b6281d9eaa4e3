//! What can go wrong at the store's door. Texts name places, never content.

use std::fmt;

use super::LeaseName;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is stopping, is full or too slow. Nothing was changed; asking again later may help.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] Cause),
    /// The connection was lost while COMMIT was on its way: done or not done. `Store::committed` finds out.
    #[error("the outcome of a COMMIT is not known: {0}")]
    Unknown(#[source] Cause),
    /// The database must not be used as it is; the sentence says what to change.
    #[error("{0}")]
    Refused(String),
    /// A stored value is not of the form that this software writes.
    #[error("the stored value in {table}.{column} of row {row} is damaged")]
    Damaged {
        /// Table.
        table: &'static str,
        /// The first bytes of the primary key, in hexadecimal.
        row: String,
        /// Column.
        column: &'static str,
    },
    /// Something that was to be inserted is there already: the caller worked from an old state (a log row, a tenant).
    #[error("a row that was to be new is there already: {0}")]
    Conflict(#[source] Cause),
    /// It was to be done under a lease that has passed to another server. Nothing was changed.
    #[error("another server has the lease {} now", .0.word())]
    Fenced(LeaseName),
    /// The caller broke a rule of the trait: a tenant that is not in its group, a number out of range.
    #[error("the store was used wrongly: {0}")]
    Misused(&'static str),
    /// Any other answer of the database: a flaw of this software, or a damaged database.
    #[error("the database refused a statement: {0}")]
    Failed(#[source] Cause),
}

impl StoreError {
    /// Unavailable, for a reason that the database did not give.
    pub(super) fn unavailable(text: &str) -> Self {
        Self::Unavailable(Cause::text(text))
    }

    /// The same failure, where it struck a COMMIT on its way: only a plain answer of the database is an outcome.
    pub(super) fn at_commit(self) -> Self {
        match self {
            Self::Unavailable(cause) => Self::Unknown(cause),
            other => other,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(answer) = error.as_database_error() else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Self::Unavailable(Cause(Box::new(error))),
                _ => Self::Failed(Cause(Box::new(error))),
            };
        };
        let code = answer.code().unwrap_or_default().into_owned();
        // The message names tables and constraints; the detail, which may quote a row, is left behind.
        let cause = Cause(format!("{} ({code})", answer.message()).into());
        if answer.is_unique_violation() {
            Self::Conflict(cause)
        } else if passes(&code) {
            Self::Unavailable(cause)
        } else {
            Self::Failed(cause)
        }
    }
}

/// Whether a database's error code means "not now". `PostgreSQL`'s codes have five characters (appendix A of its manual),
/// `SQLite`'s are decimal numbers with the primary code in the low byte.
fn passes(code: &str) -> bool {
    if code.len() == 5 && !code.starts_with('-') {
        let class = code.get(..2).unwrap_or_default();
        // Connection; rollback; resources; operator; system; and read-only (a demoted primary), idle and lock timeouts.
        return matches!(class, "08" | "40" | "53" | "57" | "58") || matches!(code, "25006" | "25P03" | "55P03");
    }
    // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5..=10 | 13 | 14))
}

/// The database's own error, reduced to what holds no row content.
pub struct Cause(Box<dyn std::error::Error + Send + Sync>);

impl Cause {
    /// A cause in words.
    pub fn text(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_failures_are_told_from_lasting_ones() {
        for code in ["08006", "57P01", "25006", "40001", "40P01", "53300", "55P03", "5", "261", "13", "522"] {
            assert!(passes(code), "{code}");
        }
        for code in ["42501", "23514", "22P02", "1", "11", "26", "1555", ""] {
            assert!(!passes(code), "{code}");
        }
    }

    #[test]
    fn only_an_answer_of_the_database_settles_a_commit() {
        assert!(matches!(StoreError::unavailable("gone").at_commit(), StoreError::Unknown(_)));
        assert!(matches!(StoreError::Misused("x").at_commit(), StoreError::Misused(_)));
    }
}
