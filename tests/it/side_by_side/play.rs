//! Plays a session against one server and notes what came back.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::facts::{Facts, add_fields, masked};
use super::session::{Kept, Step};
use crate::support::Target;
use crate::support::bao::Bao;
use crate::support::client::Client;

/// What `until` may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Plays `steps`; the facts of each, in order.
pub(super) fn play(steps: &[Step], target: &Target) -> Vec<Facts> {
    let mut player = Player { bao: Bao::new(target).printing_json(), client: Client::new(target), target, kept: Kept::default() };
    player.kept.keep("ROOT", target.token.clone());
    steps.iter().map(|step| player.step(step)).collect()
}

struct Player<'a> {
    bao: Bao,
    client: Client,
    target: &'a Target,
    kept: Kept,
}

/// What came back: the exit code or status, and what it says as JSON if it is that.
struct Answer {
    code: i32,
    facts: Facts,
    json: Value,
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Facts {
        let start = Instant::now();
        let answer = loop {
            let answer = self.ask(step);
            if step.until.is_none_or(|code| code == answer.code) || start.elapsed() > PATIENCE {
                break answer;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        for (name, place) in &step.keeps {
            let value = place.split('.').fold(&answer.json, |value, part| match part.parse::<usize>() {
                Ok(at) => &value[at],
                Err(_) => &value[part],
            });
            // A server that does not answer so shows it in the facts; the steps that follow ask for something that is not there.
            self.kept.keep(name, value.as_str().unwrap_or("nothing-was-kept").to_owned());
        }
        answer.facts
    }

    fn ask(&self, step: &Step) -> Answer {
        let words: Vec<String> = step.words.iter().map(|word| self.kept.fill(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["bao", ref arguments @ ..] => self.command(step, arguments),
            [method, path] => self.request(step, method, path),
            _ => panic!("{}: no command and no request", step.name),
        }
    }

    fn command(&self, step: &Step, arguments: &[&str]) -> Answer {
        // A session that initialises its server keeps the root token under this name.
        let token = self.kept.fill(step.token.as_deref().unwrap_or("{ROOT}"));
        let mut bao = if token == "none" || token.is_empty() { self.bao.without_token() } else { self.bao.with_token(&token) };
        if let Some(namespace) = &step.namespace {
            bao = bao.in_namespace(namespace);
        }
        let said = match &step.input {
            None => bao.run(arguments),
            Some(input) => bao.feed(arguments, &self.kept.fill(input)),
        };
        let mut facts = Facts::from([("exit".to_owned(), said.code.to_string())]);
        if let Some((_, code)) = said.stderr.split_once("Code: ") {
            facts.insert("status".to_owned(), code.chars().take_while(char::is_ascii_digit).collect());
        }
        self.add_text(&mut facts, "stderr", &said.stderr);
        let json = serde_json::from_str(&said.stdout).unwrap_or_default();
        match &json {
            Value::Object(_) | Value::Array(_) => add_fields(&mut facts, "", &json),
            _ => self.add_text(&mut facts, "stdout", &said.stdout),
        }
        Answer { code: said.code, facts, json }
    }

    fn request(&self, step: &Step, method: &str, path: &str) -> Answer {
        let token = self.kept.fill(step.token.as_deref().unwrap_or("{ROOT}"));
        let client = if token == "none" { self.client.without_token() } else { self.client.with_token(&token) };
        let namespace = step.namespace.iter().map(|name| ("X-Vault-Namespace", name.as_str()));
        let filled: Vec<_> = step.headers.iter().map(|(name, value)| (name.as_str(), self.kept.fill(value))).collect();
        let headers: Vec<_> = filled.iter().map(|(name, value)| (*name, value.as_str())).chain(namespace).collect();
        let body = self.kept.fill(step.input.as_deref().unwrap_or_default());
        let reply = client.send(method, &format!("/v1/{path}"), &headers, body.as_bytes());
        let mut facts = Facts::from([("status".to_owned(), reply.status.to_string())]);
        facts.insert("content-type".to_owned(), reply.header("content-type").unwrap_or("none").to_owned());
        let text = String::from_utf8_lossy(&reply.body);
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        match json["errors"].as_array() {
            Some(errors) if !errors.is_empty() => self.add_text(&mut facts, "errors", &json["errors"].to_string()),
            _ if json.is_null() => self.add_text(&mut facts, "body", &text),
            _ => add_fields(&mut facts, "", &json),
        }
        if let Some(warnings) = json["warnings"].as_array() {
            self.add_text(&mut facts, "warnings[]", &Value::from(warnings.clone()).to_string());
        }
        Answer { code: i32::from(reply.status), facts, json }
    }

    fn add_text(&self, facts: &mut Facts, place: &str, text: &str) {
        let text = self.kept.mask(&text.replace(&self.target.url, "<url>"));
        let text = masked(&text);
        if !text.is_empty() {
            facts.insert(place.to_owned(), text);
        }
    }
}
