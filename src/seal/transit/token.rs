//! As whom the other server is asked: a token of the configuration, one in a file, or one that a client certificate gets; and
//! how it is kept alive.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::Failure;
use super::Answered;
use super::connection::Connection;
use crate::config::{Transit as Settings, TransitAuth};
use crate::json::Json;
use crate::secret::SecretText;

/// A token of the other server.
pub(super) type Token = Arc<SecretText>;

/// Between two looks at a token that lives on by itself, or for long.
const LOOK: Duration = Duration::from_mins(10);
/// After a look that came to nothing.
const RETRY: Duration = Duration::from_secs(10);
/// Between two renewals at least.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The token, and where it comes from.
pub(super) struct Tokens {
    source: Source,
    renews: bool,
    current: Mutex<Option<Token>>,
}

enum Source {
    Fixed(Token),
    File(PathBuf),
    Certificate { mount: String, role: Option<String> },
}

/// What came of looking after the token.
pub(super) struct Kept {
    /// Until the next time.
    pub(super) pause: Duration,
    /// What an operator should know.
    pub(super) problem: Option<String>,
}

/// What the other server says of a token: seconds.
#[derive(Deserialize)]
struct State {
    ttl: u64,
    #[serde(default)]
    creation_ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct LoggedIn<'a> {
    #[serde(borrow)]
    auth: Auth<'a>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    client_token: &'a str,
    lease_duration: u64,
}

impl Tokens {
    pub(super) fn new(settings: &Settings) -> Self {
        let source = match &settings.auth {
            TransitAuth::Token(token) => Source::Fixed(Arc::clone(token)),
            TransitAuth::TokenFile(file) => Source::File(file.path.clone()),
            TransitAuth::Certificate { mount, role } => Source::Certificate { mount: mount.clone(), role: role.clone() },
        };
        Self { source, renews: !settings.disable_renewal, current: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Option<Token>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token. The first one is read or logged in for; others wait meanwhile.
    pub(super) fn current(&self, connection: &Connection) -> Result<Token, Failure> {
        let mut held = self.held();
        if let Some(token) = &*held {
            return Ok(Arc::clone(token));
        }
        let token = self.fresh(connection)?;
        *held = Some(Arc::clone(&token));
        Ok(token)
    }

    /// Another token than one that was not accepted; none when there is no other.
    pub(super) fn another(&self, connection: &Connection, refused: &Token) -> Result<Option<Token>, Failure> {
        let mut held = self.held();
        if let Some(token) = held.as_ref().filter(|token| token.expose() != refused.expose()) {
            return Ok(Some(Arc::clone(token)));
        }
        if matches!(self.source, Source::Fixed(_)) {
            return Ok(None);
        }
        let token = self.fresh(connection)?;
        if token.expose() == refused.expose() {
            return Ok(None);
        }
        *held = Some(Arc::clone(&token));
        Ok(Some(token))
    }

    fn fresh(&self, connection: &Connection) -> Result<Token, Failure> {
        match &self.source {
            Source::Fixed(token) => Ok(Arc::clone(token)),
            Source::File(file) => {
                let away = |problem: &dyn std::fmt::Display| Failure::Away(format!("token_file {}: {problem}", file.display()));
                let text = fs::read_to_string(file).map(Zeroizing::new).map_err(|error| away(&error))?;
                let token = text.trim();
                if token.is_empty() { Err(away(&"is empty")) } else { Ok(Arc::new(SecretText::new(token.to_owned()))) }
            }
            Source::Certificate { mount, role } => log_in(connection, mount, role.as_deref()),
        }
    }

    /// Renews the token, or gets another one before it ends.
    pub(super) fn keep(&self, connection: &Connection) -> Kept {
        match self.try_to_keep(connection) {
            Ok(kept) => kept,
            Err(Failure::Refused(problem) | Failure::Away(problem)) => Kept { pause: RETRY, problem: Some(problem) },
            Err(Failure::Unfit) => Kept { pause: RETRY, problem: None },
        }
    }

    fn try_to_keep(&self, connection: &Connection) -> Result<Kept, Failure> {
        let mut token = self.current(connection)?;
        let mut answer = connection.look_up(&token)?;
        if answer.is_denial()
            && let Some(other) = self.another(connection, &token)?
        {
            token = other;
            answer = connection.look_up(&token)?;
        }
        if answer.is_denial() {
            return Err(Failure::Refused("the token has expired, was revoked, or may not look itself up".to_owned()));
        }
        let State { ttl, creation_ttl, renewable } = answer.parse::<Answered<State>>()?.data;
        if ttl == 0 {
            return Ok(Kept { pause: LOOK, problem: None });
        }
        let left = if self.renews && renewable { renew(connection, &token)? } else { ttl };
        if matches!(self.source, Source::Certificate { .. }) && left <= creation_ttl / 2 {
            // It has reached the longest time that it may live.
            self.another(connection, &token)?;
            return Ok(Kept { pause: PAUSE_MIN, problem: None });
        }
        let ends = left <= ttl && left <= creation_ttl / 2;
        let problem = ends.then(|| format!("it ends in {left} seconds and is not renewed any more: give the server another one"));
        Ok(Kept { pause: pause(left), problem })
    }
}

/// At half of what is left: one renewal may fail.
fn pause(left_seconds: u64) -> Duration {
    Duration::from_secs(left_seconds / 2).clamp(PAUSE_MIN, LOOK)
}

/// Seconds that the token has left then.
fn renew(connection: &Connection, token: &Token) -> Result<u64, Failure> {
    let answer = connection.post("auth/token/renew-self", Some(token), b"{}")?;
    if answer.status != 200 {
        let text = answer.errors().ok_or_else(|| answer.nonsense())?;
        return Err(Failure::Refused(format!("{} to its renewal: {text}", answer.status)));
    }
    Ok(answer.parse::<LoggedIn<'_>>()?.auth.lease_duration)
}

fn log_in(connection: &Connection, mount: &str, role: Option<&str>) -> Result<Token, Failure> {
    connection.read_files_again()?;
    let body = Json::object(|o| {
        if let Some(role) = role {
            o.field("name", role);
        }
    });
    let answer = connection.post(&format!("auth/{mount}/login"), None, body.expose())?;
    if answer.status == 200 {
        return Ok(Arc::new(SecretText::new(answer.parse::<LoggedIn<'_>>()?.auth.client_token.to_owned())));
    }
    let text = answer.errors().ok_or_else(|| answer.nonsense())?;
    let said = format!("{} to the login at auth/{mount}: {text}", answer.status);
    Err(if matches!(answer.status, 400 | 403 | 404 | 405) { Failure::Refused(said) } else { Failure::Away(said) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_half_of_what_is_left() {
        for (left, seconds) in [(0, 1), (1, 1), (20, 10), (1200, 600), (1_000_000, 600)] {
            assert_eq!(pause(left), Duration::from_secs(seconds), "{left}");
        }
    }
}
