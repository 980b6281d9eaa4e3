//! A policy, compiled: its rules found by path without looking at all of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::factor::FactorDemand;
use super::parse::{self, PolicyError, Target};
use super::pattern::{Pattern, Rank, Wildcard};
use super::rule::Rule;

/// A compiled policy. Immutable; shared by all requests of callers that have it.
pub struct Policy {
    name: String,
    pub(super) rules: Rules,
    /// Rules that depend on the caller or the time: each caller gets those that hold.
    pub(super) conditional: Vec<(Target, Arc<Rule>)>,
    /// What its rules demand to have been shown, each once.
    pub(super) demands: Vec<FactorDemand>,
}

impl Policy {
    /// Compiles `text`, which is HCL or, when it begins with `{`, JSON.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyError> {
        let mut policy = Self { name: name.to_owned(), rules: Rules::default(), conditional: Vec::new(), demands: Vec::new() };
        for (target, rule) in parse::rules(text)? {
            policy.demands.extend(rule.factor.clone().filter(|demand| !policy.demands.contains(demand)));
            match target {
                Target::Fixed(pattern) if rule.expiration.is_none() => policy.rules.add(pattern, Arc::new(rule)),
                target => policy.conditional.push((target, Arc::new(rule))),
            }
        }
        policy.rules.seal();
        Ok(policy)
    }

    /// Whether what it says of `path` may depend on who asks: it has a rule with a template that could be about it.
    pub fn depends_on_caller(&self, path: &str) -> bool {
        let before = |text: &str| text.split("{{").next().unwrap_or_default().trim_start_matches('/').to_owned();
        self.conditional.iter().any(|(target, _)| match target {
            Target::Templated(text) => before(text).split('/').any(|part| part == "+") || path.starts_with(&before(text)),
            Target::Fixed(_) => false,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The rules of one pattern; more than one when a policy writes the same path twice.
pub(super) type Group = Vec<Arc<Rule>>;

/// Rules by pattern.
#[derive(Default)]
pub(super) struct Rules {
    exact: HashMap<String, Group>,
    /// Sorted by prefix, once sealed.
    prefixes: Vec<(String, Group)>,
    wildcards: Vec<(Wildcard, Group)>,
}

/// A pattern that was found.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Wildcard(&'a Wildcard),
}

impl<'a> Found<'a> {
    /// The pattern's text without a glob at its end, and whether there is one.
    pub(super) fn text(self) -> (&'a str, bool) {
        match self {
            Self::Exact(text) => (text, false),
            Self::Prefix(text) => (text, true),
            Self::Wildcard(wildcard) => wildcard.text(),
        }
    }
}

impl Rules {
    pub(super) fn add(&mut self, pattern: Pattern, rule: Arc<Rule>) {
        match pattern {
            Pattern::Exact(text) => self.exact.entry(text).or_default().push(rule),
            Pattern::Prefix(text) => self.prefixes.push((text, vec![rule])),
            Pattern::Wildcard(wildcard) => match self.wildcards.iter_mut().find(|(known, _)| *known == wildcard) {
                Some((_, group)) => group.push(rule),
                None => self.wildcards.push((wildcard, vec![rule])),
            },
        }
    }

    /// To be called once, after the last `add`.
    pub(super) fn seal(&mut self) {
        self.prefixes.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.prefixes.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1.append(&mut later.1);
            }
            same
        });
    }

    pub(super) fn exact(&self, path: &str) -> Option<Found<'_>> {
        self.exact.get_key_value(path).map(|(text, _)| Found::Exact(text))
    }

    /// The strongest pattern that matches `path` and is not exact.
    pub(super) fn strongest<'a>(&'a self, path: &str) -> Option<(Rank<'a>, Found<'a>)> {
        let prefix = self.longest_prefix(path).map(|prefix| (Rank::of_prefix(prefix), Found::Prefix(prefix)));
        let wildcards = self.wildcards.iter().map(|(wildcard, _)| wildcard).filter(|wildcard| wildcard.matches(path));
        wildcards.map(|wildcard| (wildcard.rank(), Found::Wildcard(wildcard))).chain(prefix).max_by_key(|(rank, _)| *rank)
    }

    /// The prefixes of a text lie before it in byte order, the longest last; whatever lies between shares less with the
    /// text, so cutting the text to what it shares with the neighbour skips over it.
    pub(super) fn longest_prefix(&self, path: &str) -> Option<&str> {
        let mut rest = path.as_bytes();
        loop {
            let after = self.prefixes.partition_point(|(prefix, _)| prefix.as_bytes() <= rest);
            let (candidate, _) = self.prefixes.get(after.checked_sub(1)?)?;
            let shared = candidate.bytes().zip(rest).take_while(|(a, b)| a == *b).count();
            if shared == candidate.len() {
                return Some(candidate);
            }
            rest = rest.get(..shared)?;
        }
    }

    /// The rules of a pattern that was found here or in another policy.
    pub(super) fn group(&self, found: Found<'_>) -> &[Arc<Rule>] {
        let group = match found {
            Found::Exact(text) => self.exact.get(text),
            Found::Prefix(text) => {
                let at = self.prefixes.binary_search_by(|(prefix, _)| prefix.as_str().cmp(text));
                at.ok().and_then(|at| self.prefixes.get(at)).map(|(_, group)| group)
            }
            Found::Wildcard(wanted) => self.wildcards.iter().find(|(known, _)| known == wanted).map(|(_, group)| group),
        };
        group.map(Vec::as_slice).unwrap_or_default()
    }

    /// Every pattern.
    pub(super) fn all(&self) -> impl Iterator<Item = Found<'_>> {
        let exact = self.exact.keys().map(|text| Found::Exact(text));
        let prefixes = self.prefixes.iter().map(|(text, _)| Found::Prefix(text));
        exact.chain(prefixes).chain(self.wildcards.iter().map(|(wildcard, _)| Found::Wildcard(wildcard)))
    }

    /// The patterns that may match something below `directory`, which ends in a slash, except for prefixes of its own path.
    pub(super) fn below<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = Found<'a>> {
        let exact = self.exact.keys().filter(move |text| text.starts_with(directory)).map(|text| Found::Exact(text));
        let prefixes = self.prefixes.iter().filter(move |(text, _)| text.starts_with(directory));
        let wildcards = self.wildcards.iter().filter(move |(wildcard, _)| wildcard.reaches_below(directory));
        exact.chain(prefixes.map(|(text, _)| Found::Prefix(text))).chain(wildcards.map(|(w, _)| Found::Wildcard(w)))
    }
}
