//! The real `bao` command line client.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::process::run;
use super::{Target, tools};

/// `bao` with its environment. It has a home folder of its own, where `bao login` leaves its token.
pub(crate) struct Bao {
    home: std::sync::Arc<TempDir>,
    variables: Vec<(String, String)>,
}

/// What one call of `bao` gave.
pub(crate) struct Said {
    /// The exit code: 0 done, 1 wrong use, 2 the server said no (or: sealed).
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
    call: String,
}

impl Bao {
    /// Talks to `target`, with its root token if it has one.
    pub(crate) fn new(target: &Target) -> Self {
        let home = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let folder = home.path().display().to_string();
        let mut bao = Self { home, variables: vec![("HOME".to_owned(), folder)] };
        bao.set("BAO_ADDR", &target.url);
        // A failure is a failure at once: retries only make a broken server's tests slow.
        bao.set("BAO_MAX_RETRIES", "0");
        if let Some(ca) = &target.ca {
            bao.set("BAO_CACERT", &ca.display().to_string());
        }
        if !target.token.is_empty() {
            bao.set("BAO_TOKEN", &target.token);
        }
        bao
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let mut bao = Self { home: std::sync::Arc::clone(&self.home), variables: self.variables.clone() };
        bao.set(name, value);
        bao
    }

    /// The same with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        self.with("BAO_TOKEN", token)
    }

    /// The same with no token but the one that `bao login` left.
    pub(crate) fn without_token(&self) -> Self {
        let mut bao = self.with("BAO_TOKEN", "");
        bao.variables.retain(|(name, _)| name != "BAO_TOKEN");
        bao
    }

    /// The same with a client certificate; files are PEM.
    pub(crate) fn with_certificate(&self, chain: &Path, key: &Path) -> Self {
        self.with("VAULT_CLIENT_CERT", &chain.display().to_string()).with("VAULT_CLIENT_KEY", &key.display().to_string())
    }

    /// The same in another namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Self {
        self.with("BAO_NAMESPACE", namespace)
    }

    /// The same, printing JSON where a command can.
    pub(crate) fn printing_json(&self) -> Self {
        self.with("BAO_FORMAT", "json")
    }

    /// Runs one command, given as its arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, None)
    }

    /// Runs one command that reads `input`.
    pub(crate) fn feed(&self, arguments: &[&str], input: &str) -> Said {
        self.run_with(arguments, Some(input))
    }

    fn run_with(&self, arguments: &[&str], input: Option<&str>) -> Said {
        let done = run(&tools::bao(), arguments, &self.variables, input);
        Said { code: done.code, stdout: done.stdout, stderr: done.stderr, call: format!("bao {}", arguments.join(" ")) }
    }

    /// Runs one command, which must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> Said {
        self.run(arguments).exits(0)
    }

    /// Runs one command, which the server must refuse, with `text` on standard error.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str], text: &str) -> Said {
        self.run(arguments).exits(2).complains(text)
    }

    /// Runs one command with `-format=json` after its first `words` words, and reads what it prints.
    #[track_caller]
    pub(crate) fn json(&self, words: usize, arguments: &[&str]) -> Value {
        let (verb, rest) = arguments.split_at(words);
        self.ok(&[verb, &["-format=json"], rest].concat()).json()
    }
}

impl Said {
    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}{}", self.call, self.stdout, self.stderr);
        self
    }

    /// Asserts that each of `texts` is on standard output.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stdout.contains(text), "{}: no {text:?} in\n{}", self.call, self.stdout);
        }
        self
    }

    /// Asserts that `text` is not on standard output.
    #[track_caller]
    pub(crate) fn keeps_quiet_about(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text), "{}: {text:?} in\n{}", self.call, self.stdout);
        self
    }

    /// Asserts that `text` is on standard error.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{}: no {text:?} in\n{}", self.call, self.stderr);
        self
    }

    /// Asserts that a table on standard output has the row `name value` (any value when it is empty).
    #[track_caller]
    pub(crate) fn row(self, name: &str, value: &str) -> Self {
        let found = self.stdout.lines().any(|line| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(' '));
            rest.is_some_and(|rest| value.is_empty() || rest.trim() == value)
        });
        assert!(found, "{}: no row {name:?} = {value:?} in\n{}", self.call, self.stdout);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{}: {error} in\n{}", self.call, self.stdout))
    }

    /// Standard output without white space at the end.
    pub(crate) fn text(&self) -> &str {
        self.stdout.trim_end()
    }
}
