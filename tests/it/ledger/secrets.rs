//! The secrets of one client, which nobody else writes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::client::Desk;
use crate::support::line::Heard;

const SECRETS: usize = 6;

/// What must be there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    pub(super) version: u64,
    /// None when the newest version is deleted, and before the first.
    value: Option<u64>,
}

/// The secrets of one client.
pub(super) struct Secrets {
    owner: u64,
    contents: Vec<Content>,
    /// Those that were written since they were looked at.
    touched: BTreeSet<usize>,
    written: u64,
}

impl Secrets {
    pub(super) fn new(owner: u64) -> Self {
        Self { owner, contents: vec![Content::default(); SECRETS], touched: BTreeSet::new(), written: 0 }
    }

    fn path(&self, at: usize) -> String {
        format!("secret/data/client{}/{at}", self.owner)
    }

    /// Paths, and how many versions each has.
    pub(super) fn versions(&self) -> impl Iterator<Item = (String, u64)> {
        self.contents.iter().enumerate().map(|(at, content)| (self.path(at), content.version))
    }

    pub(super) fn write(&mut self, desk: &mut Desk) {
        let at = desk.chance.below(SECRETS);
        self.written += 1;
        let before = self.contents[at].clone();
        let after = Content { version: before.version + 1, value: Some(self.written) };
        let body = json!({"options": {"cas": before.version}, "data": {"v": self.written}});
        match desk.ask("POST", &self.path(at), Some(&body)) {
            Heard::Answer(reply) => {
                let reply = reply.expect(200).json();
                assert_eq!(reply["data"]["version"], after.version, "{}", self.path(at));
                self.note(at, after);
            }
            Heard::Undone => assert_eq!(self.find(desk, at), before, "{}: nothing was to be changed", self.path(at)),
            Heard::Nothing => self.settle(desk, at, &[before, after]),
        }
    }

    pub(super) fn delete(&mut self, desk: &mut Desk) {
        let at = desk.chance.below(SECRETS);
        let before = self.contents[at].clone();
        let after = Content { value: None, ..before.clone() };
        match desk.ask("DELETE", &self.path(at), None) {
            Heard::Answer(reply) => {
                reply.expect(204);
                self.note(at, after);
            }
            Heard::Undone => assert_eq!(self.find(desk, at), before, "{}: nothing was to be changed", self.path(at)),
            Heard::Nothing => self.settle(desk, at, &[before, after]),
        }
    }

    fn note(&mut self, at: usize, content: Content) {
        self.contents[at] = content;
        self.touched.insert(at);
    }

    /// Nobody said what came of it: it is one of these, wholly.
    fn settle(&mut self, desk: &mut Desk, at: usize, possible: &[Content; 2]) {
        let found = self.find(desk, at);
        assert!(possible.contains(&found), "{}: {found:?} is none of {possible:?}", self.path(at));
        self.note(at, found);
    }

    fn find(&self, desk: &mut Desk, at: usize) -> Content {
        let reply = desk.insist("GET", &self.path(at), None);
        let status = reply.status;
        assert!(matches!(status, 200 | 404), "{reply:?}");
        let data = reply.json()["data"].take();
        let version = data["metadata"]["version"].as_u64().unwrap_or(0);
        Content { version, value: data["data"].get("v").and_then(Value::as_u64) }
    }

    /// Those that were touched since the last time are as they were left.
    pub(super) fn look(&mut self, desk: &mut Desk) {
        for at in std::mem::take(&mut self.touched) {
            assert_eq!(self.find(desk, at), self.contents[at], "{}", self.path(at));
        }
    }

    pub(super) fn look_at_all(&mut self, desk: &mut Desk) {
        self.touched = (0..SECRETS).collect();
        self.look(desk);
    }
}
