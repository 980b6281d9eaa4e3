//! The text form of a session: what is sent, in order, by whom.
//!
//! ```text
//! # a comment
//! name of the step: bao kv put -mount=secret a k=v     a command of `bao`; its words are separated by blanks
//! another: POST sys/wrapping/wrap                      or a request, its path below /v1/
//!     input {"k":"v"}                                  what a command reads, or the body of a request
//!     header Content-Type: text/plain                  of a request
//!     token {BOB}                                      whose token, "none" for no token; without it the root token
//!     namespace team/                                  in which namespace
//!     keep BOB auth.client_token                       takes what is there in the JSON answer; `{BOB}` stands for it from then on
//!     until 2                                          asks again until the exit code (or the status) is this
//! ```

use std::collections::BTreeMap;

/// One step.
#[derive(Default)]
pub(super) struct Step {
    /// What the list of differences calls it.
    pub(super) name: String,
    /// `bao` and its arguments, or a method and a path.
    pub(super) words: Vec<String>,
    /// Standard input, or the body.
    pub(super) input: Option<String>,
    /// Headers of a request.
    pub(super) headers: Vec<(String, String)>,
    /// Who asks.
    pub(super) token: Option<String>,
    /// Where.
    pub(super) namespace: Option<String>,
    /// Names and places in the answer.
    pub(super) keeps: Vec<(String, String)>,
    /// What ends the waiting.
    pub(super) until: Option<i32>,
}

/// Reads a session. Step names are unique in it.
pub(super) fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if line.starts_with(' ') {
            let step = steps.last_mut().unwrap_or_else(|| panic!("an option before the first step: {line}"));
            option(step, line.trim());
        } else {
            let (name, command) = line.split_once(": ").unwrap_or_else(|| panic!("no step: {line}"));
            assert!(steps.iter().all(|step| step.name != name), "two steps are called {name}");
            let words = command.split_whitespace().map(str::to_owned).collect();
            steps.push(Step { name: name.to_owned(), words, ..Step::default() });
        }
    }
    steps
}

fn option(step: &mut Step, line: &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let two = |by: &str| rest.split_once(by).map(|(a, b)| (a.to_owned(), b.to_owned()));
    match word {
        "input" => step.input = Some(rest.to_owned()),
        "header" => step.headers.extend(two(": ")),
        "token" => step.token = Some(rest.to_owned()),
        "namespace" => step.namespace = Some(rest.to_owned()),
        "keep" => step.keeps.extend(two(" ")),
        "until" => step.until = Some(rest.parse().unwrap()),
        _ => panic!("no such option: {line}"),
    }
}

/// What earlier steps kept, by name.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<String, String>);

impl Kept {
    pub(super) fn keep(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    /// Puts values in place of their names.
    pub(super) fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// Puts names in place of their values.
    pub(super) fn mask(&self, text: &str) -> String {
        let long = self.0.iter().filter(|(_, value)| value.len() > 7);
        long.fold(text.to_owned(), |text, (name, value)| text.replace(value.as_str(), &format!("{{{name}}}")))
    }
}
