//! `operator doctor`: everything that a start would look at, looked at without starting, and what to do about what is wrong.
//!
//! Nothing is changed: no file is made, no schema is brought up to date, no lock is kept. Texts hold no secret. Each check is one
//! finding; a check whose ground is missing is left out.

mod machine;
mod seals;
mod storage;
mod tls;

use std::path::PathBuf;

use serde::Serialize;

use super::{AppError, runtime};
use crate::config::Config;
use crate::secret::SecretText;
use crate::time::{Clock as _, SystemClock, Timestamp};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// It works, and is not as it should be.
    Warn,
    /// A server would not start, not open, or not go on for long.
    Fail,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at: `seal "eu"`.
    pub check: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found.
    pub text: String,
    /// What to do; empty when there is nothing to do.
    pub remedy: String,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: impl Into<String>, text: impl Into<String>) -> Self {
        Self { check: check.into(), outcome: Outcome::Ok, text: text.into(), remedy: String::new() }
    }

    /// It works, and is not as it should be.
    pub fn warn(check: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check: check.into(), outcome: Outcome::Warn, text: text.into(), remedy: remedy.into() }
    }

    /// A server would not run so.
    pub fn fail(check: impl Into<String>, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check: check.into(), outcome: Outcome::Fail, text: text.into(), remedy: remedy.into() }
    }
}

/// Looks at everything that these configuration files name. `connection_url` stands in for the one of `storage "postgresql"`.
///
/// # Errors
/// When this process gets no threads.
pub fn doctor(paths: &[PathBuf], connection_url: Option<SecretText>) -> Result<Vec<Finding>, AppError> {
    let config = match crate::config::load(paths, connection_url) {
        Ok(config) => config,
        Err(error) => return Ok(vec![Finding::fail("configuration", error.to_string(), "correct this line, and look again")]),
    };
    Ok(runtime()?.block_on(examine(&config)))
}

async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = match config.warnings.as_slice() {
        [] => vec![Finding::ok("configuration", format!("{} listeners, {} seals", config.listeners.len(), config.seals.len()))],
        warnings => warnings.iter().map(|text| Finding::warn("configuration", text, "remove the line")).collect(),
    };
    for seal in &config.seals {
        findings.push(seals::examine(seal).await);
    }
    findings.extend(storage::examine(&config.storage).await);
    findings.extend(config.listeners.iter().flat_map(|listener| tls::examine(listener, SystemClock.now())));
    findings.extend(machine::examine(config));
    findings
}

/// What the difference to another clock means. `tolerance_seconds` is how exactly that one is known.
pub fn clock(whose: &str, theirs: Timestamp, ours: Timestamp, tolerance_seconds: u64) -> Finding {
    /// Validity of tokens and certificates is told in seconds.
    const WARN_SECONDS: u64 = 2;
    /// From here on what one server made may not count at another.
    const FAIL_SECONDS: u64 = 30;
    let apart = ours.since(theirs).max(theirs.since(ours));
    let text = format!("this machine's clock and that of {whose} are {:.1} s apart", apart.as_secs_f64());
    let remedy = "keep both synchronised (NTP): expiry is judged by these clocks";
    let check = format!("clock of {whose}");
    match apart.as_secs().saturating_sub(tolerance_seconds) {
        apart if apart >= FAIL_SECONDS => Finding::fail(check, text, remedy),
        apart if apart >= WARN_SECONDS => Finding::warn(check, text, remedy),
        _ => Finding::ok(check, text),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn clocks_may_be_a_little_apart() {
        let now = Timestamp(1_800_000_000_000_000_000);
        for (seconds, outcome) in
            [(0, Outcome::Ok), (2, Outcome::Ok), (3, Outcome::Warn), (30, Outcome::Warn), (31, Outcome::Fail)]
        {
            let other = now.plus(Duration::from_secs(seconds));
            assert_eq!(clock("it", now, other, 1).outcome, outcome, "{seconds}");
            assert_eq!(clock("it", other, now, 1).outcome, outcome, "{seconds}");
        }
    }
}
